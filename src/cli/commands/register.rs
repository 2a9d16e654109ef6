//! The command `register`: registers systems with files on disk, and configures Nix.
//!
//! With `--in-memory` it hands over to [`register_in_memory`], and with `--watch` it continues in [`watch`].

use std::path::PathBuf;

use binfmt_magic::Arch;

use super::{acquire_lock, check_permission, finish, named_systems, nix_proof, print_dry_run, print_notes};
use crate::binfmt::container::Container;
use crate::binfmt::shell::Shell;
use crate::binfmt::table;
use crate::binfmt::table::Table;
use crate::cli;
use crate::cli::commands::rules::{add_other_systems, parse_rules};
use crate::cli::commands::{register_in_memory, source, watch};
use crate::error::{Error, ExitCode, Result};
use crate::host::{self, Host};
use crate::nix::config_show;
use crate::nix::daemon::OutdatedDaemon;
use crate::paths;
use crate::qemu::download::Network;
use crate::qemu::obtain::ResolvedSource;
use crate::qemu::obtain::source::Source;
use crate::qemu::version_query::VersionQuery;
use crate::register::apply::{Apply, ApplyResult};
use crate::register::emulated::EmulatedSystem;
use crate::register::facts::Facts;
use crate::register::nixos;
use crate::register::plan;
use crate::register::plan::{Plan, RulePlan, Step, SystemPlan};
use crate::register::receipt::System;
use crate::register::report::Report;
use crate::register::request::{NixChoice, OtherSystems, RegisterRequest};
use crate::register::subject::Subject;
use crate::register::watch::Reregister;
use crate::sorted;
use crate::ui::Ui;

pub(super) fn run(args: &cli::RegisterArgs, host: &Host, container: Option<&Container>, ui: &Ui) -> Result<ExitCode> {
    let request = build_request(args, host)?;
    let ui = &if args.watch { ui.as_json_lines() } else { ui.clone() };
    if let Some(container) = container {
        container.check_entries_persist(host, args.watch)?;
    }
    if container.is_some() && !request.rules.is_empty() {
        return Err(Error::Unsupported {
            what: "the interpreter of a rule would be a file of this container, which ends with it".into(),
            hint: "register the rule on the machine that this container is on".into(),
        });
    }
    // Files in a container end with the container. `--nix` says that the container has a Nix that uses them.
    if args.in_memory || (container.is_some() && !args.nix) {
        return register_in_memory::run(args, &request, host, container, ui);
    }
    nixos::check_not_nixos(host, &request)?;
    if args.change.dry_run {
        let supply = source::supply(host, ui, &request, VersionQuery::Scan)?;
        let (_, mut plan) = plan_registration(&request, host, supply)?;
        watch::describe_dry_run(args, host, &mut plan.notes)?;
        let mut report = Report::from_plan(&plan);
        if request.nix != NixChoice::No {
            nix_proof::plan_build(host, &plan, &mut report);
        }
        return Ok(print_dry_run(ui, &report));
    }
    check_permission(host, request.rules.is_empty().then_some(&args.systems))?;
    let setup = watch::prepare_watch(args, host, container, ui)?;
    let (plan, mut report) = register_systems(&request, host, ui, args.change.wait)?;
    if request.nix != NixChoice::No {
        let systems: Vec<_> = plan.systems.iter().map(|system_plan| system_plan.arch).collect();
        nix_proof::prove_by_building(host, ui, &systems, args.change.wait, &mut report)?;
    }
    let code = print_report(ui, &Shell::for_host(host), &plan, &report);
    let Some(setup) = setup else { return Ok(code) };
    let log = &ui.as_log();
    setup.watch_until_signal(
        host,
        log,
        &request,
        &report,
        &mut FilesReregister { host, log, request: &request, wait: args.change.wait },
    )
}

pub(super) fn plan_registration(
    request: &RegisterRequest,
    host: &Host,
    supply: ResolvedSource,
) -> Result<(Facts, Plan)> {
    let mut facts = Facts::gather_for_registration(host, &request.systems, supply)?;
    facts.inspect_rules(host, &request.rules, &request.tests)?;
    let plan = plan::register::plan_registration(request, &facts)?;
    let touched = plan::register::find_touched_accelerations(request, &facts, &plan);
    if touched.is_empty() {
        return Ok((facts, plan));
    }
    facts.unpack(host, &touched)?;
    let plan = plan::register::plan_registration(request, &facts)?;
    Ok((facts, plan))
}

/// Opens the source, acquires the lock, gathers facts, plans, applies the plan, and verifies the settings of Nix. Other
/// runs do not wait while an archive, an image or Debian's list of packages is downloaded.
pub(super) fn register_systems(request: &RegisterRequest, host: &Host, ui: &Ui, wait: u64) -> Result<(Plan, Report)> {
    host.catch_signals().map_err(|e| Error::io("catch the signals of", &host::env::own_path(), e))?;
    let supply = source::supply(host, ui, request, VersionQuery::Run)?;
    let lock = acquire_lock(host, ui, wait)?;
    let (facts, plan) = plan_registration(request, host, supply)?;
    let mut report = Report::from_plan(&plan);
    if !plan.steps.contains(&Step::RestartNixDaemon) {
        report.findings.extend(facts.receipt.running_outdated_daemon().map(OutdatedDaemon::describe));
    }
    let is_recorded_rule = |planned: &RulePlan| facts.receipt.rules.get(&planned.name) == planned.rule.as_ref();
    let is_recorded = plan.systems.iter().all(|system_plan| is_recorded(&facts, system_plan))
        && plan.rules.iter().all(is_recorded_rule);
    if !plan.steps.is_empty() || !is_recorded {
        if plan.steps.iter().any(|step| matches!(step, Step::DownloadEmulators(_))) {
            // On a full disk the record is missing, and other runs cannot say what they wait for.
            drop(lock.record_download());
        }
        let result = Apply::new(host, ui, facts, request.network.clone()).register(&plan)?;
        report = report.with_result(&result);
        check_nix_config(host, &plan, &result, &mut report);
    }
    Ok((plan, report))
}

