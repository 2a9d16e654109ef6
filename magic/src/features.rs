//! The system features that nixpkgs requires of a builder, by Nix system. Pure.

/// Returns the feature that `stdenv.mkDerivation` of nixpkgs puts into `requiredSystemFeatures` of every derivation for
/// this Nix system: `gccarch-` and the processor that its compiler assumes.
///
/// nixpkgs has it since #403960 (May 2025) for each platform that sets `gcc.arch`
/// (`pkgs/stdenv/generic/make-derivation.nix`, `requiredSystemFeaturesShouldBeSet`), except for `armv8-a` of
/// `aarch64-linux`. The values are those that `select` in `lib/systems/platforms.nix` gives the platform of a system:
///
/// | system | platform | `gcc.arch` |
/// |---|---|---|
/// | armv5tel-linux | `armv5tel-multiplatform`, before `sheevaplug` | armv5te (the newest nixpkgs sets none) |
/// | armv6l-linux | `raspberrypi` | armv6kz |
/// | armv7l-linux, armv7a-linux | `armv7l-hf-multiplatform` | armv7-a |
/// | loongarch64-linux | `loongarch64-multiplatform` | la64v1.0 |
/// | mipsel-linux | `gcc_mips32r2_o32`, by `mipsel-linux-gnu` in `examples.nix` | mips32r2 |
///
/// QEMU's user mode has these instructions without an option: its default processor for ARM has every feature, that
/// for `LoongArch` is `la464`, and that for MIPS is `24Kf`, a MIPS32 release 2 (`cpu_get_model` in
/// `linux-user/*/target_elf.h`).
pub fn required_feature(nix_system: &str) -> Option<&'static str> {
    Some(match nix_system {
        "armv5tel-linux" => "gccarch-armv5te",
        "armv6l-linux" => "gccarch-armv6kz",
        "armv7l-linux" | "armv7a-linux" => "gccarch-armv7-a",
        "loongarch64-linux" => "gccarch-la64v1.0",
        "mipsel-linux" => "gccarch-mips32r2",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::Arch;

    #[test]
    fn features_belong_to_systems_of_the_table() {
        let systems = Arch::ALL.iter().flat_map(|arch| arch.nix_systems);
        let features: BTreeMap<_, _> =
            systems.filter_map(|system| Some((*system, required_feature(system)?))).collect();
        let expected = [
            ("armv5tel-linux", "gccarch-armv5te"),
            ("armv6l-linux", "gccarch-armv6kz"),
            ("armv7a-linux", "gccarch-armv7-a"),
            ("armv7l-linux", "gccarch-armv7-a"),
            ("loongarch64-linux", "gccarch-la64v1.0"),
            ("mipsel-linux", "gccarch-mips32r2"),
        ];
        assert_eq!(features, expected.into());
        assert_eq!(required_feature("aarch64-linux"), None);
    }
}
