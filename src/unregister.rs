//! `unregister`: facts, plan, changes. The caller holds the lock.

use std::path::Path;

use crate::apply::Apply;
use crate::download::Network;
use crate::error::Result;
use crate::facts::Facts;
use crate::host::Host;
use crate::layout;
use crate::outcome::Report;
use crate::plan;
use crate::request::UnregisterRequest;
use crate::ui::Ui;

/// Removes what these systems have on this machine.
pub fn unregister(request: &UnregisterRequest, host: &Host, ui: &Ui) -> Result<Report> {
    let facts = Facts::gather(host, &request.systems, None)?;
    let plan = plan::unregister::plan_removal(request, &facts);
    let mut outcome = Report::from_plan(&plan);
    let spent = facts.receipt.is_spent() && host.exists(Path::new(layout::RECEIPT));
    if !plan.steps.is_empty() || plan.systems.iter().any(|planned| !planned.already) || spent {
        let applied = Apply::new(host, ui, facts, Network::default()).unregister(&plan)?;
        outcome = outcome.with_result(&applied);
    }
    Ok(outcome)
}
