//! `--from` with broken archives and wrong contents: each is refused with a reason, and no file is installed.

use std::fs;

use binfmt_magic::Arch;
use binfmt_nix::sha256::Sha256;
use tar::EntryType;

use crate::qemu::archive::from_archive::{
    bundled, emulator_bytes, every_kind, gz, manifest_for, tar, two_emulators_tar_gz,
};
use crate::support::emulators::outside;
use crate::support::rng::Noise;
use crate::support::{LiarBehavior, Tree, liar};

/// Checks that the archive is refused with one of these exit statuses and this reason, and that only the lock changed.
#[track_caller]
fn refused(archive: &[u8], options: &[&str], codes: &[i32], why: &str) {
    let file = outside("archive", archive);
    let tree = Tree::new();
    let before = tree.snapshot();
    let args = ["register", "aarch64", "--from", file.to_str().unwrap()];
    let done = tree.run(&[&args, options].concat()).exits_with(codes).says(why).omits("panicked");
    assert_eq!(done.out, "");
    before.is_unchanged_in(&tree);
}

/// The digest is compared before the format of the file is determined.
#[sandboxed]
fn a_wrong_digest_is_refused_before_the_archive_is_read() {
    let other = "0".repeat(64);
    for content in [fs::read(two_emulators_tar_gz()).unwrap(), b"odd".to_vec(), Vec::new()] {
        let is = Sha256::of_bytes(&content).to_string();
        refused(&content, &["--sha256", &other], &[5], &is);
    }
    let tree = Tree::new();
    let before = tree.snapshot();
    tree.run(&["register", "aarch64", "--sha256", &other]).exits(2);
    tree.run(&["register", "aarch64", "--from", two_emulators_tar_gz().to_str().unwrap(), "--sha256", "odd"]).exits(2);
    before.is_untouched_in(&tree);
}

#[sandboxed]
fn an_archive_without_the_requested_emulator_is_refused() {
    refused(&gz(&tar(&[("qemu-arm", b"x")])), &[], &[1], "no usable qemu-aarch64");
    refused(&gz(&tar(&[])), &[], &[1], "has none");
    refused(b"odd", &[], &[1], "not a tar archive");
    refused(b"", &[], &[1], "it is empty");
    // One missing system is enough to refuse several.
    let tree = Tree::new();
    let before = tree.snapshot();
    let file = two_emulators_tar_gz();
    tree.run(&["register", "aarch64", "ppc", "--from", file.to_str().unwrap()]).exits(1).says("qemu-ppc");
    before.is_unchanged_in(&tree);
}

#[sandboxed]
fn a_truncated_archive_is_refused() {
    let whole = fs::read(two_emulators_tar_gz()).unwrap();
    for parts in [1, 10, 500, 999] {
        refused(&whole[..whole.len() * parts / 1000], &[], &[1], "cannot extract an emulator from");
    }
    refused(&whole[..whole.len() - 1], &[], &[1], "");
}

#[sandboxed]
fn an_archive_with_a_flipped_bit_is_refused() {
    let whole = fs::read(two_emulators_tar_gz()).unwrap();
    for parts in [5, 300, 700, 995] {
        let mut broken = whole.clone();
        broken[whole.len() * parts / 1000] ^= 4;
        refused(&broken, &[], &[1], "");
    }
}

/// The member has the right name and wrong contents.
#[sandboxed]
fn a_member_that_is_not_the_named_emulator_is_refused() {
    let of = |content: &[u8]| gz(&tar(&[("usr/bin/qemu-aarch64", content)]));
    refused(&of(&emulator_bytes("riscv64")), &[], &[1], "qemu-riscv64");
    refused(&of(b"#!/bin/sh\n"), &[], &[1], "not an ELF");
    refused(&of(b""), &[], &[1], "not an ELF");
    refused(&of(&liar("qemu-arm version 1.2.3", LiarBehavior::Crash)), &[], &[1], "--version");
    let file = outside("liar", &of(&liar("qemu-aarch64 version 10.0.13 (liar)", LiarBehavior::Crash)));
    let tree = Tree::new();
    let before = tree.snapshot();
    tree.run(&["register", "aarch64", "--from", file.to_str().unwrap()]).exits(1).says("nothing was changed");
    before.is_restored_in(&tree);
}

#[sandboxed]
fn two_members_for_one_system_are_refused() {
    let real = emulator_bytes("aarch64");
    let two = tar(&[("a/qemu-aarch64", &real), ("b/qemu-aarch64-static", &real)]);
    refused(&gz(&two), &[], &[1], "a/qemu-aarch64 and b/qemu-aarch64-static");
}

/// Builds an archive of one empty member with this path and type.
fn empty_member(path: &str, kind: EntryType) -> Vec<u8> {
    member_of_size(path, kind, 0)
}

