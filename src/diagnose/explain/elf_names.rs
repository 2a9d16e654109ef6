//! Names for the numbers in ELF headers.
//!
//! Machines and OS ABIs are those of Linux's `include/uapi/linux/elf-em.h` and of the registry of the System V ABI
//! (gABI, chapter 4). Flags are from the processors' supplements and `binutils`' `include/elf`.

use binfmt_magic::Bits;

pub(super) fn os_abi_name(number: u8) -> String {
    let name = match number {
        // 0 is System V, which most programs for Linux have; 3 is GNU, for programs that use IFUNC.
        0 | 3 => "Linux",
        1 => "HP-UX",
        2 => "NetBSD",
        6 => "Solaris",
        9 => "FreeBSD",
        12 => "OpenBSD",
        64 => "ARM EABI",
        97 => "ARM",
        255 => "standalone",
        other => return format!("OS ABI {other}"),
    };
    name.into()
}

pub(super) fn type_name(e_type: u16) -> &'static str {
    match e_type {
        1 => "object",
        2 => "executable",
        3 => "shared",
        4 => "core",
        _ => "other",
    }
}

pub(super) fn machine_name(number: u16) -> String {
    MACHINES.iter().find(|row| row.0 == number).map_or_else(|| format!("machine {number}"), |row| row.1.into())
}

const MACHINES: &[(u16, &str)] = &[
    (0, "no machine"),
    (2, "SPARC"),
    (3, "Intel 386"),
    (4, "Motorola 68000"),
    (6, "Intel 486"),
    (7, "Intel 860"),
    (8, "MIPS"),
    (15, "HP PA-RISC"),
    (18, "SPARC v8+"),
    (20, "PowerPC"),
    (21, "64-bit PowerPC"),
    (22, "IBM S/390"),
    (40, "ARM"),
    (41, "Alpha"),
    (42, "SuperH"),
    (43, "SPARC v9"),
    (46, "H8/300"),
    (50, "Itanium"),
    (62, "x86-64"),
    (75, "VAX"),
    (76, "CRIS"),
    (83, "AVR"),
    (88, "M32R"),
    (89, "MN10300"),
    (92, "OpenRISC"),
    (93, "ARC"),
    (94, "Xtensa"),
    (106, "Blackfin"),
    (110, "UniCore"),
    (113, "Nios II"),
    (140, "TMS320C6000"),
    (164, "Hexagon"),
    (175, "Elbrus"),
    (183, "AArch64"),
    (185, "AVR32"),
    (188, "TILEPro"),
    (189, "MicroBlaze"),
    (190, "CUDA"),
    (191, "TILE-Gx"),
    (195, "ARCv2"),
    (224, "AMD GPU"),
    (243, "RISC-V"),
    (244, "Lanai"),
    (247, "BPF"),
    (252, "C-SKY"),
    (258, "LoongArch"),
    // Numbers that were used before the registry had one.
    (0x18ad, "AVR32"),
    (0x5441, "FR-V"),
    (0x9026, "Alpha"),
    (0x9041, "M32R"),
    (0xa390, "IBM S/390 (0xa390)"),
    (0xbaab, "MicroBlaze (0xbaab)"),
    (0xbeef, "MN10300"),
];

/// Returns the variant of the ABI, which distinguishes programs for the same processor.
pub(super) fn abi_name(machine: u16, bits: Option<Bits>, flags: u32) -> Option<String> {
    let narrow = bits == Some(Bits::B32);
    match machine {
        8 => Some(mips_abi_name(narrow, flags)),
        21 => match flags & 3 {
            1 => Some("ELFv1".into()),
            2 => Some("ELFv2".into()),
            _ => None,
        },
        22 if narrow => Some("31-bit".into()),
        40 => Some(arm_abi_name(flags)),
        62 if narrow => Some("x32".into()),
        183 if narrow => Some("ILP32".into()),
        243 => Some(riscv_abi_name(flags)),
        258 => match flags & 7 {
            1 => Some("soft float".into()),
            2 => Some("single float".into()),
            3 => Some("double float".into()),
            _ => None,
        },
        _ => None,
    }
}

fn arm_abi_name(flags: u32) -> String {
    let mut words = match flags >> 24 {
        0 => "no EABI".to_owned(),
        version => format!("EABI{version}"),
    };
    for (bit, word) in [(0x400, ", hard float"), (0x200, ", soft float"), (0x0080_0000, ", BE8")] {
        if flags & bit != 0 {
            words.push_str(word);
        }
    }
    words
}

fn mips_abi_name(narrow: bool, flags: u32) -> String {
    let abi = match (narrow, flags & 0x20, flags & 0xf000) {
        (false, ..) => "n64",
        (true, 0, 0x2000) => "o64",
        (true, 0, 0x3000 | 0x4000) => "EABI",
        (true, 0, _) => "o32",
        (true, ..) => "n32",
    };
    let level = match flags >> 28 {
        0 => "MIPS I",
        1 => "MIPS II",
        2 => "MIPS III",
        3 => "MIPS IV",
        4 => "MIPS V",
        5 => "MIPS32",
        6 => "MIPS64",
        7 => "MIPS32r2",
        8 => "MIPS64r2",
        9 => "MIPS32r6",
        10 => "MIPS64r6",
        _ => return abi.into(),
    };
    format!("{abi}, {level}{}", if flags & 0x400 != 0 { ", NaN2008" } else { "" })
}

fn riscv_abi_name(flags: u32) -> String {
    let float = match flags & 6 {
        0 => "soft float",
        2 => "single float",
        4 => "double float",
        _ => "quad float",
    };
    let base = if flags & 8 != 0 { ", RVE" } else { "" };
    format!("{float}{}{base}", if flags & 1 != 0 { ", compressed" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_described_in_words() {
        let abi = |machine, bits, flags| abi_name(machine, Some(bits), flags).unwrap_or_default();
        assert_eq!(abi(40, Bits::B32, 0x0500_0400), "EABI5, hard float");
        assert_eq!(abi(8, Bits::B32, 0x8000_0027), "n32, MIPS64r2");
        assert_eq!(abi(8, Bits::B32, 0x7000_1007), "o32, MIPS32r2");
        assert_eq!(abi(8, Bits::B64, 0xa000_0407), "n64, MIPS64r6, NaN2008");
        assert_eq!(abi(21, Bits::B64, 2), "ELFv2");
        assert_eq!(abi(243, Bits::B64, 5), "double float, compressed");
        assert_eq!(abi(62, Bits::B32, 0), "x32");
        assert_eq!(abi(62, Bits::B64, 0), "");
    }
}
