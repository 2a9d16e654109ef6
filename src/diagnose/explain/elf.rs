//! ELF headers, read as the kernel reads them, and described in words.

use crate::diagnose::explain::elf_names;
use binfmt_magic::{Arch, Bits, Endian};
use nix::errno::Errno;
use serde::Serialize;

use super::target_os::{OsEvidence, TargetOs};
use super::{FileLookup, Linking, OpenedFile};
use crate::sanitize::text_of_bytes;

pub(super) const ET_EXEC: u16 = 2;
pub(super) const ET_DYN: u16 = 3;
const PT_LOAD: u64 = 1;
const PT_INTERP: u64 = 3;
const PT_NOTE: u64 = 4;
/// The maximum size of the program headers (measured on 6.18; older kernels accept one page).
const MAX_HEADERS: usize = 65536;
const PATH_MAX: u64 = 4096;
/// The maximum number of note segments that are read, and of bytes of each.
const MAX_NOTES: (usize, u64) = (16, 1024);

/// An ELF header in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Elf {
    /// The class, 32 or 64; null for any other value.
    pub bits: Option<u32>,
    /// The byte order, `little` or `big`; null for any other value.
    pub endian: Option<&'static str>,
    /// The operating system whose system calls the program makes: `Linux` for 0 and 3.
    pub os_abi: String,
    /// The kind of file, from `e_type`: `executable`, `shared` (a library, or a position-independent program),
    /// `object`, `core`, `other`.
    pub kind: &'static str,
    /// The processor: `AArch64`.
    pub machine: String,
    /// The number of the processor, `e_machine`.
    pub e_machine: u16,
    /// The variant of the processor: `n32`, `EABI5, hard float`.
    pub abi: Option<String>,
    /// Whether bytes 8 to 10 mark the file as an AppImage, which ordinary rules do not match.
    pub is_appimage: bool,
    /// The operating system that the program is for, if its OS ABI, a note or its loader names another one than Linux.
    pub os: Option<TargetOs>,
    /// QEMU's name of the system that the program is for; null if there is none with Linux's system calls.
    pub system: Option<&'static str>,
    /// Whether the program needs a loader; null if unknown.
    pub linking: Option<Linking>,
    /// The size of the file, in bytes.
    pub size: u64,
    /// The size that the file has at least, by its headers; null if they cannot be read.
    pub needed_size: Option<u64>,
    /// Whether the header names the address at which the program starts; most libraries have none.
    pub has_entry_point: bool,
}

/// The header fields that the kernel reads.
#[derive(Debug)]
pub(super) struct ElfHeader {
    bits: Bits,
    endian: Endian,
    pub(super) e_type: u16,
    pub(super) machine: u16,
    pub(super) flags: u32,
    entry: u64,
    offset: u64,
    entry_size: usize,
    count: usize,
}

/// All program headers of a file.
#[derive(Debug)]
pub(super) struct ProgramHeaders {
    bytes: Vec<u8>,
    bits: Bits,
    endian: Endian,
}

/// One program header.
#[derive(Debug)]
struct Segment {
    kind: u64,
    offset: u64,
    size: u64,
    align: u64,
}

/// The position of the loader's path in a file.
#[derive(Debug)]
pub(super) struct LoaderPathRange {
    offset: u64,
    size: u64,
}

type ReadAt<'r> = dyn Fn(u64, usize) -> Vec<u8> + 'r;

impl ElfHeader {
    /// Reads the header as a loader for this class and byte order does, even if the file declares another class.
    pub(super) fn parse(head: &[u8], bits: Bits, endian: Endian) -> Self {
        let field = |wide: usize, narrow: usize, size: usize| match bits {
            Bits::B64 => read_number(head, wide, size, endian),
            Bits::B32 => read_number(head, narrow, size.min(4), endian),
        };
        let half = |wide, narrow| u16::try_from(field(wide, narrow, 2)).unwrap_or_default();
        Self {
            bits,
            endian,
            e_type: half(16, 16),
            machine: half(18, 18),
            flags: u32::try_from(field(48, 36, 4)).unwrap_or_default(),
            entry: field(24, 24, 8),
            offset: field(32, 28, 8),
            entry_size: half(54, 42).into(),
            count: half(56, 44).into(),
        }
    }

    /// Returns the size of a header in bytes.
    pub(super) fn size_of(bits: Bits) -> usize {
        if bits == Bits::B64 { 64 } else { 52 }
    }

    /// Returns the program headers, if there are any and all of them can be read (`load_elf_phdrs`).
    pub(super) fn program_headers(&self, read: &ReadAt) -> Option<ProgramHeaders> {
        let size = self.program_headers_size()?;
        let bytes = read(self.offset, size);
        (bytes.len() == size).then_some(ProgramHeaders { bytes, bits: self.bits, endian: self.endian })
    }

