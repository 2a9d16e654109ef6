//! The command `restore`: registers the entries of the receipt that are missing. The boot hook starts it.

use super::{acquire_lock, check_permission};
use crate::cli;
use crate::error::{ExitCode, Result};
use crate::host::Host;
use crate::register::restore::{RestoreReport, restore};
use crate::ui::Ui;

pub(super) fn run(args: &cli::RestoreArgs, host: &Host, ui: &Ui) -> Result<ExitCode> {
    let report = if args.check {
        restore(host, true)?
    } else {
        check_permission(host, None)?;
        let _lock = acquire_lock(host, ui, args.wait)?;
        restore(host, false)?
    };
    print_report(args, &report, ui);
    let is_complete = report.findings.is_empty() && (report.missing.is_empty() || !args.check);
    Ok(if is_complete { ExitCode::Ok } else { ExitCode::Findings })
}

fn print_report(args: &cli::RestoreArgs, report: &RestoreReport, ui: &Ui) {
    for finding in &report.findings {
        ui.print_warning(finding);
    }
    if ui.is_json() {
        ui.print_json(report);
        return;
    }
    let state = if args.check { "its entry is missing" } else { "registered" };
    for system in &report.missing {
        ui.print_result(&format!("{system}: {state}"));
    }
    for system in &report.disabled {
        ui.print_result(&format!("{system}: disabled, left out"));
    }
    if report.missing.is_empty() && report.findings.is_empty() {
        ui.print_result(&"nothing is missing");
    }
}
