//! The operating system for which an ELF program is made.
//!
//! The kernel does not look at it: a program of FreeBSD for the machine's own processor is started, and ends with its
//! first system call. Three places name the system: the OS ABI in byte 7, a note, and the path of the loader.

use serde::Serialize;

use binfmt_magic::Endian;

/// An operating system that a program names; programs for Linux usually name none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum TargetOs {
    /// Android, which has Linux's system calls and other loaders and libraries.
    Android,
    /// FreeBSD.
    FreeBsd,
    /// NetBSD.
    NetBsd,
    /// OpenBSD.
    OpenBsd,
    /// DragonFly BSD.
    DragonFly,
    /// Solaris or illumos.
    Solaris,
    /// GNU/Hurd.
    Hurd,
    /// HP-UX.
    HpUx,
    /// AIX.
    Aix,
    /// IRIX.
    Irix,
    /// Tru64 Unix.
    Tru64,
    /// OpenVMS.
    OpenVms,
}

/// What a program names as its system.
#[derive(Debug, Default)]
pub(super) struct OsEvidence<'e> {
    /// Byte 7 of the header.
    pub(super) os_abi: u8,
    /// The path of the loader, if the program has one.
    pub(super) loader: Option<&'e [u8]>,
    /// The content of the `PT_NOTE` segments, each with its alignment.
    pub(super) notes: Vec<(Vec<u8>, u64)>,
}

impl TargetOs {
    /// Finds the system; `None` for programs of Linux. A note is more exact than the OS ABI, which many systems leave 0,
    /// and both are more exact than the loader.
    pub(super) fn find(evidence: &OsEvidence, endian: Endian) -> Option<Self> {
        let noted = evidence.notes.iter().find_map(|(bytes, align)| find_in_notes(bytes, *align, endian));
        noted.or_else(|| of_abi(evidence.os_abi)).or_else(|| of_loader(evidence.loader?))
    }

    /// Returns the name of the system.
    pub fn name(self) -> &'static str {
        match self {
            Self::Android => "Android",
            Self::FreeBsd => "FreeBSD",
            Self::NetBsd => "NetBSD",
            Self::OpenBsd => "OpenBSD",
            Self::DragonFly => "DragonFly BSD",
            Self::Solaris => "Solaris",
            Self::Hurd => "GNU/Hurd",
            Self::HpUx => "HP-UX",
            Self::Aix => "AIX",
            Self::Irix => "IRIX",
            Self::Tru64 => "Tru64 Unix",
            Self::OpenVms => "OpenVMS",
        }
    }

    /// Whether programs of the system make Linux's system calls.
    pub fn has_linux_calls(self) -> bool {
        self == Self::Android
    }
}

/// The registry of the System V ABI (gABI, chapter 4, `EI_OSABI`). 0 and 3 are Linux's; 64 and above are of processors.
fn of_abi(number: u8) -> Option<TargetOs> {
    Some(match number {
        1 => TargetOs::HpUx,
        2 => TargetOs::NetBsd,
        6 => TargetOs::Solaris,
        7 => TargetOs::Aix,
        8 => TargetOs::Irix,
        9 => TargetOs::FreeBsd,
        10 => TargetOs::Tru64,
        12 => TargetOs::OpenBsd,
        13 => TargetOs::OpenVms,
        _ => return None,
    })
}

/// Paths of loaders, as LLVM (`clang/lib/Driver/ToolChains`) and Go (`cmd/link/internal/*/obj.go`) write them. A Linux
/// has a loader `/lib/ld.so.1` too, so Solaris' are compared with their directories.
fn of_loader(path: &[u8]) -> Option<TargetOs> {
    const SOLARIS: [&[u8]; 6] = [
        b"/lib/amd64/ld.so.1",
        b"/lib/sparcv9/ld.so.1",
        b"/usr/lib/ld.so.1",
        b"/usr/lib/amd64/ld.so.1",
        b"/usr/lib/sparcv9/ld.so.1",
        b"/lib/64/ld.so.1",
    ];
    match path.rsplit(|byte| *byte == b'/').next()? {
        b"ld-elf.so.1" => Some(TargetOs::FreeBsd),
        b"ld.elf_so" => Some(TargetOs::NetBsd),
        b"ld-elf.so.2" => Some(TargetOs::DragonFly),
        b"linker" | b"linker64" | b"linker_asan" | b"linker_asan64" => Some(TargetOs::Android),
        b"ld.so" if path == b"/usr/libexec/ld.so" => Some(TargetOs::OpenBsd),
        b"ld.so.1" if SOLARIS.contains(&path) => Some(TargetOs::Solaris),
        _ => None,
    }
}

