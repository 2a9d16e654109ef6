//! Tests of program headers and version lines: whether a file is a static program for this host, and which release of QEMU
//! it is. Pure.

use std::fmt;

use binfmt_magic::Arch;
use object::Endianness;
use object::elf::{EM_AARCH64, EM_X86_64, ET_DYN, ET_EXEC, FileHeader32, FileHeader64, PT_INTERP};
use object::read::elf::{FileHeader, ProgramHeader as _};

/// Number of bytes at the start of a file that [`check_binary`] needs. The program headers of every known QEMU end before
/// byte 1024.
pub const HEAD_SIZE: u64 = 4096;

/// First bytes of every ELF file (elf(5)).
pub(crate) const ELF_MAGIC: &[u8] = b"\x7fELF";

/// A release of QEMU: major, minor and patch number. Ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct QemuVersion(pub u32, pub u32, pub u32);

/// Oldest release that is used from the host unless the user names the file: the one in Debian 12. Older releases fail with
/// current kernels and guests (tonistiigi/binfmt#215).
pub const OLDEST_SUPPORTED: QemuVersion = QemuVersion(7, 2, 0);

/// First release of QEMU that supports flag P (commit 6e1c0d7b951e).
pub const FIRST_WITH_ARGV0: QemuVersion = QemuVersion(6, 0, 0);

/// First kernel that passes flag P to the interpreter (commit 2347961b11d4).
pub const KERNEL_PASSES_ARGV0: (u32, u32) = (5, 12);

impl fmt::Display for QemuVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

impl QemuVersion {
    /// Parses a release such as `10.0.13`. A missing last number counts as 0.
    pub fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split('.').map(str::parse);
        let (major, minor) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
        let patch = numbers.next().map_or(Some(0), Result::ok)?;
        Some(Self(major, minor, patch))
    }
}

/// Why a file cannot be an interpreter on this host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BinaryError {
    /// The table of architectures does not have the host.
    #[error("the host machine {0} is not supported")]
    UnknownHost(String),
    /// The file does not begin as an ELF file does.
    #[error("it is not an ELF program")]
    NotElf,
    /// The program is for another machine.
    #[error("it is a program for another machine than this {0} host")]
    OtherMachine(String),
    /// The program needs a loader and libraries.
    #[error("it is dynamically linked: inside a chroot, container or Nix sandbox its loader and libraries are missing")]
    Dynamic,
    /// The ELF headers are damaged.
    #[error("its program headers cannot be read: {0}")]
    Headers(#[from] object::read::Error),
}

/// Why an ELF file is not a static program of a host that is known.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StaticProgramError {
    /// The headers cannot be read.
    #[error("{0}")]
    Headers(#[from] object::read::Error),
    /// The file is an object, a library without an entry, or a core dump.
    #[error("it is not a program")]
    NotProgram,
    /// The file has no segment to load.
    #[error("it has no segments")]
    NoSegments,
    /// The program needs a loader.
    #[error("it is dynamically linked")]
    Dynamic,
    /// The program is for a machine without packages in the catalogue.
    #[error("it is for the machine {0}")]
    OtherMachine(object::elf::Machine),
}

/// An answer to `--version` that is not the emulator's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("--version answered {line:?}, not \"{binary} version …\"")]
pub struct InvalidVersionLine {
    /// First line of the answer.
    pub line: String,
    /// File name of the emulator.
    pub binary: String,
}

/// Checks that the file that starts with `head` can be an interpreter on `machine` (`uname -m`).
pub fn check_binary(head: &[u8], machine: &str) -> Result<(), BinaryError> {
    let Some(host) = Arch::of_host(machine) else {
        return Err(BinaryError::UnknownHost(machine.to_owned()));
    };
    if !head.starts_with(ELF_MAGIC) {
        return Err(BinaryError::NotElf);
    }
    if !host.headers().iter().any(|sample| is_same_machine(sample, head)) {
        return Err(BinaryError::OtherMachine(machine.to_owned()));
    }
    let is_dynamic = match head.get(4) {
        Some(1) => has_loader::<FileHeader32<Endianness>>(head),
        _ => has_loader::<FileHeader64<Endianness>>(head),
    };
    if is_dynamic? { Err(BinaryError::Dynamic) } else { Ok(()) }
}

/// Whether a program that passed [`check_binary`] runs only at the address for which it was linked.
pub fn has_fixed_address(head: &[u8]) -> bool {
    fn is_executable<H: FileHeader<Endian = Endianness>>(head: &[u8]) -> object::Result<bool> {
        let header = H::parse(head)?;
        Ok(header.e_type(header.endian()?) == ET_EXEC)
    }
    is_executable::<FileHeader64<Endianness>>(head)
        .or_else(|_| is_executable::<FileHeader32<Endianness>>(head))
        .unwrap_or(false)
}

