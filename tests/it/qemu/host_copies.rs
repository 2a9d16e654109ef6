//! Emulators that the distribution installed: the newest good one is used, and none that another user could have changed.

use std::fs;

use crate::support::output::Done;
use crate::support::tree::EMULATOR;
use crate::support::{LiarBehavior, Tree, liar, qemu};

const STATIC: &str = "usr/bin/qemu-aarch64-static";
const PLAIN: &str = "usr/bin/qemu-aarch64";

/// A machine with Debian's qemu-user.
fn host_with_emulator(path: &str) -> Tree {
    let bytes = fs::read(qemu("aarch64")).unwrap();
    Tree::new().program(path, bytes)
}

#[track_caller]
fn from_the_host(tree: &Tree) -> Done {
    tree.run(&["register", "aarch64", "--source", "host"])
}

/// Checks that no emulator of the host is used, that this reason is reported, and that only the lock changed.
#[track_caller]
pub(crate) fn not_used(tree: &Tree, why: &str) {
    let before = tree.snapshot();
    from_the_host(tree).exits(1).says("no usable qemu-aarch64").says(why).says("--source download");
    before.is_unchanged_in(tree);
}

#[sandboxed]
fn a_host_emulator_is_used_without_a_network() {
    let tree = host_with_emulator(STATIC);
    let before = tree.snapshot();
    tree.run(&["register", "aarch64"]).exits(0).prints("aarch64: registered, proven");
    assert!(tree.runs("aarch64"));
    tree.unregister("aarch64").exits(0);
    before.is_restored_in(&tree);
}

#[sandboxed]
fn a_host_emulator_is_found_under_each_of_its_names() {
    for path in [STATIC, PLAIN, "usr/local/bin/qemu-aarch64-static", "usr/local/bin/qemu-aarch64"] {
        let tree = host_with_emulator(path);
        let done = tree.run(&["register", "aarch64", "--source", "host", "--json"]).exits(0).json();
        assert_eq!(done["systems"][0]["source"], format!("/{path}"));
        tree.unregister("aarch64").exits(0);
    }
}

#[sandboxed]
fn a_host_emulator_is_copied() {
    let tree = host_with_emulator(STATIC);
    from_the_host(&tree).exits(0);
    tree.remove(STATIC);
    assert!(tree.runs("aarch64"));
    tree.write_kernel("status", "-1");
    tree.run(&["register", "aarch64"]).exits(0);
    assert!(tree.runs("aarch64"));
}

#[sandboxed]
fn the_newest_release_is_chosen() {
    let tree = host_with_emulator(PLAIN).program(STATIC, liar("qemu-aarch64 version 9.2.4", LiarBehavior::Crash));
    let done = tree.run(&["register", "aarch64", "--source", "host", "--json"]).exits(0).json();
    assert_eq!(done["systems"][0]["source"], format!("/{PLAIN}"));
}

#[sandboxed]
fn an_installed_copy_has_priority_over_newer_host_emulators() {
    let tree = host_with_emulator(STATIC);
    from_the_host(&tree).exits(0);
    tree.write(STATIC, liar("qemu-aarch64 version 99.0.0", LiarBehavior::Crash));
    let before = tree.snapshot();
    tree.run(&["register", "aarch64"]).exits(0).prints("already registered");
    before.is_unchanged_in(&tree);
}

#[sandboxed]
fn a_host_without_emulators_is_reported() {
    not_used(&Tree::new(), "none is installed");
}

#[sandboxed]
fn an_emulator_writable_by_other_users_is_refused() {
    not_used(&host_with_emulator(STATIC).mode(STATIC, 0o757), "may be written by others");
}

#[sandboxed]
fn a_group_writable_emulator_is_refused() {
    not_used(&host_with_emulator(STATIC).mode(STATIC, 0o775), "may be written by others");
}

#[sandboxed]
fn an_emulator_in_a_writable_directory_is_refused() {
    not_used(&host_with_emulator(STATIC).mode("usr/bin", 0o777), "usr/bin may be written by others");
    not_used(&host_with_emulator(STATIC).mode("usr", 0o777), "usr may be written by others");
}

#[sandboxed]
fn an_emulator_owned_by_another_user_is_refused() {
    not_used(&host_with_emulator(STATIC).owner(STATIC, 1000), "user 1000");
    not_used(&host_with_emulator(STATIC).owner("usr/bin", 1000), "user 1000");
}

#[sandboxed]
fn an_emulator_of_an_old_release_is_refused() {
    not_used(&Tree::new().program(STATIC, liar("qemu-aarch64 version 6.2.0", LiarBehavior::Crash)), "6.2.0");
}

#[sandboxed]
fn a_dynamic_emulator_is_refused() {
    let dynamic = fs::read(std::env::current_exe().unwrap()).unwrap();
    not_used(&Tree::new().program(PLAIN, dynamic), "dynamically linked");
}

#[sandboxed]
fn a_circular_link_is_refused() {
    let tree = Tree::new().link(STATIC, "qemu-aarch64").link(PLAIN, "qemu-aarch64-static");
    let before = tree.snapshot();
    from_the_host(&tree).exits(1).says("no usable qemu-aarch64");
    before.is_unchanged_in(&tree);
}

#[sandboxed]
fn a_link_outside_the_tree_is_refused() {
    let outside = qemu("aarch64");
    let tree = Tree::new().link(STATIC, outside.to_str().unwrap());
    let before = tree.snapshot();
    from_the_host(&tree).exits(1).says("no usable qemu-aarch64");
    before.is_unchanged_in(&tree);
}

#[sandboxed]
fn a_good_emulator_is_chosen_beside_a_bad_one() {
    let tree = host_with_emulator(PLAIN)
        .program(STATIC, liar("qemu-aarch64 version 99.0.0", LiarBehavior::Crash))
        .mode(STATIC, 0o777);
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
fn a_writable_target_directory_is_refused() {
    not_safe(&Tree::new().dir("usr/local/libexec").mode("usr/local/libexec", 0o777), "usr/local/libexec");
    not_safe(&Tree::new().mode("usr/local", 0o775), "usr/local");
    // The sticky bit protects existing files. Other users could still create new ones.
    not_safe(&Tree::new().mode("usr/local", 0o1777), "usr/local");
    not_safe(&Tree::new().mode("var/lib", 0o777), "var/lib");
    let own = "usr/local/libexec/binfmt-nix";
    not_safe(&Tree::new().dir(own).mode(own, 0o777), own);
    let own = "var/lib/binfmt-nix";
    not_safe(&Tree::new().dir(own).mode(own, 0o777), own);
}

#[sandboxed]
fn a_target_directory_of_another_user_is_refused() {
    let own = "usr/local/libexec/binfmt-nix";
    not_safe(&Tree::new().dir(own).owner(own, 1000), "user 1000");
    not_safe(&Tree::new().owner("usr/local", 1000), "user 1000");
}

#[sandboxed]
fn a_foreign_file_at_the_target_path_is_kept() {
    let tree = host_with_emulator(STATIC).program(EMULATOR, "something");
    let before = tree.snapshot();
    from_the_host(&tree).exits(3).says(EMULATOR);
    tree.register("aarch64").exits(3).says(EMULATOR);
    before.is_unchanged_in(&tree);
}