/// Repairs of `--watch` for registrations with files on disk.
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
        let facts = Facts::gather(self.host, &[])?;
        Apply::new(self.host, self.log, facts, Network::default()).record_remount()
    }

    fn register_again(&mut self, subjects: &[Subject]) -> Result<Report> {
        let systems: Vec<&'static Arch> = subjects.iter().filter_map(Subject::arch).collect();
        let is_missing = |name: &String| subjects.contains(&Subject::Rule(name.clone()));
        let rules = self.request.rules.iter().filter(|(name, _)| is_missing(name));
        let rules = sorted::map(rules.map(|(name, rule)| (name.clone(), rule.clone())));
        // The files of --test may be gone by now.
        let tests = Vec::new();
        let mut request = RegisterRequest { systems: systems.clone(), rules, tests, ..self.request.clone() };
        // The emulators are installed by now, so they are not obtained from their source again.
        if systems.iter().all(|arch| self.host.exists(&paths::interpreter_path(arch))) {
            request.source = Source::Auto;
        }
        let (_, report) = register_systems(&request, self.host, self.log, self.wait)?;
        print_notes(self.log, &report);
        Ok(report)
    }
}

fn build_request(args: &cli::RegisterArgs, host: &Host) -> Result<RegisterRequest> {
    let mut rules = parse_rules(&args.rule)?;
    if args.in_memory && args.systems.iter().any(|name| EmulatedSystem::of_rule(name).is_some()) {
        return Err(Error::Usage("--in-memory keeps QEMU in memory, and QEMU does not run this system".into()));
    }
    let names = add_other_systems(
        host,
        &args.systems,
        args.emulator.as_deref().map(|emulator| (emulator, args.credentials)),
        !args.change.dry_run,
        &mut rules,
    )?;
    let (systems, all) = named_systems(&names)?;
    let absolute = |path: &PathBuf| std::path::absolute(path).map_err(|e| Error::io("find", path, e));
    let (source, network) = source::parse_source(&args.source_args, systems.len())?;
    Ok(RegisterRequest {
        systems,
        rules,
        tests: args.test.iter().map(absolute).collect::<Result<_>>()?,
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
        others: OtherSystems::Keep,
    })
}

/// Whether the receipt already records the system as the plan does
fn is_recorded(facts: &Facts, system_plan: &SystemPlan) -> bool {
    facts.receipt.systems.get(system_plan.arch.target) == system_plan.system.as_ref()
}

/// Adds the effective settings of Nix to the report, so that it claims nothing that Nix does not confirm.
pub(super) fn check_nix_config(host: &Host, plan: &Plan, result: &ApplyResult, report: &mut Report) {
    let restarts_daemon = plan.steps.iter().any(|step| matches!(step, Step::RestartNixDaemon));
    if !restarts_daemon || !host.is_live() {
        return;
    }
    let registered = |system_plan: &&SystemPlan| {
        result.receipt.systems.get(system_plan.arch.target).is_some_and(System::configures_nix)
    };
    let others = plan.rules.iter().filter(|planned| planned.rule.as_ref().is_some_and(|own| own.nix));
    let others = others.filter_map(|planned| EmulatedSystem::of_rule(&planned.name));
    let others = others.flat_map(EmulatedSystem::nix_systems).copied();
    let systems = plan.systems.iter().filter(registered).flat_map(|system_plan| system_plan.arch.nix_systems).copied();
    let systems: Vec<&str> = systems.chain(others).collect();
    if systems.is_empty() {
        return;
    }
    match config_show::show_config(host) {
        Ok(config) => report.record_nix_config(&systems, config),
        Err(error) if error.rejection().is_some() => report.findings.push(format!(
            "Nix was configured, but it builds nothing: {error}; for the line and its repair, run: binfmt-nix doctor"
        )),
        Err(error) => {
            report.notes.push(format!("Nix was configured, but its settings could not be verified: {error}"));
        }
    }
}

/// Prints the report and returns the exit status.
fn print_report(ui: &Ui, shell: &Shell, plan: &Plan, report: &Report) -> ExitCode {
    print_notes(ui, report);
    for system in &report.systems {
        ui.print_result(system);
    }
    for rule in &report.rules {
        ui.print_result(rule);
    }
    if report.changed {
        let changed = plan.systems.iter().filter(|system_plan| !system_plan.already || plan.systems.len() == 1);
        let rules = plan.rules.iter().filter(|planned| !planned.already).map(|planned| planned.name.as_str());
        let names: Vec<_> = changed.map(|system_plan| system_plan.arch.target).chain(rules).collect();
        let undo = shell.tool_command(format_args!("unregister {}", names.join(" ")));
        ui.print_result(&format!("undo with: {undo}"));
    }
    nix_proof::print_builds(ui, &report.nix_builds);
    finish(ui, report)
}