/// Detects the machine, as `uname -m` prints it, that runs the static program beginning with `head`. Linkers always write the
/// program headers directly after the ELF header.
pub(crate) fn detect_machine(head: &[u8]) -> Result<&'static str, StaticProgramError> {
    let header = FileHeader64::<Endianness>::parse(head)?;
    let endian = header.endian()?;
    if !matches!(header.e_type(endian), ET_EXEC | ET_DYN) {
        return Err(StaticProgramError::NotProgram);
    }
    let segments = header.program_headers(endian, head)?;
    if segments.is_empty() {
        return Err(StaticProgramError::NoSegments);
    }
    if segments.iter().any(|s| s.p_type(endian) == PT_INTERP) {
        return Err(StaticProgramError::Dynamic);
    }
    match header.e_machine(endian) {
        EM_X86_64 => Ok("x86_64"),
        EM_AARCH64 => Ok("aarch64"),
        other => Err(StaticProgramError::OtherMachine(other)),
    }
}

/// Whether class, byte order and `e_machine` agree. They include `e_type`, so an object is not the same.
fn is_same_machine(sample: &[u8], head: &[u8]) -> bool {
    let same = |range: std::ops::Range<usize>| sample.get(range.clone()) == head.get(range);
    same(4..6) && same(16..20)
}

fn has_loader<H: FileHeader<Endian = Endianness>>(head: &[u8]) -> object::Result<bool> {
    let header = H::parse(head)?;
    let endian = header.endian()?;
    let programs = header.program_headers(endian, head)?;
    Ok(programs.iter().any(|program| program.p_type(endian) == PT_INTERP))
}

/// Returns the path of the loader that the ELF program beginning with `head` names, if it names one there.
pub fn find_loader(head: &[u8]) -> Option<Vec<u8>> {
    fn loader_of<H: FileHeader<Endian = Endianness>>(head: &[u8]) -> Option<Vec<u8>> {
        let header = H::parse(head).ok()?;
        let endian = header.endian().ok()?;
        let programs = header.program_headers(endian, head).ok()?;
        let named = programs.iter().find_map(|program| program.interpreter(endian, head).ok().flatten());
        named.map(<[u8]>::to_vec)
    }
    match head.get(4) {
        Some(1) => loader_of::<FileHeader32<Endianness>>(head),
        _ => loader_of::<FileHeader64<Endianness>>(head),
    }
}

/// Reads the first line of `qemu-TARGET --version`, which is
/// `qemu-TARGET version X.Y.Z (…)` (QEMU `linux-user/main.c`).
pub fn parse_version<'a>(output: &'a str, binary: &str) -> Result<QemuVersion, InvalidVersionLine> {
    let line = output.lines().next().unwrap_or_default();
    let mut words = line.split_whitespace();
    let invalid = || InvalidVersionLine { line: line.to_owned(), binary: binary.to_owned() };
    let (name, word, version) = (words.next(), words.next(), words.next());
    if name != Some(binary) || word != Some("version") {
        return Err(invalid());
    }
    let digits = |text: &'a str| text.trim_end_matches(|c: char| !c.is_ascii_digit());
    version.and_then(|text| QemuVersion::parse(digits(text))).ok_or_else(invalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_the_version_line() {
        let line = "qemu-aarch64 version 10.0.13 (Debian 1:10.0.13+ds-0+deb13u1)\nCopyright";
        assert_eq!(parse_version(line, "qemu-aarch64"), Ok(QemuVersion(10, 0, 13)));
        assert!(parse_version(line, "qemu-arm").is_err());
        assert!(parse_version("", "qemu-arm").is_err());
        assert!(QemuVersion(7, 2, 22) >= OLDEST_SUPPORTED && QemuVersion(6, 2, 0) < OLDEST_SUPPORTED);
    }

    #[test]
    fn rejects_files_that_are_not_static_programs_of_the_host() {
        assert!(check_binary(b"#!/bin/sh", "x86_64").is_err());
        assert!(check_binary(b"\x7fELF", "x86_64").is_err());
        let probe = |name: &str| Arch::find(name).ok().and_then(Arch::probe).unwrap_or_default();
        assert_eq!(check_binary(probe("x86_64"), "x86_64"), Ok(()));
        assert!(check_binary(probe("aarch64"), "x86_64").is_err());
    }

    #[test]
    fn detects_a_fixed_address() {
        let mut program = Arch::find("x86_64").ok().and_then(Arch::probe).unwrap_or_default().to_vec();
        assert!(has_fixed_address(&program));
        program[16] = 3; // ET_DYN
        assert!(!has_fixed_address(&program) && !has_fixed_address(b"\x7fELF"));
    }
}
