//! How a `register --watch` ends, and what there is besides it.

use nix::sys::signal::Signal;

use crate::support::tree::{HOLD_LOCK, LOCK};
use crate::support::watcher::{Held, until};
use crate::support::{Tree, qemu};

const ENTRY: &str = "qemu-aarch64";

#[sandboxed]
fn entries_stay_by_default() {
    let tree = Tree::new().mounted();
    let held = Held::begin(&tree, "aarch64", &[]);
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
    let mut held = Held::begin(&tree, "aarch64", &["--on-stop", "remove"]);
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
    let held = Held::begin(&tree, "aarch64", &["--in-memory", "--on-stop", "remove"]);
    held.ends_by(Signal::SIGTERM).exits(0).says("info unregistered system=aarch64");
    before.is_restored_in(&tree);
}

/// Even one that somebody unmounted, so that it was mounted again.
#[sandboxed]
fn on_stop_remove_unmounts_our_table() {
    let tree = Tree::new();
    let before = tree.snapshot();
    let mut held = Held::begin(&tree, "aarch64", &["--on-stop", "remove"]);
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
        let held = Held::begin(&tree, "aarch64", &["--in-memory", "--on-stop", "remove"]);
        held.ends_by(signal).exits(0).says(&format!("stopping signal={}", signal as i32));
        assert_eq!(tree.entries(), [""; 0]);
        crate::support::runs::gone(tree);
    }
}

/// It waits for the lock then; what it had begun is taken back, and the end is the usual one.
#[sandboxed]
fn a_signal_interrupts_a_registration() {
    let tree = Tree::new().mounted();
    let mut held = Held::begin(&tree, "aarch64", &[]);
    let lock = std::fs::File::open(tree.path(LOCK)).unwrap();
    lock.lock().unwrap();
    tree.write_kernel(ENTRY, "-1");
    held.says("note text=\"waiting for another binfmt-nix");
    held.ends_by(Signal::SIGTERM).exits(0).says("stopping signal=15").omits(" left ").omits(" registered ");
    assert_eq!(tree.entries(), [""; 0]);
}

#[sandboxed]
fn a_killed_watch_can_be_started_again() {
    let tree = Tree::new().mounted();
    let fresh = tree.snapshot();
    let held = Held::begin(&tree, "aarch64", &[]);
    let before = tree.table();
    assert_eq!(held.ends_by(Signal::SIGKILL).code, None);
    assert_eq!(tree.table(), before);
    let mut held = Held::begin(&tree, "aarch64", &["--on-stop", "remove"]);
    assert_eq!(tree.table(), before);
    tree.write_kernel(ENTRY, "-1");
    held.says("info registered system=aarch64");
    held.ends_by(Signal::SIGTERM).exits(0);
    fresh.is_restored_in(&tree);
}

#[sandboxed]
fn a_killed_watch_in_memory_can_be_started_again() {
    let tree = Tree::new().mounted();
    drop(Held::begin(&tree, "aarch64", &["--in-memory"]).ends_by(Signal::SIGKILL));
    assert!(tree.runs("aarch64"));
    let mut held = Held::begin(&tree, "aarch64", &["--in-memory"]);
    held.prints("runs already (entry binfmt-nix-aarch64)");
    tree.write_kernel("binfmt-nix-aarch64", "-1");
    held.says("info registered system=aarch64");
    assert!(tree.runs("aarch64"));
}

#[sandboxed]
fn a_second_watch_waits_or_fails() {
    let tree = Tree::new().mounted();
    let held = Held::begin(&tree, "aarch64", &[]);
    let before = tree.snapshot();
    let pid = held.pid();
    let second = tree.register_with("riscv64", &["--watch", "--wait", "0"]).exits(3);
    second.says(&format!("process {pid}, which holds aarch64")).says(&format!("kill {pid}"));
    before.is_unchanged_in(&tree);
    // One that waits takes over.
    let mut second = Held::begin_in(&tree, "riscv64", &[], &[]);
    second.says("waiting for another register --watch");
    held.ends_by(Signal::SIGTERM).exits(0);
    second.says("info holding systems=riscv64");
    assert!(tree.runs("aarch64") && tree.runs("riscv64"));
}

#[sandboxed]
fn unregister_is_rejected_while_watch_runs() {
    let tree = Tree::new().mounted();
    tree.register("riscv64").exits(0);
    let held = Held::begin(&tree, "aarch64", &[]);
    let pid = held.pid();
    let before = tree.snapshot();
    for args in [&["unregister", "aarch64"][..], &["unregister", "all"], &["unregister", "aarch64", "--dry-run"]] {
        tree.run(args).exits(3).says(&format!("process {pid}, which holds aarch64")).says(&format!("kill {pid}"));
    }
    before.is_unchanged_in(&tree);
    tree.run(&["status"]).exits(0).says(&format!("process {pid}, which holds aarch64"));
    // Another system is not held.
    tree.unregister("riscv64").exits(0);
    tree.register("riscv64").exits(0);
    assert!(tree.runs("aarch64") && tree.runs("riscv64"));
}

#[sandboxed]
fn unregister_works_after_watch_ended() {
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        let tree = Tree::new().mounted();
        let before = tree.snapshot();
        drop(Held::begin(&tree, "aarch64", &["--in-memory"]).ends_by(signal));
        tree.unregister("aarch64").exits(0);
        before.is_restored_in(&tree);
        crate::support::runs::gone(tree);
    }
}

/// A container has a /run of its own: there the lock of another one's hold is not seen.
#[sandboxed]
fn an_entry_of_watch_is_recognized_without_the_lock() {
    let tree = Tree::new().mounted();
    let mut held = Held::begin(&tree, "aarch64", &["--in-memory"]);
    tree.remove(HOLD_LOCK);
    tree.run(&["status"])
        .exits(0)
        .says("aarch64: registered by register --watch, which registers it again while it runs");
    let done = tree.unregister("aarch64").exits(0);
    done.says("binfmt-nix-aarch64 was made by a register --watch, which puts it back while it runs");
    held.says("info registered system=aarch64");
    until("it runs", || tree.runs("aarch64"));
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
        crate::support::runs::gone(tree);
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
    crate::support::runs::gone(offline);
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

/// What it needs to stay it has before it registers: if that cannot be had, nothing is changed.
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
