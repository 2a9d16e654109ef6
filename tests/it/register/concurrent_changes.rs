//! Changes of other tools to the entry, the table and our directories between `register` and `unregister`.

use std::sync::atomic::{AtomicBool, Ordering};

use binfmt_nix::binfmt::table;
use binfmt_nix::binfmt::table::Table;
use binfmt_nix::host::Host;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::support::Tree;
use crate::support::alongside::run_alongside;
use crate::support::table::line;
use crate::support::tree::{EMULATOR, RECEIPT, TABLE};

#[sandboxed]
fn a_foreign_entry_with_our_name_is_kept() {
    let tree = Tree::new().mounted();
    let before = tree.snapshot();
    tree.register("aarch64").exits(0);
    tree.write_kernel("qemu-aarch64", "-1");
    let foreign = line("qemu-aarch64", "aarch64", "/bin/true".as_ref(), "");
    tree.enter(&foreign);
    let table = tree.table();
    tree.register("aarch64").exits(3).says("existing: :qemu-aarch64:");
    tree.unregister("aarch64").exits(3).says("qemu-aarch64").says("left as it is");
    assert_eq!(tree.table(), table);
    assert!(!tree.exists(EMULATOR));
    // The second run has nothing to report: none of our files is left, and no record.
    tree.unregister("all").exits(0);
    tree.write_kernel("qemu-aarch64", "-1");
    before.is_restored_in(&tree);
}

/// systemd-binfmt registers this entry from our boot file.
#[sandboxed]
fn an_identical_entry_of_systemd_binfmt_counts_as_ours() {
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
fn an_unmounted_table_is_mounted_again_and_restored() {
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

/// All mounts of a user namespace show one table, so the entry is in the new mount too; the other tool's mount stays.
#[sandboxed]
fn a_table_mounted_by_another_tool_stays_mounted() {
    let tree = Tree::new();
    tree.register("aarch64").exits(0);
    tree.unmount();
    let tree = tree.mounted();
    tree.run(&["register", "aarch64"]).exits(0);
    tree.unregister("aarch64").exits(0);
    assert!(tree.is_mounted());
}

#[sandboxed]
fn foreign_files_in_our_directories_are_kept() {
    let tree = Tree::new();
    tree.register("aarch64").exits(0);
    tree.write("usr/local/libexec/binfmt-nix/theirs", "x");
    tree.write("etc/binfmt.d/foreign.conf", "# x\n");
    tree.write("var/lib/binfmt-nix/theirs", "x");
    tree.unregister("aarch64").exits(0);
    for path in ["usr/local/libexec/binfmt-nix/theirs", "etc/binfmt.d/foreign.conf", "var/lib/binfmt-nix/theirs"] {
        assert!(tree.exists(path), "{path}");
    }
    assert!(!tree.exists(EMULATOR) && !tree.exists(RECEIPT));
}

#[sandboxed]
fn unregister_all_keeps_an_edited_boot_rule_and_removes_the_rest() {
    let tree = Tree::new();
    tree.register("aarch64").exits(0);
    tree.register("riscv64").exits(0);
    let boot = "etc/binfmt.d/zz-binfmt-nix-riscv64.conf";
    tree.append(boot, "# mine\n");
    tree.unregister("all").exits(3).says(boot).omits("zz-binfmt-nix-aarch64.conf was changed");
    assert_eq!(tree.entries(), [""; 0]);
    assert!(tree.exists(boot) && !tree.exists("usr/local/libexec/binfmt-nix"));
}

/// The text of a disabled entry has another length, so two reads of one entry could give parts of different texts.
#[sandboxed]
fn an_entry_is_read_whole_while_it_is_disabled_and_enabled() {
    const READS: usize = 20_000;
    let entry = line("qemu-aarch64", "aarch64", "/a/way/that/is/longer/than/the/first/piece".as_ref(), "");
    let tree = Tree::new().mounted().entry(&entry);
    let host = Host::new(&tree.path("")).unwrap();
    let rule = table::read_table(&host).unwrap().find_entry("qemu-aarch64").unwrap().rule.clone();
    let toggle = |stop: &AtomicBool| {
        while !stop.load(Ordering::Relaxed) {
            tree.write_kernel("qemu-aarch64", "0");
            tree.write_kernel("qemu-aarch64", "1");
        }
    };
    let is_torn = || {
        let table = table::read_table(&host).unwrap();
        table.find_entry("qemu-aarch64").is_none_or(|found| found.rule != rule)
    };
    let ((), torn) = run_alongside(toggle, || (0..READS).filter(|_| is_torn()).count());
    assert_eq!(torn, 0, "of {READS} tables");
}

/// If a table with entries was read as an empty one, the entries would be registered again.
#[sandboxed]
fn a_table_is_never_read_as_empty_while_it_is_mounted_again() {
    const READS: usize = 20_000;
    let entry = line("qemu-aarch64", "aarch64", "/not/there".as_ref(), "");
    let tree = Tree::new().mounted().entry(&entry);
    let host = Host::new(&tree.path("")).unwrap();
    let (table, none) = (tree.path(TABLE), None::<&str>);
    let kept = std::fs::File::open(&table).unwrap();
    let mount_again = |stop: &AtomicBool| {
        while !stop.load(Ordering::Relaxed) {
            umount2(&table, MntFlags::MNT_DETACH).unwrap();
            mount(none, &table, Some("binfmt_misc"), MsFlags::empty(), none).unwrap();
        }
    };
    let ((), torn) = run_alongside(mount_again, || {
        let tables = (0..READS).map(|_| table::read_table(&host).unwrap());
        tables.filter(|table| matches!(table, Table::Mounted { .. }) && table.is_empty()).count()
    });
    assert_eq!(torn, 0, "of {READS} tables");
    drop(kept);
}
