//! Archives in the formats of other publishers.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use lzma_rust2::{XzOptions, XzWriter};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use tar::EntryType;

/// Completely unpacked emulators with their targets.
pub(crate) type UnpackedEmulators = Vec<(String, Vec<u8>)>;

/// An ELF file for the unpackers, which look at the first four bytes.
pub(crate) fn content(salt: u8) -> Vec<u8> {
    let noise = (0u32..3000).map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[2] ^ salt);
    b"\x7fELF".iter().copied().chain(noise).chain([salt; 2000]).collect()
}

pub(crate) fn good() -> UnpackedEmulators {
    vec![("arm".into(), content(1)), ("riscv64".into(), content(2))]
}

/// A tar member with these values in its header, valid or not.
pub(crate) fn member(path: &str, kind: EntryType, size: u64, content: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(0o755);
    header.set_cksum();
    let mut bytes = [header.as_bytes().as_slice(), content].concat();
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

pub(crate) fn file(path: &str, content: &[u8]) -> Vec<u8> {
    member(path, EntryType::Regular, content.len() as u64, content)
}

pub(crate) fn tar(members: &[Vec<u8>]) -> Vec<u8> {
    [members.concat(), vec![0; 1024]].concat()
}

pub(crate) fn plain() -> Vec<u8> {
    tar(&[
        member("./usr/bin/", EntryType::Directory, 0, b""),
        file("./usr/bin/qemu-arm", &content(1)),
        member("./usr/bin/qemu-arm-static", EntryType::Symlink, 0, b""),
        file("./usr/share/doc/qemu-ppc", b"not asked for"),
        file("./usr/bin/qemu-riscv64-static", &content(2)),
    ])
}

pub(crate) fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
    gz.write_all(bytes).unwrap();
    gz.finish().unwrap()
}

pub(crate) fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut xz = XzWriter::new(Vec::new(), XzOptions::with_preset(0)).unwrap();
    xz.write_all(bytes).unwrap();
    xz.finish().unwrap()
}

pub(crate) fn zst(bytes: &[u8]) -> Vec<u8> {
    compress_to_vec(bytes, CompressionLevel::Fastest)
}

pub(crate) fn deb(name: &str, data: &[u8]) -> Vec<u8> {
    let mut ar = b"!<arch>\n".to_vec();
    for (name, content) in [("debian-binary", b"2.0\n".as_slice()), ("control.tar.xz", b"odd"), (name, data)] {
        writeln!(ar, "{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`", 0, 0, 0, 100_644, content.len()).unwrap();
        ar.extend_from_slice(content);
        ar.resize(ar.len().next_multiple_of(2), b'\n');
    }
    ar
}

pub(crate) fn every_kind() -> Vec<(&'static str, Vec<u8>)> {
    let plain = plain();
    let (first, second) = plain.split_at(4096);
    vec![
        ("tar.gz", gz(&plain)),
        ("tar.xz", xz(&plain)),
        ("tar.zst", zst(&plain)),
        ("apk", [gz(first), gz(second)].concat()),
        ("deb with xz", deb("data.tar.xz", &xz(&plain))),
        ("deb with zst", deb("data.tar.zst", &zst(&plain))),
        ("deb with gz", deb("data.tar.gz/", &gz(&plain))),
        ("deb with tar", deb("data.tar", &plain)),
        ("tar", plain),
    ]
}
