//! Foreign archives: good ones yield exactly their members, all others an error, and none causes a panic.

use std::io::Cursor;

use binfmt_nix::qemu::archive::{
    ArchiveError, ArchiveItem, MAX_MEMBER, Manifest, ManifestFile, bundle, unpack_archive,
};
use binfmt_nix::sha256::Sha256;
use proptest::prelude::*;
use tar::EntryType;

use crate::support::packing::{UnpackedEmulators, content, deb, every_kind, file, good, gz, member, plain, tar, zst};

fn open(archive: &[u8]) -> Result<UnpackedEmulators, String> {
    let mut came: UnpackedEmulators = Vec::new();
    let mut complete = 0;
    let done = unpack_archive(&mut Cursor::new(archive), &["arm", "riscv64"], &mut |piece| {
        match piece {
            ArchiveItem::Manifest(_) => {}
            ArchiveItem::Begin { target, size, .. } => {
                assert!(size <= MAX_MEMBER);
                came.push((target.to_owned(), Vec::new()));
            }
            ArchiveItem::Bytes(bytes) => came.last_mut().unwrap().1.extend_from_slice(bytes),
            ArchiveItem::End => complete += 1,
        }
        Ok(())
    });
    match done {
        Ok(()) => {
            assert_eq!(complete, came.len());
            Ok(came)
        }
        Err(ArchiveError::Refused(why)) => Err(why),
        Err(ArchiveError::Sink(error)) => panic!("{error}"),
    }
}

#[track_caller]
fn refused(archive: &[u8], why: &str) {
    match open(archive) {
        Err(is) => assert!(is.contains(why), "{is:?} does not say {why:?}"),
        Ok(came) => panic!("{:?} came", came.iter().map(|(target, _)| target).collect::<Vec<_>>()),
    }
}

#[test]
fn every_archive_format_yields_its_members() {
    for (kind, archive) in every_kind() {
        assert_eq!(open(&archive), Ok(good()), "{kind}");
    }
}

/// The first gzip members of an .apk lack end-of-archive blocks. Members of other archives have them. Reading continues
/// after both.
#[test]
fn concatenated_gzip_members_are_read_as_one_archive() {
    let pieces = [tar(&[file(".PKGINFO", b"x")]), file("usr/bin/qemu-arm", &content(1)), tar(&[])];
    assert_eq!(open(&pieces.map(|piece| gz(&piece)).concat()), Ok(good()[..1].to_vec()));
}

#[test]
fn a_plain_program_serves_exactly_one_system() {
    let program = [b"\x7fELF", content(3).as_slice()].concat();
    refused(&program, "one system");
    let mut came = Vec::new();
    let done = unpack_archive(&mut Cursor::new(&program), &["arm"], &mut |piece| {
        if let ArchiveItem::Bytes(bytes) = piece {
            came.extend_from_slice(bytes);
        }
        Ok(())
    });
    assert!(done.is_ok() && came == program);
}

/// An archive that is cut at any byte yields an error or the members that are complete up to the cut, and nothing else.
#[test]
fn a_truncated_archive_yields_only_whole_members() {
    for (kind, archive) in every_kind() {
        let sealed = kind != "tar" && kind != "deb with tar" && kind != "apk";
        for length in (0..archive.len() - 1).step_by(64) {
            match open(&archive[..length]) {
                Ok(came) => assert!(!sealed && came.iter().all(|one| good().contains(one)), "{kind} at {length}"),
                Err(why) => assert!(!why.is_empty()),
            }
        }
    }
}

/// A compressed archive has a checksum over all its contents. Bits outside the checksum have no effect on members.
#[test]
fn a_flipped_bit_never_changes_a_member() {
    for (kind, archive) in every_kind().into_iter().filter(|(kind, _)| !kind.ends_with("tar")) {
        for at in (0..archive.len()).step_by(23) {
            let mut broken = archive.clone();
            broken[at] ^= 1 << (at % 8);
            if let Ok(came) = open(&broken) {
                assert!(came.iter().all(|one| good().contains(one)), "{kind} at {at}");
            }
        }
    }
}

#[test]
fn member_paths_outside_the_archive_are_refused() {
    for path in ["../qemu-arm", "/usr/bin/qemu-arm", "usr/../../bin/qemu-arm-static"] {
        refused(&tar(&[file(path, b"x")]), "leads out");
    }
    // The same for both encodings of long names.
    let long = member("././@LongLink", EntryType::GNULongName, 14, b"../../qemu-arm");
    refused(&tar(&[long, file("x", b"x")]), "leads out");
    let record = b"20 path=/a/qemu-arm\n";
    let pax = member("x", EntryType::XHeader, record.len() as u64, record);
    refused(&tar(&[pax, file("x", b"x")]), "leads out");
}

#[test]
fn long_member_names_are_read() {
    let pax = member("x", EntryType::XHeader, 25, b"25 path=usr/bin/qemu-arm\n");
    assert_eq!(open(&tar(&[pax, file("x", &content(1))])), Ok(good()[..1].to_vec()));
    let name = [vec![b'd'; 200], b"/qemu-arm\0".to_vec()].concat();
    let long = member("././@LongLink", EntryType::GNULongName, name.len() as u64, &name);
    assert_eq!(open(&tar(&[long, file("x", &content(1))])), Ok(good()[..1].to_vec()));
}

