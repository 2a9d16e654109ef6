//! Guests that are release architectures of Debian (MIPS: see its own module), where most programs are.

use super::elf;
use crate::{Arch, Bits, Endian};

pub(super) const AARCH64: Arch = Arch {
    target: "aarch64",
    nix_systems: &["aarch64-linux"],
    oci_platforms: &["linux/arm64", "linux/arm64/v8"],
    debian: &["arm64"],
    uname: &["aarch64"],
    triples: &["aarch64-unknown-linux-gnu", "aarch64-unknown-linux-musl", "aarch64-linux-gnu"],
    aliases: &[],
    // As QEMU. NixOS leaves padding byte 14 out, for which no reason is known; AppImages mark bytes 8-10, not 14.
    magic: &elf::magic(Bits::B64, Endian::Little, 183),
    mask: &elf::mask(Endian::Little),
    bits: Bits::B64,
    endian: Endian::Little,
    e_machine: 183,
    header_variants: elf::with_flags(&[0]),
};

pub(super) const X86_64: Arch = Arch {
    target: "x86_64",
    nix_systems: &["x86_64-linux"],
    oci_platforms: &["linux/amd64", "linux/amd64/v1", "linux/amd64/v2", "linux/amd64/v3", "linux/amd64/v4"],
    debian: &["amd64"],
    uname: &["x86_64"],
    triples: &["x86_64-unknown-linux-gnu", "x86_64-unknown-linux-musl", "x86_64-linux-gnu"],
    aliases: &["x86-64", "x64"],
    // As QEMU, which for x86 and Alpha leaves the lowest bits of byte order and ELF version out. No toolchain clears
    // them, and QEMU itself refuses such a file (`elf_check_ident`; `tests/probes.rs`), so this makes no difference.
    // x32 programs have this machine, but class 32: no row matches them, and QEMU's user mode does not run them.
    magic: &elf::magic(Bits::B64, Endian::Little, 62),
    mask: &elf::mask_but(Endian::Little, &[(5, 0xfe), (6, 0xfe)]),
    bits: Bits::B64,
    endian: Endian::Little,
    e_machine: 62,
    header_variants: elf::with_flags(&[0]),
};

pub(super) const ARM: Arch = Arch {
    target: "arm",
    // One emulator runs all of them, and no ELF header distinguishes them.
    nix_systems: &["armv7l-linux", "armv6l-linux", "armv5tel-linux", "armv7a-linux"],
    oci_platforms: &["linux/arm", "linux/arm/v7", "linux/arm/v6", "linux/arm/v5"],
    debian: &["armhf", "armel"],
    uname: &["armv7l", "armv6l", "armv5tel", "armv5tejl", "armv8l"],
    triples: &[
        "armv7-unknown-linux-gnueabihf",
        "armv7-unknown-linux-musleabihf",
        "arm-unknown-linux-gnueabihf",
        "arm-unknown-linux-gnueabi",
        "armv5te-unknown-linux-gnueabi",
        "arm-linux-gnueabihf",
        "arm-linux-gnueabi",
    ],
    aliases: &["armv7", "armv6", "armv5te", "armv5"],
    magic: &elf::magic(Bits::B32, Endian::Little, 40),
    mask: &elf::mask(Endian::Little),
    bits: Bits::B32,
    endian: Endian::Little,
    e_machine: 40,
    // EABI version 5, hard, soft and unstated float.
    header_variants: elf::with_flags(&[0x0500_0400, 0x0500_0200, 0x0500_0000]),
};

pub(super) const I386: Arch = Arch {
    target: "i386",
    nix_systems: &["i686-linux", "i586-linux", "i486-linux", "i386-linux"],
    oci_platforms: &["linux/386"],
    debian: &["i386"],
    uname: &["i686", "i586", "i486", "i386"],
    triples: &[
        "i686-unknown-linux-gnu",
        "i686-unknown-linux-musl",
        "i586-unknown-linux-gnu",
        "i686-linux-gnu",
        "i386-linux-gnu",
    ],
    aliases: &["x86"],
    // As QEMU's rule i386, mask as for `x86_64`. QEMU's second rule, i486 with machine 6, has no row: `EM_486` was
    // reserved and never written by a toolchain for Linux, what i486 compilers make has machine 3. (NixOS has 6 for
    // i686, which therefore never matches.)
    magic: &elf::magic(Bits::B32, Endian::Little, 3),
    mask: &elf::mask_but(Endian::Little, &[(5, 0xfe), (6, 0xfe)]),
    bits: Bits::B32,
    endian: Endian::Little,
    e_machine: 3,
    header_variants: elf::with_flags(&[0]),
};

