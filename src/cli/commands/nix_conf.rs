//! The command `nix-conf`: prints lines for a nix.conf that is managed by other means.

use binfmt_magic::Arch;

use super::named_systems;
use crate::binfmt::userns::run_table::RunTable;
use crate::cli;
use crate::cli::commands::nix_builder;
use crate::cli::json::NixLines;
use crate::error::{ExitCode, Result};
use crate::host::Host;
use crate::nix::conf::{self, NixGuest};
use crate::paths;
use crate::register::plan::nix::list_other_guests;
use crate::register::receipt::Receipt;
use crate::sanitize::command;
use crate::ui::Ui;

pub(super) fn run(args: &cli::NixConfArgs, host: &Host, ui: &Ui) -> Result<ExitCode> {
    if let Some(name) = &args.builder {
        return nix_builder::run(name.as_deref(), &args.systems, host, ui);
    }
    let receipt = Receipt::load(host)?.unwrap_or_default();
    let archs: Vec<&'static Arch> = if args.systems.is_empty() {
        let enabled = receipt.systems.iter().filter(|(_, system)| !system.disabled);
        enabled.filter_map(|(target, _)| Arch::by_target(target)).collect()
    } else {
        named_systems(&args.systems)?.0
    };
    if let Some(run) = RunTable::find(host).filter(|_| args.systems.is_empty()) {
        let systems = run.nix_systems().join(" ");
        ui.print_note(&format!("run itself configures Nix inside, by NIX_CONFIG, for: {systems}"));
    }
    if archs.is_empty() && receipt.rules.is_empty() {
        ui.print_note(&format!("nothing is registered; name the systems: {}", command::tool("nix-conf aarch64")));
    }
    let registered = |arch: &Arch| receipt.systems.get(arch.target).map(|system| system.interpreter.clone());
    let accelerated = |arch: &Arch| {
        let acceleration = receipt.accelerations.get(arch.target);
        acceleration.map(|acceleration| acceleration.sandbox_paths(arch)).unwrap_or_default()
    };
    let guest = |arch: &&'static Arch| NixGuest {
        systems: arch.nix_systems,
        interpreter: registered(arch).unwrap_or_else(|| paths::interpreter_path(arch)),
        native: accelerated(arch),
    };
    let others = list_other_guests(&receipt.rules, |_| args.systems.is_empty());
    let guests: Vec<NixGuest> = archs.iter().map(guest).chain(others).collect();
    let lines = conf::setting_lines(&guests);
    if ui.is_json() {
        ui.print_json(&NixLines { version: 1, lines });
    } else {
        for line in &lines {
            ui.print_raw(line);
        }
    }
    Ok(ExitCode::Ok)
}
