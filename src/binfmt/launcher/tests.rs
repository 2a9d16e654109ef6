//! Tests of the layout of combined emulators. `tests/it/binfmt/launcher.rs` runs them.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::prelude::*;

use super::*;
use crate::sha256::Sha256;

const LOAD: u32 = 1;
const NOTE: u32 = 4;
const PROPERTY: u32 = 0x6474_e553;

/// A program of one page with these headers: type, offset, address, size in memory.
fn program(machine: u16, kind: u16, headers: &[(u32, u64, u64, u64)]) -> Vec<u8> {
    let mut elf = b"\x7fELF\x02\x01\x01".to_vec();
    elf.resize(16, 0);
    elf.extend([kind.to_le_bytes(), machine.to_le_bytes()].concat());
    elf.extend(1_u32.to_le_bytes());
    elf.extend([0x40_0123_u64, 64, 0].into_iter().flat_map(u64::to_le_bytes));
    elf.extend(0_u32.to_le_bytes());
    let count = u16::try_from(headers.len()).unwrap();
    elf.extend([64_u16, 56, count, 64, 0, 0].into_iter().flat_map(u16::to_le_bytes));
    for (kind, offset, address, size) in headers {
        elf.extend([*kind, 5].into_iter().flat_map(u32::to_le_bytes));
        elf.extend([*offset, *address, *address, *size, *size, 0x1000].into_iter().flat_map(u64::to_le_bytes));
    }
    elf.resize(4000, 0);
    elf
}

fn emulator() -> Vec<u8> {
    let headers = [
        (NOTE, 0x318, 0x318, 0x20),
        (LOAD, 0, 0x40_0000, 0x1000),
        (NOTE, 0x338, 0x338, 0x20),
        (LOAD, 0, 0x60_0000, 0x12345),
        (PROPERTY, 0x338, 0x338, 0x20),
    ];
    program(62, 2, &headers)
}

fn identity() -> FileIdentity {
    FileIdentity {
        path: "/usr/bin/cc1".into(),
        size: 5,
        mtime: (-3, 7),
        inode: Some(Inode { device: 1, number: 2, ctime: (3, 4) }),
        build_id: "0a1b".to_owned(),
        sha256: Sha256::of_bytes(b"12345"),
    }
}

fn pair() -> LauncherPair {
    LauncherPair {
        guest: identity(),
        native: identity(),
        start: "/n/ld.so".into(),
        words: vec![Some("ld.so".to_owned()), Some("--argv0".to_owned()), None, Some("/n/cc1".to_owned())],
        arguments: vec!["-isystem".to_owned(), "/usr/include".to_owned()],
        environment: vec!["A=B".to_owned()],
        names: vec!["cc1".to_owned()],
        refused_arguments: vec!["-fplugin=*".to_owned()],
        refused_variables: vec!["GCC_EXEC_PREFIX".to_owned()],
        c_locale: true,
        audit: Some(LauncherAudit { every: 7, start: "/n/audit".into(), words: vec![None] }),
    }
}

/// The segments: offset, address, size in the file, size in memory.
fn segments(elf: &[u8]) -> Vec<(u64, u64, u64, u64)> {
    let header = FileHeader64::<LittleEndian>::parse(elf).unwrap();
    let programs = header.program_headers(LittleEndian, elf).unwrap();
    let loads = programs.iter().filter(|program| program.p_type(LittleEndian) == PT_LOAD);
    let numbers = |program: &ProgramHeader64<LittleEndian>| {
        let [offset, address] = [program.p_offset(LittleEndian), program.p_vaddr(LittleEndian)];
        (offset, address, program.p_filesz(LittleEndian), program.p_memsz(LittleEndian))
    };
    loads.map(numbers).collect()
}

#[test]
fn the_launcher_is_the_last_segment_and_the_entry_point() {
    for (machine, number, page) in [("x86_64", 62, 0x1000), ("aarch64", 183, 0x10000)] {
        let mut old = emulator();
        old[18..20].copy_from_slice(&u16::to_le_bytes(number));
        let new = combine(&old, machine, &[pair()]).unwrap();
        let loads = segments(&new);
        let (offset, address, size, in_memory) = loads[2];
        assert_eq!(loads[..2], segments(&old), "the other segments are as before");
        assert_eq!((size, in_memory), (to_u64(new.len()) - offset, size));
        assert_eq!([offset % page, address % page], [0, 0]);
        assert!(address >= 0x60_0000 + 0x12345);
        assert_eq!(new[24..32], address.to_le_bytes());
        let image = binfmt_magic::launcher(machine).unwrap();
        let segment = &new[usize::try_from(offset).unwrap()..];
        assert!(segment.starts_with(image));
        let to_entry = u64::from_le_bytes(segment[image.len() + 8..][..8].try_into().unwrap());
        assert_eq!(to_entry.wrapping_add(address + to_u64(image.len())), 0x40_0123);
        assert_eq!(combine(&new, machine, &[]), Err(CombineError::AlreadyCombined));
    }
}

