//! An emulator that runs a native program instead of a guest's tool: [`combine`] adds the launcher and its
//! configuration to a static QEMU. Pure.
//!
//! The launcher (`magic/launcher`) becomes one more segment and the entry point. For a program that has no pair, or
//! whose pair cannot be used, it jumps to the emulator's own entry point. The kernel maps the whole interpreter when it
//! is registered with flag F, so this needs no file of the guest's file system.
//!
//! The launcher runs the native program of a pair only if all of this is true:
//!
//! * The kernel started the interpreter with flag P (`AT_FLAGS`), without `AT_SECURE` and without an open program
//!   (flags O and C).
//! * The environment has no variable that changes how the guest program starts (`LD_PRELOAD`, …, any `QEMU_…` but
//!   `QEMU_CPU`, `QEMU_STACK_SIZE` and `QEMU_OPTS`), and not `BINFMT_NIX_ACCELERATE=off`.
//! * The guest program is the pair's guest file, and the native program is the pair's native file: see
//!   [`FileIdentity`].
//! * The conditions of the pair hold: the name in `argv[0]`, arguments, variables, the locale.

mod pair;

#[cfg(test)]
mod tests;

use object::LittleEndian;
use object::elf::{
    ET_DYN, ET_EXEC, FileHeader64, Machine, PT_GNU_PROPERTY, PT_INTERP, PT_LOAD, PT_NOTE, ProgramHeader64,
};
use object::read::elf::{FileHeader as _, ProgramHeader as _};

use crate::sha256::Sha256;

pub use pair::{FileIdentity, Inode, LauncherAudit, LauncherPair, TextWithNul};

/// Why an emulator and a launcher cannot be combined.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CombineError {
    /// There is no launcher for the host.
    #[error("there is no launcher for {0} hosts")]
    UnknownHost(String),
    /// The headers cannot be read.
    #[error("its headers cannot be read: {0}")]
    Headers(#[from] object::read::Error),
    /// The file is not a program for the host.
    #[error("it is not a program for this {0} host")]
    OtherMachine(String),
    /// The program needs a loader.
    #[error("it is dynamically linked")]
    Dynamic,
    /// The segments are not in the order of their addresses, as elf(5) demands, or end beyond the address space.
    #[error("its segments are not in order")]
    Segments,
    /// No program header can be replaced.
    #[error("it has no note whose program header could be replaced")]
    NoFreeHeader,
    /// The program has a launcher.
    #[error("it has a launcher already")]
    AlreadyCombined,
    /// A text for the launcher contains a NUL.
    #[error(transparent)]
    Nul(#[from] TextWithNul),
}

/// The size of an ELF64 program header.
const HEADER_SIZE: usize = size_of::<ProgramHeader64<LittleEndian>>();

/// Offset of `e_entry` in an ELF64 header (elf(5)).
const ENTRY_OFFSET: usize = 24;

/// `PF_R | PF_X` of a program header.
const READ_EXECUTE: u32 = 5;

/// Returns the emulator with the launcher and these pairs. `machine` is the host, as `uname -m` prints it.
///
/// The launcher's segment is behind the others in the file and in memory, so that the kernel places the heap (brk)
/// behind it. Its program header takes the place of one that nothing reads at run time: a note, or `PT_GNU_PROPERTY`.
pub fn combine(emulator: &[u8], machine: &str, pairs: &[LauncherPair]) -> Result<Vec<u8>, CombineError> {
    let image = binfmt_magic::launcher(machine);
    let (image, expected, page) = match (machine, image) {
        ("x86_64", Some(image)) => (image, object::elf::EM_X86_64, 0x1000),
        // Kernels for this machine have pages of up to 64 KB.
        ("aarch64", Some(image)) => (image, object::elf::EM_AARCH64, 0x10000),
        _ => return Err(CombineError::UnknownHost(machine.to_owned())),
    };
    let layout = Layout::read(emulator, machine, expected, image)?;
    let address = layout.end.checked_next_multiple_of(page).ok_or(CombineError::Segments)?;
    let offset = to_u64(emulator.len()).checked_next_multiple_of(page).ok_or(CombineError::Segments)?;
    let configuration = address.checked_add(to_u64(image.len())).ok_or(CombineError::Segments)?;
    let segment = [image, &pair::encode(pairs, layout.entry.wrapping_sub(configuration))?].concat();
    let size = to_u64(segment.len());
    // Room for the page that the kernel rounds up to.
    address.checked_add(size).and_then(|end| end.checked_next_multiple_of(page)).ok_or(CombineError::Segments)?;

    let header = program_header(offset, address, size, page);
    let mut combined = emulator.to_vec();
    replace(&mut combined, ENTRY_OFFSET, &address.to_le_bytes())?;
    replace(&mut combined, layout.headers_offset, &layout.headers_with(&header))?;
    combined.resize(usize::try_from(offset).map_err(|_| CombineError::Segments)?, 0);
    combined.extend(segment);
    Ok(combined)
}

/// Returns the digest of the launchers of this version with these pairs: another one means that an emulator has to be
/// combined again.
pub fn digest(pairs: &[LauncherPair]) -> Sha256 {
    let mut all: Vec<u8> =
        ["x86_64", "aarch64"].into_iter().filter_map(binfmt_magic::launcher).flatten().copied().collect();
    // A text with a NUL is an error of `combine`.
    all.extend(pair::encode(pairs, 0).unwrap_or_default());
    Sha256::of_bytes(&all)
}

/// What is known of an emulator that can get one more segment.
struct Layout<'a> {
    entry: u64,
    /// The first address behind the segments.
    end: u64,
    headers_offset: usize,
    headers: &'a [u8],
    /// Number of the last header of a segment.
    last: usize,
    /// Number of the header that is replaced.
    free: usize,
}

