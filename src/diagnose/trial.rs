//! Runs a probe of a system, in an empty chroot and outside.

use binfmt_magic::Arch;

use crate::binfmt::probe;
use crate::binfmt::probe::isolated::{self, Isolation};
use crate::binfmt::probe::{ProbeOutput, ProbeProgram, ProbeResult};

/// The results of a system's probe.
#[derive(Debug)]
pub struct Trial {
    /// The result in an empty chroot.
    pub in_chroot: ProbeResult,
    /// The result outside; `None` if the probe ran in the chroot, because then it runs outside, too.
    pub direct: Option<ProbeResult>,
}

impl Trial {
    /// Runs the probe in a chroot, and outside only if that fails.
    pub fn run(arch: &Arch) -> Self {
        let in_chroot = isolated::run_isolated(Isolation::Chroot, arch);
        let direct = (!matches!(in_chroot, ProbeResult::Ran(_))).then(|| probe::run_direct(arch));
        Self { in_chroot, direct }
    }

    /// Returns the program that ran the probe.
    pub fn program(&self) -> Option<&ProbeProgram> {
        [Some(&self.in_chroot), self.direct.as_ref()].into_iter().flatten().find_map(|result| match result {
            ProbeResult::Ran(ProbeOutput { program, .. }) => program.as_ref(),
            _ => None,
        })
    }
}
