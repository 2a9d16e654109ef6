//! Detects a cross build in a log, and explains why the binary cache has nothing for it (discourse.nixos.org 35398).

use crate::diagnose::doctor::messages::catalog::KnownMessage;
use crate::diagnose::doctor::messages::systems::find_triple;

/// The message about a cross build. It is not an error: the machine builds everything from source.
pub const CROSS: KnownMessage = KnownMessage {
    id: "cross-build",
    printed_by: "Nix",
    wordings: &[],
    meaning: "this is a cross build: buildPlatform is not hostPlatform (pkgsCross, crossSystem; a triple in the names of \
            derivations). A cross-built program has another derivation and hash than the native one. The binary cache has what \
            Hydra built natively, on real hardware, and almost no cross builds, so even the compiler is built first. With \
            emulation Nix evaluates the native package (system = {nix}), whose derivations are the ones in the cache: it \
            downloads them, and builds under QEMU only what is missing there",
    checks: &[
        "nix-not-told",
        "nix-promises-too-much",
        "entry-gone",
        "not-mounted",
        "switched-off",
        "daemon-not-restarted",
    ],
    fallback: &["{register}"],
    next_steps: &[
        "nix build nixpkgs#legacyPackages.{nix}.hello   # not pkgsCross",
        "nix build .#packages.{nix}.default             # of a flake",
        "nix-build --argstr system {nix}                # of a default.nix",
    ],
    covers: &[],
};

/// Whether the text has words of cross compilation, or a list of derivations to build with a triple in their names.
pub(super) fn is_cross_build(text: &str, flat: &str) -> bool {
    let words = ["pkgscross", "crosssystem", "--arg crosssystem", "buildplatform", "hostplatform"];
    let has_cross_words = words.iter().any(|word| flat.contains(word));
    let lists = ["will be built", "building '/nix/store/", "would be built"].iter().any(|word| flat.contains(word));
    has_cross_words || (lists && text.split(|c: char| c.is_whitespace() || c == '\'').any(is_cross_derivation))
}

fn is_cross_derivation(word: &str) -> bool {
    word.starts_with("/nix/store/") && word.contains(".drv") && find_triple(word).is_some()
}
