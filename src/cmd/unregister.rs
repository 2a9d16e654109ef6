//! `binfmt-nix unregister SYSTEM…`

use super::{check_permission, conclude, hold, lock, named_systems, show, talk};
use crate::cli;
use crate::container::Container;
use crate::error::{ExitCode, Result};
use crate::facts::Facts;
use crate::host::Host;
use crate::outcome::Outcome;
use crate::plan;
use crate::request::Unregister;
use crate::ui::Ui;
use crate::unregister::unregister;

pub(super) fn run(args: &cli::Unregister, host: &Host, container: Option<&Container>, ui: &Ui) -> Result<ExitCode> {
    if let Some(container) = container {
        container.check_table(host)?;
    }
    let (systems, all) = named_systems(&args.systems)?;
    let request = Unregister { systems, all, by_hold: false };
    if !args.dry_run {
        check_permission(host, None)?;
    }
    hold::refuse_undo(host, &request)?;
    if args.dry_run {
        let facts = Facts::gather(host, &request.systems, None)?;
        return Ok(show(ui, &plan::unregister::plan(&request, &facts)));
    }
    let outcome = lock(host, ui, args.wait).and_then(|_lock| unregister(&request, host, ui))?;
    Ok(report(ui, &outcome))
}

fn report(ui: &Ui, outcome: &Outcome) -> ExitCode {
    talk(ui, outcome);
    for system in &outcome.systems {
        ui.result(system);
    }
    if outcome.systems.is_empty() {
        ui.result(&"nothing is registered");
    }
    conclude(ui, outcome)
}
