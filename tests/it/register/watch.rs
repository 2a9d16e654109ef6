//! `register --watch`: removed entries are registered again; decisions of the administrator are reported and kept.

use std::path::Path;

use nix::mount::{MntFlags, umount2};

use crate::support::Tree;
use crate::support::table::line;
use crate::support::tree::TABLE;
use crate::support::watcher::{Watch, until};

const ENTRY: &str = "qemu-aarch64";
const IN_MEMORY: &str = "binfmt-nix-aarch64";

/// A line for another tool's entry that takes precedence for programs of that system.
fn foreign_entry(name: &str, system: &str) -> String {
    line(name, system, Path::new("/bin/true"), "")
}

#[sandboxed]
fn a_removed_entry_is_registered_again() {
    let tree = Tree::new().mounted();
    let mut held = Watch::begin(&tree, "aarch64", &[]);
    for _ in 0..2 {
        tree.write_kernel(ENTRY, "-1");
        held.says("warning removed system=aarch64 entry=qemu-aarch64");
        held.says("info registered system=aarch64 entry=qemu-aarch64");
        assert!(tree.runs("aarch64"));
    }
}

#[sandboxed]
fn a_removed_entry_in_memory_is_registered_again() {
    let tree = Tree::new().mounted();
    let mut held = Watch::begin(&tree, "aarch64", &["--in-memory"]);
    // Another run of binfmt-nix recognizes the entry by its form.
    assert!(tree.entry_says(IN_MEMORY, "interpreter ").starts_with("/proc/thread-self/fd/"));
    let status = tree.run(&["status", "--json"]).exits(0).json();
    assert_eq!((&status["systems"][0]["state"], &status["systems"][0]["by"]), (&"works".into(), &"binfmt-nix".into()));
    assert_eq!(status["systems"][0]["held"], true, "{status:#}");
    tree.run(&["test", "aarch64"]).prints("proven   it ran in an empty chroot");
    for _ in 0..2 {
        tree.write_kernel(IN_MEMORY, "-1");
        held.says("removed system=aarch64");
        held.says("registered system=aarch64 entry=binfmt-nix-aarch64");
        assert!(tree.runs("aarch64"));
    }
}

/// The source of the emulator may be gone by then: an emulator in memory is not obtained again.
#[sandboxed]
fn a_flushed_table_is_filled_again() {
    for options in [&[][..], &["--in-memory"]] {
        let tree = Tree::new().mounted();
        let foreign = foreign_entry("theirs", "s390x");
        let tree = tree.entry(&foreign);
        let mut held = Watch::begin(&tree, "aarch64", options);
        for _ in 0..2 {
            tree.write_kernel("status", "-1");
            held.says("removed system=aarch64");
            held.says("registered system=aarch64");
            assert!(tree.runs("aarch64"));
            assert_eq!(tree.entries().len(), 1);
        }
        drop(held);
        crate::support::runs::discard_tree(tree);
    }
}

/// A restarted systemd-binfmt removes all entries and registers its own, one by one. The lock delays the watch
/// meanwhile.
#[sandboxed]
fn the_new_entry_precedes_entries_added_meanwhile() {
    let tree = Tree::new().mounted();
    let mut held = Watch::begin(&tree, "aarch64", &["--in-memory", "--force"]);
    let lock = tree.hold_lock();
    tree.write_kernel("status", "-1");
    for (name, system) in [("one", "s390x"), ("two", "aarch64"), ("three", "riscv64")] {
        tree.enter(&foreign_entry(name, system));
    }
    drop(lock);
    held.says("registered system=aarch64");
    assert_eq!(tree.entries(), [IN_MEMORY, "three", "two", "one"]);
    assert!(tree.runs("aarch64"));
}

/// A change to another watched system is not undone at the same time.
#[sandboxed]
fn only_the_removed_system_is_registered_again() {
    let tree = Tree::new().mounted();
    tree.register("aarch64").exits(0);
    tree.register("riscv64").exits(0);
    let mut held = Watch::start(&tree, &["aarch64", "riscv64"], &[]);
    held.says("info holding systems=\"aarch64 riscv64\"");
    tree.write_kernel("qemu-riscv64", "0");
    held.says("warning disabled system=riscv64 entry=qemu-riscv64");
    tree.write_kernel(ENTRY, "-1");
    held.says("info registered system=aarch64");
    assert!(tree.runs("aarch64") && !tree.runs("riscv64"));
    tree.write_kernel("qemu-riscv64", "1");
    held.says("info resolved what=disabled system=riscv64 entry=qemu-riscv64");
}

/// A registration with files can use a second name.
#[sandboxed]
fn the_second_name_is_used_when_the_first_is_taken() {
    let tree = Tree::new().mounted();
    let mut held = Watch::begin(&tree, "aarch64", &[]);
    let lock = tree.hold_lock();
    tree.write_kernel(ENTRY, "-1");
    tree.enter(&foreign_entry(ENTRY, "s390x"));
    drop(lock);
    held.says("removed system=aarch64 entry=qemu-aarch64");
    held.says("registered system=aarch64 entry=binfmt-nix-aarch64");
    assert_eq!(tree.entries(), [IN_MEMORY, ENTRY]);
    assert!(tree.runs("aarch64"));
}

