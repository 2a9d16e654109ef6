//! What a program of this host says about itself: its loader, the libraries that it needs, and its build ID. Pure.

use object::Endianness;
use object::elf::{
    DT_NEEDED, DT_RPATH, DT_RUNPATH, DT_STRSZ, DT_STRTAB, FileHeader64, Machine, NT_GNU_BUILD_ID, ProgramHeader64,
};
use object::read::elf::{Dyn as _, FileHeader, ProgramHeader as _};

use crate::sanitize::text_of_bytes;

/// Loader, libraries and search path of a program or library.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needs {
    /// Machine of the program (`e_machine`).
    pub machine: Machine,
    /// Path of the loader. A library has none.
    pub loader: Option<String>,
    /// Names of the libraries that it needs, in its order (`DT_NEEDED`).
    pub libraries: Vec<String>,
    /// Directories that are searched first (`DT_RUNPATH`, or `DT_RPATH`). They may begin with `$ORIGIN`.
    pub search_path: Vec<String>,
    /// Whether it is linked dynamically.
    pub is_dynamic: bool,
}

/// Reads what a 64-bit program or library needs.
///
/// # Errors
/// The file is not a 64-bit ELF file, or its headers are damaged.
pub fn read_needs(bytes: &[u8]) -> object::Result<Needs> {
    let header = FileHeader64::<Endianness>::parse(bytes)?;
    let endian = header.endian()?;
    let segments = header.program_headers(endian, bytes)?;
    let loader = segments.iter().find_map(|segment| segment.interpreter(endian, bytes).ok().flatten());
    let mut needs = Needs {
        machine: header.e_machine(endian),
        loader: loader.map(text_of_bytes),
        libraries: Vec::new(),
        search_path: Vec::new(),
        is_dynamic: false,
    };
    let Some(entries) = segments.iter().find_map(|segment| segment.dynamic(endian, bytes).ok().flatten()) else {
        return Ok(needs);
    };
    needs.is_dynamic = true;
    let value = |tag| entries.iter().find(|entry| entry.d_tag(endian) == tag).map(|entry| entry.d_val(endian));
    let strings = match (value(DT_STRTAB), value(DT_STRSZ)) {
        (Some(address), Some(size)) => bytes_at(segments, endian, bytes, address, size).unwrap_or_default(),
        _ => &[],
    };
    let text = |offset: u64| {
        let tail = strings.get(usize::try_from(offset).ok()?..)?;
        Some(text_of_bytes(tail.split(|byte| *byte == 0).next()?))
    };
    let needed = entries.iter().filter(|entry| entry.d_tag(endian) == DT_NEEDED);
    needs.libraries = needed.filter_map(|entry| text(entry.d_val(endian))).collect();
    let path = value(DT_RUNPATH).or_else(|| value(DT_RPATH)).and_then(text).unwrap_or_default();
    needs.search_path = path.split(':').filter(|dir| !dir.is_empty()).map(str::to_owned).collect();
    Ok(needs)
}

/// Returns the GNU build ID of a program of any class in hexadecimal digits. It is empty if the file has none.
pub fn read_build_id(bytes: &[u8]) -> String {
    fn read<H: FileHeader<Endian = Endianness>>(bytes: &[u8]) -> Option<Vec<u8>> {
        let header = H::parse(bytes).ok()?;
        let endian = header.endian().ok()?;
        let segments = header.program_headers(endian, bytes).ok()?;
        for segment in segments {
            let Ok(Some(mut notes)) = segment.notes(endian, bytes) else { continue };
            while let Ok(Some(note)) = notes.next() {
                if note.name() == b"GNU" && note.n_type(endian) == NT_GNU_BUILD_ID {
                    return Some(note.desc().to_vec());
                }
            }
        }
        None
    }
    let id = match bytes.get(4) {
        Some(1) => read::<object::elf::FileHeader32<Endianness>>(bytes),
        _ => read::<FileHeader64<Endianness>>(bytes),
    };
    crate::sha256::to_hex(&id.unwrap_or_default())
}

/// Returns the bytes of the file that are loaded at an address.
fn bytes_at<'a>(
    segments: &[ProgramHeader64<Endianness>],
    endian: Endianness,
    bytes: &'a [u8],
    address: u64,
    size: u64,
) -> Option<&'a [u8]> {
    segments.iter().find_map(|segment| segment.data_range(endian, bytes, address, size).ok().flatten())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_program_is_an_error() {
        for bytes in [b"".as_slice(), b"#!/bin/sh", b"\x7fELF", &[0; 64]] {
            assert!(read_needs(bytes).is_err());
            assert_eq!(read_build_id(bytes), "");
        }
    }

    #[test]
    fn this_test_needs_libraries_of_this_machine() {
        let own = crate::host::env::open_own_program()
            .and_then(|file| crate::host::regular_file::read_limited(&file, 1 << 30));
        let needs = read_needs(&own.unwrap_or_default());
        assert!(needs.as_ref().is_ok_and(|needs| needs.is_dynamic != needs.libraries.is_empty()), "{needs:?}");
    }
}