/// Searches the notes of one segment: name size, description size and type, 4 bytes each, then name and description.
/// Description and next note begin at a multiple of 4, or of 8 where the segment is aligned so (glibc's
/// `ELF_NOTE_DESC_OFFSET`).
fn find_in_notes(bytes: &[u8], align: u64, endian: Endian) -> Option<TargetOs> {
    const FIXED: usize = 12;
    let align = if align == 8 { 8 } else { 4 };
    let mut rest = bytes;
    loop {
        let word = |at: usize| read_word(rest.get(at..)?, endian);
        let (name_size, size, kind) = (word(0)?, word(4)?, word(8)?);
        let name_end = FIXED.checked_add(name_size)?;
        let start = name_end.checked_next_multiple_of(align)?;
        let end = start.checked_add(size)?;
        let owner = rest.get(FIXED..name_end)?.split(|byte| *byte == 0).next()?;
        if let Some(found) = of_note(owner, kind, rest.get(start..end)?, endian) {
            return Some(found);
        }
        rest = rest.get(end.checked_next_multiple_of(align)?..)?;
    }
}

/// The owners of notes, as the systems' own startup code writes them. GNU's note of type 1, `NT_GNU_ABI_TAG`, begins
/// with the number of the system (glibc's `elf/elf.h`).
fn of_note(owner: &[u8], kind: usize, description: &[u8], endian: Endian) -> Option<TargetOs> {
    match owner {
        b"Android" => Some(TargetOs::Android),
        b"FreeBSD" => Some(TargetOs::FreeBsd),
        b"NetBSD" => Some(TargetOs::NetBsd),
        b"OpenBSD" => Some(TargetOs::OpenBsd),
        b"DragonFly" => Some(TargetOs::DragonFly),
        b"GNU" if kind == 1 => match read_word(description, endian)? {
            1 => Some(TargetOs::Hurd),
            2 => Some(TargetOs::Solaris),
            3 => Some(TargetOs::FreeBsd),
            4 => Some(TargetOs::NetBsd),
            _ => None,
        },
        _ => None,
    }
}

fn read_word(bytes: &[u8], endian: Endian) -> Option<usize> {
    let bytes: [u8; 4] = bytes.get(..4)?.try_into().ok()?;
    let value = if endian == Endian::Big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) };
    usize::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(owner: &[u8], kind: usize, description: &[u8], align: usize) -> Vec<u8> {
        let sizes = [owner.len(), description.len(), kind];
        let mut bytes: Vec<u8> = sizes.iter().flat_map(|size| size.to_le_bytes().into_iter().take(4)).collect();
        for part in [owner, description] {
            bytes.extend(part);
            bytes.resize(bytes.len().next_multiple_of(align), 0);
        }
        bytes
    }

    fn find(os_abi: u8, loader: Option<&[u8]>, notes: Vec<(Vec<u8>, u64)>) -> Option<TargetOs> {
        TargetOs::find(&OsEvidence { os_abi, loader, notes }, Endian::Little)
    }

    #[test]
    fn a_system_is_found_by_abi_note_or_loader() {
        assert_eq!(find(0, None, Vec::new()), None);
        assert_eq!(find(3, Some(b"/lib/ld.so.1"), Vec::new()), None);
        assert_eq!(find(9, None, Vec::new()), Some(TargetOs::FreeBsd));
        assert_eq!(find(0, Some(b"/system/bin/linker64"), Vec::new()), Some(TargetOs::Android));
        assert_eq!(find(0, Some(b"/lib/amd64/ld.so.1"), Vec::new()), Some(TargetOs::Solaris));
        let linux = note(b"GNU\0", 1, &[0, 0, 0, 0, 3, 0, 0, 0], 4);
        let go = note(b"Go\0\0", 4, b"odd", 4);
        assert_eq!(find(0, None, vec![(linux.clone(), 4)]), None);
        let netbsd = note(b"NetBSD\0", 1, &[0; 4], 4);
        assert_eq!(find(0, None, vec![(linux, 4), ([go, netbsd].concat(), 4)]), Some(TargetOs::NetBsd));
        assert_eq!(find(0, None, vec![(note(b"GNU\0", 1, &[1, 0, 0, 0], 4), 4)]), Some(TargetOs::Hurd));
        let property = note(b"GNU\0", 5, &[0; 16], 8);
        let openbsd = note(b"OpenBSD\0", 1, &[0; 4], 8);
        assert_eq!(find(0, None, vec![([property, openbsd].concat(), 8)]), Some(TargetOs::OpenBsd));
    }

    #[test]
    fn damaged_notes_name_no_system() {
        let whole = note(b"NetBSD\0", 1, &[0; 4], 4);
        for end in 0..12 + 8 {
            assert_eq!(find(0, None, vec![(whole[..end].to_vec(), 4)]), None, "{end}");
        }
        assert_eq!(find(0, None, vec![(vec![0xff; 64], 4), (vec![0; 64], 8)]), None);
    }
}
