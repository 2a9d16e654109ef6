//! Probe programs: tiny static ELF files, one a guest.
//!
//! Each writes the 16 bytes at its `argv[0]` to standard output and exits with 0, by Linux system calls alone, so
//! that it runs in an empty chroot and shows at once whether a guest's programs run and keep their name. The bytes
//! are made from the assembly beside them by `probes/build`; `tests/probes.rs` runs each under the real QEMU.

pub(crate) fn of(target: &str) -> Option<&'static [u8]> {
    PROBES.iter().find(|probe| probe.0 == target).map(|probe| probe.1)
}

const PROBES: &[(&str, &[u8])] = &[];