#[test]
fn only_regular_files_are_emulators() {
    use EntryType as Kind;
    for kind in [Kind::Link, Kind::Symlink, Kind::Char, Kind::Block, Kind::Fifo, Kind::Continuous, Kind::new(b'?')] {
        refused(&tar(&[member("usr/bin/qemu-arm", kind, 0, b"")]), "a link or a device");
    }
    refused(&tar(&[member("usr/bin/qemu-arm", Kind::GNUSparse, 0, b"")]), "sparse");
    let record = b"22 GNU.sparse.major=1\n";
    let pax = member("x", Kind::XHeader, record.len() as u64, record);
    refused(&tar(&[pax, file("usr/bin/qemu-arm", b"x")]), "sparse");
    assert_eq!(open(&tar(&[member("usr/bin/qemu-arm/", Kind::Directory, 0, b"")])), Ok(Vec::new()));
}

#[test]
fn sizes_beyond_the_limits_are_refused() {
    for size in [MAX_MEMBER + 1, 1 << 33, 1 << 62] {
        refused(&tar(&[member("qemu-arm", EntryType::Regular, size, b"\x7fELF")]), "");
    }
    refused(&tar(&[member("qemu-arm", EntryType::Regular, MAX_MEMBER, b"\x7fELF")]), "");
    refused(&tar(&[member("x", EntryType::XHeader, 1 << 30, b"x")]), "extended header");
    refused(&tar(&[member("x", EntryType::GNULongName, 1 << 30, b"x")]), "extended header");
    let record = b"20 size=99999999999\n";
    let pax = member("x", EntryType::XHeader, record.len() as u64, record);
    refused(&tar(&[pax, file("qemu-arm", b"x")]), "extended header");
    for record in ["", " ", "9", "99 path=x\n", "9 path=x", "0 path=x\n", "10 pathxx\n", "-1 a=b\n"] {
        let pax = member("x", EntryType::XHeader, record.len() as u64, record.as_bytes());
        let came = open(&tar(&[pax, file("qemu-arm", &content(1))]));
        assert_eq!(came.is_ok(), record.is_empty(), "{record:?}");
    }
}

#[test]
fn two_emulators_for_one_system_are_refused_with_both_names() {
    let two = tar(&[file("a/qemu-arm", &content(1)), file("b/qemu-arm-static", &content(2))]);
    refused(&two, "a/qemu-arm and b/qemu-arm-static");
}

#[test]
fn nested_archives_are_refused() {
    refused(&deb("data.tar.xz", &deb("data.tar", &plain())), "");
    refused(&deb("data.tar.gz", &gz(&gz(&plain()))), "");
    refused(&gz(&gz(&plain())), "");
    refused(&deb("control.tar.gz", &gz(&plain())), "without a data.tar");
}

/// Too many members, and a member of too many zeros. Both archives are small while they are compressed.
#[test]
fn decompression_bombs_are_refused() {
    let empty = member("x", EntryType::Regular, 0, b"");
    refused(&gz(&empty.repeat(200_001)), "members");
    let zeros = gz(&vec![0; 64 << 20]).repeat(80);
    let large = member("x", EntryType::Regular, 5 << 30, b"");
    refused(&[gz(&large), zeros].concat(), "unpacks to more than");
}

#[test]
fn a_bundle_is_reproducible_and_can_be_read() {
    let manifest = Manifest {
        version: 1,
        host: "x86_64".into(),
        qemu: "10.0.13".into(),
        files: good()
            .into_iter()
            .map(|(target, content)| ManifestFile {
                name: format!("qemu-{target}"),
                target,
                size: content.len() as u64,
                sha256: Sha256::of_bytes(&content),
            })
            .collect(),
    };
    let write = || {
        let files = good().into_iter().map(|(_, content)| Cursor::new(content)).collect();
        bundle::write_bundle(Vec::new(), &manifest, files).unwrap()
    };
    let archive = write();
    assert_eq!(archive, write());
    assert_eq!(open(&archive), Ok(good()));
    let mut said = None;
    let done = unpack_archive(&mut Cursor::new(&archive), &["riscv64"], &mut |piece| {
        if let ArchiveItem::Manifest(manifest) = piece {
            said = Some(manifest);
        }
        Ok(())
    });
    assert!(done.is_ok());
    assert_eq!(said.unwrap().files, manifest.files[1..]);
    // Only the first member can be a manifest, and then it must be valid. Elsewhere the name has no meaning.
    assert_eq!(open(&tar(&[file("x", b""), file("MANIFEST.json", b"odd")])), Ok(Vec::new()));
    refused(&tar(&[file("MANIFEST.json", b"odd")]), "MANIFEST.json");
    let newer = br#"{"version": 2, "host": "", "qemu": "", "files": []}"#;
    refused(&tar(&[file("MANIFEST.json", newer)]), "version 2");
}

proptest! {
    #![proptest_config(crate::support::config(300))]

    #[test]
    fn arbitrary_bytes_never_cause_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..2000), kind in 0..5usize) {
        let heads: [&[u8]; 5] = [b"", b"\x1f\x8b\x08\0\0\0\0\0\0\xff", b"\xfd7zXZ\0\0\x04", b"\x28\xb5\x2f\xfd", b"!<arch>\n"];
        drop(open(&[heads[kind], bytes.as_slice()].concat()));
    }

    #[test]
    fn a_changed_tar_archive_never_causes_a_panic(at in 0..12_000usize, bytes in prop::collection::vec(any::<u8>(), 1..20)) {
        let mut plain = plain();
        for (offset, byte) in bytes.into_iter().enumerate() {
            if let Some(place) = plain.get_mut(at + offset) {
                *place = byte;
            }
        }
        drop(open(&plain));
        drop(open(&zst(&plain)));
    }
}
