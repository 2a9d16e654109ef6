//! A disk that is full at any moment of a run: the error is reported, and the previous state is restored.

use std::fs;
use std::fs::File;
use std::path::Path;

use binfmt_magic::Arch;
use binfmt_nix::host::Host;
use binfmt_nix::qemu::candidate::validate_binary;
use binfmt_nix::qemu::obtain::fallback::FallbackEmulator;
use binfmt_nix::qemu::version_query::VersionQuery;
use binfmt_nix::sha256::Sha256;
use nix::sys::statvfs::statvfs;

use crate::diagnose::situations::commands::paste;
use crate::support::tree::{NIX_CONF, ROOT};
use crate::support::{Tree, fault_table, qemu};

/// Registers with each of these growing limits until there is enough room. A failed run may leave only the lock.
#[track_caller]
fn register_with_limits(what: &str, limits: impl Iterator<Item = String>, prepare: impl Fn(&Tree), system: &str) {
    let (mut failed, mut enough, mut wrong) = (0, 0, Vec::new());
    for options in limits {
        let tree = Tree::on("mode=755").furnished();
        let fresh = tree.snapshot();
        prepare(&tree);
        let before = tree.snapshot();
        tree.limit(&options);
        let done = tree.register(system);
        tree.limit("size=0,nr_inodes=0");
        if done.err.contains("error:") {
            failed += 1;
            // The full file system, and not that of the source.
            let hint =
                format!("free some space on the file system of {}", tree.path("usr").parent().unwrap().display());
            let done = done.exits(1).says("No space left on device").says(&hint);
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
        tree.discard();
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(failed > 1 && enough > 0, "{failed} times too little room, {enough} times enough");
    fault_table::line(what, failed + enough);
}

/// Used pages and inodes of a furnished tree.
fn used_space(prepare: impl Fn(&Tree)) -> (u64, u64) {
    let tree = Tree::on("mode=755").furnished();
    prepare(&tree);
    let fs = statvfs(ROOT).unwrap();
    tree.discard();
    (fs.blocks() - fs.blocks_free(), fs.files() - fs.files_free())
}

#[sandboxed]
fn a_registration_without_inodes_is_rolled_back() {
    let (_, inodes) = used_space(|_| {});
    let limits = (0..18).map(|more| format!("nr_inodes={}", inodes + more));
    register_with_limits("`register`, on a disk with room for more and more files", limits, |_| {}, "aarch64");
}

#[sandboxed]
fn a_registration_without_space_is_rolled_back() {
    let (pages, _) = used_space(|_| {});
    let qemu = fs::metadata(qemu("aarch64")).unwrap().len().div_ceil(4096);
    let limits = [0, 1, 2, 100, qemu - 1, qemu, qemu + 1, qemu + 2, qemu + 3, qemu + 4, qemu + 5, qemu + 6, qemu + 20];
    let limits = limits.into_iter().map(|more| format!("size={}", (pages + more) * 4096));
    register_with_limits("`register`, on a disk with more and more room", limits, |_| {}, "aarch64");
}

/// The files of the other system stay as they are.
#[sandboxed]
fn a_second_registration_without_inodes_is_rolled_back() {
    let first = |tree: &Tree| drop(tree.register("riscv64").exits(0));
    let (_, inodes) = used_space(first);
    let limits = (0..10).step_by(2).map(|more| format!("nr_inodes={}", inodes + more));
    register_with_limits(
        "`register` of a second system, on a disk with room for more and more files",
        limits,
        first,
        "aarch64",
    );
}

/// Unregister needs room for the receipt. Without it the run reports the error, and the next run with room completes
/// it.
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

/// The emulator was unpacked from the archive into memory, so the full file system is that of the destination.
#[sandboxed]
fn another_publishers_emulator_on_a_full_disk_names_the_file() {
    let arch = Arch::by_target("aarch64").unwrap();
    let file = File::open(qemu("aarch64")).unwrap();
    let validated = validate_binary(arch, "x86_64", file, VersionQuery::Run).unwrap();
    let (url, archive_sha256) = ("https://publisher.invalid/qemu.tar.gz".to_owned(), Sha256::of_bytes(b"archive"));
    let emulator = FallbackEmulator { arch, validated, url, archive_sha256 };
    let tree = Tree::on("mode=755").dir("usr/local/libexec");
    let host = Host::new(&tree.path("")).unwrap();
    let copy = || {
        let mut staged = host.stage_file(Path::new("/usr/local/libexec")).unwrap();
        emulator.copy_to(&mut staged).map(|()| staged.file().metadata().unwrap().len())
    };
    assert_eq!(copy().unwrap(), fs::metadata(qemu("aarch64")).unwrap().len());
    tree.limit("size=1m");
    let error = copy().unwrap_err();
    let path = tree.path("usr/local/libexec/qemu-aarch64").display().to_string();
    assert_eq!(error.to_string(), format!("cannot write {path}: No space left on device (os error 28)"));
    let hint = error.hint().unwrap();
    assert!(hint.contains(&format!("free some space on the file system of {path}")), "{hint}");
    // The command shows the file system, and once there is space the copy succeeds.
    let listed = paste(hint.rsplit_once(": ").unwrap().1).exits(0);
    assert!(listed.out.lines().any(|line| line.ends_with(" /tree") && line.contains("1.0M")), "{listed:#?}");
    assert_eq!(fs::read_dir(tree.path("usr/local/libexec")).unwrap().count(), 0);
    tree.limit("size=0");
    assert!(copy().is_ok());
    tree.discard();
}
