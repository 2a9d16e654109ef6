//! `binfmt-nix register SYSTEM…`

use binfmt_magic::Arch;

use super::{acquire_lock, check_permission, finish, named_systems, print_dry_run, print_notes};
use crate::binfmt::container::Container;
use crate::binfmt::table;
use crate::binfmt::table::Table;
use crate::cli;
use crate::cli::commands::{register_in_memory, source, watch};
use crate::error::{ExitCode, Result};
use crate::host::Host;
use crate::nix::config_show;
use crate::nix::config_show::NixConfig;
use crate::paths;
use crate::qemu::download::Network;
use crate::qemu::obtain::source::Source;
use crate::register::apply::{Apply, ApplyResult};
use crate::register::facts::Facts;
use crate::register::plan;
use crate::register::plan::{Plan, Step, SystemPlan};
use crate::register::report::Report;
use crate::register::request::{NixChoice, RegisterRequest};
use crate::register::watch::Reregister;
use crate::ui::Ui;

pub(super) fn run(args: &cli::RegisterArgs, host: &Host, container: Option<&Container>, ui: &Ui) -> Result<ExitCode> {
    let request = build_request(args)?;
    let ui = &if args.watch { ui.as_json_lines() } else { ui.clone() };
    if let Some(container) = container {
        container.check_entries_persist(host, args.watch)?;
    }
    // A container's files go with it; who has Nix in there says so.
    if args.in_memory || (container.is_some() && !args.nix) {
        return register_in_memory::run(args, &request, host, container, ui);
    }
    if args.dry_run {
        let (_, mut plan) = plan_registration(&request, host, ui)?;
        watch::describe_dry_run(args, host, &mut plan.notes)?;
        return Ok(print_dry_run(ui, &plan));
    }
    check_permission(host, Some(&args.systems))?;
    let hold = watch::prepare_watch(args, host, container, ui)?;
    let (plan, outcome) = register_systems(&request, host, ui, args.wait)?;
    let code = print_report(ui, &plan, &outcome);
    let Some(hold) = hold else { return Ok(code) };
    let log = &ui.as_log();
    hold.watch_until_signal(
        host,
        log,
        &request,
        &outcome,
        &mut FilesReregister { host, log, request: &request, wait: args.wait },
    )
}

fn plan_registration(request: &RegisterRequest, host: &Host, ui: &Ui) -> Result<(Facts, Plan)> {
    let supply = source::supply(host, ui, request)?;
    let facts = Facts::gather(host, &request.systems, Some(supply))?;
    let plan = plan::register::plan_registration(request, &facts)?;
    Ok((facts, plan))
}

/// Look, plan, apply, check.
fn register_systems(request: &RegisterRequest, host: &Host, ui: &Ui, wait: u64) -> Result<(Plan, Report)> {
    let _lock = acquire_lock(host, ui, wait)?;
    let (facts, plan) = plan_registration(request, host, ui)?;
    let mut outcome = Report::from_plan(&plan);
    if !plan.steps.is_empty() || !plan.systems.iter().all(|planned| is_recorded(&facts, planned)) {
        let applied = Apply::new(host, ui, facts, request.network.clone()).register(&plan)?;
        outcome = outcome.with_result(&applied);
        check_nix_config(host, &plan, &applied, &mut outcome);
    }
    Ok((plan, outcome))
}

/// What `--watch` does again.
struct FilesReregister<'a> {
    host: &'a Host,
    log: &'a Ui,
    request: &'a RegisterRequest,
    wait: u64,
}

impl Reregister for FilesReregister<'_> {
    fn mount_table(&mut self) -> Result<()> {
        let _lock = acquire_lock(self.host, self.log, self.wait)?;
        if !matches!(table::read_table(self.host)?, Table::NotMounted) {
            return Ok(());
        }
        table::mount_table(self.host)?;
        let facts = Facts::gather(self.host, &[], None)?;
        Apply::new(self.host, self.log, facts, Network::default()).record_remount()
    }

    fn register_systems(&mut self, systems: &[&'static Arch]) -> Result<Report> {
        let mut request = RegisterRequest { systems: systems.to_vec(), ..self.request.clone() };
        // What was brought from elsewhere is in its place by now, and is not brought again.
        if systems.iter().all(|arch| self.host.exists(&paths::interpreter_path(arch))) {
            request.source = Source::Auto;
        }
        let (_, outcome) = register_systems(&request, self.host, self.log, self.wait)?;
        print_notes(self.log, &outcome);
        Ok(outcome)
    }
}

fn build_request(args: &cli::RegisterArgs) -> Result<RegisterRequest> {
    let (systems, all) = named_systems(&args.systems)?;
    let (source, network) = source::parse_source(&args.source_args, systems.len())?;
    Ok(RegisterRequest {
        systems,
        all,
        source,
        network,
        credentials: args.credentials,
        nix: match (args.nix, args.no_nix) {
            (true, _) => NixChoice::Yes,
            (_, true) => NixChoice::No,
            _ => NixChoice::Auto,
        },
        persist: !args.no_persist,
        force: args.force,
    })
}

/// The receipt says of it what the plan would.
fn is_recorded(facts: &Facts, planned: &SystemPlan) -> bool {
    facts.receipt.systems.get(planned.arch.target) == planned.system.as_ref()
}

/// What Nix answers is what is claimed of it.
fn check_nix_config(host: &Host, plan: &Plan, applied: &ApplyResult, outcome: &mut Report) {
    let restarts_daemon = plan.steps.iter().any(|step| matches!(step, Step::RestartNixDaemon));
    if !restarts_daemon || !host.is_live() {
        return;
    }
    let registered = |planned: &&SystemPlan| applied.receipt.systems.get(planned.arch.target).is_some_and(|s| s.nix);
    let systems: Vec<&str> =
        plan.systems.iter().filter(registered).flat_map(|planned| planned.arch.nix_systems).copied().collect();
    match config_show::show_config(host) {
        Some(answer) => outcome.record_nix_config(&systems, answer),
        None => outcome
            .notes
            .push("Nix was told, but could not be asked: there is no nix here that root can safely run".into()),
    }
}

/// Prints what came of it.
fn print_report(ui: &Ui, plan: &Plan, outcome: &Report) -> ExitCode {
    print_notes(ui, outcome);
    for system in &outcome.systems {
        ui.print_result(system);
    }
    if let Some(answer) = &outcome.nix {
        ui.print_result(&describe_nix(answer));
    }
    if outcome.changed {
        let changed = plan.systems.iter().filter(|planned| !planned.already || plan.systems.len() == 1);
        let names: Vec<_> = changed.map(|planned| planned.arch.target).collect();
        ui.print_result(&format!("undo with: binfmt-nix unregister {}", names.join(" ")));
    }
    finish(ui, outcome)
}

fn describe_nix(answer: &NixConfig) -> String {
    let sandbox = match answer.sandbox.as_str() {
        "true" => "in its sandbox",
        "relaxed" => "in its sandbox, unless a derivation asks to be let out",
        _ => "without a sandbox (sandbox = false in its settings)",
    };
    format!("nix builds {sandbox} for: {}", answer.extra_platforms.join(" "))
}
