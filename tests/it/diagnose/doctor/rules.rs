//! `doctor`: the table as a whole, entries, and their rules.

use std::path::Path;

use nix::mount::{MsFlags, mount};

use crate::diagnose::doctor::reports::{finding, finds, fixed, registered_tree, repaired};
use crate::register::conflicts::distribution;
use crate::support::table::line;
use crate::support::tree::{BOOT, TABLE};
use crate::support::{Tree, qemu};

const NATIVE: &str = "x86_64";

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

/// The table is its own file system, so that it can be remounted read-only.
#[sandboxed]
fn a_read_only_table_is_found_and_repaired() {
    let tree = registered_tree();
    tree.write_kernel("qemu-aarch64", "-1");
    let place = tree.path(TABLE);
    let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
    mount(None::<&str>, &place, None::<&str>, flags, None::<&str>).unwrap();
    repaired(&tree, &["table-read-only", "entry-gone"], "table-read-only", None, &["entry-gone"]);
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
fn a_disabled_foreign_entry_is_found_and_repaired() {
    let tree = distribution("PF");
    tree.register("aarch64").exits(0);
    finds(&tree, &[]);
    tree.write_kernel("qemu-aarch64", "0");
    repaired(&tree, &["entry-disabled"], "entry-disabled", None, &[]);
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

/// The table stays switched off. Otherwise no program could start, and the test could not continue.
#[sandboxed]
fn an_entry_for_native_programs_is_the_first_finding() {
    let tree = Tree::without_nix().mounted();
    tree.write_kernel("status", "0");
    tree.enter(&line("qemu-x86_64", NATIVE, &qemu("aarch64"), ""));
    let found = finds(&tree, &["native-registered", "switched-off"]);
    assert_eq!(found["findings"][0]["id"], "native-registered", "the worst comes first: {found:#}");
    repaired(&tree, &["native-registered", "switched-off"], "native-registered", None, &["switched-off"]);
    repaired(&tree, &["switched-off"], "switched-off", None, &[]);
}

#[sandboxed]
fn a_disabled_entry_for_native_programs_is_found_and_repaired() {
    let tree = Tree::without_nix().mounted();
    tree.write_kernel("status", "0");
    tree.enter(&line("qemu-x86_64", NATIVE, &qemu("aarch64"), ""));
    tree.write_kernel("qemu-x86_64", "0");
    tree.write_kernel("status", "1");
    repaired(&tree, &["native-registered"], "native-registered", None, &[]);
}

#[sandboxed]
fn a_shadowed_entry_is_found_and_repaired() {
    let tree = registered_tree();
    tree.enter(&line("theirs", "aarch64", &tree_qemu(&tree), "PF"));
    let tree =
        tree.file("usr/lib/binfmt.d/theirs.conf", format!("{}\n", line("theirs", "aarch64", &qemu("aarch64"), "PF")));
    repaired(&tree, &["shadowed"], "shadowed", Some("aarch64"), &[]);
}

/// Adds a good emulator of another tool to the tree.
fn tree_qemu(tree: &Tree) -> std::path::PathBuf {
    let path = tree.path("usr/bin/qemu-other");
    std::fs::copy(qemu("aarch64"), &path).unwrap();
    path
}

#[sandboxed]
fn two_overlapping_foreign_entries_are_found_and_repaired() {
    let tree = distribution("PF");
    tree.register("aarch64").exits(0);
    let second = line("zz-second", "aarch64", &tree_qemu(&tree), "PF");
    tree.enter(&second);
    let tree = tree.file("usr/lib/binfmt.d/zz.conf", format!("{second}\n"));
    repaired(&tree, &["overlap"], "overlap", None, &[]);
}

#[sandboxed]
fn a_forced_entry_above_a_foreign_one_is_accepted() {
    let tree = distribution("");
    tree.register_with("aarch64", &["--force"]).exits(0);
    finds(&tree, &[]);
}

/// The rule of QEMU's own script: `e_type` has the wrong byte order.
#[sandboxed]
fn a_rule_that_never_matches_is_found_and_repaired() {
    let tree = Tree::without_nix().mounted();
    let qemu = qemu("microblaze");
    tree.enter(&format!(
        r":qemu-microblaze:M::\x7fELF\x01\x02\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xba\xab:\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:{}:F",
        qemu.display()
    ));
    assert!(!tree.runs_somehow("microblaze"));
    repaired(&tree, &["never-matches"], "never-matches", Some("microblaze"), &[]);
    assert!(tree.runs("microblaze"));
}

#[sandboxed]
fn a_missing_flag_f_is_found_and_repaired() {
    let tree = distribution("");
    let found = finds(&tree, &["no-fix-binary", "nix-not-told"]);
    drop(found);
    repaired(&tree, &["no-fix-binary", "nix-not-told"], "no-fix-binary", Some("aarch64"), &[]);
    assert!(tree.runs("aarch64"));
}

#[sandboxed]
fn a_missing_flag_p_is_found_and_repaired() {
    let tree = distribution("F");
    tree.register("aarch64").exits(0);
    repaired(&tree, &["argv0-lost"], "argv0-lost", Some("aarch64"), &[]);
    assert!(tree.runs("aarch64"));
}

#[sandboxed]
fn flag_p_with_an_old_qemu_is_found_and_repaired() {
    let old = crate::support::liar("qemu-aarch64 version 5.2.0", crate::support::LiarBehavior::DoNothing);
    let tree = Tree::without_nix().mounted().program("usr/bin/qemu-aarch64", old);
    let entry = line("qemu-aarch64", "aarch64", &tree.path("usr/bin/qemu-aarch64"), "PF");
    let tree = tree.file("usr/lib/binfmt.d/q.conf", format!("{entry}\n")).entry(&entry);
    repaired(&tree, &["argv0-not-understood", "qemu-known-bad"], "argv0-not-understood", Some("aarch64"), &[]);
}

#[sandboxed]
fn flag_c_of_a_foreign_entry_is_found_and_repaired() {
    let tree = distribution("PCF");
    tree.register("aarch64").exits(0);
    repaired(&tree, &["credentials-risk"], "credentials-risk", Some("aarch64"), &[]);
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
