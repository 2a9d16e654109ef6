//! Detects a cross build in a log, and explains why the binary cache has nothing for it (discourse.nixos.org 35398).
//!
//! Only evidence counts, not the word `hostPlatform`, which every package of nixpkgs has in its source: a command that
//! requests a cross build, derivations to build with the triple of another system in their names, or a build platform
//! that differs from the host platform.

use binfmt_magic::Arch;

use crate::diagnose::doctor::messages::catalog::{KnownMessage, Remedy};
use crate::diagnose::doctor::messages::pattern;
use crate::diagnose::doctor::messages::systems::{find_systems, triple_in};
use crate::diagnose::doctor::messages::text::MessageText;

/// The message about a cross build. It is not an error: the machine builds everything from source.
pub const CROSS: KnownMessage = KnownMessage {
    id: "cross-build",
    printed_by: "Nix",
    of_nix: true,
    patterns: &[],
    meaning: "this is a cross build: buildPlatform is not hostPlatform (pkgsCross, crossSystem; a triple in the names of \
              derivations). A cross-built program has another derivation and hash than the native one. The binary cache \
              has what Hydra built natively, on real hardware, and almost no cross builds, so even the compiler is built \
              first. With emulation Nix evaluates the native package (system = {nix}), whose derivations are the ones in \
              the cache: it downloads them, and builds under QEMU only what is missing there",
    checks: &[
        "nix-not-told",
        "nix-promises-too-much",
        "entry-gone",
        "not-mounted",
        "switched-off",
        "daemon-not-restarted",
    ],
    remedy: Remedy::Register,
    next_steps: &[
        "nix build --extra-experimental-features 'nix-command flakes' nixpkgs#legacyPackages.{nix}.hello   # not pkgsCross",
        "nix build --extra-experimental-features 'nix-command flakes' .#packages.{nix}.default   # of a flake",
        "nix-build --argstr system {nix}   # of a default.nix",
    ],
    ..KnownMessage::EMPTY
};

/// Evidence of a cross build.
pub(super) struct CrossBuild {
    /// The system whose programs are built, if the text names it.
    pub(super) wanted: Option<&'static Arch>,
    /// Whether derivations with its triple are the only evidence. On a machine of that system, the triple is its own.
    pub(super) by_triple: bool,
}

/// Finds evidence of a cross build.
pub(super) fn find_cross_build(raw: &str, text: &MessageText) -> Option<CrossBuild> {
    let is_requested = ["pkgscross", "crosssystem"].iter().any(|word| text.contains(word));
    if is_requested {
        return Some(CrossBuild { wanted: find_systems(raw).into_iter().next(), by_triple: false });
    }
    if let Some(wanted) = differing_platforms(text) {
        return Some(CrossBuild { wanted: Some(wanted), by_triple: false });
    }
    let lists = pattern::find_all("<:lists>", text).next().is_some();
    let words = raw.split(|c: char| c.is_whitespace() || "'\"‘’".contains(c));
    let wanted = words.filter(|_| lists).find_map(cross_derivation)?;
    Some(CrossBuild { wanted: Some(wanted), by_triple: true })
}

/// Finds `buildPlatform` and `hostPlatform` with different systems: returns the latter.
fn differing_platforms(text: &MessageText) -> Option<&'static Arch> {
    let system_of = |name: &str| {
        let at = text.find_within(name, 0, usize::MAX)?.saturating_add(name.len());
        let value: String = text.text.get(at..)?.chars().take(60).collect();
        // Its system, or the attributes of the platform.
        let value = value.split(';').next()?.split_once('=')?.1.to_owned();
        find_systems(&value).into_iter().next()
    };
    let (build, host) = (system_of("buildplatform")?, system_of("hostplatform")?);
    (build.target != host.target).then_some(host)
}

/// Returns the system of a derivation of a cross build: nixpkgs puts the triple before the version of the package, or,
/// for a compiler, at the beginning. The archives of Rust have a triple too, at their end.
fn cross_derivation(word: &str) -> Option<&'static Arch> {
    let name = word.strip_prefix("/nix/store/")?.strip_suffix(".drv")?;
    let (arch, rest) = triple_in(name)?;
    let is_archive = [".tar", ".zip", ".crate", ".gz", ".xz"].iter().any(|end| rest.contains(end));
    (!is_archive).then_some(arch)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(raw: &str) -> Option<&'static str> {
        let found = find_cross_build(raw, &MessageText::new(raw))?;
        Some(found.wanted.map_or("", |arch| arch.target))
    }

    #[test]
    fn only_evidence_counts() {
        assert_eq!(wanted("nix build nixpkgs#pkgsCross.aarch64-multiplatform.hello"), Some("aarch64"));
        assert_eq!(wanted("import <nixpkgs> { crossSystem = x; }"), Some(""));
        let platforms =
            "nixpkgs.buildPlatform.system = \"x86_64-linux\";\nnixpkgs.hostPlatform.system = \"aarch64-linux\";";
        assert_eq!(wanted(platforms), Some("aarch64"));
        assert_eq!(wanted(&platforms.replace("x86_64", "aarch64")), None);
        assert_eq!(wanted("error: attribute 'hostPlatform' missing, buildPlatform is"), None);
        let list = "this derivation will be built:\n  /nix/store/0q-";
        assert_eq!(wanted(&format!("{list}riscv64-unknown-linux-gnu-gcc-13.drv")), Some("riscv64"));
        assert_eq!(wanted(&format!("{list}fs.img-aarch64-unknown-linux-gnu.drv")), Some("aarch64"));
        assert_eq!(wanted(&format!("{list}cargo-1.81-aarch64-unknown-linux-gnu.tar.gz.drv")), None);
        assert_eq!(wanted(&format!("{list}hello-2.12.drv")), None);
        assert_eq!(wanted("/nix/store/0q-hello-aarch64-unknown-linux-gnu-2.12.drv is a file"), None);
    }
}
