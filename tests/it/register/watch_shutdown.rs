//! The end of `register --watch`, and other runs beside it.

use nix::sys::signal::Signal;

use crate::diagnose::situations::commands::paste;
use crate::support::tree::WATCH_LOCK;
use crate::support::watcher::{Watch, until};
use crate::support::{Tree, qemu};

const ENTRY: &str = "qemu-aarch64";

#[sandboxed]
fn entries_stay_by_default() {
    let tree = Tree::new().mounted();
    let held = Watch::begin(&tree, "aarch64", &[]);
    let before = tree.table();
    let done = held.ends_by(Signal::SIGTERM).exits(0).prints("aarch64: registered, proven");
    done.says("info stopping signal=15").says("info left system=aarch64 entry=qemu-aarch64");
    assert_eq!(tree.table(), before);
    assert!(tree.runs("aarch64"));
}

#[sandboxed]
fn on_stop_remove_unregisters() {
    let tree = Tree::new().mounted();
    let before = tree.snapshot();
    let mut held = Watch::begin(&tree, "aarch64", &["--on-stop", "remove"]);
    tree.write_kernel(ENTRY, "-1");
    held.says("info registered system=aarch64");
    let done = held.ends_by(Signal::SIGTERM).exits(0);
    done.says("info unregistered system=aarch64").omits(" left ");
    before.is_restored_in(&tree);
}

#[sandboxed]
fn on_stop_remove_unregisters_entries_in_memory() {
    let tree = Tree::new().mounted();
    let before = tree.snapshot();
    let held = Watch::begin(&tree, "aarch64", &["--in-memory", "--on-stop", "remove"]);
    held.ends_by(Signal::SIGTERM).exits(0).says("info unregistered system=aarch64");
    before.is_restored_in(&tree);
}

/// Our mount is removed even if it is the second one, made after an unmount.
#[sandboxed]
fn on_stop_remove_unmounts_our_table() {
    let tree = Tree::new();
    let before = tree.snapshot();
    let mut held = Watch::begin(&tree, "aarch64", &["--on-stop", "remove"]);
    let table = tree.path(crate::support::tree::TABLE);
    nix::mount::umount2(&table, nix::mount::MntFlags::MNT_DETACH).unwrap();
    held.says("info mounted");
    held.ends_by(Signal::SIGTERM).exits(0).says("info unregistered system=aarch64");
    before.is_restored_in(&tree);
}

#[sandboxed]
fn each_signal_stops_watch() {
    for signal in [Signal::SIGINT, Signal::SIGHUP, Signal::SIGTERM] {
        let tree = Tree::new().mounted();
        let held = Watch::begin(&tree, "aarch64", &["--in-memory", "--on-stop", "remove"]);
        held.ends_by(signal).exits(0).says(&format!("stopping signal={}", signal as i32));
        assert_eq!(tree.entries(), [""; 0]);
        crate::support::runs::discard_tree(tree);
    }
}

/// The watch waits for the lock at that moment; it rolls back the started registration and ends as usual.
#[sandboxed]
fn a_signal_interrupts_a_registration() {
    let tree = Tree::new().mounted();
    let mut held = Watch::begin(&tree, "aarch64", &[]);
    let _lock = tree.hold_lock();
    tree.write_kernel(ENTRY, "-1");
    held.says("note text=\"waiting for another binfmt-nix");
    held.ends_by(Signal::SIGTERM).exits(0).says("stopping signal=15").omits(" left ").omits(" registered ");
    assert_eq!(tree.entries(), [""; 0]);
}

#[sandboxed]
fn a_killed_watch_can_be_started_again() {
    let tree = Tree::new().mounted();
    let fresh = tree.snapshot();
    let held = Watch::begin(&tree, "aarch64", &[]);
    let before = tree.table();
    assert_eq!(held.ends_by(Signal::SIGKILL).code, None);
    assert_eq!(tree.table(), before);
    let mut held = Watch::begin(&tree, "aarch64", &["--on-stop", "remove"]);
    assert_eq!(tree.table(), before);
    tree.write_kernel(ENTRY, "-1");
    held.says("info registered system=aarch64");
    held.ends_by(Signal::SIGTERM).exits(0);
    fresh.is_restored_in(&tree);
}

#[sandboxed]
fn a_killed_watch_in_memory_can_be_started_again() {
    let tree = Tree::new().mounted();
    drop(Watch::begin(&tree, "aarch64", &["--in-memory"]).ends_by(Signal::SIGKILL));
    assert!(tree.runs("aarch64"));
    let mut held = Watch::begin(&tree, "aarch64", &["--in-memory"]);
    held.prints("runs already (entry binfmt-nix-aarch64)");
    tree.write_kernel("binfmt-nix-aarch64", "-1");
    held.says("info registered system=aarch64");
    assert!(tree.runs("aarch64"));
}

#[sandboxed]
fn a_second_watch_waits_or_fails() {
    let tree = Tree::new().mounted();
    let held = Watch::begin(&tree, "aarch64", &[]);
    let before = tree.snapshot();
    let pid = held.pid();
    let second = tree.register_with("riscv64", &["--watch", "--wait", "0"]).exits(3);
    second.says(&format!("process {pid}, which watches aarch64")).says(&format!("kill {pid}"));
    before.is_unchanged_in(&tree);
    // A watch that waits continues when the first one ends.
    let mut second = Watch::begin_in(&tree, "riscv64", &[], &[]);
    second.says("waiting for another register --watch");
    held.ends_by(Signal::SIGTERM).exits(0);
    second.says("info holding systems=riscv64");
    assert!(tree.runs("aarch64") && tree.runs("riscv64"));
}

