//! The bytes that most rows share.

use crate::arch::HeaderVariants;
use crate::{Bits, Endian};

/// An `ET_EXEC` header from `\x7fELF` to `e_machine`, with OS ABI, ABI version and padding 0.
pub(super) const fn magic(bits: Bits, endian: Endian, e_machine: u16) -> [u8; 20] {
    let mut magic = [0; 20];
    [magic[0], magic[1], magic[2], magic[3]] = *b"\x7fELF";
    [magic[4], magic[5], magic[6]] = [bits as u8, endian as u8, 1];
    match endian {
        Endian::Little => {
            magic[16] = 2;
            [magic[18], magic[19]] = e_machine.to_le_bytes();
        }
        Endian::Big => {
            magic[17] = 2;
            [magic[18], magic[19]] = e_machine.to_be_bytes();
        }
    }
    magic
}

/// Everything but the OS ABI and the lowest bit of `e_type`, as QEMU's script has it for most guests.
pub(super) const fn mask(endian: Endian) -> [u8; 20] {
    let mut mask = [0xff; 20];
    mask[7] = 0;
    match endian {
        Endian::Little => mask[16] = 0xfe,
        Endian::Big => mask[17] = 0xfe,
    }
    mask
}

/// [`mask`] with other values at some places.
#[expect(clippy::indexing_slicing, reason = "evaluated at compile time: a place that is not there is no build")]
pub(super) const fn mask_but(endian: Endian, mut changes: &[(usize, u8)]) -> [u8; 20] {
    let mut mask = mask(endian);
    while let [(at, byte), rest @ ..] = changes {
        mask[*at] = *byte;
        changes = rest;
    }
    mask
}

/// Headers with these `e_flags` and ABI version 0 were seen.
pub(super) const fn with_flags(e_flags: &'static [u32]) -> HeaderVariants {
    HeaderVariants { e_flags, abi_versions: &[0] }
}