#[test]
fn the_note_of_properties_is_replaced_last() {
    let kinds = |elf: &[u8]| {
        let header = FileHeader64::<LittleEndian>::parse(elf).unwrap();
        let programs = header.program_headers(LittleEndian, elf).unwrap().to_vec();
        let kind = |program: &ProgramHeader64<_>| (program.p_type(LittleEndian).0, program.p_offset(LittleEndian));
        programs.iter().map(kind).filter(|(kind, _)| *kind != LOAD).collect::<Vec<_>>()
    };
    let load = (LOAD, 0, 0x40_0000, 0x1000);
    let [note, property, other] = [(NOTE, 8, 8, 8), (PROPERTY, 8, 8, 8), (NOTE, 16, 16, 8)];
    for (headers, left) in [
        (&[load, note, other, property][..], &[(NOTE, 8), (PROPERTY, 8)][..]),
        (&[other, note, property, load], &[(NOTE, 8), (PROPERTY, 8)]),
        (&[load, property, note], &[(PROPERTY, 8)]),
        (&[load, property], &[]),
    ] {
        let combined = combine(&program(62, 3, headers), "x86_64", &[]).unwrap();
        assert_eq!(kinds(&combined), left);
        assert_eq!(segments(&combined).len(), 2);
    }
}

#[test]
fn other_files_are_refused_with_a_reason() {
    let load = (LOAD, 0, 0x40_0000, 0x1000);
    let note = (NOTE, 8, 8, 8);
    let refuse = |elf: &[u8], machine: &str| combine(elf, machine, &[]).unwrap_err();
    assert_eq!(refuse(&emulator(), "riscv64"), CombineError::UnknownHost("riscv64".into()));
    assert!(matches!(refuse(b"#!/bin/sh\n", "x86_64"), CombineError::Headers(_)));
    assert!(matches!(refuse(&emulator()[..100], "x86_64"), CombineError::Headers(_)));
    assert_eq!(refuse(&emulator(), "aarch64"), CombineError::OtherMachine("aarch64".into()));
    assert_eq!(refuse(&program(62, 1, &[load, note]), "x86_64"), CombineError::OtherMachine("x86_64".into()));
    assert_eq!(refuse(&program(62, 3, &[load, note, (3, 8, 8, 8)]), "x86_64"), CombineError::Dynamic);
    assert_eq!(refuse(&program(62, 3, &[load]), "x86_64"), CombineError::NoFreeHeader);
    assert_eq!(refuse(&program(62, 3, &[note]), "x86_64"), CombineError::Segments);
    for other in [(LOAD, 0, 0x40_0800, 8), (LOAD, 0, 0, 8), (LOAD, 0, u64::MAX - 4, 8), (LOAD, 0, u64::MAX - 8, 8)] {
        assert_eq!(refuse(&program(62, 3, &[load, other, note]), "x86_64"), CombineError::Segments);
    }
    let environment = vec!["A=\0".to_owned()];
    let unusable = LauncherPair { environment, ..pair() };
    assert_eq!(combine(&emulator(), "x86_64", &[unusable]), Err(CombineError::Nul(TextWithNul("A=\0".to_owned()))));
}

proptest! {
    #[test]
    fn no_input_is_fatal(
        changes in prop::collection::vec((0..344_usize, any::<u8>()), 0..12),
        length in 0..4000_usize,
        machine in prop::sample::select(vec!["x86_64", "aarch64"]),
    ) {
        let mut elf = emulator();
        for (at, byte) in &changes {
            elf[*at] = *byte;
        }
        for elf in [&elf[..], &elf[..length]] {
            if let Ok(combined) = combine(elf, machine, &[pair()]) {
                let loads = segments(&combined);
                prop_assert_eq!(loads.len(), segments(elf).len() + 1);
                prop_assert!(loads.is_sorted_by_key(|load| load.1));
                let (offset, _, size, _) = *loads.last().unwrap();
                prop_assert_eq!(offset + size, to_u64(combined.len()));
            }
        }
    }

    #[test]
    fn no_bytes_are_fatal(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        prop_assert!(combine(&bytes, "x86_64", &[pair()]).is_err());
        let with_magic = [b"\x7fELF\x02\x01\x01", &bytes[..]].concat();
        let _: Result<_, CombineError> = combine(&with_magic, "x86_64", &[pair()]);
    }
}
