//! The table: one row for each guest of Debian's qemu-user 10.0.13.
//!
//! Base of every magic and mask is QEMU's `scripts/qemu-binfmt-conf.sh` (10.0). A rule compares, in general,
//!
//! | bytes | field | compared |
//! |---|---|---|
//! | 0–3 | `\x7fELF` | yes |
//! | 4, 5, 6 | class, byte order, version | yes |
//! | 7 | OS ABI | no: a program that uses IFUNC is stamped `ELFOSABI_GNU` (3), hppa's always |
//! | 8–15 | ABI version, padding | yes, 0 (MIPS and `LoongArch`: not byte 8) |
//! | 16–17 | `e_type` | `ET_EXEC` (2) or `ET_DYN` (3), so the lowest bit is not |
//! | 18–19 | `e_machine` | yes |
//!
//! `tests/qemu_rules.rs` compares every row with QEMU's; these differ, with the reason at the row: ppc64le, microblaze
//! and microblazeel. Other tables are wrong where QEMU is right, and were not followed: Guix and `OpenRC` compare the
//! OS ABI (a static glibc program is then not recognised) and do not distinguish MIPS n32 from o32; NixOS uses 486 (6)
//! as the machine of i686 and 32-bit SPARC as that of sparc64.
//!
//! No two rows overlap: no file matches two of them.
//!
//! QEMU's user mode has no such guest, so the table has no row for: x32 (`ELFCLASS32` with `EM_X86_64`), ARC, 31-bit
//! S/390.

mod debian;
mod elf;
mod embedded;
mod mips;
mod ports;

use crate::Arch;

/// Most used first: Debian's release architectures, MIPS, ports, others.
pub(crate) static ROWS: [Arch; 33] = [
    debian::AARCH64,
    debian::X86_64,
    debian::ARM,
    debian::I386,
    debian::RISCV64,
    debian::PPC64LE,
    debian::S390X,
    debian::LOONGARCH64,
    mips::MIPS64EL,
    mips::MIPSEL,
    mips::MIPS64,
    mips::MIPS_BE,
    mips::MIPSN32EL,
    mips::MIPSN32,
    ports::PPC64,
    ports::PPC,
    ports::SPARC64,
    ports::SPARC,
    ports::SPARC32PLUS,
    ports::M68K,
    ports::HPPA,
    ports::ALPHA,
    ports::SH4,
    embedded::AARCH64_BE,
    embedded::ARMEB,
    embedded::RISCV32,
    embedded::SH4EB,
    embedded::OR1K,
    embedded::MICROBLAZE,
    embedded::MICROBLAZEEL,
    embedded::XTENSA,
    embedded::XTENSAEB,
    embedded::HEXAGON,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_rows_overlap() {
        for (i, one) in ROWS.iter().enumerate() {
            for other in &ROWS[i + 1..] {
                assert!(!one.pattern().overlaps(&other.pattern()), "{} and {}", one.target, other.target);
            }
        }
    }

    #[test]
    fn programs_without_a_guest_match_no_row() {
        let head = |class: u8, data: u8, machine: [u8; 2]| {
            let e_type = if data == 1 { [2, 0] } else { [0, 2] };
            [b"\x7fELF".as_slice(), &[class, data, 1, 0], &[0; 8], &e_type, &machine, &[0; 32]].concat()
        };
        let strangers = [
            ("x32", head(1, 1, [62, 0])),
            ("31-bit s390", head(1, 2, [0, 22])),
            ("ARC", head(1, 1, [93, 0])),
            ("ARCv2", head(1, 1, [195, 0])),
            ("EM_486", head(1, 1, [6, 0])),
            ("aarch64 ilp32", head(1, 1, [183, 0])),
            ("ppc64le with a high byte", head(2, 1, [21, 1])),
            ("IA-64", head(2, 1, [50, 0])),
            ("AVR32", head(1, 2, [0, 185])),
            ("Elbrus", head(1, 1, [175, 0])),
            ("TILE-Gx", head(1, 1, [191, 0])),
            ("TILEPro", head(1, 1, [188, 0])),
            ("old MicroBlaze", head(1, 2, [0xba, 0xab])),
        ];
        for (what, head) in strangers {
            assert!(ROWS.iter().all(|row| !row.pattern().matches(&head)), "{what}");
        }
    }

    #[test]
    fn neither_object_files_nor_core_dumps_match() {
        for row in &ROWS {
            for mut head in row.headers() {
                let at = 16 + usize::from(row.endian == crate::Endian::Big);
                for e_type in [0, 1, 4] {
                    head[at] = e_type;
                    assert!(!row.pattern().matches(&head), "{} {e_type}", row.target);
                }
            }
        }
    }

    /// The bits of a pattern are independent, so flipping each of them alone is enough.
    #[test]
    fn a_row_matches_a_single_machine_number() {
        for row in &ROWS {
            let head = row.headers().swap_remove(0);
            for bit in 0..16 {
                let mut other = head.clone();
                other[18 + bit / 8] ^= 1 << (bit % 8);
                assert!(!row.pattern().matches(&other), "{} {bit}", row.target);
            }
        }
    }
}
