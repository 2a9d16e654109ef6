//! Several runs at the same time: they change the machine one after the other.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::thread::sleep;
use std::time::Duration;

use crate::support::output::Done;
use crate::support::tree::LOCK;
use crate::support::{Tree, fault_table, qemu};

/// Starts both at the same time and waits for both.
fn run_both(tree: &Tree, first: &[&str], second: &[&str]) -> [Done; 2] {
    let started = [first, second].map(|args| tree.start(args));
    started.map(|child| Done::from(child.wait_with_output().unwrap()))
}

#[sandboxed]
fn two_systems_register_at_once() {
    let tree = Tree::new();
    let before = tree.snapshot();
    let (arm, riscv) = (qemu("aarch64"), qemu("riscv64"));
    let arm = ["register", "aarch64", "--qemu", arm.to_str().unwrap()];
    let riscv = ["register", "riscv64", "--qemu", riscv.to_str().unwrap()];
    for done in run_both(&tree, &arm, &riscv) {
        done.exits(0).prints("registered, proven");
    }
    assert!(tree.runs("aarch64") && tree.runs("riscv64"));
    assert_eq!(tree.settings()[0], "extra-extra-platforms = aarch64-linux riscv64-linux");
    for done in run_both(&tree, &["unregister", "aarch64"], &["unregister", "riscv64"]) {
        done.exits(0);
    }
    before.is_restored_in(&tree);
}

#[sandboxed]
fn one_system_registers_twice_at_once() {
    let tree = Tree::new();
    let before = tree.snapshot();
    let qemu = qemu("aarch64");
    let args = ["register", "aarch64", "--qemu", qemu.to_str().unwrap()];
    let done = run_both(&tree, &args, &args).map(|done| done.exits(0));
    let already = done.iter().filter(|done| done.out.contains("already registered")).count();
    assert_eq!((already, tree.entries()), (1, vec!["qemu-aarch64".to_owned()]));
    tree.unregister("all").exits(0);
    before.is_restored_in(&tree);
}

/// The state is consistent in either order.
#[sandboxed]
fn register_and_unregister_at_once_leave_a_consistent_state() {
    let tree = Tree::new();
    let before = tree.snapshot();
    tree.register("aarch64").exits(0);
    let qemu = qemu("aarch64");
    let done = run_both(&tree, &["register", "aarch64", "--qemu", qemu.to_str().unwrap()], &["unregister", "aarch64"]);
    drop(done.map(|done| done.exits(0)));
    assert_eq!(tree.runs("aarch64"), tree.exists("etc/nix/binfmt-nix.conf"));
    tree.unregister("all").exits(0);
    before.is_restored_in(&tree);
}

/// More seconds than any clock can count.
#[sandboxed]
fn an_endless_wait_is_accepted() {
    Tree::new().register_with("aarch64", &["--wait", &u64::MAX.to_string()]).exits(0).omits("panicked");
}

#[sandboxed]
fn register_waits_for_the_lock() {
    let tree = Tree::new();
    let held = tree.hold_lock();
    let qemu = qemu("aarch64");
    let mut waiting = tree.start(&["register", "aarch64", "--qemu", qemu.to_str().unwrap()]);
    let mut stderr = BufReader::new(waiting.stderr.take().unwrap());
    let mut err = String::new();
    while !err.contains("waiting for another binfmt-nix") {
        assert!(stderr.read_line(&mut err).unwrap() > 0, "the tool does not wait: {err}");
    }
    // The lock is taken before the first change, so that a tool which did not wait would have changed the machine.
    sleep(Duration::from_millis(700));
    assert!(waiting.try_wait().unwrap().is_none(), "the tool does not wait: {err}");
    assert!(!tree.is_mounted() && !tree.exists("var/lib/binfmt-nix"));
    drop(held);
    stderr.read_to_string(&mut err).unwrap();
    let named = format!("waiting for another binfmt-nix, process {}", std::process::id());
    Done { err, ..Done::from(waiting.wait_with_output().unwrap()) }.exits(0).says(&named);
    assert_eq!(lock_files(&tree), [""; 0]);
}

