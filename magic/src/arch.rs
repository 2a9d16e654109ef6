//! A guest architecture: one row of the [table](Arch::ALL) with its names, its pattern and values of its ELF headers.

use crate::{Pattern, UnknownSystem, names, probe, table};

/// A guest of QEMU's user-mode emulation: one `qemu-<target>` program, one rule.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Arch {
    /// QEMU's name of the guest; the emulator is called `qemu-<target>`.
    pub target: &'static str,
    /// Nix's names of the systems whose programs it runs (`lib/systems/doubles.nix` of nixpkgs).
    pub nix_systems: &'static [&'static str],
    /// OCI platforms, beginning with `linux/<GOARCH>` (Go's `internal/syslist`, containerd's `platforms`).
    pub oci_platforms: &'static [&'static str],
    /// Debian's architectures (`dpkg-architecture -L`, Debian ports).
    pub debian: &'static [&'static str],
    /// Output of `uname -m` on machines that run these programs natively. It is not always unique: MIPS, `MicroBlaze`
    /// and Xtensa kernels print the same in both byte orders.
    pub uname: &'static [&'static str],
    /// GNU, Debian multiarch and Rust triples.
    pub triples: &'static [&'static str],
    /// Other spellings in use
    pub aliases: &'static [&'static str],
    /// First bytes of its programs, at offset 0
    pub magic: &'static [u8],
    /// Mask of the bits of `magic` that are compared
    pub mask: &'static [u8],
    /// The ELF class of its programs.
    pub bits: Bits,
    /// The byte order of its programs.
    pub endian: Endian,
    /// The machine number that today's toolchains write into its programs.
    pub e_machine: u16,
    /// Flags and ABI versions seen in its programs, for [`Arch::headers`].
    pub(crate) header_variants: HeaderVariants,
}

/// `EI_CLASS` of an ELF file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bits {
    /// `ELFCLASS32`.
    B32 = 1,
    /// `ELFCLASS64`.
    B64 = 2,
}

/// `EI_DATA` of an ELF file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endian {
    /// `ELFDATA2LSB`.
    Little = 1,
    /// `ELFDATA2MSB`.
    Big = 2,
}

/// Other values that toolchains write into the headers of a row's programs.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct HeaderVariants {
    pub(crate) e_flags: &'static [u32],
    pub(crate) abi_versions: &'static [u8],
}

impl Arch {
    /// Every guest of Debian's qemu-user 10.0.13, most used first.
    pub const ALL: &'static [Self] = &table::ROWS;

