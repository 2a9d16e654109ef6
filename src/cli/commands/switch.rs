//! The commands `enable` and `disable`: turn registered systems on and off.

use super::{acquire_lock, check_permission, find_rule, finish, named_systems, print_dry_run, print_notes};
use crate::binfmt::container::Container;
use crate::binfmt::shell::Shell;
use crate::cli;
use crate::cli::commands::register::check_nix_config;
use crate::error::{Error, ExitCode, Result};
use crate::host::Host;
use crate::qemu::download::Network;
use crate::register::apply::Apply;
use crate::register::facts::Facts;
use crate::register::plan::Plan;
use crate::register::plan::switch::plan_switch;
use crate::register::report::{Report, SystemReport};
use crate::register::request::SwitchRequest;
use crate::ui::Ui;

pub(super) fn run(
    args: &cli::SwitchArgs,
    enable: bool,
    host: &Host,
    container: Option<&Container>,
    ui: &Ui,
) -> Result<ExitCode> {
    refuse_in_container(container)?;
    if let Some((name, _)) = find_rule(&args.systems) {
        let shell = Shell::for_host(host);
        let (word, command) = if enable {
            ("on", shell.tool_command(format_args!("register {name}")))
        } else {
            ("off", shell.tool_command(format_args!("unregister {name}")))
        };
        return Err(Error::Usage(format!("{name} is a rule without QEMU; to turn it {word}, run: {command}")));
    }
    let (systems, all) = named_systems(&args.systems)?;
    let request = SwitchRequest { systems, all, enable };
    if args.change.dry_run {
        let (_, plan) = plan(&request, host)?;
        return Ok(print_dry_run(ui, &Report::from_plan(&plan)));
    }
    check_permission(host, None)?;
    let _lock = acquire_lock(host, ui, args.change.wait)?;
    let (facts, plan) = plan(&request, host)?;
    let mut report = Report::from_plan(&plan);
    if !plan.systems.iter().all(|planned| planned.already) {
        let result = Apply::new(host, ui, facts, Network::default()).register(&plan)?;
        report = report.with_result(&result);
        check_nix_config(host, &plan, &result, &mut report);
    }
    print_notes(ui, &report);
    for system in &report.systems {
        ui.print_result(&describe(system));
    }
    if report.systems.is_empty() {
        ui.print_result(&"nothing is registered");
    }
    Ok(finish(ui, &report))
}

/// Fails in a container of docker, podman or Kubernetes: a registration there has no files.
pub(super) fn refuse_in_container(container: Option<&Container>) -> Result<()> {
    container.map_or(Ok(()), |_| {
        Err(Error::Unsupported {
            what: "the files of this container end with it, so they cannot remember a change".into(),
            hint: "run the command on the machine that this container is on".into(),
        })
    })
}

fn plan(request: &SwitchRequest, host: &Host) -> Result<(Facts, Plan)> {
    let facts = Facts::gather(host, &request.systems)?;
    let plan = plan_switch(request, &facts)?;
    Ok((facts, plan))
}

fn describe(report: &SystemReport) -> String {
    let SystemReport { system, already, disabled, proven, .. } = report;
    let already = if *already { "already " } else { "" };
    let proof = match (disabled, proven) {
        (true, _) => "",
        (false, true) => ", proven",
        (false, false) => ", not proven",
    };
    let entry = report.entry.as_deref().unwrap_or_default();
    format!("{system}: {already}{}{proof} (entry {entry})", if *disabled { "disabled" } else { "enabled" })
}
