//! QEMUs that the distribution installed: the newest good one is taken, and none that others could have changed.

use std::fs;

use crate::support::output::Done;
use crate::support::tree::EMULATOR;
use crate::support::{Then, Tree, liar, qemu};

const STATIC: &str = "usr/bin/qemu-aarch64-static";
const PLAIN: &str = "usr/bin/qemu-aarch64";

/// A machine on which Debian's qemu-user is installed.
fn installed(path: &str) -> Tree {
    let bytes = fs::read(qemu("aarch64")).unwrap();
    Tree::new().program(path, bytes)
}

#[track_caller]
fn from_the_host(tree: &Tree) -> Done {
    tree.run(&["register", "aarch64", "--source", "host"])
}

/// It is not used, the reason is given, and nothing was touched but the lock.
#[track_caller]
pub(crate) fn not_used(tree: &Tree, why: &str) {
    let before = tree.snapshot();
    from_the_host(tree).exits(1).says("no usable qemu-aarch64").says(why).says("--source download");
    before.is_unchanged_in(tree);
}

#[sandboxed]
fn it_is_taken_without_a_network() {
    let tree = installed(STATIC);
    let before = tree.snapshot();
    tree.run(&["register", "aarch64"]).exits(0).prints("aarch64: registered, proven");
    assert!(tree.runs("aarch64"));
    tree.unregister("aarch64").exits(0);
    before.is_restored_in(&tree);
}

#[sandboxed]
fn under_each_of_its_names() {
    for path in [STATIC, PLAIN, "usr/local/bin/qemu-aarch64-static", "usr/local/bin/qemu-aarch64"] {
        let tree = installed(path);
        let done = tree.run(&["register", "aarch64", "--source", "host", "--json"]).exits(0).json();
        assert_eq!(done["systems"][0]["source"], format!("/{path}"));
        tree.unregister("aarch64").exits(0);
    }
}

#[sandboxed]
fn it_is_copied_and_may_go() {
    let tree = installed(STATIC);
    from_the_host(&tree).exits(0);
    tree.remove(STATIC);
    assert!(tree.runs("aarch64"));
    tree.write_kernel("status", "-1");
    tree.run(&["register", "aarch64"]).exits(0);
    assert!(tree.runs("aarch64"));
}

#[sandboxed]
fn the_newest_is_taken() {
    let tree = installed(PLAIN).program(STATIC, liar("qemu-aarch64 version 9.2.4", Then::Crash));
    let done = tree.run(&["register", "aarch64", "--source", "host", "--json"]).exits(0).json();
    assert_eq!(done["systems"][0]["source"], format!("/{PLAIN}"));
}

#[sandboxed]
fn the_installed_copy_comes_first() {
    let tree = installed(STATIC);
    from_the_host(&tree).exits(0);
    tree.write(STATIC, liar("qemu-aarch64 version 99.0.0", Then::Crash));
    let before = tree.snapshot();
    tree.run(&["register", "aarch64"]).exits(0).prints("already registered");
    before.is_unchanged_in(&tree);
}

#[sandboxed]
fn none_is_there() {
    not_used(&Tree::new(), "none is installed");
}

#[sandboxed]
fn one_that_others_may_write() {
    not_used(&installed(STATIC).mode(STATIC, 0o757), "may be written by others");
}

#[sandboxed]
fn one_that_its_group_may_write() {
    not_used(&installed(STATIC).mode(STATIC, 0o775), "may be written by others");
}

#[sandboxed]
fn one_in_a_directory_that_others_may_write() {
    not_used(&installed(STATIC).mode("usr/bin", 0o777), "usr/bin may be written by others");
    not_used(&installed(STATIC).mode("usr", 0o777), "usr may be written by others");
}

#[sandboxed]
fn one_of_another_user() {
    not_used(&installed(STATIC).owner(STATIC, 1000), "user 1000");
    not_used(&installed(STATIC).owner("usr/bin", 1000), "user 1000");
}

#[sandboxed]
fn one_of_an_old_release() {
    not_used(&Tree::new().program(STATIC, liar("qemu-aarch64 version 6.2.0", Then::Crash)), "6.2.0");
}

#[sandboxed]
fn a_dynamic_one() {
    let dynamic = fs::read(std::env::current_exe().unwrap()).unwrap();
    not_used(&Tree::new().program(PLAIN, dynamic), "dynamically linked");
}

#[sandboxed]
fn a_link_in_a_circle() {
    let tree = Tree::new().link(STATIC, "qemu-aarch64").link(PLAIN, "qemu-aarch64-static");
    let before = tree.snapshot();
    from_the_host(&tree).exits(1).says("no usable qemu-aarch64");
    before.is_unchanged_in(&tree);
}

#[sandboxed]
fn a_link_out_of_the_tree() {
    let outside = qemu("aarch64");
    let tree = Tree::new().link(STATIC, outside.to_str().unwrap());
    let before = tree.snapshot();
    from_the_host(&tree).exits(1).says("no usable qemu-aarch64");
    before.is_unchanged_in(&tree);
}

#[sandboxed]
fn a_bad_one_beside_a_good_one() {
    let tree = installed(PLAIN).program(STATIC, liar("qemu-aarch64 version 99.0.0", Then::Crash)).mode(STATIC, 0o777);
    let done = tree.run(&["register", "aarch64", "--source", "host", "--json"]).exits(0).json();
    assert_eq!(done["systems"][0]["source"], format!("/{PLAIN}"));
}

#[track_caller]
fn not_safe(tree: &Tree, why: &str) {
    let before = tree.snapshot();
    tree.register("aarch64").exits(1).says("not safe").says(why).says("chmod");
    before.is_unchanged_in(tree);
}

#[sandboxed]
fn our_directory_may_be_written_by_others() {
    not_safe(&Tree::new().dir("usr/local/libexec").mode("usr/local/libexec", 0o777), "usr/local/libexec");
    not_safe(&Tree::new().mode("usr/local", 0o775), "usr/local");
    // The sticky bit keeps what is there; others could still make what is not.
    not_safe(&Tree::new().mode("usr/local", 0o1777), "usr/local");
    not_safe(&Tree::new().mode("var/lib", 0o777), "var/lib");
    let own = "usr/local/libexec/binfmt-nix";
    not_safe(&Tree::new().dir(own).mode(own, 0o777), own);
    let own = "var/lib/binfmt-nix";
    not_safe(&Tree::new().dir(own).mode(own, 0o777), own);
}

#[sandboxed]
fn our_directory_belongs_to_another_user() {
    let own = "usr/local/libexec/binfmt-nix";
    not_safe(&Tree::new().dir(own).owner(own, 1000), "user 1000");
    not_safe(&Tree::new().owner("usr/local", 1000), "user 1000");
}

#[sandboxed]
fn an_emulator_in_our_place_that_is_not_ours() {
    let tree = installed(STATIC).program(EMULATOR, "something");
    let before = tree.snapshot();
    from_the_host(&tree).exits(3).says(EMULATOR);
    tree.register("aarch64").exits(3).says(EMULATOR);
    before.is_unchanged_in(&tree);
}
