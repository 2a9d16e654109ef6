//! `binfmt-nix status`

use super::table;
use crate::error::{ExitCode, Result};
use crate::facts::Facts;
use crate::host::Host;
use crate::nix::answer;
use crate::status::{self, Status};
use crate::ui::Ui;

pub(super) fn run(host: &Host, ui: &Ui) -> Result<ExitCode> {
    let facts = Facts::gather(host, &[], None)?;
    let status = status::gather(host, &facts, answer::ask(host).as_ref());
    if ui.is_json() {
        ui.json(&status);
    } else {
        print(ui, &status);
    }
    Ok(ExitCode::Ok)
}

fn print(ui: &Ui, status: &Status) {
    if status.systems.is_empty() {
        ui.result(&"no other system is registered; binfmt-nix register SYSTEM does it");
    } else {
        print_systems(ui, status);
    }
    if status.unfinished {
        ui.note(UNFINISHED);
    }
}

/// Of [`Status::unfinished`].
const UNFINISHED: &str = "a run of binfmt-nix is under way, was cut short, or had to leave something; the same command \
                          again completes it, and binfmt-nix unregister all takes it away or says what stays";

fn print_systems(ui: &Ui, status: &Status) {
    let mut table = table::new(&["SYSTEM", "STATE", "ENTRY", "FLAGS", "QEMU", "BY", "NIX", "INTERPRETER"]);
    for system in &status.systems {
        let nix = match system.nix_knows {
            Some(true) => "builds",
            Some(false) => "refuses",
            None => "?",
        };
        let text = |field: &Option<String>| field.clone().unwrap_or_else(|| "-".into());
        table.add_row([
            system.system.to_owned(),
            system.state.to_string(),
            text(&system.entry),
            text(&system.flags),
            text(&system.qemu),
            system.by.to_string(),
            nix.to_owned(),
            text(&system.interpreter),
        ]);
    }
    ui.result(&table.trim_fmt());
    for system in &status.systems {
        if let (Some(source), Some(sha256)) = (&system.source, &system.sha256) {
            ui.result(&format!("{}: QEMU from {source}, sha256 {sha256}", system.system));
        }
    }
    for system in &status.systems {
        if let Some(detail) = &system.detail {
            ui.note(&format!("{}: {detail}", system.system));
        }
    }
}
