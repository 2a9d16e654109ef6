//! What others do to the entry itself between `register` and `unregister`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use binfmt_nix::binfmt::table;
use binfmt_nix::binfmt::table::Table;
use binfmt_nix::host::Host;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::support::Tree;
use crate::support::table::line;
use crate::support::tree::{EMULATOR, RECEIPT, TABLE};

#[sandboxed]
fn an_entry_of_our_name_that_is_not_ours_any_more() {
    let tree = Tree::new().mounted();
    let before = tree.snapshot();
    tree.register("aarch64").exits(0);
    tree.write_kernel("qemu-aarch64", "-1");
    let theirs = line("qemu-aarch64", "aarch64", "/bin/true".as_ref(), "");
    tree.enter(&theirs);
    let table = tree.table();
    tree.register("aarch64").exits(3).says("existing: :qemu-aarch64:");
    tree.unregister("aarch64").exits(3).says("qemu-aarch64").says("left as it is");
    assert_eq!(tree.table(), table);
    assert!(!tree.exists(EMULATOR));
    // It is said once; nothing of ours is left, and nothing is remembered.
    tree.unregister("all").exits(0);
    tree.write_kernel("qemu-aarch64", "-1");
    before.is_restored_in(&tree);
}

/// As systemd-binfmt does it from our boot file.
#[sandboxed]
fn an_entry_that_was_made_again_as_it_was() {
    let tree = Tree::new();
    let before = tree.snapshot();
    tree.register("aarch64").exits(0);
    tree.write_kernel("status", "-1");
    tree.enter(&line("qemu-aarch64", "aarch64", &tree.path(EMULATOR), "FP"));
    tree.run(&["register", "aarch64"]).exits(0).prints("already registered");
    tree.unregister("aarch64").exits(0);
    before.is_restored_in(&tree);
}

#[sandboxed]
fn the_table_was_unmounted() {
    let tree = Tree::new();
    let before = tree.snapshot();
    tree.register("aarch64").exits(0);
    tree.unmount();
    tree.run(&["register", "aarch64"]).exits(0).prints("registered, proven");
    assert!(tree.runs("aarch64"));
    tree.unmount();
    tree.unregister("aarch64").exits(0);
    before.is_restored_in(&tree);
}

/// All mounts of a namespace show one table, so what was made there is there; their mount stays.
#[sandboxed]
fn another_table_was_mounted_above() {
    let tree = Tree::new();
    tree.register("aarch64").exits(0);
    tree.unmount();
    let tree = tree.mounted();
    tree.run(&["register", "aarch64"]).exits(0);
    tree.unregister("aarch64").exits(0);
    assert!(tree.is_mounted());
}

#[sandboxed]
fn files_of_others_in_our_directories() {
    let tree = Tree::new();
    tree.register("aarch64").exits(0);
    tree.write("usr/local/libexec/binfmt-nix/theirs", "x");
    tree.write("etc/binfmt.d/theirs.conf", "# x\n");
    tree.write("var/lib/binfmt-nix/theirs", "x");
    tree.unregister("aarch64").exits(0);
    for path in ["usr/local/libexec/binfmt-nix/theirs", "etc/binfmt.d/theirs.conf", "var/lib/binfmt-nix/theirs"] {
        assert!(tree.exists(path), "{path}");
    }
    assert!(!tree.exists(EMULATOR) && !tree.exists(RECEIPT));
}

#[sandboxed]
fn one_changed_thing_of_two_systems() {
    let tree = Tree::new();
    tree.register("aarch64").exits(0);
    tree.register("riscv64").exits(0);
    let boot = "etc/binfmt.d/zz-binfmt-nix-riscv64.conf";
    tree.append(boot, "# mine\n");
    tree.unregister("all").exits(3).says(boot).omits("zz-binfmt-nix-aarch64.conf was changed");
    assert_eq!(tree.entries(), [""; 0]);
    assert!(tree.exists(boot) && !tree.exists("usr/local/libexec/binfmt-nix"));
}

/// The text of an entry has another length then; halves of two of them would be another entry's.
#[sandboxed]
fn it_is_disabled_and_enabled_all_the_time() {
    const LOOKS: usize = 20_000;
    let entry = line("qemu-aarch64", "aarch64", "/a/way/that/is/longer/than/the/first/piece".as_ref(), "");
    let tree = Tree::new().mounted().entry(&entry);
    let host = Host::new(&tree.path("")).unwrap();
    let rule = table::read_table(&host).unwrap().find_entry("qemu-aarch64").unwrap().rule.clone();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                tree.write_kernel("qemu-aarch64", "0");
                tree.write_kernel("qemu-aarch64", "1");
            }
        });
        let torn = (0..LOOKS).filter(|_| {
            let table = table::read_table(&host).unwrap();
            table.find_entry("qemu-aarch64").is_none_or(|found| found.rule != rule)
        });
        let torn = torn.count();
        stop.store(true, Ordering::Relaxed);
        assert_eq!(torn, 0, "of {LOOKS} looks");
    });
}

/// A table with entries is never seen as an empty one: who believed that would register them again.
#[sandboxed]
fn it_is_unmounted_and_mounted_all_the_time() {
    const LOOKS: usize = 20_000;
    let entry = line("qemu-aarch64", "aarch64", "/not/there".as_ref(), "");
    let tree = Tree::new().mounted().entry(&entry);
    let host = Host::new(&tree.path("")).unwrap();
    let (table, none) = (tree.path(TABLE), None::<&str>);
    let kept = std::fs::File::open(&table).unwrap();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                umount2(&table, MntFlags::MNT_DETACH).unwrap();
                mount(none, &table, Some("binfmt_misc"), MsFlags::empty(), none).unwrap();
            }
        });
        let looks = (0..LOOKS).map(|_| table::read_table(&host).unwrap());
        let torn = looks.filter(|look| matches!(look, Table::Mounted { .. }) && look.is_empty()).count();
        stop.store(true, Ordering::Relaxed);
        assert_eq!(torn, 0, "of {LOOKS} looks");
    });
    drop(kept);
}
