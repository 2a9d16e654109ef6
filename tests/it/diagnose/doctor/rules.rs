//! `doctor` and the table as a whole; entries and their rules.

use std::path::Path;

use nix::mount::{MsFlags, mount};

use crate::diagnose::doctor::reports::{finding, finds, fixed, registered, repaired};
use crate::register::conflicts::distribution;
use crate::support::table::line;
use crate::support::tree::{BOOT, TABLE};
use crate::support::{Tree, qemu};

const NATIVE: &str = "x86_64";

#[sandboxed]
fn not_mounted() {
    let make = || {
        let tree = registered();
        tree.unmount();
        tree
    };
    fixed(make, &["not-mounted"], "not-mounted");
}

#[sandboxed]
fn not_mounted_and_only_others_want_it() {
    let tree = Tree::new().file("usr/lib/binfmt.d/python.conf", ":python:E::pyc::/bin/sh:\n");
    finds(&tree, &[]);
    let tree = tree.file("usr/lib/binfmt.d/x.conf", line("qemu-arm", "arm", Path::new("/bin/sh"), "P"));
    let found = finds(&tree, &["not-mounted"]);
    let repair = finding(&found, "not-mounted")["repair"].to_string();
    assert!(repair.contains("mount -t binfmt_misc") && repair.contains("systemd-binfmt"), "{repair}");
    assert!(finding(&found, "not-mounted")["fix"].is_null());
}

/// What a kernel without it shows in /proc.
#[sandboxed]
fn no_module() {
    let tree = Tree::new().file("proc/filesystems", "nodev\tproc\n\text4\n").file("proc/sys/kernel/osrelease", "9.9\n");
    finds(&tree, &["no-module"]);
    tree.write("lib/modules/9.9/modules.dep", "kernel/fs/binfmt_misc.ko.zst:\n");
    finds(&tree, &[]);
    tree.write("lib/modules/9.9/modules.dep", "kernel/fs/ext4.ko.zst:\n");
    finds(&tree, &["no-module"]);
    tree.write("proc/filesystems", "nodev\tbinfmt_misc\n");
    finds(&tree, &[]);
}

/// A file system of its own, so that it can be made read-only.
#[sandboxed]
fn read_only() {
    let tree = registered();
    tree.write_kernel("qemu-aarch64", "-1");
    let place = tree.path(TABLE);
    let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
    mount(None::<&str>, &place, None::<&str>, flags, None::<&str>).unwrap();
    repaired(&tree, &["table-read-only", "entry-gone"], "table-read-only", None, &["entry-gone"]);
}

#[sandboxed]
fn switched_off() {
    let tree = registered();
    tree.write_kernel("status", "0");
    let found = finds(&tree, &["switched-off"]);
    assert!(finding(&found, "switched-off")["fix"].is_null(), "register refuses it, so --fix does");
    tree.run(&["doctor", "--fix"]).exits(3).prints("switched-off");
    repaired(&tree, &["switched-off"], "switched-off", None, &[]);
    assert!(tree.runs("aarch64"));
}

#[sandboxed]
fn one_of_ours_is_disabled() {
    let make = || {
        let tree = registered();
        tree.write_kernel("qemu-aarch64", "0");
        tree
    };
    fixed(make, &["entry-disabled"], "entry-disabled");
}

#[sandboxed]
fn one_of_others_is_disabled() {
    let tree = distribution("PF");
    tree.register("aarch64").exits(0);
    finds(&tree, &[]);
    tree.write_kernel("qemu-aarch64", "0");
    repaired(&tree, &["entry-disabled"], "entry-disabled", None, &[]);
}

#[sandboxed]
fn ours_is_gone() {
    let make = || {
        let tree = registered();
        tree.write_kernel("status", "-1");
        tree
    };
    fixed(make, &["entry-gone"], "entry-gone");
}

/// While the table is off nobody is harmed; else this test could not go on.
#[sandboxed]
fn the_machines_own_programs() {
    let tree = Tree::without_nix().mounted();
    tree.write_kernel("status", "0");
    tree.enter(&line("qemu-x86_64", NATIVE, &qemu("aarch64"), ""));
    let found = finds(&tree, &["native-registered", "switched-off"]);
    assert_eq!(found["findings"][0]["id"], "native-registered", "the worst comes first: {found:#}");
    repaired(&tree, &["native-registered", "switched-off"], "native-registered", None, &["switched-off"]);
    repaired(&tree, &["switched-off"], "switched-off", None, &[]);
}