impl<'a> Layout<'a> {
    fn read(emulator: &'a [u8], machine: &str, expected: Machine, image: &[u8]) -> Result<Self, CombineError> {
        let header = FileHeader64::<LittleEndian>::parse(emulator)?;
        let endian = header.endian()?;
        if !matches!(header.e_type(endian), ET_EXEC | ET_DYN) || header.e_machine(endian) != expected {
            return Err(CombineError::OtherMachine(machine.to_owned()));
        }
        let programs = header.program_headers(endian, emulator)?;
        if programs.iter().any(|program| program.p_type(endian) == PT_INTERP) {
            return Err(CombineError::Dynamic);
        }
        let (mut end, mut last) = (0, None);
        for (number, program) in programs.iter().enumerate().filter(|(_, program)| program.p_type(endian) == PT_LOAD) {
            let start = program.p_vaddr(endian);
            if start < end {
                return Err(CombineError::Segments);
            }
            end = start.checked_add(program.p_memsz(endian)).ok_or(CombineError::Segments)?;
            last = Some(number);
        }
        let entry = header.e_entry(endian);
        let holder =
            programs.iter().find(|program| program.p_type(endian) == PT_LOAD && program.p_vaddr(endian) == entry);
        if holder.and_then(|program| program.data(endian, emulator).ok()).is_some_and(|data| data.starts_with(image)) {
            return Err(CombineError::AlreadyCombined);
        }
        let headers_offset = usize::try_from(header.e_phoff(endian)).map_err(|_| CombineError::Segments)?;
        let headers = programs.len().checked_mul(HEADER_SIZE).and_then(|size| headers_offset.checked_add(size));
        let headers = headers.and_then(|end| emulator.get(headers_offset..end)).ok_or(CombineError::Segments)?;
        let last = last.ok_or(CombineError::Segments)?;
        let free = find_free(programs, endian).ok_or(CombineError::NoFreeHeader)?;
        Ok(Self { entry, end, headers_offset, headers, last, free })
    }

    /// Returns the program headers with this one behind those of the other segments, and without the free one.
    fn headers_with(&self, header: &[u8]) -> Vec<u8> {
        let mut headers = Vec::with_capacity(self.headers.len());
        for (number, old) in self.headers.chunks(HEADER_SIZE).enumerate() {
            if number != self.free {
                headers.extend(old);
            }
            if number == self.last {
                headers.extend(header);
            }
        }
        headers
    }
}

/// Finds the number of a header that nothing reads at run time. glibc and the kernel read the note of properties, by
/// `PT_GNU_PROPERTY` or by `PT_NOTE`, so another note is better.
fn find_free(programs: &[ProgramHeader64<LittleEndian>], endian: LittleEndian) -> Option<usize> {
    let of_type = |wanted| programs.iter().enumerate().filter(move |(_, program)| program.p_type(endian) == wanted);
    let properties = of_type(PT_GNU_PROPERTY).next();
    let is_other = |program: &ProgramHeader64<_>| {
        properties.is_none_or(|(_, properties)| properties.p_offset(endian) != program.p_offset(endian))
    };
    let mut notes = of_type(PT_NOTE);
    let other = notes.clone().rfind(|(_, program)| is_other(program));
    other.or_else(|| notes.next_back()).or(properties).map(|(number, _)| number)
}

/// Returns a program header of a segment with code (elf(5)).
fn program_header(offset: u64, address: u64, size: u64, page: u64) -> Vec<u8> {
    let numbers = [offset, address, address, size, size, page];
    let kind = [PT_LOAD.0, READ_EXECUTE].into_iter().flat_map(u32::to_le_bytes);
    kind.chain(numbers.into_iter().flat_map(u64::to_le_bytes)).collect()
}

/// Replaces bytes that the emulator has.
fn replace(emulator: &mut [u8], offset: usize, bytes: &[u8]) -> Result<(), CombineError> {
    let end = offset.checked_add(bytes.len()).ok_or(CombineError::Segments)?;
    emulator.get_mut(offset..end).ok_or(CombineError::Segments)?.copy_from_slice(bytes);
    Ok(())
}

/// A length as the file has it. Hosts have 64 bits.
fn to_u64(length: usize) -> u64 {
    length.try_into().unwrap_or(u64::MAX)
}
