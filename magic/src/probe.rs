//! Probe programs: tiny static ELF files, one for each guest.
//!
//! Each writes the 16 bytes at its `argv[0]` to standard output, makes the directory that `argv[1]` names, if it has
//! one, and exits with 0, by Linux system calls alone. So it runs in an empty chroot and shows at once whether a
//! guest's programs run and keep their name, and it can be the builder of a derivation. The bytes are made from the
//! assembly beside them by `probes/build`; `tests/probes.rs` runs each under the real QEMU.

macro_rules! probes {
    ($($target:literal)*) => {
        &[$(($target, include_bytes!(concat!("../probes/", $target, ".elf")))),*]
    };
}

const PROBES: &[(&str, &[u8])] = probes! {
    "aarch64" "aarch64_be" "alpha" "arm" "armeb" "hexagon" "hppa" "i386" "loongarch64" "m68k" "microblaze"
    "microblazeel" "mips" "mips64" "mips64el" "mipsel" "mipsn32" "mipsn32el" "or1k" "ppc" "ppc64" "ppc64le" "riscv32"
    "riscv64" "s390x" "sh4" "sh4eb" "sparc" "sparc32plus" "sparc64" "x86_64" "xtensa" "xtensaeb"
};

pub(crate) fn find_probe(target: &str) -> Option<&'static [u8]> {
    PROBES.iter().find(|probe| probe.0 == target).map(|probe| probe.1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Arch, Bits, Endian};

    #[test]
    fn every_probe_is_small_and_of_its_row_alone() {
        for (target, probe) in PROBES {
            assert!(probe.len() < 512, "{target}");
            let rows = Arch::ALL.iter().filter(|row| row.pattern().matches(probe));
            assert_eq!(rows.map(|row| row.target).collect::<Vec<_>>(), [*target]);
        }
    }

    #[test]
    fn the_segment_is_the_whole_file_and_fits_every_page_size() {
        for (target, probe) in PROBES {
            let arch = Arch::by_target(target).unwrap();
            let number = |at: usize, size: usize| {
                let digits = probe[at..at + size].iter();
                let value = |value, digit: &u8| value << 8 | u64::from(*digit);
                if arch.endian == Endian::Big { digits.fold(0, value) } else { digits.rev().fold(0, value) }
            };
            let [size, in_memory, flags, align] = match arch.bits {
                Bits::B64 => [number(96, 8), number(104, 8), number(68, 4), number(112, 8)],
                Bits::B32 => [number(68, 4), number(72, 4), number(76, 4), number(80, 4)],
            };
            let whole = probe.len() as u64;
            assert_eq!([size, in_memory, flags, align], [whole, whole, 5, 0x10000], "{target}");
        }
    }

    #[test]
    fn every_guest_has_one() {
        assert!(Arch::ALL.iter().all(|arch| find_probe(arch.target).is_some()));
        assert_eq!(PROBES.len(), Arch::ALL.len());
    }
}
