//! A disk that is full, at whatever moment: it is said, and all is as before.

use std::fs;

use nix::mount::{MntFlags, umount2};
use nix::sys::statvfs::statvfs;

use crate::support::tree::{NIX_CONF, ROOT};
use crate::support::{Tree, fault_table, qemu};

/// Tries with ever more room, until it is enough. With less, nothing may be left but the lock.
#[track_caller]
fn tried_with(what: &str, rooms: impl Iterator<Item = String>, prepare: impl Fn(&Tree), system: &str) {
    let (mut failed, mut enough, mut wrong) = (0, 0, Vec::new());
    for options in rooms {
        let tree = Tree::on("mode=755").furnished();
        let fresh = tree.snapshot();
        prepare(&tree);
        let before = tree.snapshot();
        tree.limit(&options);
        let done = tree.register(system);
        tree.limit("size=0,nr_inodes=0");
        if done.err.contains("error:") {
            failed += 1;
            let done = done.exits(1).says("No space left on device").says("free some space");
            let differences = before.unrestored_in(&tree);
            if !differences.is_empty() {
                wrong.push(format!("with {options}: {}{differences}", done.err));
            }
        } else {
            done.exits(0);
            enough += 1;
            assert!(tree.runs(system));
            tree.unregister("all").exits(0);
            fresh.is_restored_in(&tree);
        }
        gone();
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(failed > 1 && enough > 0, "{failed} times too little, {enough} times enough");
    fault_table::line(what, failed + enough);
}

/// Takes the tree away, with its table and all that is in it.
fn gone() {
    umount2(ROOT, MntFlags::MNT_DETACH).unwrap();
}

/// What a furnished tree takes: pages and inodes.
fn taken(prepare: impl Fn(&Tree)) -> (u64, u64) {
    let tree = Tree::on("mode=755").furnished();
    prepare(&tree);
    let fs = statvfs(ROOT).unwrap();
    gone();
    (fs.blocks() - fs.blocks_free(), fs.files() - fs.files_free())
}

#[sandboxed]
fn a_registration_without_inodes_is_rolled_back() {
    let (_, inodes) = taken(|_| {});
    let rooms = (0..18).map(|more| format!("nr_inodes={}", inodes + more));
    tried_with("`register`, on a disk with room for more and more files", rooms, |_| {}, "aarch64");
}

#[sandboxed]
fn a_registration_without_space_is_rolled_back() {
    let (pages, _) = taken(|_| {});
    let qemu = fs::metadata(qemu("aarch64")).unwrap().len().div_ceil(4096);
    let rooms = [0, 1, 2, 100, qemu - 1, qemu, qemu + 1, qemu + 2, qemu + 3, qemu + 4, qemu + 5, qemu + 6, qemu + 20];
    let rooms = rooms.into_iter().map(|more| format!("size={}", (pages + more) * 4096));
    tried_with("`register`, on a disk with more and more room", rooms, |_| {}, "aarch64");
}

/// What another system has stays as it is.
#[sandboxed]
fn a_second_registration_without_inodes_is_rolled_back() {
    let first = |tree: &Tree| drop(tree.register("riscv64").exits(0));
    let (_, inodes) = taken(first);
    let rooms = (0..10).step_by(2).map(|more| format!("nr_inodes={}", inodes + more));
    tried_with("`register` of a second system, on a disk with room for more and more files", rooms, first, "aarch64");
}

/// Undoing needs room for the receipt. Without it, it is said; with it, the next time does the rest.
#[sandboxed]
fn unregister_on_a_full_disk_can_be_repeated() {
    let tree = Tree::new();
    let before = tree.snapshot();
    tree.register("aarch64").exits(0);
    let files = statvfs(ROOT).unwrap();
    tree.limit(&format!("nr_inodes={}", files.files() - files.files_free()));
    let done = tree.unregister("aarch64").omits("panicked");
    if done.err.contains("error:") {
        done.exits(1).says("No space left on device");
    }
    tree.limit("nr_inodes=0");
    tree.unregister("aarch64").exits(0);
    before.is_restored_in(&tree);
    assert_eq!(tree.text(NIX_CONF), "sandbox = true\n");
}
