//! The MIPS family: six guests with one `e_machine` (8).
//!
//! The 32-bit ABIs o32 and n32 have the same class; only `e_flags` at bytes 36–39 tells them apart
//! (`EF_MIPS_ABI2`, 0x20, set for n32: Linux `arch/mips/include/asm/elf.h`, QEMU `linux-user/elfload.c`
//! `elf_check_abi`). So their rules are 40 bytes long, as in QEMU since 5.1, and compare `e_version` (1) on the way.
//! Guix and `OpenRC` have 20 bytes, so two entries match one program.
//!
//! The ABI version (byte 8) is not compared: the linker writes 1, 3 and 5 into MIPS programs as they need features of
//! the loader (glibc's `libc-abis`); Debian's release 6 libraries for o32 have 3.

use super::elf;
use crate::arch::HeaderVariants;
use crate::{Arch, Bits, Endian};

const MIPS: u16 = 8;

pub(super) const MIPS64EL: Arch = Arch {
    target: "mips64el",
    // n64; n32 is a system of its own to Nix.
    nix_systems: &["mips64el-linux"],
    oci_platforms: &["linux/mips64le"],
    debian: &["mips64el", "mips64r6el"],
    uname: &["mips64"],
    triples: &[
        "mips64el-unknown-linux-gnuabi64",
        "mips64el-unknown-linux-muslabi64",
        "mips64el-linux-gnuabi64",
        "mipsisa64r6el-linux-gnuabi64",
    ],
    aliases: &[],
    magic: &elf::magic(Bits::B64, Endian::Little, MIPS),
    mask: &elf::mask_but(Endian::Little, &[(8, 0)]),
    bits: Bits::B64,
    endian: Endian::Little,
    e_machine: MIPS,
    header_variants: debian_variants(&[0x8000_0007, 0xa000_0407]),
};

pub(super) const MIPS64: Arch = Arch {
    target: "mips64",
    nix_systems: &["mips64-linux"],
    oci_platforms: &["linux/mips64"],
    debian: &["mips64", "mips64r6"],
    uname: &["mips64"],
    triples: &[
        "mips64-unknown-linux-gnuabi64",
        "mips64-unknown-linux-muslabi64",
        "mips64-linux-gnuabi64",
        "mipsisa64r6-linux-gnuabi64",
    ],
    aliases: &[],
    magic: &elf::magic(Bits::B64, Endian::Big, MIPS),
    mask: &elf::mask_but(Endian::Big, &[(8, 0)]),
    bits: Bits::B64,
    endian: Endian::Big,
    e_machine: MIPS,
    header_variants: debian_variants(&[0x8000_0007, 0xa000_0407]),
};

pub(super) const MIPSEL: Arch = Arch {
    target: "mipsel",
    nix_systems: &["mipsel-linux"],
    oci_platforms: &["linux/mipsle"],
    debian: &["mipsel", "mipsr6el"],
    uname: &["mips"],
    triples: &["mipsel-unknown-linux-gnu", "mipsel-unknown-linux-musl", "mipsel-linux-gnu", "mipsisa32r6el-linux-gnu"],
    aliases: &[],
    magic: &magic32(Endian::Little, 0),
    mask: &mask32(Endian::Little),
    bits: Bits::B32,
    endian: Endian::Little,
    e_machine: MIPS,
    header_variants: debian_variants(&[0x7000_1007, 0x9000_1407]),
};

pub(super) const MIPS_BE: Arch = Arch {
    target: "mips",
    nix_systems: &["mips-linux"],
    oci_platforms: &["linux/mips"],
    debian: &["mips", "mipsr6"],
    uname: &["mips"],
    triples: &["mips-unknown-linux-gnu", "mips-unknown-linux-musl", "mips-linux-gnu", "mipsisa32r6-linux-gnu"],
    aliases: &[],
    magic: &magic32(Endian::Big, 0),
    mask: &mask32(Endian::Big),
    bits: Bits::B32,
    endian: Endian::Big,
    e_machine: MIPS,
    header_variants: debian_variants(&[0x7000_1007, 0x9000_1407]),
};

pub(super) const MIPSN32EL: Arch = Arch {
    target: "mipsn32el",
    nix_systems: &["mips64el-linuxabin32"],
    oci_platforms: &[],
    debian: &["mipsn32el", "mipsn32r6el"],
    // Kernels of this architecture are mips64 kernels.
    uname: &[],
    triples: &["mips64el-linux-gnuabin32", "mipsisa64r6el-linux-gnuabin32"],
    aliases: &["mips64p32le"],
    magic: &magic32(Endian::Little, EF_MIPS_ABI2),
    mask: &mask32(Endian::Little),
    bits: Bits::B32,
    endian: Endian::Little,
    e_machine: MIPS,
    header_variants: debian_variants(&[0x8000_0027, 0xa000_0427]),
};

pub(super) const MIPSN32: Arch = Arch {
    target: "mipsn32",
    nix_systems: &["mips64-linuxabin32"],
    oci_platforms: &[],
    debian: &["mipsn32", "mipsn32r6"],
    uname: &[],
    triples: &["mips64-linux-gnuabin32", "mipsisa64r6-linux-gnuabin32"],
    aliases: &["mips64p32"],
    magic: &magic32(Endian::Big, EF_MIPS_ABI2),
    mask: &mask32(Endian::Big),
    bits: Bits::B32,
    endian: Endian::Big,
    e_machine: MIPS,
    header_variants: debian_variants(&[0x8000_0027, 0xa000_0427]),
};

const EF_MIPS_ABI2: u8 = 0x20;

/// The header up to and with `e_flags`, of which all but the lowest byte, and entry point and offsets, are 0.
const fn magic32(endian: Endian, e_flags: u8) -> [u8; 40] {
    let mut magic = [0; 40];
    if let Some(start) = magic.first_chunk_mut() {
        *start = elf::magic(Bits::B32, endian, MIPS);
    }
    match endian {
        Endian::Little => [magic[20], magic[36]] = [1, e_flags],
        Endian::Big => [magic[23], magic[39]] = [1, e_flags],
    }
    magic
}

/// Compares `e_version` besides what every row does, and of `e_flags` nothing but `EF_MIPS_ABI2`.
const fn mask32(endian: Endian) -> [u8; 40] {
    let mut mask = [0; 40];
    if let Some(start) = mask.first_chunk_mut() {
        *start = elf::mask_but(endian, &[(8, 0)]);
    }
    [mask[20], mask[21], mask[22], mask[23]] = [0xff; 4];
    match endian {
        Endian::Little => mask[36] = EF_MIPS_ABI2,
        Endian::Big => mask[39] = EF_MIPS_ABI2,
    }
    mask
}

/// The flags are those of Debian's C libraries (revisions 2 and 6); ABI versions 0 and 3 are from there too, 1 comes
/// with PLTs in programs, 5 with `--hash-style=gnu`.
const fn debian_variants(e_flags: &'static [u32]) -> HeaderVariants {
    HeaderVariants { e_flags, abi_versions: &[0, 1, 3, 5] }
}
