//! The command `nix-conf --builder`: prints the lines that let other hosts build on this one.

use std::collections::BTreeMap;
use std::path::Path;

use binfmt_magic::Arch;

use super::named_systems;
use crate::binfmt::native;
use crate::binfmt::native::NativeSupport;
use crate::cli::json::NixMachines;
use crate::diagnose::status;
use crate::diagnose::status::Health;
use crate::diagnose::trial::Trial;
use crate::error::{Error, ExitCode, Result};
use crate::host::{self, Host};
use crate::nix::conf;
use crate::nix::config_show;
use crate::nix::config_show::NixConfig;
use crate::nix::machines::{self, BuilderHost};
use crate::register::facts::Facts;
use crate::register::facts::owner::Owner;
use crate::sanitize::command;
use crate::ui::{CheckBar, Ui};

pub(super) fn run(name: Option<&str>, named: &[String], host: &Host, ui: &Ui) -> Result<ExitCode> {
    let uri = builder_uri(name)?;
    let facts = Facts::gather(host, &[])?;
    let native = native::find_native(&Arch::ALL.iter().collect::<Vec<_>>(), &facts.machine, &facts.table);
    let config = config_show::show_config(host).ok();
    let context = BuilderContext { host, ui, facts: &facts, native: &native, nix_config: config.as_ref() };
    let native_systems = context.native_systems();
    let emulated = if named.is_empty() { context.registered_systems() } else { context.requested_systems(named)? };
    let host_key = read_host_key(host);
    if host_key.is_none() {
        ui.print_note("no host key of sshd was found, so the lines have none; other hosts can get it with ssh-keyscan");
    }
    if emulated.is_empty() && facts.run.is_none() {
        let line = command::tool_as_root("register SYSTEM");
        ui.print_note(&format!("nothing is emulated here; name the systems, or register one: {line}"));
    }
    let features = context.system_features(&emulated, !named.is_empty());
    let builder = BuilderHost { uri, max_jobs: host::env::processor_count(), features, host_key };
    let machines = builder.machine_lines(&native_systems, &emulated);
    if ui.is_json() {
        ui.print_json(&NixMachines { version: 1, machines });
    } else {
        for machine in &machines {
            ui.print_raw(&machine.line);
        }
    }
    Ok(ExitCode::Ok)
}

/// Returns the URI of a store by which other hosts reach this one.
fn builder_uri(name: Option<&str>) -> Result<String> {
    let own = || host::env::host_name().filter(|name| !name.starts_with("localhost"));
    let name = match name {
        // In `nix-conf --builder aarch64` the name is meant as a system, but clap parses it as the host.
        Some(name) if Arch::find(name).is_ok() => {
            return Err(Error::Usage(format!(
                "{name} is the name of a system, and --builder needs a host: --builder HOST {name}, or --builder \
                 ssh-ng://{name}"
            )));
        }
        Some(name) => name.to_owned(),
        None => own().ok_or_else(|| Error::Usage("this machine has no host name; give one: --builder HOST".into()))?,
    };
    machines::store_uri(&name).map_err(|why| Error::Usage(format!("{name:?} cannot be a builder: {why}")))
}

/// Reads the host key that most clients request first, of those that sshd generates by default (sshd_config(5),
/// `HostKey`).
fn read_host_key(host: &Host) -> Option<String> {
    let kinds = ["ed25519", "ecdsa", "rsa"];
    kinds.iter().find_map(|kind| host.read_lossy(Path::new(&format!("/etc/ssh/ssh_host_{kind}_key.pub"))))
}

/// Facts about this host, and the terminal for notes about systems that are left out.
struct BuilderContext<'a> {
    host: &'a Host,
    ui: &'a Ui,
    facts: &'a Facts,
    native: &'a BTreeMap<&'static str, NativeSupport>,
    nix_config: Option<&'a NixConfig>,
}

