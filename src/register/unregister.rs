//! `unregister`: gathers facts, plans and applies the removal. The caller holds the lock.

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

/// Removes everything that this tool made for the requested systems.
pub fn unregister(request: &UnregisterRequest, host: &Host, ui: &Ui) -> Result<Report> {
    let facts = Facts::gather(host, &request.systems)?;
    let plan = plan::unregister::plan_removal(request, &facts);
    let mut report = Report::from_plan(&plan);
    let removes_receipt = facts.receipt.is_spent() && host.exists(Path::new(paths::RECEIPT));
    let has_rule = plan.rules.iter().any(|planned| !planned.already);
    if !plan.steps.is_empty() || plan.systems.iter().any(|planned| !planned.already) || removes_receipt || has_rule {
        let applied = Apply::new(host, ui, facts, Network::default()).unregister(&plan)?;
        report = report.with_result(&applied);
    }
    Ok(report)
}
