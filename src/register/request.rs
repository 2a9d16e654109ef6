//! Requests: what the user asked for, typed and validated, without types of clap.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use binfmt_magic::{Arch, Rule};

use crate::accelerate::bundle::BundleFile;
use crate::qemu::download::Network;
use crate::qemu::obtain::source::Source;
use crate::register::acceleration::{self, AcceleratedTool};
use crate::sorted;

/// Request of `register SYSTEM…`.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "independent choices of the user")]
pub struct RegisterRequest {
    /// Requested systems, each once.
    pub systems: Vec<&'static Arch>,
    /// Requested own rules by name, with the logical paths of their interpreters.
    pub rules: BTreeMap<String, Rule>,
    /// Files that are run to prove the rules that take them.
    pub tests: Vec<PathBuf>,
    /// Whether the user asked for `all`. If so, systems that the host runs natively and systems with a conflict are skipped
    /// instead of failing the command.
    pub all: bool,
    /// Source of the emulators.
    pub source: Source,
    /// Permitted use of the network for the emulators.
    pub network: Network,
    /// Whether entries get flag C: foreign setuid programs then run with their owner's rights, and so does QEMU.
    pub credentials: bool,
    /// Whether Nix is configured.
    pub nix: NixChoice,
    /// Whether a boot file is written.
    pub persist: bool,
    /// Whether to register even if another tool's entry handles the system.
    pub force: bool,
    /// What happens to the systems that this tool has registered and that are not requested.
    pub others: OtherSystems,
}

/// Hint for an entry of another tool that cannot be used.
pub const FORCE_HINT: &str = "use --force (for apply: force = true) to register above it; the existing entry is kept";

/// What a registration does with registered systems that it was not asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtherSystems {
    /// They stay, and Nix stays configured for systems that it was configured for.
    Keep,
    /// They are removed, and with [`NixChoice::No`] so is the configuration of Nix.
    Remove,
}

impl RegisterRequest {
    /// Whether anything is requested.
    pub fn is_wanted(&self) -> bool {
        !self.systems.is_empty() || !self.rules.is_empty()
    }

    /// Returns the request to remove every system that is not requested here.
    pub fn removal_of_others(&self, registered_rules: &BTreeSet<String>) -> UnregisterRequest {
        let is_other = |arch: &&'static Arch| !self.systems.iter().any(|wanted| wanted.target == arch.target);
        let systems = Arch::ALL.iter().filter(is_other).collect();
        // The rules of accelerated programs end with their system.
        let is_other = |name: &&String| !self.rules.contains_key(*name) && acceleration::system_of_rule(name).is_none();
        let rules = sorted::set(registered_rules.iter().filter(is_other).cloned());
        UnregisterRequest { systems, rules, all: true, by_watcher: false }
    }
}

/// Choice whether Nix is configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NixChoice {
    /// Configure Nix if it is found on the machine.
    Auto,
    /// Configure Nix in any case.
    Yes,
    /// Do not configure Nix.
    No,
}

/// Request of `enable SYSTEM…` and `disable SYSTEM…`.
#[derive(Debug, Clone)]
pub struct SwitchRequest {
    /// Requested systems, each once.
    pub systems: Vec<&'static Arch>,
    /// Whether the user asked for `all`. If so, systems that are not registered are skipped.
    pub all: bool,
    /// Whether the systems are turned on.
    pub enable: bool,
}

/// Request of `upgrade SYSTEM…` and `rollback SYSTEM…`.
#[derive(Debug, Clone)]
pub struct UpgradeRequest {
    /// Requested systems, each once.
    pub systems: Vec<&'static Arch>,
    /// Whether the user asked for `all`. If so, systems that cannot get another emulator are skipped.
    pub all: bool,
    /// Whether the previous emulator is restored, instead of the one that this version pins being installed.
    pub back: bool,
    /// Whether the network must not be used.
    pub offline: bool,
}

/// Request of `accelerate SYSTEM`.
#[derive(Debug, Clone)]
pub struct AccelerateRequest {
    /// System of the guest programs.
    pub arch: &'static Arch,
    /// Programs by the name of their entry.
    pub tools: BTreeMap<String, ProvenTool>,
    /// Files of the native programs that have to be copied.
    pub files: Vec<BundleFile>,
}

/// Guest program whose native counterpart was proven.
#[derive(Debug, Clone)]
pub struct ProvenTool {
    /// Both programs.
    pub tool: AcceleratedTool,
    /// Rule that takes the guest program.
    pub rule: Rule,
}

/// Request of `unregister SYSTEM…`.
#[derive(Debug, Clone)]
pub struct UnregisterRequest {
    /// Requested systems, each once.
    pub systems: Vec<&'static Arch>,
    /// Names of requested own rules, each once.
    pub rules: BTreeSet<String>,
    /// Whether the user asked for `all`. If so, systems that are not registered are skipped.
    pub all: bool,
    /// Whether `register --watch` makes the request when it stops.
    pub by_watcher: bool,
}
