//! `binfmt-nix unregister SYSTEM…`

use std::path::Path;

use super::{conclude, lock, permission, show, systems, talk};
use crate::apply::Apply;
use crate::cli;
use crate::container::Container;
use crate::error::{ExitCode, Result};
use crate::facts::Facts;
use crate::host::Host;
use crate::outcome::Outcome;
use crate::plan;
use crate::receipt;
use crate::request::Unregister;
use crate::source::Network;
use crate::ui::Ui;

pub(super) fn run(args: &cli::Unregister, host: &Host, container: Option<&Container>, ui: &Ui) -> Result<ExitCode> {
    if let Some(container) = container {
        container.check_table(host)?;
    }
    let (systems, all) = systems::named(&args.systems)?;
    let request = Unregister { systems, all };
    if !args.dry_run {
        permission::check(host, None)?;
    }
    let _lock = if args.dry_run { None } else { Some(lock(host, ui, args.wait)?) };
    let facts = Facts::gather(host, &request.systems, None)?;
    let plan = plan::unregister::plan(&request, &facts);
    if args.dry_run {
        return Ok(show(ui, &plan));
    }
    let mut outcome = Outcome::planned(&plan);
    let spent = facts.receipt.is_spent() && host.exists(Path::new(receipt::PATH));
    if !plan.steps.is_empty() || plan.systems.iter().any(|planned| !planned.already) || spent {
        let applied = Apply::new(host, ui, facts, Network::default()).unregister(&plan)?;
        outcome = outcome.applied(&applied);
    }
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