fn member_of_size(path: &str, kind: EntryType, size: u64) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
    header.as_old_mut().linkname[..11].copy_from_slice(b"/etc/shadow");
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_cksum();
    // One block of contents, or the first block of the end.
    let mut block = [0; 512];
    if size > 0 {
        block[..4].copy_from_slice(b"\x7fELF");
    }
    [header.as_bytes().as_slice(), &block, &[0; 512]].concat()
}

#[sandboxed]
fn a_member_path_outside_the_archive_is_refused() {
    for path in ["/usr/bin/qemu-aarch64", "../../usr/bin/qemu-aarch64", "usr/../../qemu-aarch64-static"] {
        refused(&empty_member(path, EntryType::Regular), &[], &[1], "leads out");
    }
}

#[sandboxed]
fn links_devices_and_sparse_members_are_refused() {
    for kind in [EntryType::Symlink, EntryType::Link, EntryType::Char, EntryType::Block, EntryType::Fifo] {
        refused(&empty_member("usr/bin/qemu-aarch64", kind), &[], &[1], "a link or a device");
    }
    refused(&empty_member("usr/bin/qemu-aarch64", EntryType::GNUSparse), &[], &[1], "sparse");
}

#[sandboxed]
fn a_bundle_for_another_host_is_refused() {
    let real = emulator_bytes("aarch64");
    refused(&bundled(&manifest_for("aarch64", &real), &real), &[], &[6], "fetch --host x86_64");
}

#[sandboxed]
fn a_bundle_that_contradicts_its_manifest_is_refused() {
    let real = emulator_bytes("aarch64");
    let mut manifest = manifest_for("x86_64", &real);
    manifest.files[0].sha256 = Sha256::of_bytes(b"other");
    refused(&bundled(&manifest, &real), &[], &[5], "nothing of it was used");
    let mut manifest = manifest_for("x86_64", &real);
    manifest.files[0].name = "qemu-riscv64".into();
    refused(&bundled(&manifest, &real), &[], &[1], "which is missing");
    manifest.files[0].target = "riscv64".into();
    manifest.files[0].name = "qemu-aarch64".into();
    refused(&bundled(&manifest, &real), &[], &[1], "does not list its qemu-aarch64");
}

#[sandboxed]
fn every_damage_is_refused_in_every_archive_format() {
    let small = small_archive();
    // Without damage, the program is extracted and started.
    let tree = Tree::new();
    let before = tree.snapshot();
    let file = outside("small", &small);
    tree.run(&["register", "aarch64", "--from", file.to_str().unwrap()]).exits(1).says("nothing was changed");
    before.is_restored_in(&tree);
    let other = "0".repeat(64);
    for (_, archive) in every_kind(&small) {
        let middle = archive.len() / 2;
        let mut flipped = archive.clone();
        flipped[middle] ^= 16;
        for broken in [&archive[..middle], &archive[..archive.len() - 9], &flipped] {
            refused(broken, &[], &[1], "error: cannot extract an emulator from");
        }
        refused(&archive, &["--sha256", &other], &[5], "nothing of it was used");
    }
    for (harm, why) in damaged_archives() {
        for (_, archive) in every_kind(&harm) {
            refused(&archive, &[], &[1], why);
        }
    }
}

/// A tar archive of a small program that answers like an emulator.
pub(crate) fn small_archive() -> Vec<u8> {
    let mut noise = Noise::new(1);
    let mut program = liar("qemu-aarch64 version 10.0.13", LiarBehavior::Crash);
    program.extend((0..50_000).map(|_| noise.next().to_le_bytes()[0]));
    tar(&[("usr/bin/qemu-aarch64", &program)])
}

/// Bad tar archives, each with a part of the message that refuses it.
pub(crate) fn damaged_archives() -> [(Vec<u8>, &'static str); 10] {
    [
        (empty_member("../qemu-aarch64", EntryType::Regular), "leads out"),
        (empty_member("/usr/bin/qemu-aarch64", EntryType::Regular), "leads out"),
        (empty_member("usr/bin/qemu-aarch64", EntryType::Symlink), "a link or a device"),
        (empty_member("usr/bin/qemu-aarch64", EntryType::Block), "a link or a device"),
        (empty_member("usr/bin/qemu-aarch64", EntryType::GNUSparse), "sparse"),
        (member_of_size("usr/bin/qemu-aarch64", EntryType::Regular, 1 << 40), "more than"),
        (tar(&[("a/qemu-aarch64", b"\x7fELF1"), ("b/qemu-aarch64", b"\x7fELF2")]), "two emulators"),
        (tar(&[("usr/share/binfmts/qemu-aarch64", b"package qemu-user-static\n")]), "not an ELF file"),
        (tar(&[("usr/bin/qemu-arm", b"1")]), "has none"),
        (tar(&[("usr/bin/qemu-aarch64", Arch::find("riscv64").unwrap().probe().unwrap())]), "another machine"),
    ]
}