#[sandboxed]
fn the_machines_own_programs_but_disabled() {
    let tree = Tree::without_nix().mounted();
    tree.write_kernel("status", "0");
    tree.enter(&line("qemu-x86_64", NATIVE, &qemu("aarch64"), ""));
    tree.write_kernel("qemu-x86_64", "0");
    tree.write_kernel("status", "1");
    repaired(&tree, &["native-registered"], "native-registered", None, &[]);
}

#[sandboxed]
fn ours_is_shadowed() {
    let tree = registered();
    tree.enter(&line("theirs", "aarch64", &tree_qemu(&tree), "PF"));
    let tree =
        tree.file("usr/lib/binfmt.d/theirs.conf", format!("{}\n", line("theirs", "aarch64", &qemu("aarch64"), "PF")));
    repaired(&tree, &["shadowed"], "shadowed", Some("aarch64"), &[]);
}

/// A good emulator of somebody else's, in the tree.
fn tree_qemu(tree: &Tree) -> std::path::PathBuf {
    let path = tree.path("usr/bin/qemu-other");
    std::fs::copy(qemu("aarch64"), &path).unwrap();
    path
}

#[sandboxed]
fn two_of_others_overlap() {
    let tree = distribution("PF");
    tree.register("aarch64").exits(0);
    let second = line("zz-second", "aarch64", &tree_qemu(&tree), "PF");
    tree.enter(&second);
    let tree = tree.file("usr/lib/binfmt.d/zz.conf", format!("{second}\n"));
    repaired(&tree, &["overlap"], "overlap", None, &[]);
}

#[sandboxed]
fn ours_above_theirs_is_as_wanted() {
    let tree = distribution("");
    tree.register_with("aarch64", &["--force"]).exits(0);
    finds(&tree, &[]);
}

/// As QEMU's own script writes it: `e_type` in the wrong byte order.
#[sandboxed]
fn a_rule_that_can_never_match() {
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
fn without_f() {
    let tree = distribution("");
    let found = finds(&tree, &["no-fix-binary", "nix-not-told"]);
    drop(found);
    repaired(&tree, &["no-fix-binary", "nix-not-told"], "no-fix-binary", Some("aarch64"), &[]);
    assert!(tree.runs("aarch64"));
}

#[sandboxed]
fn without_p() {
    let tree = distribution("F");
    tree.register("aarch64").exits(0);
    repaired(&tree, &["argv0-lost"], "argv0-lost", Some("aarch64"), &[]);
    assert!(tree.runs("aarch64"));
}

#[sandboxed]
fn with_p_and_an_old_qemu() {
    let old = crate::support::liar("qemu-aarch64 version 5.2.0", crate::support::Then::Shirk);
    let tree = Tree::without_nix().mounted().program("usr/bin/qemu-aarch64", old);
    let entry = line("qemu-aarch64", "aarch64", &tree.path("usr/bin/qemu-aarch64"), "PF");
    let tree = tree.file("usr/lib/binfmt.d/q.conf", format!("{entry}\n")).entry(&entry);
    repaired(&tree, &["argv0-not-understood", "qemu-known-bad"], "argv0-not-understood", Some("aarch64"), &[]);
}

#[sandboxed]
fn credentials_that_nobody_needs() {
    let tree = distribution("PCF");
    tree.register("aarch64").exits(0);
    repaired(&tree, &["credentials-risk"], "credentials-risk", Some("aarch64"), &[]);
}

const SUDO: &str = "var/lib/containers/storage/overlay/0123/diff/usr/bin/sudo";

#[sandboxed]
fn credentials_that_are_missing() {
    let tree = registered();
    let probe = binfmt_magic::Arch::find("aarch64").unwrap().probe().unwrap();
    let tree = tree.program(SUDO, probe);
    finds(&tree, &[]);
    let tree = tree.mode(SUDO, 0o4755);
    repaired(&tree, &["credentials-missing"], "credentials-missing", None, &[]);
    assert!(tree.entry_says("qemu-aarch64", "flags: ").contains('C'));
    assert!(Path::new(&tree.path(BOOT)).exists());
}

#[sandboxed]
fn our_own_credentials() {
    let tree = Tree::new();
    tree.register_with("aarch64", &["--credentials"]).exits(0);
    repaired(&tree, &["credentials-risk"], "credentials-risk", Some("aarch64"), &[]);
    assert_eq!(tree.entry_says("qemu-aarch64", "flags: "), "PF");
}