#[sandboxed]
fn a_taken_name_is_reported_until_it_is_free() {
    let tree = Tree::new().mounted();
    let mut held = Watch::begin(&tree, "aarch64", &["--in-memory"]);
    let lock = tree.hold_lock();
    tree.write_kernel(IN_MEMORY, "-1");
    tree.enter(&foreign_entry(IN_MEMORY, "s390x"));
    drop(lock);
    held.says("removed system=aarch64");
    let failed = held.says("error failed what=register error=\"another tool's entry has the name binfmt-nix-aarch64\"");
    assert!(failed.contains("status shows the entries; remove the one"), "{failed}");
    assert_eq!(tree.entries(), [IN_MEMORY]);
    tree.write_kernel(IN_MEMORY, "-1");
    held.says("info registered system=aarch64");
    assert!(tree.runs("aarch64"));
}

#[sandboxed]
fn a_newer_foreign_entry_is_reported_and_kept() {
    let tree = Tree::new().mounted();
    let mut held = Watch::begin(&tree, "aarch64", &[]);
    tree.enter(&foreign_entry("theirs", "aarch64"));
    held.says("warning shadowed system=aarch64 entry=qemu-aarch64 by=theirs");
    assert_eq!(tree.entries(), ["theirs", ENTRY]);
    tree.write_kernel("theirs", "-1");
    held.says("info resolved what=shadowed system=aarch64 entry=qemu-aarch64 by=theirs");
    assert!(tree.runs("aarch64"));
    let done = held.ends_by(nix::sys::signal::SIGTERM).exits(0);
    assert_eq!(done.err.matches(" shadowed ").count(), 1, "{done:#?}");
    done.omits(" registered ");
}

#[sandboxed]
fn a_disabled_entry_is_reported_and_kept() {
    let tree = Tree::new().mounted();
    let mut held = Watch::begin(&tree, "aarch64", &[]);
    tree.write_kernel(ENTRY, "0");
    held.says("warning disabled system=aarch64 entry=qemu-aarch64");
    assert_eq!(tree.entries(), [ENTRY]);
    assert!(!tree.runs("aarch64"));
    tree.write_kernel(ENTRY, "1");
    held.says("info resolved what=disabled");
    held.ends_by(nix::sys::signal::SIGTERM).exits(0).omits(" registered ");
}

#[sandboxed]
fn a_disabled_table_is_reported_and_kept() {
    let tree = Tree::new().mounted();
    let mut held = Watch::begin(&tree, "aarch64", &[]);
    tree.write_kernel("status", "0");
    held.says("warning switched-off");
    // While the table is disabled, no entry is registered.
    tree.write_kernel(ENTRY, "-1");
    held.says("warning removed system=aarch64");
    assert_eq!(tree.entries(), [""; 0]);
    tree.write_kernel("status", "1");
    held.says("info resolved what=switched-off");
    held.says("info registered system=aarch64");
    assert!(tree.runs("aarch64"));
}

/// The table has no other mount, so without the watch all entries would be lost.
#[sandboxed]
fn an_unmounted_table_is_mounted_with_its_entries() {
    for options in [&[][..], &["--in-memory"]] {
        let tree = Tree::new().mounted().entry(&foreign_entry("theirs", "s390x"));
        let mut held = Watch::begin(&tree, "aarch64", options);
        let before = tree.table();
        for _ in 0..2 {
            umount2(&tree.path(TABLE), MntFlags::MNT_DETACH).unwrap();
            held.says("warning unmounted");
            held.says("info mounted");
            assert_eq!(tree.table(), before);
            assert!(tree.runs("aarch64"));
        }
        held.ends_by(nix::sys::signal::SIGTERM).exits(0).omits(" removed ").omits(" registered ");
        crate::support::runs::discard_tree(tree);
    }
}

#[sandboxed]
fn a_flush_after_an_unmount_is_repaired() {
    let tree = Tree::new().mounted();
    let mut held = Watch::begin(&tree, "aarch64", &[]);
    umount2(&tree.path(TABLE), MntFlags::MNT_DETACH).unwrap();
    held.says("info mounted");
    tree.write_kernel("status", "-1");
    held.says("info registered system=aarch64");
    assert!(tree.runs("aarch64"));
}

/// An equivalent foreign entry is used; when it is removed, our own is registered.
#[sandboxed]
fn a_removed_foreign_entry_is_replaced_by_our_own() {
    let system = Path::new("/tree/usr/bin/qemu-aarch64");
    let tree =
        Tree::new().mounted().program("usr/bin/qemu-aarch64", std::fs::read(crate::support::qemu("aarch64")).unwrap());
    let entry = line("debian", "aarch64", system, "PF");
    let tree = tree.entry(&entry).file("usr/lib/binfmt.d/debian.conf", &entry);
    let mut held = Watch::begin(&tree, "aarch64", &[]);
    assert_eq!(tree.entries(), ["debian"]);
    tree.write_kernel("debian", "-1");
    held.says("removed system=aarch64 entry=debian");
    held.says("registered system=aarch64 entry=qemu-aarch64");
    assert!(tree.runs("aarch64"));
}

#[sandboxed]
fn a_table_mounted_by_watch_is_mounted_again() {
    let tree = Tree::new();
    let mut held = Watch::begin(&tree, "aarch64", &[]);
    assert!(tree.is_mounted() && tree.runs("aarch64"));
    umount2(&tree.path(TABLE), MntFlags::empty()).unwrap_err();
    umount2(&tree.path(TABLE), MntFlags::MNT_DETACH).unwrap();
    held.says("info mounted");
    until("the program runs", || tree.runs("aarch64"));
}
