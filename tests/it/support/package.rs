//! A small package with the structure of Debian's qemu-user.

use std::io::{Cursor, Write};
use std::num::NonZeroU64;
use std::sync::Arc;

use binfmt_nix::qemu::catalog::Package;
use binfmt_nix::qemu::catalog::generate::{generate_catalog, pool_path};
use lzma_rust2::{LzmaOptions, XzOptions, XzWriter};

use crate::support::rng::Noise;

/// The guests in the package, with the lengths of their QEMUs. With blocks of 64 KiB, `aarch64` covers the first block
/// and a part of the second, `arm` lies in the second, and `riscv64` begins in the second and covers the rest.
pub(crate) const MEMBERS: [(&str, usize); 3] = [("aarch64", 100_000), ("arm", 10_000), ("riscv64", 150_000)];
const BLOCK: u32 = 1 << 16;

/// The package file and its catalogue entry.
pub(crate) struct Deb {
    pub(crate) bytes: Arc<Vec<u8>>,
    pub(crate) package: Package,
}

impl Deb {
    pub(crate) fn new() -> Self {
        let bytes = packed(&tar());
        let path = pool_path("qemu-user_10.0.13+ds-0+deb13u1_amd64.deb");
        let mut debs = [(path, Cursor::new(&bytes))];
        let package = generate_catalog(&mut debs).unwrap().packages.remove(0);
        Self { bytes: Arc::new(bytes), package }
    }
}

/// A program of this length: an ELF header for x86-64, one segment to load, then pseudo-random bytes.
pub(crate) fn program(target: &str, length: usize) -> Vec<u8> {
    program_of("10.0.13", target, length)
}

/// The same for this release of QEMU.
pub(crate) fn program_of(version: &str, target: &str, length: usize) -> Vec<u8> {
    let mut program = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0\x01\0\0\0".to_vec();
    program.resize(64, 0);
    program[32] = 64; // e_phoff
    program[54] = 56; // e_phentsize
    program[56] = 1; // e_phnum
    program.extend([1, 0, 0, 0]); // PT_LOAD
    let mut noise = Noise::new(target.len() as u64);
    program.resize_with(length, || noise.next().to_le_bytes()[0]);
    // The answer to --version.
    let answer = format!("qemu-{target} version {version} (Debian 1:1.0)\n");
    program[length / 2..][..answer.len()].copy_from_slice(answer.as_bytes());
    program
}

fn tar() -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (target, length) in MEMBERS {
        add(&mut tar, &format!("qemu-{target}"), &program(target, length));
    }
    tar.into_inner().unwrap()
}

/// Adds a file to /usr/bin of a package.
pub(crate) fn add(tar: &mut tar::Builder<Vec<u8>>, name: &str, content: &[u8]) {
    let mut header = tar::Header::new_ustar();
    header.set_size(content.len() as u64);
    header.set_mode(0o755);
    tar.append_data(&mut header, format!("./usr/bin/{name}"), content).unwrap();
}

/// Adds a symbolic link to /usr/bin of a package.
pub(crate) fn link(tar: &mut tar::Builder<Vec<u8>>, name: &str, to: &str) {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    header.set_mode(0o777);
    tar.append_link(&mut header, format!("./usr/bin/{name}"), to).unwrap();
}

/// The `.deb` with these files.
pub(crate) fn packed(tar: &[u8]) -> Vec<u8> {
    ar(&[("debian-binary", b"2.0\n"), ("control.tar.xz", b"odd"), ("data.tar.xz", &xz(tar))])
}

fn xz(content: &[u8]) -> Vec<u8> {
    let mut options = XzOptions::with_preset(1);
    options.lzma_options = LzmaOptions { dict_size: BLOCK, ..LzmaOptions::with_preset(1) };
    options.set_block_size(NonZeroU64::new(BLOCK.into()));
    let mut xz = XzWriter::new(Vec::new(), options).unwrap();
    xz.write_all(content).unwrap();
    xz.finish().unwrap()
}

fn ar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut ar = b"!<arch>\n".to_vec();
    for (name, content) in members {
        writeln!(ar, "{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`", 0, 0, 0, 100_644, content.len()).unwrap();
        ar.extend_from_slice(content);
        if content.len() % 2 == 1 {
            ar.push(b'\n');
        }
    }
    ar
}
