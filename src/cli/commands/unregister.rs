//! The command `unregister`: undoes `register`.

use super::{acquire_lock, check_permission, named_systems, print_dry_run, print_report};
use crate::binfmt::container::Container;
use crate::cli;
use crate::cli::commands::rules::split_names;
use crate::cli::commands::watch;
use crate::error::{ExitCode, Result};
use crate::host::Host;
use crate::register::facts::Facts;
use crate::register::plan;
use crate::register::report::Report;
use crate::register::request::UnregisterRequest;
use crate::register::unregister::unregister;
use crate::ui::Ui;

pub(super) fn run(args: &cli::UnregisterArgs, host: &Host, container: Option<&Container>, ui: &Ui) -> Result<ExitCode> {
    if let Some(container) = container {
        container.check_is_host_table(host)?;
    }
    let (names, rules) = split_names(host, &args.systems)?;
    let (systems, all) = named_systems(&names)?;
    let request = UnregisterRequest { systems, rules, all, by_watcher: false };
    if !args.change.dry_run {
        check_permission(host, None)?;
    }
    watch::refuse_if_watched(host, &request)?;
    if args.change.dry_run {
        let facts = Facts::gather(host, &request.systems)?;
        return Ok(print_dry_run(ui, &Report::from_plan(&plan::unregister::plan_removal(&request, &facts))));
    }
    let report = acquire_lock(host, ui, args.change.wait).and_then(|_lock| unregister(&request, host, ui))?;
    Ok(print_report(ui, &report))
}
