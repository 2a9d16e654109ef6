//! The programs that the kernel runs without an interpreter, as `load_elf_binary` of Linux's `fs/binfmt_elf.c`
//! recognises them (6.18).

use binfmt_magic::{Arch, Bits, Endian};
use nix::errno::Errno;

use super::elf::{ET_DYN, ET_EXEC, ElfHeader};
use super::{FileLookup, OpenedFile};
pub use crate::binfmt::native::LoaderSupport;
use crate::sanitize::text_of_bytes;

/// One ELF loader of the kernel: the native one, or the one for 32-bit programs of the processor.
#[derive(Debug, Clone)]
pub struct Loader {
    /// The machine numbers that the loader accepts.
    pub machines: Vec<u16>,
    /// The class with which the loader reads headers, even if the file declares another one.
    pub bits: Bits,
    /// The byte order with which the loader reads headers.
    pub endian: Endian,
    /// If not 0: bits of `e_flags`, at least one of which must be set (`EF_ARM_EABIMASK` on arm64).
    pub wants_flags: u32,
    /// Whether the loader checks the class of the file, as `elf_check_arch` of RISC-V and s390 does. It is set for all
    /// machines but x86 and Arm.
    pub checks_class: bool,
    /// Whether the kernel and its processor have this loader.
    pub support: LoaderSupport,
}

/// The result of the kernel's ELF loaders for a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum LoadResult {
    /// A loader of the kernel runs the file, and starts the program's own loader (ld.so) if the program names one.
    Runs,
    /// No loader of the kernel accepts the file. The reason is given if the file is a program of this machine.
    WrongFormat(Option<&'static str>),
    /// A loader of the kernel accepts the file, but execve(2) fails with this error, for this reason.
    Fails(Errno, String),
    /// It is unknown whether a loader of the kernel runs the file, for this reason.
    Unknown(String),
}

/// Returns the kernel's loaders of a machine (`uname -m`). `compat` returns whether the kernel has the 32-bit loader of
/// this name: `i386`, `x32` or `arm`. The numbers are values of `e_machine`.
pub(super) fn loaders_of(machine: &str, compat: impl Fn(&str) -> LoaderSupport) -> Vec<Loader> {
    let little = |machines: &[u16], bits, support| Loader {
        machines: machines.to_vec(),
        bits,
        endian: Endian::Little,
        wants_flags: 0,
        checks_class: false,
        support,
    };
    match machine {
        // arch/x86/include/asm/elf.h. In the kernel, i386 and x32 are parts of one loader, which may lack either.
        "x86_64" => vec![
            little(&[62], Bits::B64, LoaderSupport::Yes),
            little(&[3, 6], Bits::B32, compat("i386")),
            little(&[62], Bits::B32, compat("x32")),
        ],
        // arch/arm64/include/asm/elf.h
        "aarch64" => vec![
            little(&[183], Bits::B64, LoaderSupport::Yes),
            Loader { wants_flags: 0xff00_0000, ..little(&[40], Bits::B32, compat("arm")) },
        ],
        other => Arch::of_host(other).map(native_loader).into_iter().collect(),
    }
}

fn native_loader(arch: &Arch) -> Loader {
    Loader {
        machines: vec![arch.e_machine],
        bits: arch.bits,
        endian: arch.endian,
        wants_flags: 0,
        checks_class: true,
        support: LoaderSupport::Yes,
    }
}

/// Tries each loader on a file.
pub(super) fn try_loaders(loaders: &[Loader], file: &OpenedFile, lookup: &FileLookup) -> LoadResult {
    let mut wrong = None;
    for loader in loaders.iter().filter(|loader| loader.support != LoaderSupport::No) {
        match (loader.try_load(file, lookup), &loader.support) {
            (LoadResult::WrongFormat(why), _) => wrong = wrong.or(why),
            (_, LoaderSupport::Unknown(why)) => return LoadResult::Unknown(why.clone()),
            (taken, _) => return taken,
        }
    }
    LoadResult::WrongFormat(wrong)
}

impl Loader {
    fn try_load(&self, file: &OpenedFile, lookup: &FileLookup) -> LoadResult {
        let header = ElfHeader::parse(&file.head, self.bits, self.endian);
        if !self.has_matching_header(&file.head, &header) {
            return LoadResult::WrongFormat(None);
        }
        if ![ET_EXEC, ET_DYN].contains(&header.e_type) {
            return LoadResult::WrongFormat(Some("it is for this machine, but not a program"));
        }
        let Some(programs) = header.program_headers(&*file.read) else {
            return LoadResult::WrongFormat(Some("it is for this machine, but its program headers cannot be read"));
        };
        let Some(range) = programs.loader_range() else {
            return LoadResult::Runs;
        };
        match range.read_path(&*file.read) {
            Ok(path) => self.check_loader(&path, lookup),
            Err(Errno::ENOEXEC) => {
                LoadResult::WrongFormat(Some("it is for this machine, but the path of its loader is damaged"))
            }
            Err(errno) => LoadResult::Fails(errno, "the path of its loader cannot be read".into()),
        }
    }

    /// Whether the header is that of an ELF file of this machine.
    fn has_matching_header(&self, head: &[u8], header: &ElfHeader) -> bool {
        head.starts_with(b"\x7fELF")
            && self.machines.contains(&header.machine)
            && (self.wants_flags == 0 || header.flags & self.wants_flags != 0)
            && (!self.checks_class || head.get(4) == Some(&(self.bits as u8)))
    }

    /// Checks the loader that a dynamic program names (ld.so): its header has to be one that this loader accepts. A file that
    /// is too short fails with EIO, as the kernel's `elf_read` does.
    fn check_loader(&self, path: &[u8], lookup: &FileLookup) -> LoadResult {
        let shown = text_of_bytes(path);
        let loader = match lookup(path) {
            Ok(OpenedFile { obstacle: Some(obstacle), .. }) | Err(obstacle) => {
                let why = format!("its loader {shown} {}", obstacle.why);
                return obstacle.errno.map_or(LoadResult::Unknown(why.clone()), |errno| LoadResult::Fails(errno, why));
            }
            Ok(loader) => loader,
        };
        if (loader.read)(0, ElfHeader::size_of(self.bits)).len() < ElfHeader::size_of(self.bits) {
            return LoadResult::Fails(Errno::EIO, format!("its loader {shown} is not a program: it is too short"));
        }
        let header = ElfHeader::parse(&loader.head, self.bits, self.endian);
        if !self.has_matching_header(&loader.head, &header) || header.program_headers(&*loader.read).is_none() {
            return LoadResult::Fails(Errno::ELIBBAD, format!("its loader {shown} is not a program of this machine"));
        }
        LoadResult::Runs
    }
}
