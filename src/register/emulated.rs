//! Systems that another emulator than QEMU runs, and which are registered as rules with names of this tool. Pure.

use binfmt_magic::{Arch, Flags, OtherSystem, Pattern};

/// A system, by the name of its rule.
#[derive(Debug, Clone, Copy)]
pub enum EmulatedSystem {
    /// A system that QEMU does not run. The rule has its name.
    Other(&'static OtherSystem),
    /// A system of Linux that QEMU runs, too: `box64-x86_64`.
    Linux(&'static LinuxEmulator, &'static Arch),
}

/// An emulator of Linux programs, other than QEMU.
#[derive(Debug)]
pub struct LinuxEmulator {
    /// Name for `--emulator`, and first part of the rule's name.
    pub name: &'static str,
    /// Names of its file.
    pub files: &'static [&'static str],
    /// Directories that only this emulator is in.
    pub dirs: &'static [&'static str],
    /// A text in its answer to `--version`, in small letters.
    pub answer: &'static str,
    /// QEMU targets of its systems, as far as its publisher names them.
    pub targets: &'static [&'static str],
    /// Whether it needs flags O and P. Flags F and C depend on its file and on the user.
    needs_file: bool,
    /// What it needs, as a note about its rule.
    pub needs: &'static str,
}

/// All of them. Flags: Debian's `box64.conf`; FEX's binfmt_misc files (POCF); Apple, "Running Intel Binaries in Linux VMs with
/// Rosetta" (OCF).
pub const LINUX_EMULATORS: &[LinuxEmulator] = &[
    LinuxEmulator {
        name: "box64",
        files: &["box64"],
        dirs: &[],
        answer: "box64",
        targets: &["x86_64"],
        needs_file: false,
        needs: "box64 uses libraries of this machine",
    },
    LinuxEmulator {
        name: "fex",
        files: &["FEX", "FEXInterpreter"],
        dirs: &[],
        answer: "fex",
        targets: &["x86_64", "i386"],
        needs_file: true,
        needs: "FEX looks for x86 libraries in its RootFS (FEXRootFSFetcher)",
    },
    LinuxEmulator {
        name: "rosetta",
        files: &["rosetta"],
        dirs: &["/media/rosetta", "/run/rosetta", "/mnt/rosetta"],
        answer: "rosetta",
        targets: &["x86_64"],
        needs_file: false,
        needs: "Rosetta is a share of the virtual machine, which has to be mounted before the boot rules are read (fstab)",
    },
];

impl EmulatedSystem {
    /// Finds the system whose rule has this name.
    pub fn of_rule(name: &str) -> Option<Self> {
        if let Some(system) = OtherSystem::find(name) {
            return Some(Self::Other(system));
        }
        let (emulator, target) = name.split_once('-')?;
        let emulator = LINUX_EMULATORS.iter().find(|known| known.name == emulator)?;
        Arch::by_target(target).map(|arch| Self::Linux(emulator, arch))
    }

    /// Lists a system of Linux with every emulator. The probe shows whether one runs it.
    pub fn list_linux(arch: &'static Arch) -> impl Iterator<Item = Self> {
        LINUX_EMULATORS.iter().map(move |emulator| Self::Linux(emulator, arch))
    }

    /// Name of the system for `register`.
    pub fn system(self) -> &'static str {
        match self {
            Self::Other(system) => system.name,
            Self::Linux(_, arch) => arch.target,
        }
    }

    /// Name of the rule.
    pub fn rule_name(self) -> String {
        match self {
            Self::Other(system) => system.name.to_owned(),
            Self::Linux(emulator, arch) => format!("{}-{}", emulator.name, arch.target),
        }
    }

    /// Names of the system in Nix.
    pub fn nix_systems(self) -> &'static [&'static str] {
        match self {
            Self::Other(system) => std::slice::from_ref(&system.name),
            Self::Linux(_, arch) => arch.nix_systems,
        }
    }

    /// Pattern of the system's programs.
    pub fn pattern(self) -> Pattern {
        match self {
            Self::Other(system) => system.pattern(),
            Self::Linux(_, arch) => arch.pattern(),
        }
    }

    /// The program that proves the rule, and the exit status by which it does.
    pub fn probe(self) -> (&'static [u8], i32) {
        match self {
            Self::Other(system) => (system.probe, OtherSystem::PROBE_STATUS),
            Self::Linux(_, arch) => (arch.probe().unwrap_or_default(), 0),
        }
    }

    /// Flags of the rule, without F and C.
    pub fn flags(self) -> Flags {
        match self {
            Self::Linux(emulator, _) if emulator.needs_file => {
                Flags { preserve_argv0: true, open_binary: true, ..Flags::default() }
            }
            Self::Linux(..) | Self::Other(_) => Flags::default(),
        }
    }

    /// Whether the emulator may have printed this answer to `--version`, in small letters.
    pub fn knows_answer(self, answer: &str) -> bool {
        match self {
            // "wine-8.0", "/usr/bin/wasmedge version 0.14.1"
            Self::Other(system) => {
                let line = answer.lines().next().unwrap_or_default();
                system.emulators.iter().any(|name| line.contains(name.trim_end_matches("64")))
            }
            Self::Linux(emulator, _) => answer.contains(emulator.answer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_is_found_by_the_name_of_its_rule() {
        let others = OtherSystem::ALL.iter().map(EmulatedSystem::Other);
        let all: Vec<_> = others.chain(Arch::ALL.iter().flat_map(EmulatedSystem::list_linux)).collect();
        assert_eq!(all.len(), OtherSystem::ALL.len() + LINUX_EMULATORS.len() * Arch::ALL.len());
        for system in all {
            let name = system.rule_name();
            let found = EmulatedSystem::of_rule(&name).map(EmulatedSystem::rule_name);
            assert_eq!(found.as_deref(), Some(name.as_str()));
            assert!(system.pattern().matches(system.probe().0), "{name}");
        }
        for (name, answer, is_known) in [
            ("wasm32-wasi", "wasmtime 49.0.3 (f96eabaa1 2026-10-14)", true),
            ("wasm32-wasi", "/usr/bin/wasmedge version 0.14.1\n (plugin \"wasi_logging\") version 0.1.0.0", true),
            ("i686-windows", "wine-10.0 (debian 10.0~repack-6)", true),
            ("box64-x86_64", "[box64] box64 with dynarec v0.3.4 nogit built on apr 24 2025", true),
            ("wasm32-wasi", "true (gnu coreutils) 9.1\nwasmtime", false),
            ("fex-x86_64", "box64", false),
        ] {
            let system = EmulatedSystem::of_rule(name);
            assert_eq!(system.map(|system| system.knows_answer(answer)), Some(is_known), "{answer}");
        }
        for name in ["box64", "box64-arm64", "fex-", "x86_64", "wasm32", "qemu-arm"] {
            assert!(EmulatedSystem::of_rule(name).is_none(), "{name}");
        }
    }
}
