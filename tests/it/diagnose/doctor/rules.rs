//! `doctor`: the table as a whole, entries, and their rules.

use std::path::Path;

use crate::diagnose::doctor::reports::{finding, finds, fixed, registered_tree, repaired};
use crate::register::conflicts::distribution;
use crate::support::Tree;
use crate::support::table::line;
use crate::support::tree::BOOT;

#[sandboxed]
fn an_unmounted_table_is_found_and_repaired() {
    let make = || {
        let tree = registered_tree();
        tree.unmount();
        tree
    };
    fixed(make, &["not-mounted"], "not-mounted");
}

#[sandboxed]
fn an_unmounted_table_that_foreign_rules_need_is_found() {
    let tree = Tree::new().file("usr/lib/binfmt.d/python.conf", ":python:E::pyc::/bin/sh:\n");
    finds(&tree, &[]);
    let tree = tree.file("usr/lib/binfmt.d/x.conf", line("qemu-arm", "arm", Path::new("/bin/sh"), "P"));
    let found = finds(&tree, &["not-mounted"]);
    let repair = finding(&found, "not-mounted")["repair"].to_string();
    assert!(repair.contains("mount -t binfmt_misc") && repair.contains("systemd-binfmt"), "{repair}");
    assert!(finding(&found, "not-mounted")["fix"].is_null());
}

/// The files in /proc of a kernel without binfmt_misc.
#[sandboxed]
fn a_kernel_without_binfmt_misc_is_found() {
    let tree = Tree::new().file("proc/filesystems", "nodev\tproc\n\text4\n").file("proc/sys/kernel/osrelease", "9.9\n");
    finds(&tree, &["no-module"]);
    tree.write("lib/modules/9.9/modules.dep", "kernel/fs/binfmt_misc.ko.zst:\n");
    finds(&tree, &[]);
    tree.write("lib/modules/9.9/modules.dep", "kernel/fs/ext4.ko.zst:\n");
    finds(&tree, &["no-module"]);
    tree.write("proc/filesystems", "nodev\tbinfmt_misc\n");
    finds(&tree, &[]);
}

#[sandboxed]
fn a_switched_off_table_is_found_and_not_repaired_by_fix() {
    let tree = registered_tree();
    tree.write_kernel("status", "0");
    let found = finds(&tree, &["switched-off"]);
    assert!(finding(&found, "switched-off")["fix"].is_null(), "register refuses it, so --fix does");
    tree.run(&["doctor", "--fix"]).exits(3).prints("switched-off");
    repaired(&tree, &["switched-off"], "switched-off", None, &[]);
    assert!(tree.runs("aarch64"));
}

#[sandboxed]
fn a_disabled_entry_is_found_and_repaired() {
    let make = || {
        let tree = registered_tree();
        tree.write_kernel("qemu-aarch64", "0");
        tree
    };
    fixed(make, &["entry-disabled"], "entry-disabled");
}

#[sandboxed]
fn a_missing_entry_is_found_and_repaired() {
    let make = || {
        let tree = registered_tree();
        tree.write_kernel("status", "-1");
        tree
    };
    fixed(make, &["entry-gone"], "entry-gone");
}

#[sandboxed]
fn a_forced_entry_above_a_foreign_one_is_accepted() {
    let tree = distribution("");
    tree.register_with("aarch64", &["--force"]).exits(0);
    finds(&tree, &[]);
}

#[sandboxed]
fn a_missing_flag_f_is_found_and_repaired() {
    let tree = distribution("");
    repaired(&tree, &["no-fix-binary"], "no-fix-binary", Some("aarch64"), &[]);
    assert!(tree.runs("aarch64"));
}

const SUDO: &str = "var/lib/containers/storage/overlay/0123/diff/usr/bin/sudo";

#[sandboxed]
fn a_missing_flag_c_is_found_if_a_setuid_program_needs_it() {
    let tree = registered_tree();
    let probe = binfmt_magic::Arch::find("aarch64").unwrap().probe().unwrap();
    let tree = tree.program(SUDO, probe);
    finds(&tree, &[]);
    let tree = tree.mode(SUDO, 0o4755);
    repaired(&tree, &["credentials-missing"], "credentials-missing", None, &[]);
    assert!(tree.entry_says("qemu-aarch64", "flags: ").contains('C'));
    assert!(Path::new(&tree.path(BOOT)).exists());
}

#[sandboxed]
fn flag_c_of_an_entry_of_the_tool_is_found_and_repaired() {
    let tree = Tree::new();
    tree.register_with("aarch64", &["--credentials"]).exits(0);
    repaired(&tree, &["credentials-risk"], "credentials-risk", Some("aarch64"), &[]);
    assert_eq!(tree.entry_says("qemu-aarch64", "flags: "), "PF");
}