#[sandboxed]
fn unregister_is_rejected_while_watch_runs() {
    let tree = Tree::new().mounted();
    tree.register("riscv64").exits(0);
    let held = Watch::begin(&tree, "aarch64", &[]);
    let pid = held.pid();
    let before = tree.snapshot();
    for args in [&["unregister", "aarch64"][..], &["unregister", "all"], &["unregister", "aarch64", "--dry-run"]] {
        tree.run(args).exits(3).says(&format!("process {pid}, which watches aarch64")).says(&format!("kill {pid}"));
    }
    before.is_unchanged_in(&tree);
    tree.run(&["status"]).exits(0).says(&format!("register --watch is running (process {pid}, which watches aarch64)"));
    // Another system is not watched.
    tree.unregister("riscv64").exits(0);
    tree.register("riscv64").exits(0);
    assert!(tree.runs("aarch64") && tree.runs("riscv64"));
    // The command of the error ends the watch.
    let refused = tree.run(&["unregister", "aarch64"]).exits(3);
    let line = refused.err.trim_end().rsplit_once(", or: ").expect("the help has a command").1;
    paste(line).exits(0);
    held.ends().exits(0).says("info stopping signal=15");
    tree.unregister("aarch64").exits(0);
    assert!(!tree.runs("aarch64") && tree.runs("riscv64"));
}

#[sandboxed]
fn unregister_works_after_watch_ended() {
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        let tree = Tree::new().mounted();
        let before = tree.snapshot();
        drop(Watch::begin(&tree, "aarch64", &["--in-memory"]).ends_by(signal));
        tree.unregister("aarch64").exits(0);
        if signal == Signal::SIGKILL {
            // The next watch would delete these.
            tree.remove(WATCH_LOCK);
            tree.remove(&WATCH_LOCK.replace(".lock", ".holder"));
        }
        before.is_restored_in(&tree);
        crate::support::runs::discard_tree(tree);
    }
}

/// A container has its own /run, where the lock of a watch outside is not seen.
#[sandboxed]
fn an_entry_of_watch_is_recognized_without_the_lock() {
    let tree = Tree::new().mounted();
    let mut held = Watch::begin(&tree, "aarch64", &["--in-memory"]);
    tree.remove(WATCH_LOCK);
    tree.remove(&WATCH_LOCK.replace(".lock", ".holder"));
    tree.run(&["status"])
        .exits(0)
        .says("aarch64: registered by register --watch, which registers it again while it runs");
    let done = tree.unregister("aarch64").exits(0);
    done.says("binfmt-nix-aarch64 was registered by register --watch, which registers it again while it runs");
    held.says("info registered system=aarch64");
    until("the program runs", || tree.runs("aarch64"));
}

#[sandboxed]
fn a_dry_run_of_watch_writes_nothing() {
    for options in [&[][..], &["--in-memory"]] {
        let tree = Tree::new();
        let before = tree.snapshot();
        let options = [options, &["--watch", "--dry-run"]].concat();
        let done = tree.register_with("aarch64", &options).exits(0).prints("would register");
        done.says("it would then keep running").says("leaves the entries");
        let options = [&options[..], &["--on-stop", "remove", "--json"]].concat();
        let outcome = tree.register_with("aarch64", &options).exits(0).json();
        assert!(outcome["notes"].to_string().contains("removes the entries"), "{outcome:#}");
        before.is_untouched_in(&tree);
        crate::support::runs::discard_tree(tree);
    }
}

#[sandboxed]
fn options_that_contradict_watch_are_rejected() {
    let offline = Tree::offline();
    let before = offline.snapshot();
    for options in [&["--watch"][..], &["--watch", "--in-memory"], &["--watch", "--dry-run"]] {
        offline.register_with("aarch64", options).exits(2).says("has no kernel");
    }
    before.is_untouched_in(&offline);
    crate::support::runs::discard_tree(offline);
    let tree = Tree::new();
    let qemu = qemu("aarch64");
    let register = ["register", "aarch64", "--qemu", qemu.to_str().unwrap()];
    for options in [
        &["--on-stop", "leave"][..],
        &["--ready-file", "/x"],
        &["--watch", "--on-stop", "burn"],
        &["--watch", "--ready-file", "relative"],
        &["--watch", "--ready-file", "/"],
    ] {
        tree.run(&[&register[..], options].concat()).exits(2);
    }
    assert_eq!(tree.entries(), [""; 0]);
}

/// The watch acquires what it needs before it registers: if that fails, nothing is changed.
#[sandboxed]
fn missing_prerequisites_fail_before_the_first_change() {
    crate::support::sandbox::with_all_users();
    crate::diagnose::doctor::running_host::usual_proc();
    let tree = Tree::new().mounted();
    let before = tree.snapshot();
    let (limit, register) = ("/proc/sys/user/max_inotify_instances", ["register", "aarch64", "--watch"]);
    let usual = std::fs::read_to_string(limit).unwrap();
    std::fs::write(limit, "0").unwrap();
    tree.run(&register).exits(6).says("cannot watch directories").says("max_user_instances");
    std::fs::write(limit, usual.trim()).unwrap();
    before.is_restored_in(&tree);
    let long = format!("/{}", "x".repeat(200));
    let done: crate::support::output::Done =
        tree.start_in(&register, &[("NOTIFY_SOCKET", &long)]).wait_with_output().unwrap().into();
    done.exits(1).says("NOTIFY_SOCKET");
    before.is_restored_in(&tree);
}
