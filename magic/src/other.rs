//! Systems that QEMU does not run, by the names that Nix has: WebAssembly and Windows.
//!
//! The rows are those of NixOS (`nixos/lib/binfmt-magics.nix`, 8bccf164c099), with one difference: the magic of
//! WebAssembly has the version, so that a file of another version is not matched.

use crate::Pattern;

/// A system that QEMU does not run.
#[derive(Debug)]
pub struct OtherSystem {
    /// Name in Nix, and of the entry.
    pub name: &'static str,
    /// First bytes of the programs.
    pub magic: &'static [u8],
    /// Program that ends with [`PROBE_STATUS`](Self::PROBE_STATUS), and does nothing else.
    pub probe: &'static [u8],
    /// Commands that run the programs, in the order in which they are tried.
    pub emulators: &'static [&'static str],
}

const WASM: &[u8] = b"\0asm\x01\0\0\0";
const WASM_EMULATORS: &[&str] = &["wasmtime", "wasmer", "wasmedge"];

macro_rules! row {
    ($name:literal $magic:expr, $emulators:expr) => {
        OtherSystem {
            name: $name,
            magic: $magic,
            probe: include_bytes!(concat!("../probes/", $name, ".bin")),
            emulators: $emulators,
        }
    };
}

impl OtherSystem {
    /// All rows.
    pub const ALL: &'static [Self] = &[
        row!("wasm32-wasi" WASM, WASM_EMULATORS),
        row!("wasm64-wasi" WASM, WASM_EMULATORS),
        row!("x86_64-windows" b"MZ", &["wine", "wine64"]),
        row!("i686-windows" b"MZ", &["wine"]),
    ];

    /// Exit status of a probe.
    pub const PROBE_STATUS: i32 = 41;

    /// Finds the row with this name.
    pub fn find(name: &str) -> Option<&'static Self> {
        Self::ALL.iter().find(|system| system.name == name)
    }

    /// Returns the pattern of the programs.
    pub fn pattern(&self) -> Pattern {
        Pattern::without_mask(self.magic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Arch;

    #[test]
    fn every_probe_is_small_and_of_its_magic_alone() {
        for system in OtherSystem::ALL {
            assert!(system.probe.len() < 300 && system.pattern().matches(system.probe), "{}", system.name);
            assert!(Arch::ALL.iter().all(|arch| !arch.pattern().matches(system.probe)));
            assert!(Arch::find(system.name).is_err() && OtherSystem::find(system.name).is_some());
        }
    }

    #[test]
    fn modules_of_other_versions_are_not_matched() {
        let pattern = OtherSystem::ALL[0].pattern();
        assert!(pattern.matches(b"\0asm\x01\0\0\0\x01"));
        // Version 2 does not exist; a component has version 13 and layer 1.
        for head in [&b"\0asm\x02\0\0\0"[..], b"\0asm\x0d\0\x01\0", b"\0asm"] {
            assert!(!pattern.matches(head), "{head:?}");
        }
    }
}
