//! `binfmt-nix unregister SYSTEM…`

use std::path::Path;

use super::{conclude, hold, lock, permission, show, systems, talk};
use crate::apply::Apply;
use crate::cli;
use crate::container::Container;
use crate::error::{ExitCode, Result};
use crate::facts::Facts;
use crate::host::Host;
use crate::layout;
use crate::outcome::Outcome;
use crate::plan;
use crate::qemu::obtain::source::Network;
use crate::request::Unregister;
use crate::ui::Ui;

pub(super) fn run(args: &cli::Unregister, host: &Host, container: Option<&Container>, ui: &Ui) -> Result<ExitCode> {
    if let Some(container) = container {
        container.check_table(host)?;
    }
    let (systems, all) = systems::named(&args.systems)?;
    let request = Unregister { systems, all, by_hold: false };
    if !args.dry_run {
        permission::check(host, None)?;
    }
    hold::refuse_undo(host, &request)?;
    if args.dry_run {
        let facts = Facts::gather(host, &request.systems, None)?;
        return Ok(show(ui, &plan::unregister::plan(&request, &facts)));
    }
    Ok(report(ui, &undo(&request, host, ui, args.wait)?))
}

/// Takes away what these systems have here.
pub(super) fn undo(request: &Unregister, host: &Host, ui: &Ui, wait: u64) -> Result<Outcome> {
    let _lock = lock(host, ui, wait)?;
    let facts = Facts::gather(host, &request.systems, None)?;
    let plan = plan::unregister::plan(request, &facts);
    let mut outcome = Outcome::planned(&plan);
    let spent = facts.receipt.is_spent() && host.exists(Path::new(layout::RECEIPT));
    if !plan.steps.is_empty() || plan.systems.iter().any(|planned| !planned.already) || spent {
        let applied = Apply::new(host, ui, facts, Network::default()).unregister(&plan)?;
        outcome = outcome.applied(&applied);
    }
    Ok(outcome)
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
