//! Is this file's beginning that of a static ELF program, and for which machine? Pure.

use object::Endianness;
use object::elf::{EM_AARCH64, EM_X86_64, ET_DYN, ET_EXEC, FileHeader64, PT_INTERP};
use object::read::elf::{FileHeader as _, ProgramHeader as _};

/// What every ELF file begins with (elf(5)).
pub(super) const MAGIC: &[u8] = b"\x7fELF";

/// How much of a file [`host_of`] wants to see: the program headers are right behind the ELF header
/// in everything that linkers write.
pub(super) const HEAD: usize = 4096;

/// The machine, as `uname -m` says it, that the static program beginning with `head` runs on.
pub(super) fn host_of(head: &[u8]) -> Result<&'static str, String> {
    let told = |error: object::read::Error| error.to_string();
    let header = FileHeader64::<Endianness>::parse(head).map_err(told)?;
    let endian = header.endian().map_err(told)?;
    if !matches!(header.e_type(endian), ET_EXEC | ET_DYN) {
        return Err("it is no program".to_owned());
    }
    let segments = header.program_headers(endian, head).map_err(told)?;
    if segments.is_empty() {
        return Err("it has no segments".to_owned());
    }
    if segments.iter().any(|s| s.p_type(endian) == PT_INTERP) {
        return Err("it is dynamically linked".to_owned());
    }
    match header.e_machine(endian) {
        EM_X86_64 => Ok("x86_64"),
        EM_AARCH64 => Ok("aarch64"),
        other => Err(format!("it is for the machine {other}")),
    }
}