    fn program_headers_size(&self) -> Option<usize> {
        let size = self.entry_size.saturating_mul(self.count);
        (self.entry_size == program_header_size(self.bits) && (1..=MAX_HEADERS).contains(&size)).then_some(size)
    }

    /// Returns the size that a file with this header has at least: to the end of the header, of its program headers,
    /// and of what they load.
    fn needed_size(&self, read: &ReadAt) -> u64 {
        let headers = self.program_headers_size().map(|size| self.offset.saturating_add(size as u64));
        let programs = self.program_headers(read);
        let ends = programs.iter().flat_map(ProgramHeaders::segments).filter_map(|segment| {
            let is_read = [PT_LOAD, PT_INTERP].contains(&segment.kind) && segment.size > 0;
            is_read.then(|| segment.offset.saturating_add(segment.size))
        });
        ends.chain(headers).fold(Self::size_of(self.bits) as u64, u64::max)
    }
}

impl ProgramHeaders {
    fn segments(&self) -> impl Iterator<Item = Segment> {
        self.bytes.chunks(program_header_size(self.bits)).map(|program| {
            let field = |wide, narrow, size: usize| match self.bits {
                Bits::B64 => read_number(program, wide, size, self.endian),
                Bits::B32 => read_number(program, narrow, 4, self.endian),
            };
            Segment { kind: field(0, 0, 4), offset: field(8, 4, 8), size: field(32, 16, 8), align: field(48, 28, 8) }
        })
    }

    /// Returns the position of the loader's path: that of the first `PT_INTERP`.
    pub(super) fn loader_range(&self) -> Option<LoaderPathRange> {
        let interp = self.segments().find(|segment| segment.kind == PT_INTERP)?;
        Some(LoaderPathRange { offset: interp.offset, size: interp.size })
    }

    /// Reads the notes, each segment with its alignment.
    fn notes(&self, read: &ReadAt) -> Vec<(Vec<u8>, u64)> {
        let (count, size) = MAX_NOTES;
        let notes = self.segments().filter(|segment| segment.kind == PT_NOTE).take(count);
        let bytes = |note: &Segment| read(note.offset, usize::try_from(note.size.min(size)).unwrap_or_default());
        notes.map(|note| (bytes(&note), note.align)).collect()
    }
}

impl LoaderPathRange {
    /// Reads the loader's path, or returns the error of execve(2) for a damaged one.
    pub(super) fn read_path(&self, read: &ReadAt) -> Result<Vec<u8>, Errno> {
        if !(2..=PATH_MAX).contains(&self.size) {
            return Err(Errno::ENOEXEC);
        }
        let size = usize::try_from(self.size).unwrap_or_default();
        let bytes = read(self.offset, size);
        match bytes.split_last() {
            _ if i64::try_from(self.offset).is_err() => Err(Errno::EINVAL),
            _ if bytes.len() < size => Err(Errno::EIO),
            Some((0, _)) => Ok(bytes.into_iter().take_while(|byte| *byte != 0).collect()),
            _ => Err(Errno::ENOEXEC),
        }
    }
}

fn program_header_size(bits: Bits) -> usize {
    if bits == Bits::B64 { 56 } else { 32 }
}

/// Reads a number; bytes after the end count as 0.
fn read_number(bytes: &[u8], at: usize, size: usize, endian: Endian) -> u64 {
    let digits = (at..at.saturating_add(size)).map(|at| u64::from(bytes.get(at).copied().unwrap_or(0)));
    let value = |value: u64, digit: u64| value << 8 | digit;
    if endian == Endian::Big { digits.fold(0, value) } else { digits.rev().fold(0, value) }
}

impl Elf {
    /// Whether the file ends before what its headers describe.
    pub fn is_cut_off(&self) -> bool {
        self.needed_size.is_some_and(|needed| needed > self.size)
    }

    /// Whether the file has no entry point and no loader: a library, not a program.
    pub fn is_library(&self) -> bool {
        self.kind == "shared" && !self.has_entry_point && !matches!(self.linking, Some(Linking::Dynamic { .. }))
    }

    /// Whether an emulator, or another machine, may run the file.
    pub fn may_run_elsewhere(&self) -> bool {
        !self.is_cut_off() && !self.is_library()
    }

    /// Whether the ABI is one with 32-bit pointers on a 64-bit processor, or 31-bit S/390: a machine that runs the other
    /// programs of the processor may not run these.
    pub(super) fn is_narrow_abi(&self) -> bool {
        self.bits == Some(32) && [22, 62, 183].contains(&self.e_machine)
    }