    /// Finds the row whose QEMU target has exactly this name.
    pub fn by_target(target: &str) -> Option<&'static Self> {
        Self::ALL.iter().find(|arch| arch.target == target)
    }

    /// Finds a row by any of its names, in upper or lower case: QEMU's target or program, Nix system with or
    /// without `-linux`, Debian architecture, OCI platform or GOARCH, `uname -m`, GNU, multiarch or Rust triple.
    ///
    /// Targets of QEMU take precedence: `mips64` is the big-endian guest, although little-endian machines use that name
    /// too.
    pub fn find(name: &str) -> Result<&'static Self, UnknownSystem> {
        names::find(name)
    }

    /// Finds the row of a machine's native programs by its output of `uname -m`.
    ///
    /// If that does not determine the byte order, the row has the byte order for which this crate was compiled.
    pub fn of_host(uname_machine: &str) -> Option<&'static Self> {
        let own = if cfg!(target_endian = "big") { Endian::Big } else { Endian::Little };
        let named = || Self::ALL.iter().filter(|arch| arch.uname.contains(&uname_machine));
        named().find(|arch| arch.endian == own).or_else(|| named().next())
    }

    /// Returns every name by which [`find`](Self::find) finds this row, the target first.
    pub fn names(&'static self) -> Vec<&'static str> {
        names::names_of(self)
    }

    /// Returns the pattern of its programs.
    pub fn pattern(&self) -> Pattern {
        Pattern::of_row(self.magic, self.mask)
    }

    /// A static ELF program of less than 512 bytes that writes the first 16 bytes at its `argv[0]` to standard
    /// output and exits with 0. Every guest has one now; a new row may lack one.
    pub fn probe(&self) -> Option<&'static [u8]> {
        probe::find_probe(self.target)
    }

    /// First bytes of programs as real toolchains write them: `ET_EXEC` and `ET_DYN`, OS ABI 0 and 3 (which `IFUNC`
    /// brings), with every `e_flags` and ABI version that was seen.
    pub fn headers(&self) -> Vec<Vec<u8>> {
        let mut headers = Vec::new();
        for &e_flags in self.header_variants.e_flags {
            for &abi_version in self.header_variants.abi_versions {
                for (os_abi, e_type) in [(0, 2), (0, 3), (3, 2), (3, 3)] {
                    headers.push(self.header(e_type, os_abi, abi_version, e_flags));
                }
            }
        }
        headers
    }

    /// The part of an ELF header up to and with `e_flags`; entry point and offsets are left 0.
    fn header(&self, e_type: u16, os_abi: u8, abi_version: u8, e_flags: u32) -> Vec<u8> {
        let mut header = b"\x7fELF".to_vec();
        header.extend([self.bits as u8, self.endian as u8, 1, os_abi, abi_version]);
        header.resize(16, 0);
        header.extend(self.half(e_type));
        header.extend(self.half(self.e_machine));
        header.extend(self.word(1));
        header.resize(if self.bits == Bits::B64 { 48 } else { 36 }, 0);
        header.extend(self.word(e_flags));
        header
    }

    fn half(&self, value: u16) -> [u8; 2] {
        if self.endian == Endian::Big { value.to_be_bytes() } else { value.to_le_bytes() }
    }

    fn word(&self, value: u32) -> [u8; 4] {
        if self.endian == Endian::Big { value.to_be_bytes() } else { value.to_le_bytes() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_the_33_guests_of_debian() {
        let mut targets: Vec<_> = Arch::ALL.iter().map(|arch| arch.target).collect();
        targets.sort_unstable();
        assert_eq!(
            targets.join(" "),
            "aarch64 aarch64_be alpha arm armeb hexagon hppa i386 loongarch64 m68k microblaze microblazeel mips \
             mips64 mips64el mipsel mipsn32 mipsn32el or1k ppc ppc64 ppc64le riscv32 riscv64 s390x sh4 sh4eb sparc \
             sparc32plus sparc64 x86_64 xtensa xtensaeb"
        );
    }

    #[test]
    fn every_row_is_a_pattern_within_the_kernels_limits() {
        for arch in Arch::ALL {
            assert_eq!(Pattern::new(0, arch.magic, Some(arch.mask.to_vec())), Ok(arch.pattern()));
        }
    }

    #[test]
    fn each_header_is_matched_by_its_row_alone() {
        for arch in Arch::ALL {
            assert!(arch.headers().len() >= 4);
            for header in arch.headers() {
                let rows: Vec<_> = Arch::ALL.iter().filter(|row| row.pattern().matches(&header)).collect();
                assert_eq!(rows.iter().map(|row| row.target).collect::<Vec<_>>(), [arch.target]);
            }
        }
    }

    #[test]
    fn hosts_are_told_by_uname() {
        let target = |uname| Arch::of_host(uname).map(|arch| arch.target);
        assert_eq!(target("x86_64"), Some("x86_64"));
        assert_eq!(target("i686"), Some("i386"));
        assert_eq!(target("armv8l"), Some("arm"));
        assert_eq!(target("ppc64le"), Some("ppc64le"));
        let mips64 = if cfg!(target_endian = "big") { "mips64" } else { "mips64el" };
        assert_eq!(target("mips64"), Some(mips64));
        assert_eq!(target("vax"), None);
    }
}