/// Names of the files in the directory of the lock files.
fn lock_files(tree: &Tree) -> Vec<String> {
    let names = fs::read_dir(tree.path("run")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.collect()
}

/// A process that waits for a file which has lost its name does not hold the lock of the file that has the name now.
#[sandboxed]
fn a_waiting_run_opens_a_replaced_lock_file_again() {
    let tree = Tree::new();
    let first = tree.locked_file(LOCK);
    let qemu = qemu("aarch64");
    let mut waiting = tree.start(&["register", "aarch64", "--qemu", qemu.to_str().unwrap()]);
    let mut stderr = BufReader::new(waiting.stderr.take().unwrap());
    let mut err = String::new();
    while !err.contains("waiting for another binfmt-nix, an unknown process") {
        assert!(stderr.read_line(&mut err).unwrap() > 0, "the tool does not wait: {err}");
    }
    tree.remove(LOCK);
    let second = tree.locked_file(LOCK);
    first.unlock().unwrap();
    sleep(Duration::from_millis(300));
    assert!(
        waiting.try_wait().unwrap().is_none() && !tree.exists("var/lib/binfmt-nix"),
        "the tool does not wait: {err}"
    );
    second.unlock().unwrap();
    stderr.read_to_string(&mut err).unwrap();
    drop(Done { err, ..Done::from(waiting.wait_with_output().unwrap()) }.exits(0));
    assert_eq!(lock_files(&tree), [""; 0]);
}

#[sandboxed]
fn no_lock_file_is_left() {
    let tree = Tree::offline();
    tree.register("aarch64").exits(0);
    tree.run(&["unregister", "riscv64"]).exits(0);
    assert_eq!(lock_files(&tree), [""; 0]);
}

/// Other users could open a lock file with another mode.
#[sandboxed]
fn the_mode_of_a_lock_file_is_corrected() {
    let tree = Tree::new();
    let held = tree.locked_file(LOCK);
    let tree = tree.mode(LOCK, 0o666);
    tree.run(&["unregister", "aarch64", "--wait", "0"]).exits(3).says("an unknown process holds").says(LOCK);
    assert_eq!(held.metadata().unwrap().permissions().mode() & 0o777, 0o600);
}

#[sandboxed]
fn a_lock_file_of_another_user_is_rejected() {
    let tree = Tree::new().file(LOCK, "").owner(LOCK, 1000);
    tree.register("aarch64").exits(1).says(&format!("{LOCK} belongs to user 1000"));
}

#[sandboxed]
fn an_expired_wait_is_an_error() {
    let tree = Tree::new();
    let _held = tree.hold_lock();
    let before = tree.snapshot();
    let named = format!("process {} holds {}", std::process::id(), tree.path(LOCK).display());
    for args in [&["register", "aarch64"][..], &["unregister", "aarch64"], &["doctor", "--fix"]] {
        tree.run(&[args, &["--wait", "0"]].concat()).exits(3).says(&named).says("--wait SECONDS");
    }
    before.is_unchanged_in(&tree);
}

/// `cache prune` waits two seconds, and has no `--wait`.
#[sandboxed]
fn a_held_cache_is_an_error() {
    let tree = Tree::new().dir("var/cache/binfmt-nix");
    let _held = tree.locked_file("var/cache/binfmt-nix/cache.lock");
    tree.run(&["cache", "prune"]).exits(3).says("run this again when that process has ended").omits("--wait");
}

/// The kernel drops a lock with the process that held it.
#[sandboxed]
fn an_unheld_lock_file_is_ignored() {
    let tree = Tree::new().file(LOCK, "process 1\n");
    tree.register("aarch64").exits(0).omits("waiting");
    assert_eq!(lock_files(&tree), [""; 0]);
}

#[sandboxed]
fn read_only_commands_do_not_wait() {
    let tree = Tree::new();
    let _held = tree.hold_lock();
    tree.run(&["status"]).exits(0);
    tree.run(&["nix-conf", "aarch64"]).exits(0);
    tree.register_with("aarch64", &["--dry-run"]).exits(0);
}

#[sandboxed]
fn a_symbolic_link_as_lock_is_rejected() {
    let tree = Tree::new().file("srv/precious", "x").link(LOCK, "../srv/precious");
    tree.register("aarch64").exits(1).says(LOCK);
    assert_eq!(tree.text("srv/precious"), "x");
}

const EIGHT: [&str; 8] = ["aarch64", "arm", "ppc64le", "riscv64", "s390x", "mips", "sparc64", "loongarch64"];
/// Number of times that eight runs start at once.
const CROWDS: usize = 8;

/// Starts eight runs for eight systems. Those with an even number register; the others register too or, with
/// `unregister`, unregister.
fn run_eight(tree: &Tree, unregister: bool, options: &[&str]) -> Vec<Done> {
    let start = |(number, system): (usize, &&str)| {
        let qemu = qemu(system);
        let args = if unregister && number % 2 == 1 {
            vec!["unregister", system]
        } else {
            vec!["register", system, "--qemu", qemu.to_str().unwrap()]
        };
        tree.start(&[&args, options].concat())
    };
    let started: Vec<_> = EIGHT.iter().enumerate().map(start).collect();
    started.into_iter().map(|child| Done::from(child.wait_with_output().unwrap()).omits("panicked")).collect()
}

/// Checks that exactly the systems in Nix's configuration run.
#[track_caller]
fn assert_consistent(tree: &Tree, systems: &[&str]) {
    for system in systems {
        let configured =
            tree.exists("etc/nix/binfmt-nix.conf") && tree.settings()[0].contains(&format!(" {system}-linux"));
        assert_eq!(tree.runs_somehow(system), configured, "{system}");
    }
}

#[sandboxed]
fn eight_runs_wait_for_each_other() {
    for _ in 0..CROWDS / 2 {
        let tree = Tree::new();
        let before = tree.snapshot();
        for unregister in [false, true] {
            let done: Vec<_> = run_eight(&tree, unregister, &[]).into_iter().map(|done| done.exits(0)).collect();
            for line in done.iter().flat_map(|done| done.err.lines()).filter(|line| line.contains("waiting")) {
                // Some microseconds lie between taking the lock and writing the process id into it.
                assert!(line.contains("binfmt-nix, process ") || line.contains("just started"), "{line}");
            }
            assert_consistent(&tree, &["aarch64", "riscv64", "s390x"]);
        }
        assert_eq!(tree.entries().len(), 4, "{:?}", tree.entries());
        tree.unregister("all").exits(0);
        before.is_restored_in(&tree);
        nix::mount::umount2("/tree", nix::mount::MntFlags::MNT_DETACH).unwrap();
    }
    fault_table::line("`register` and `unregister`, eight at once, that wait for each other", CROWDS * EIGHT.len());
}

#[sandboxed]
fn eight_runs_without_waiting_fail_cleanly() {
    for _ in 0..CROWDS / 2 {
        let tree = Tree::new();
        let before = tree.snapshot();
        for unregister in [false, true] {
            let done = run_eight(&tree, unregister, &["--wait", "0"]);
            assert!(done.iter().any(|done| done.code == Some(0)), "{done:#?}");
            for done in done.into_iter().filter(|done| done.code != Some(0)) {
                done.exits(3).says("holds").says(LOCK).says("--wait SECONDS");
            }
            assert_consistent(&tree, &["aarch64", "riscv64", "s390x"]);
        }
        tree.unregister("all").exits(0);
        before.is_restored_in(&tree);
        nix::mount::umount2("/tree", nix::mount::MntFlags::MNT_DETACH).unwrap();
    }
    fault_table::line("`register` and `unregister`, eight at once, that do not wait", CROWDS * EIGHT.len());
}