    pub(super) fn is_x32(&self) -> bool {
        self.bits == Some(32) && self.e_machine == 62
    }

    /// Whether the file is of a type that some machine executes.
    pub(super) fn is_program_or_library(&self) -> bool {
        ["executable", "shared"].contains(&self.kind)
    }

    /// Describes a file that is not a program, as words that follow "it is".
    pub(super) fn content_name(&self) -> &'static str {
        match self.kind {
            "object" => "an object file, not linked yet,",
            "core" => "a core dump",
            _ => "an ELF file of an unknown type",
        }
    }

    /// Whether the program makes the system calls of another system than Linux.
    pub fn is_for_other_os(&self) -> bool {
        self.os.is_some_and(|os| !os.has_linux_calls())
    }
}

/// Describes a file by its own header; `None` if it is not an ELF file.
pub(super) fn describe_elf(file: &OpenedFile, lookup: &FileLookup) -> Option<Elf> {
    let head = file.head.as_slice();
    let (bits, endian) = parse_ident(head)?;
    let header = ElfHeader::parse(head, bits.unwrap_or(Bits::B64), endian.unwrap_or(Endian::Little));
    let is_readable = bits.is_some() && endian.is_some();
    let os = is_readable.then(|| find_os(&header, file)).flatten();
    Some(Elf {
        bits: bits.map(|bits| if bits == Bits::B64 { 64 } else { 32 }),
        endian: endian.map(|endian| if endian == Endian::Big { "big" } else { "little" }),
        os_abi: elf_names::os_abi_name(head.get(7).copied().unwrap_or(0)),
        kind: elf_names::type_name(header.e_type),
        machine: elf_names::machine_name(header.machine),
        e_machine: header.machine,
        abi: elf_names::abi_name(header.machine, bits, header.flags),
        is_appimage: head.get(8..).is_some_and(has_appimage_mark),
        os,
        system: find_system(head).filter(|_| os.is_none_or(TargetOs::has_linux_calls)),
        linking: detect_linking(file, lookup),
        size: file.size,
        needed_size: is_readable.then(|| header.needed_size(&*file.read)),
        has_entry_point: header.entry != 0,
    })
}

fn find_os(header: &ElfHeader, file: &OpenedFile) -> Option<TargetOs> {
    let programs = header.program_headers(&*file.read);
    let loader = programs.as_ref().and_then(ProgramHeaders::loader_range);
    let loader = loader.and_then(|range| range.read_path(&*file.read).ok());
    let evidence = OsEvidence {
        os_abi: file.head.get(7).copied().unwrap_or(0),
        loader: loader.as_deref(),
        notes: programs.map(|programs| programs.notes(&*file.read)).unwrap_or_default(),
    };
    TargetOs::find(&evidence, header.endian)
}

/// Whether the bytes are "AI" and the type of the image, 1 or 2 (AppImage's specification, "image format").
fn has_appimage_mark(rest: &[u8]) -> bool {
    matches!(rest, [b'A', b'I', 1 | 2, ..])
}

fn find_system(head: &[u8]) -> Option<&'static str> {
    let target_of = |head: &[u8]| Arch::ALL.iter().find(|arch| arch.pattern().matches(head)).map(|arch| arch.target);
    let unmarked = || {
        let (start, rest) = head.split_at_checked(8)?;
        target_of(&[start, &[0; 3], rest.get(3..)?].concat()).filter(|_| has_appimage_mark(rest))
    };
    target_of(head).or_else(unmarked)
}

/// Whether a file needs a loader, by its own header.
pub(super) fn detect_linking(file: &OpenedFile, lookup: &FileLookup) -> Option<Linking> {
    let (Some(bits), Some(endian)) = parse_ident(&file.head)? else { return None };
    let programs = ElfHeader::parse(&file.head, bits, endian).program_headers(&*file.read)?;
    let Some(range) = programs.loader_range() else {
        return Some(Linking::Static);
    };
    let path = range.read_path(&*file.read).ok()?;
    Some(Linking::Dynamic { loader: text_of_bytes(&path), present: lookup(&path).is_ok() })
}

/// Reads the class and the byte order of an ELF file.
fn parse_ident(head: &[u8]) -> Option<(Option<Bits>, Option<Endian>)> {
    let rest = head.strip_prefix(b"\x7fELF")?;
    let bits = match rest.first() {
        Some(1) => Some(Bits::B32),
        Some(2) => Some(Bits::B64),
        _ => None,
    };
    let endian = match rest.get(1) {
        Some(1) => Some(Endian::Little),
        Some(2) => Some(Endian::Big),
        _ => None,
    };
    Some((bits, endian))
}
