//! Guests without a large distribution: byte orders and processors of devices.

use super::elf;
use crate::{Arch, Bits, Endian};

pub(super) const AARCH64_BE: Arch = Arch {
    target: "aarch64_be",
    nix_systems: &["aarch64_be-linux"],
    oci_platforms: &[],
    debian: &[],
    uname: &["aarch64_be"],
    triples: &["aarch64_be-unknown-linux-gnu", "aarch64_be-unknown-linux-musl", "aarch64_be-linux-gnu"],
    aliases: &["arm64be"],
    magic: &elf::magic(Bits::B64, Endian::Big, 183),
    mask: &elf::mask(Endian::Big),
    bits: Bits::B64,
    endian: Endian::Big,
    e_machine: 183,
    header_variants: elf::with_flags(&[0]),
};

pub(super) const ARMEB: Arch = Arch {
    target: "armeb",
    nix_systems: &[],
    oci_platforms: &[],
    debian: &["armeb"],
    uname: &["armv7b", "armv6b", "armv5teb"],
    triples: &["armeb-unknown-linux-gnueabi", "armeb-linux-gnueabi"],
    aliases: &["armbe"],
    // As QEMU: programs with big-endian (BE32) and with little-endian code (BE8) alike; the flag is in `e_flags`,
    // and one emulator runs both.
    magic: &elf::magic(Bits::B32, Endian::Big, 40),
    mask: &elf::mask(Endian::Big),
    bits: Bits::B32,
    endian: Endian::Big,
    e_machine: 40,
    header_variants: elf::with_flags(&[0x0500_0400, 0x0580_0400]),
};

pub(super) const HEXAGON: Arch = Arch {
    target: "hexagon",
    nix_systems: &[],
    oci_platforms: &[],
    debian: &[],
    uname: &["hexagon"],
    triples: &["hexagon-unknown-linux-musl"],
    aliases: &[],
    magic: &elf::magic(Bits::B32, Endian::Little, 164),
    mask: &elf::mask(Endian::Little),
    bits: Bits::B32,
    endian: Endian::Little,
    e_machine: 164,
    header_variants: elf::with_flags(&[0x68, 0x73]),
};

pub(super) const MICROBLAZE: Arch = Arch {
    target: "microblaze",
    nix_systems: &["microblaze-linux"],
    oci_platforms: &[],
    debian: &[],
    uname: &["microblaze"],
    triples: &["microblaze-linux-gnu", "microblaze-unknown-linux-musl"],
    aliases: &["microblazeeb"],
    // Not as QEMU, whose rule can never match: its `e_type` is little-endian in a big-endian header. And like all
    // tables it knows only 0xbaab, which Linux calls `EM_MICROBLAZE_OLD` (`arch/microblaze/include/uapi/asm/elf.h`):
    // toolchains wrote it before the processor was registered with the System V ABI as 189, Linux's `ELF_ARCH`. Linux
    // and QEMU accept both (`elf_check_arch`; `tests/probes.rs`). One mask for both numbers would let 256 numbers
    // through, among them those of AVR32 (185), TILE-Gx (191) and Elbrus (175), which had a Linux, too.
    magic: &elf::magic(Bits::B32, Endian::Big, 189),
    mask: &elf::mask(Endian::Big),
    bits: Bits::B32,
    endian: Endian::Big,
    e_machine: 189,
    header_variants: elf::with_flags(&[0]),
};

pub(super) const MICROBLAZEEL: Arch = Arch {
    target: "microblazeel",
    nix_systems: &["microblazeel-linux"],
    oci_platforms: &[],
    debian: &[],
    uname: &["microblaze"],
    triples: &["microblazeel-linux-gnu", "microblazeel-unknown-linux-musl"],
    aliases: &[],
    // The machine number as for `microblaze`; QEMU has only 0xbaab.
    magic: &elf::magic(Bits::B32, Endian::Little, 189),
    mask: &elf::mask(Endian::Little),
    bits: Bits::B32,
    endian: Endian::Little,
    e_machine: 189,
    header_variants: elf::with_flags(&[0]),
};

pub(super) const OR1K: Arch = Arch {
    target: "or1k",
    nix_systems: &["or1k-linux"],
    oci_platforms: &[],
    debian: &["or1k"],
    uname: &["openrisc"],
    triples: &["or1k-unknown-linux-gnu", "or1k-linux-gnu", "or1k-unknown-linux-musl"],
    aliases: &[],
    magic: &elf::magic(Bits::B32, Endian::Big, 92),
    mask: &elf::mask(Endian::Big),
    bits: Bits::B32,
    endian: Endian::Big,
    e_machine: 92,
    header_variants: elf::with_flags(&[0, 1]),
};

pub(super) const RISCV32: Arch = Arch {
    target: "riscv32",
    nix_systems: &["riscv32-linux"],
    oci_platforms: &[],
    debian: &["riscv32"],
    uname: &["riscv32"],
    triples: &[
        "riscv32gc-unknown-linux-gnu",
        "riscv32gc-unknown-linux-musl",
        "riscv32-unknown-linux-gnu",
        "riscv32-linux-gnu",
    ],
    aliases: &["riscv32gc", "rv32"],
    magic: &elf::magic(Bits::B32, Endian::Little, 243),
    mask: &elf::mask(Endian::Little),
    bits: Bits::B32,
    endian: Endian::Little,
    e_machine: 243,
    header_variants: elf::with_flags(&[5, 4, 0]),
};

pub(super) const SH4EB: Arch = Arch {
    target: "sh4eb",
    nix_systems: &[],
    oci_platforms: &[],
    debian: &["sh4eb"],
    uname: &["sh4eb"],
    triples: &["sh4eb-unknown-linux-gnu", "sh4eb-linux-gnu"],
    aliases: &[],
    magic: &elf::magic(Bits::B32, Endian::Big, 42),
    mask: &elf::mask(Endian::Big),
    bits: Bits::B32,
    endian: Endian::Big,
    e_machine: 42,
    header_variants: elf::with_flags(&[0x9, 0xc]),
};

pub(super) const XTENSA: Arch = Arch {
    target: "xtensa",
    nix_systems: &[],
    oci_platforms: &[],
    debian: &["xtensa"],
    uname: &["xtensa"],
    triples: &["xtensa-unknown-linux-gnu", "xtensa-linux-uclibc"],
    aliases: &[],
    magic: &elf::magic(Bits::B32, Endian::Little, 94),
    mask: &elf::mask(Endian::Little),
    bits: Bits::B32,
    endian: Endian::Little,
    e_machine: 94,
    header_variants: elf::with_flags(&[0x300]),
};

pub(super) const XTENSAEB: Arch = Arch {
    target: "xtensaeb",
    nix_systems: &[],
    oci_platforms: &[],
    debian: &[],
    uname: &["xtensa"],
    triples: &[],
    aliases: &["xtensabe"],
    magic: &elf::magic(Bits::B32, Endian::Big, 94),
    mask: &elf::mask(Endian::Big),
    bits: Bits::B32,
    endian: Endian::Big,
    e_machine: 94,
    header_variants: elf::with_flags(&[0x300]),
};
