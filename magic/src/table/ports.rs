//! Guests of Debian ports, past and present: Alpha, HP PA-RISC, m68k, PowerPC, `SuperH`, SPARC.

use super::elf;
use crate::{Arch, Bits, Endian};

pub(super) const ALPHA: Arch = Arch {
    target: "alpha",
    nix_systems: &["alpha-linux"],
    oci_platforms: &[],
    debian: &["alpha"],
    uname: &["alpha"],
    triples: &["alpha-unknown-linux-gnu", "alpha-linux-gnu"],
    aliases: &[],
    // As QEMU, the lowest bits of byte order and ELF version left out. `EM_ALPHA` is a number of its own making.
    magic: &elf::magic(Bits::B64, Endian::Little, 0x9026),
    mask: &elf::mask_but(Endian::Little, &[(5, 0xfe), (6, 0xfe)]),
    bits: Bits::B64,
    endian: Endian::Little,
    e_machine: 0x9026,
    header_variants: elf::with_flags(&[0]),
};

pub(super) const HPPA: Arch = Arch {
    target: "hppa",
    nix_systems: &["hppa-linux"],
    oci_platforms: &[],
    debian: &["hppa"],
    uname: &["parisc", "parisc64"],
    triples: &["hppa-unknown-linux-gnu", "hppa-linux-gnu"],
    aliases: &["hppa1.1", "pa-risc"],
    // GNU tools always write OS ABI 3 here, so that the byte must not be compared.
    magic: &elf::magic(Bits::B32, Endian::Big, 15),
    mask: &elf::mask(Endian::Big),
    bits: Bits::B32,
    endian: Endian::Big,
    e_machine: 15,
    header_variants: elf::with_flags(&[0x210]),
};

pub(super) const M68K: Arch = Arch {
    target: "m68k",
    nix_systems: &["m68k-linux"],
    oci_platforms: &[],
    debian: &["m68k"],
    uname: &["m68k"],
    triples: &["m68k-unknown-linux-gnu", "m68k-linux-gnu"],
    aliases: &[],
    // As QEMU, the lowest bit of the ELF version left out.
    magic: &elf::magic(Bits::B32, Endian::Big, 4),
    mask: &elf::mask_but(Endian::Big, &[(6, 0xfe)]),
    bits: Bits::B32,
    endian: Endian::Big,
    e_machine: 4,
    header_variants: elf::with_flags(&[0]),
};

pub(super) const PPC: Arch = Arch {
    target: "ppc",
    nix_systems: &["powerpc-linux"],
    oci_platforms: &[],
    debian: &["powerpc"],
    uname: &["ppc"],
    triples: &["powerpc-unknown-linux-gnu", "powerpc-unknown-linux-musl", "powerpc-linux-gnu"],
    aliases: &[],
    magic: &elf::magic(Bits::B32, Endian::Big, 20),
    mask: &elf::mask(Endian::Big),
    bits: Bits::B32,
    endian: Endian::Big,
    e_machine: 20,
    header_variants: elf::with_flags(&[0]),
};

pub(super) const PPC64: Arch = Arch {
    target: "ppc64",
    nix_systems: &["powerpc64-linux"],
    oci_platforms: &["linux/ppc64"],
    debian: &["ppc64"],
    uname: &["ppc64"],
    triples: &["powerpc64-unknown-linux-gnu", "powerpc64-unknown-linux-musl", "powerpc64-linux-gnu"],
    aliases: &[],
    magic: &elf::magic(Bits::B64, Endian::Big, 21),
    mask: &elf::mask(Endian::Big),
    bits: Bits::B64,
    endian: Endian::Big,
    e_machine: 21,
    header_variants: elf::with_flags(&[1, 2]),
};

pub(super) const SH4: Arch = Arch {
    target: "sh4",
    nix_systems: &["sh4-linux"],
    oci_platforms: &[],
    debian: &["sh4"],
    uname: &["sh4", "sh4a"],
    triples: &["sh4-unknown-linux-gnu", "sh4-linux-gnu"],
    aliases: &[],
    magic: &elf::magic(Bits::B32, Endian::Little, 42),
    mask: &elf::mask(Endian::Little),
    bits: Bits::B32,
    endian: Endian::Little,
    e_machine: 42,
    header_variants: elf::with_flags(&[0x9, 0xc]),
};

pub(super) const SPARC: Arch = Arch {
    target: "sparc",
    nix_systems: &["sparc-linux"],
    oci_platforms: &[],
    debian: &["sparc"],
    uname: &["sparc"],
    triples: &["sparc-unknown-linux-gnu", "sparc-linux-gnu"],
    aliases: &[],
    // 32-bit programs for v8. NixOS has these very bytes for sparc64-linux.
    magic: &elf::magic(Bits::B32, Endian::Big, 2),
    mask: &elf::mask(Endian::Big),
    bits: Bits::B32,
    endian: Endian::Big,
    e_machine: 2,
    header_variants: elf::with_flags(&[0]),
};

pub(super) const SPARC32PLUS: Arch = Arch {
    target: "sparc32plus",
    nix_systems: &[],
    oci_platforms: &[],
    debian: &[],
    uname: &[],
    triples: &[],
    aliases: &["sparcv8plus", "v8plus"],
    // 32-bit programs that use v9 instructions (`EM_SPARC32PLUS`); their kernel is a sparc64 one. QEMU's `sparc` also
    // loads them, but its script gives them to this one.
    magic: &elf::magic(Bits::B32, Endian::Big, 18),
    mask: &elf::mask(Endian::Big),
    bits: Bits::B32,
    endian: Endian::Big,
    e_machine: 18,
    header_variants: elf::with_flags(&[0x100, 0x300]),
};

pub(super) const SPARC64: Arch = Arch {
    target: "sparc64",
    nix_systems: &["sparc64-linux"],
    oci_platforms: &[],
    debian: &["sparc64"],
    uname: &["sparc64"],
    triples: &["sparc64-unknown-linux-gnu", "sparc64-linux-gnu"],
    aliases: &["sparcv9"],
    // As QEMU: class 64, `EM_SPARCV9`.
    magic: &elf::magic(Bits::B64, Endian::Big, 43),
    mask: &elf::mask(Endian::Big),
    bits: Bits::B64,
    endian: Endian::Big,
    e_machine: 43,
    header_variants: elf::with_flags(&[0x202, 2, 0]),
};
