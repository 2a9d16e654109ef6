//! Several of them at once: one after the other changes the machine.

use std::fs::File;
use std::thread::sleep;
use std::time::Duration;

use crate::common::done::Done;
use crate::common::tree::LOCK;
use crate::common::{Tree, qemu};

crate::tests! {
    two_systems
    the_same_system_twice
    in_and_out
    the_lock_is_waited_for
    a_wait_without_end_is_one
    patience_has_an_end
    a_lock_that_nobody_holds_any_more
    looking_does_not_wait
    a_lock_that_is_a_link
}

/// Both at once, to their ends.
fn both(tree: &Tree, first: &[&str], second: &[&str]) -> [Done; 2] {
    let started = [first, second].map(|args| tree.start(args));
    started.map(|child| Done::from(child.wait_with_output().unwrap()))
}

fn two_systems() {
    let tree = Tree::new();
    let before = tree.snapshot();
    let (arm, riscv) = (qemu("aarch64"), qemu("riscv64"));
    let arm = ["register", "aarch64", "--qemu", arm.to_str().unwrap()];
    let riscv = ["register", "riscv64", "--qemu", riscv.to_str().unwrap()];
    for done in both(&tree, &arm, &riscv) {
        done.exits(0).prints("registered, proven");
    }
    assert!(tree.runs("aarch64") && tree.runs("riscv64"));
    assert_eq!(tree.settings()[0], "extra-extra-platforms = aarch64-linux riscv64-linux");
    for done in both(&tree, &["unregister", "aarch64"], &["unregister", "riscv64"]) {
        done.exits(0);
    }
    before.is_restored_in(&tree);
}

fn the_same_system_twice() {
    let tree = Tree::new();
    let before = tree.snapshot();
    let qemu = qemu("aarch64");
    let args = ["register", "aarch64", "--qemu", qemu.to_str().unwrap()];
    let done = both(&tree, &args, &args).map(|done| done.exits(0));
    let already = done.iter().filter(|done| done.out.contains("already registered")).count();
    assert_eq!((already, tree.entries()), (1, vec!["qemu-aarch64".to_owned()]));
    tree.unregister("all").exits(0);
    before.is_restored_in(&tree);
}

/// In whatever order, the machine is whole.
fn in_and_out() {
    let tree = Tree::new();
    let before = tree.snapshot();
    tree.register("aarch64").exits(0);
    let qemu = qemu("aarch64");
    let done = both(&tree, &["register", "aarch64", "--qemu", qemu.to_str().unwrap()], &["unregister", "aarch64"]);
    drop(done.map(|done| done.exits(0)));
    assert_eq!(tree.runs("aarch64"), tree.exists("etc/nix/binfmt-nix.conf"));
    tree.unregister("all").exits(0);
    before.is_restored_in(&tree);
}

/// More seconds than any clock counts.
fn a_wait_without_end_is_one() {
    Tree::new().register_with("aarch64", &["--wait", &u64::MAX.to_string()]).exits(0).omits("panicked");
}

fn the_lock_is_waited_for() {
    let tree = Tree::new().file(LOCK, "process 42\n");
    let held = File::open(tree.path(LOCK)).unwrap();
    held.lock().unwrap();
    let qemu = qemu("aarch64");
    let mut waiting = tree.start(&["register", "aarch64", "--qemu", qemu.to_str().unwrap()]);
    sleep(Duration::from_millis(700));
    assert!(waiting.try_wait().unwrap().is_none(), "it does not wait");
    assert!(!tree.is_mounted() && !tree.exists("var/lib/binfmt-nix"));
    held.unlock().unwrap();
    let done = Done::from(waiting.wait_with_output().unwrap()).exits(0);
    done.says("waiting for another binfmt-nix").says("process 42");
}

fn patience_has_an_end() {
    let tree = Tree::new().file(LOCK, "process 42\n");
    let held = File::open(tree.path(LOCK)).unwrap();
    held.lock().unwrap();
    let before = tree.snapshot();
    tree.register_with("aarch64", &["--wait", "0"]).exits(1).says("process 42").says("--wait SECONDS");
    tree.run(&["unregister", "aarch64", "--wait", "0"]).exits(1).says("process 42");
    before.is_unchanged_in(&tree);
}

/// The kernel drops a lock with the process that held it.
fn a_lock_that_nobody_holds_any_more() {
    let tree = Tree::new().file(LOCK, "process 1\n");
    tree.register("aarch64").exits(0).omits("waiting");
}

fn looking_does_not_wait() {
    let tree = Tree::new().file(LOCK, "");
    let held = File::open(tree.path(LOCK)).unwrap();
    held.lock().unwrap();
    tree.run(&["status"]).exits(0);
    tree.run(&["nix-conf", "aarch64"]).exits(0);
    tree.register_with("aarch64", &["--dry-run"]).exits(0);
}

fn a_lock_that_is_a_link() {
    let tree = Tree::new().file("srv/precious", "x").link(LOCK, "../srv/precious");
    tree.register("aarch64").exits(1).says(LOCK);
    assert_eq!(tree.text("srv/precious"), "x");
}
