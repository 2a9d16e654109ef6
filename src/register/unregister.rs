//! `unregister`: facts, plan, changes. The caller holds the lock.

use std::path::Path;

use crate::error::Result;
use crate::host::Host;
use crate::paths;
use crate::qemu::download::Network;
use crate::register::apply::Apply;
use crate::register::facts::Facts;
use crate::register::plan;
use crate::register::report::Report;
use crate::register::request::UnregisterRequest;
use crate::ui::Ui;

/// Removes what these systems have on this machine.
pub fn unregister(request: &UnregisterRequest, host: &Host, ui: &Ui) -> Result<Report> {
    let facts = Facts::gather(host, &request.systems, None)?;
    let plan = plan::unregister::plan_removal(request, &facts);
    let mut outcome = Report::from_plan(&plan);
    let spent = facts.receipt.is_spent() && host.exists(Path::new(paths::RECEIPT));
    if !plan.steps.is_empty() || plan.systems.iter().any(|planned| !planned.already) || spent {
        let applied = Apply::new(host, ui, facts, Network::default()).unregister(&plan)?;
        outcome = outcome.with_result(&applied);
    }
    Ok(outcome)
}
