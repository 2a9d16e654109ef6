//! Proves that Nix builds for a system, by a build.

use binfmt_magic::Arch;

use super::{Proof, Verdict, What};
use crate::host::Host;
use crate::nix::build::{Built, build};

/// Builds a derivation for a system.
pub(super) fn prove(host: &Host, arch: &Arch) -> Proof {
    let built = match (arch.nix_systems.first(), arch.probe()) {
        _ if !host.is_live() => Built::Untried("--root is about another machine than the one whose Nix this is".into()),
        (Some(system), Some(probe)) => build(host, system, probe),
        _ => Built::Untried("Nix has no name for this system".into()),
    };
    let (result, text, repair) = judge(built, arch.target);
    Proof { what: What::Nix, result, text, repair }
}

fn judge(built: Built, system: &str) -> (Verdict, String, Option<String>) {
    let what = What::Nix;
    match built {
        Built::Ran { in_sandbox: false, .. } => (
            Verdict::Untried,
            format!("{what}: it ran, but whether in a sandbox is for the nix-daemon to say, which does not trust you"),
            Some(format!("as root: sudo binfmt-nix test {system} --nix")),
        ),
        Built::Ran { keeps_argv0: true, .. } => (Verdict::Proven, "Nix built with it, in its sandbox".into(), None),
        Built::Ran { keeps_argv0: false, .. } => {
            (Verdict::Proven, "Nix built with it, in its sandbox (its argv[0] was lost)".into(), None)
        }
        Built::Refused(said) => (
            Verdict::Failed,
            format!("{what}: Nix does not build for it: {said}"),
            Some(format!("sudo binfmt-nix register {system} (and restart the nix-daemon, if register asks for it)")),
        ),
        Built::Failed(said) => (
            Verdict::Failed,
            format!("{what}: {said}"),
            Some(format!("see the other lines first; then: sudo binfmt-nix register {system} --force")),
        ),
        Built::Untried(why) => (Verdict::Untried, format!("{what} could not be tried: {why}"), None),
    }
}
