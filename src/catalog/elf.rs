//! Is this file's beginning that of a static ELF program, and for which machine? Pure.

use object::Endianness;
use object::elf::{EM_AARCH64, EM_X86_64, ET_DYN, ET_EXEC, FileHeader64, PT_INTERP};
use object::read::elf::{FileHeader as _, ProgramHeader as _};

/// What every ELF file begins with (elf(5)).
pub(super) const MAGIC: &[u8] = b"\x7fELF";

/// How much of a file [`host_of`] wants to see: the program headers are right behind the ELF header
/// in everything that linkers write.
pub(super) const HEAD: usize = 4096;

/// Why an ELF file is not a static program of a host that is known.
#[derive(Debug, thiserror::Error)]
pub(super) enum StaticProgramError {
    /// Its headers cannot be read.
    #[error("{0}")]
    Headers(#[from] object::read::Error),
    /// It is an object, a library without an entry, or a core dump.
    #[error("it is not a program")]
    NotProgram,
    /// There is nothing to load.
    #[error("it has no segments")]
    NoSegments,
    /// It needs a loader.
    #[error("it is dynamically linked")]
    Dynamic,
    /// It is for a machine that has no packages here.
    #[error("it is for the machine {0}")]
    OtherMachine(object::elf::Machine),
}

/// The machine, as `uname -m` says it, that the static program beginning with `head` runs on.
pub(super) fn host_of(head: &[u8]) -> Result<&'static str, StaticProgramError> {
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