impl BuilderContext<'_> {
    fn is_native(&self, arch: &Arch) -> bool {
        self.native.get(arch.target) == Some(&NativeSupport::Runs)
    }

    /// Returns Nix's own system, and those of its extra platforms that the kernel runs natively. Nix 2.36 lists levels
    /// of the processor too (`x86_64-v3-linux`), which are not systems of their own.
    fn native_systems(&self) -> Vec<String> {
        let machine = &self.facts.machine;
        let default = || {
            let names = Arch::of_host(machine).map_or(&[][..], |arch| arch.nix_systems);
            let usual = format!("{machine}-linux");
            names.iter().find(|name| **name == usual).or(names.first()).map_or(usual.clone(), |name| (*name).to_owned())
        };
        let own = self.nix_config.and_then(|config| config.system.clone()).unwrap_or_else(default);
        let is_native = |name: &String| match Arch::find(name) {
            Ok(arch) => self.is_native(arch),
            Err(_) => config_show::is_processor_level(&own, name),
        };
        let more = self.nix_config.map_or_else(
            || if machine == "x86_64" { vec!["i686-linux".to_owned()] } else { Vec::new() },
            |config| config.extra_platforms.clone(),
        );
        let mut systems = vec![own.clone()];
        systems.extend(more.into_iter().filter(|name| *name != own && is_native(name)));
        systems
    }

    /// Returns the emulated systems that work in builds and that Nix on this host accepts. The lines promise nothing
    /// else.
    fn registered_systems(&self) -> Vec<String> {
        let mut systems = Vec::new();
        let status = status::gather_status(self.host, self.facts, self.nix_config, &CheckBar::start());
        for system in status.systems {
            let Some(arch) = Arch::by_target(system.system).filter(|arch| !self.is_native(arch)) else { continue };
            if system.state != Health::Works {
                self.ui.print_note(&format!("{}: {}, so it is left out", arch.target, system.state));
                continue;
            }
            if system.by == Owner::Run {
                self.ui.print_note(&format!("{}: emulated inside of this run only, so it is left out", arch.target));
                continue;
            }
            let refused = self.refused_by_nix(arch);
            for name in &refused {
                self.ui.print_note(&format!(
                    "Nix on this host refuses {name}, so it is left out; {}",
                    register_hint(arch)
                ));
            }
            let accepted: Vec<&str> = arch.nix_systems.iter().copied().filter(|name| !refused.contains(name)).collect();
            self.note_missing_features(arch, &accepted);
            systems.extend(accepted.into_iter().map(str::to_owned));
        }
        systems
    }

    /// Prints a note about features that nixpkgs requires for these systems and that Nix on this host lacks.
    fn note_missing_features(&self, arch: &Arch, systems: &[&str]) {
        let missing = self.nix_config.map_or_else(Vec::new, |config| config.missing_features(systems));
        if !missing.is_empty() {
            self.ui.print_note(&format!(
                "Nix on this host lacks {}, which nixpkgs requires for {}; {}",
                missing.join(" "),
                arch.target,
                register_hint(arch)
            ));
        }
    }

    /// Returns the requested systems, and prints a note about those that do not work here yet.
    fn requested_systems(&self, names: &[String]) -> Result<Vec<String>> {
        let (archs, all) = named_systems(names)?;
        let mut systems = Vec::new();
        for arch in archs {
            if self.is_native(arch) {
                if all {
                    continue;
                }
                return Err(Error::Native { system: arch.target.to_owned(), machine: self.facts.machine.clone() });
            }
            if !all {
                self.warn_if_unready(arch);
            }
            systems.extend(arch.nix_systems.iter().map(|name| (*name).to_owned()));
        }
        Ok(systems)
    }

    fn warn_if_unready(&self, arch: &'static Arch) {
        let state = status::check_system(self.facts, arch, &Trial::run(arch)).state;
        if state != Health::Works {
            self.ui.print_note(&format!("{} is not registered on this host yet ({state})", arch.target));
        }
        for name in self.refused_by_nix(arch) {
            self.ui.print_note(&format!("Nix on this host still refuses {name}; {}", register_hint(arch)));
        }
        self.note_missing_features(arch, arch.nix_systems);
    }

    fn refused_by_nix(&self, arch: &'static Arch) -> Vec<&'static str> {
        self.nix_config.map_or_else(Vec::new, |config| config.missing_systems(arch.nix_systems))
    }

    /// Returns the features of Nix on this host. Those that nixpkgs requires for the emulated systems are among them if
    /// Nix cannot report its own, or if the user `requested` the systems, which are registered later.
    fn system_features(&self, emulated: &[String], requested: bool) -> Vec<String> {
        let configured = self.nix_config.and_then(|config| config.features.clone());
        let emulated: Vec<&str> = emulated.iter().map(String::as_str).collect();
        let required = if requested || configured.is_none() { conf::required_features(&emulated) } else { Vec::new() };
        let own = configured.unwrap_or_else(|| {
            let kvm = self.host.may_write(Path::new("/dev/kvm")).then_some("kvm");
            machines::DEFAULT_FEATURES.into_iter().chain(kvm).map(str::to_owned).collect()
        });
        own.into_iter().chain(required.into_iter().map(str::to_owned)).collect()
    }
}

fn register_hint(arch: &Arch) -> String {
    format!("to configure it: {}", command::tool_as_root(format_args!("register {}", arch.target)))
}