pub(super) const RISCV64: Arch = Arch {
    target: "riscv64",
    nix_systems: &["riscv64-linux"],
    oci_platforms: &["linux/riscv64"],
    debian: &["riscv64"],
    uname: &["riscv64"],
    triples: &[
        "riscv64gc-unknown-linux-gnu",
        "riscv64gc-unknown-linux-musl",
        "riscv64-unknown-linux-gnu",
        "riscv64-linux-gnu",
    ],
    aliases: &["riscv64gc", "rv64"],
    magic: &elf::magic(Bits::B64, Endian::Little, 243),
    mask: &elf::mask(Endian::Little),
    bits: Bits::B64,
    endian: Endian::Little,
    e_machine: 243,
    // Double float, with and without compressed instructions; soft float.
    header_variants: elf::with_flags(&[5, 4, 0]),
};

pub(super) const PPC64LE: Arch = Arch {
    target: "ppc64le",
    nix_systems: &["powerpc64le-linux"],
    oci_platforms: &["linux/ppc64le"],
    debian: &["ppc64el"],
    uname: &["ppc64le"],
    triples: &[
        "powerpc64le-unknown-linux-gnu",
        "powerpc64le-unknown-linux-musl",
        "powerpc64le-linux-gnu",
        "ppc64le-linux-gnu",
    ],
    aliases: &["powerpc64el"],
    // Not as QEMU: its mask ends in 00, so the high byte of the machine is not compared and 255 other machines
    // (0x0115, 0x0215, …) match as well. Every table copied that, but Linux and QEMU (`elf_check_arch`;
    // `tests/probes.rs`) require exactly 21, so every program that runs still matches.
    magic: &elf::magic(Bits::B64, Endian::Little, 21),
    mask: &elf::mask(Endian::Little),
    bits: Bits::B64,
    endian: Endian::Little,
    e_machine: 21,
    // ABI version 2.
    header_variants: elf::with_flags(&[2]),
};

pub(super) const S390X: Arch = Arch {
    target: "s390x",
    nix_systems: &["s390x-linux"],
    oci_platforms: &["linux/s390x"],
    debian: &["s390x"],
    uname: &["s390x"],
    triples: &["s390x-unknown-linux-gnu", "s390x-unknown-linux-musl", "s390x-linux-gnu"],
    aliases: &[],
    // 31-bit S/390 has the same machine, but class 32: no row.
    magic: &elf::magic(Bits::B64, Endian::Big, 22),
    mask: &elf::mask(Endian::Big),
    bits: Bits::B64,
    endian: Endian::Big,
    e_machine: 22,
    header_variants: elf::with_flags(&[0]),
};

pub(super) const LOONGARCH64: Arch = Arch {
    target: "loongarch64",
    nix_systems: &["loongarch64-linux"],
    oci_platforms: &["linux/loong64"],
    debian: &["loong64"],
    uname: &["loongarch64"],
    triples: &["loongarch64-unknown-linux-gnu", "loongarch64-unknown-linux-musl", "loongarch64-linux-gnu"],
    aliases: &["loongarch"],
    // As QEMU: OS ABI 0 to 3, any ABI version. QEMU gives no reason. Toolchains write OS ABI 0 and 3, and ABI
    // version 0, so this changes nothing for existing programs.
    magic: &elf::magic(Bits::B64, Endian::Little, 258),
    mask: &elf::mask_but(Endian::Little, &[(7, 0xfc), (8, 0)]),
    bits: Bits::B64,
    endian: Endian::Little,
    e_machine: 258,
    // Object file ABI 1 and 0, double float; soft float.
    header_variants: elf::with_flags(&[0x43, 0x03, 0x41]),
};
