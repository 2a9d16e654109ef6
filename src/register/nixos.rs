//! NixOS: a machine whose files in /etc come from its configuration, which has options of its own for emulation.

use std::path::Path;

use binfmt_magic::{Arch, OtherSystem};

use crate::error::{Error, ExitCode, Failure, Result};
use crate::host::Host;
use crate::register::request::RegisterRequest;
use crate::sanitize::command;

/// File by which NixOS recognises itself (nixpkgs, `switch-to-configuration.pl`).
const MARKER: &str = "/etc/NIXOS";

/// Nix's names of systems for which NixOS has no rule (nixpkgs, `nixos/lib/binfmt-magics.nix`, 8bccf164c099).
const WITHOUT_RULE: [&str; 8] = [
    "armv5tel-linux",
    "armv7a-linux",
    "hppa-linux",
    "m68k-linux",
    "microblaze-linux",
    "microblazeel-linux",
    "or1k-linux",
    "sh4-linux",
];

/// The machine runs NixOS.
#[derive(Debug, thiserror::Error)]
#[error("NixOS generates /etc/binfmt.d and nix.conf from its configuration, and has options for emulated systems")]
pub struct NixosError {
    systems: Vec<&'static Arch>,
    others: Vec<&'static OtherSystem>,
}

/// Refuses a registration that should survive the next boot on NixOS. The error has the lines of the configuration.
pub fn check_not_nixos(host: &Host, request: &RegisterRequest) -> Result<()> {
    if !request.persist || !host.exists(Path::new(MARKER)) {
        return Ok(());
    }
    let others: Vec<_> = request.rules.keys().filter_map(|name| OtherSystem::find(name)).collect();
    if request.systems.is_empty() && others.is_empty() {
        return Err(Error::Unsupported {
            what: "NixOS generates /etc/binfmt.d from its configuration".into(),
            hint: "describe the rule by boot.binfmt.registrations in configuration.nix, or add --no-persist".into(),
        });
    }
    Err(Error::other(NixosError { systems: request.systems.clone(), others }))
}

impl NixosError {
    fn emulated_systems(&self) -> Vec<&'static str> {
        let names = self.systems.iter().flat_map(|arch| arch.nix_systems).copied();
        let names = names.filter(|name| !WITHOUT_RULE.contains(name));
        names.chain(self.others.iter().map(|system| system.name)).collect()
    }
}

impl Failure for NixosError {
    /// Returns the lines of configuration.nix. Static emulators are registered with flag F (nixpkgs,
    /// `nixos/modules/system/boot/binfmt.nix`), so their programs run in containers and chroots, too.
    fn details(&self) -> Vec<String> {
        let names: Vec<_> = self.emulated_systems().iter().map(|name| format!("\"{name}\"")).collect();
        if names.is_empty() {
            return vec!["NixOS has no rule for these systems".to_owned()];
        }
        vec![
            format!("boot.binfmt.emulatedSystems = [ {} ];", names.join(" ")),
            "boot.binfmt.preferStaticEmulators = true;".to_owned(),
        ]
    }

    fn hint(&self) -> Option<String> {
        let others = self.others.iter().map(|system| system.name);
        let systems: Vec<_> = self.systems.iter().map(|arch| arch.target).chain(others).collect();
        let until_boot = command::tool_as_root(format!("register {} --no-persist", systems.join(" ")));
        Some(if self.emulated_systems().is_empty() {
            format!("register until the next boot: {until_boot}")
        } else {
            format!(
                "add these lines to configuration.nix, then: nixos-rebuild switch; until the next boot: {until_boot}"
            )
        })
    }

    fn exit_code(&self) -> ExitCode {
        ExitCode::Unsupported
    }
}
