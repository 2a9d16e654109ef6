//! The command `doctor`: checks the machine, repairs what is safe, or explains an error message.

use std::collections::BTreeMap;

use binfmt_magic::Arch;

use super::{acquire_lock, check_permission};
use crate::cli;
use crate::diagnose::doctor;
use crate::diagnose::doctor::messages::Advice;
use crate::diagnose::doctor::report::DoctorReport;
use crate::diagnose::doctor::snapshot::BuildTrial;
use crate::diagnose::doctor::{Finding, Fix, Snapshot, gather, messages};
use crate::error::{Error, ExitCode, Result};
use crate::host::env::kernel_release;
use crate::host::{self, Host};
use crate::paths;
use crate::qemu::download::Network;
use crate::qemu::download::machine_config;
use crate::qemu::obtain::source::Source;
use crate::qemu::obtain::{Caching, ObtainContext, PipelineOptions, Purpose, ResolvedSource};
use crate::qemu::version_query::VersionQuery;
use crate::register::apply::{Apply, ApplyResult};
use crate::register::facts::Facts;
use crate::register::nix_builds::{self, NixBuilds, SystemBuild};
use crate::register::plan;
use crate::register::plan::{Plan, Step};
use crate::register::receipt::{NixBuildResult, NixUse};
use crate::register::request::{NixChoice, OtherSystems, RegisterRequest};
use crate::sorted;
use crate::ui::{CheckBar, Ui};

pub(super) fn run(args: &cli::DoctorArgs, host: &Host, ui: &Ui) -> Result<ExitCode> {
    if args.fix {
        check_permission(host, None)?;
    }
    let _lock = if args.fix { Some(acquire_lock(host, ui, args.wait)?) } else { None };
    let (snapshot, findings) = diagnose(host)?;
    if let Some(text) = read_message(args)? {
        return explain_message(host, ui, snapshot, findings, &text);
    }
    let report = if args.fix { apply_fixes(host, ui, &findings)? } else { DoctorReport::new(&snapshot, findings) };
    Ok(print_report(ui, &report))
}

/// Reads the error message to explain, if there is one: the words of the command line, or standard input.
fn read_message(args: &cli::DoctorArgs) -> Result<Option<String>> {
    match args.message.as_slice() {
        [] => Ok(None),
        [dash] if dash == "-" => host::user_files::read_stdin_tail(MAX_MESSAGE).map(Some),
        words => Ok(Some(words.join(" "))),
    }
}

/// Maximum number of bytes of a log that are read: its end, where the failure is.
const MAX_MESSAGE: u64 = 1 << 20;

/// Explains an error message. A known message counts as a finding, so its exit status differs from that of an unknown
/// one.
fn explain_message(
    host: &Host,
    ui: &Ui,
    mut snapshot: Snapshot,
    findings: Vec<Finding>,
    text: &str,
) -> Result<ExitCode> {
    let reading = messages::Reading::of(text);
    let systems = reading.systems_to_build(&snapshot, &findings);
    try_builds(host, &mut snapshot, &systems)?;
    let meanings = reading.explain(&snapshot, &findings);
    let report = if meanings.iter().any(Advice::is_known) {
        DoctorReport::from_messages(&snapshot, meanings)
    } else {
        ui.print_note("this is not a message that binfmt-nix knows; it checked the machine instead");
        DoctorReport { meanings, ..DoctorReport::new(&snapshot, findings) }
    };
    Ok(print_report(ui, &report))
}

/// Lets Nix build for these systems, as the calling user, so that the doctor says only what it saw.
fn try_builds(host: &Host, snapshot: &mut Snapshot, systems: &[&'static Arch]) -> Result<()> {
    let Some(nix) = snapshot.nix.as_mut().filter(|_| !systems.is_empty()) else { return Ok(()) };
    host.catch_signals().map_err(|e| Error::io("catch the signals of", &host::env::own_path(), e))?;
    let NixBuilds { builds, untried, .. } = nix_builds::build_with_nix(host, systems);
    if let Some(signal) = host.pending_signal() {
        return Err(Error::Interrupted { signal });
    }
    nix.builds.extend(untried.into_iter().map(|(target, why)| (target, BuildTrial::Untried(why))));
    nix.builds.extend(builds.into_iter().map(|SystemBuild { target, build }| {
        let user = build.user;
        let trial = match build.result {
            NixBuildResult::BuiltInSandbox => BuildTrial::Built { user, in_sandbox: true },
            NixBuildResult::Built => BuildTrial::Built { user, in_sandbox: false },
            NixBuildResult::Failed => BuildTrial::Failed { user, message: build.message },
        };
        (target, trial)
    }));
    Ok(())
}

fn print_report(ui: &Ui, report: &DoctorReport) -> ExitCode {
    if ui.is_json() {
        ui.print_json(report);
    } else {
        for line in report.to_lines() {
            ui.print_verdict(&line);
        }
    }
    if report.is_clean() { ExitCode::Ok } else { ExitCode::Findings }
}

fn diagnose(host: &Host) -> Result<(Snapshot, Vec<Finding>)> {
    let facts = Facts::gather(host, &[])?;
    let bar = CheckBar::start();
    let snapshot = gather::gather(host, &facts, &bar);
    drop(bar);
    if let Some(signal) = host.pending_signal() {
        return Err(Error::Interrupted { signal });
    }
    let findings = doctor::run_checks(&snapshot);
    Ok((snapshot, findings))
}

/// Applies the safe repairs one by one, then diagnoses the machine again. A repair that fails is reported, and its
/// finding stays.
fn apply_fixes(host: &Host, ui: &Ui, findings: &[Finding]) -> Result<DoctorReport> {
    let mut done: Vec<&'static str> = Vec::new();
    for finding in findings {
        match &finding.occurrence.fix {
            Some(Fix::Register(targets)) => {
                for target in targets.iter().filter(|target| !done.contains(target)) {
                    if let Some(arch) = Arch::by_target(target)
                        && let Err(error) = register_again(host, ui, arch)
                    {
                        ui.print_error(&error);
                    }
                }
                done.extend(targets);
            }
            Some(Fix::RegisterRule(name)) => {
                if let Err(error) = register_rule_again(host, ui, name) {
                    ui.print_error(&error);
                }
            }
            Some(Fix::RestartDaemon) => restart_nix_daemon(host, ui)?,
            None => {}
        }
    }
    let (snapshot, left) = diagnose(host)?;
    let mut report = DoctorReport::new(&snapshot, left);
    let remains = |finding: &Finding| report.findings.iter().any(|left| left.id == finding.id);
    let was_reported = |finding: &&Finding| !finding.occurrence.is_note;
    report.fixed =
        findings.iter().filter(was_reported).filter(|finding| !remains(finding)).map(|finding| finding.id).collect();
    report.fixed.dedup();
    Ok(report)
}

/// Registers a system again, with its original options as far as the machine still shows them.
fn register_again(host: &Host, ui: &Ui, arch: &'static Arch) -> Result<()> {
    let network = Network { mirror: machine_config::user_mirror(None)?, offline: false };
    let (machine, kernel) = kernel_release();
    let order = PipelineOptions {
        source: &Source::Auto,
        machine: &machine,
        kernel,
        purpose: Purpose::Machine,
        caching: Caching::Read,
        version_query: VersionQuery::Run,
    };
    let supply = ResolvedSource::open(ObtainContext { host, ui, network: &network }, &order, &[arch])?;
    let mut facts = Facts::gather_for_registration(host, &[arch], supply)?;
    facts.unpack(host, &[arch.target.to_owned()])?;
    let request = rebuild_request(&facts, arch, network);
    // The recorded proof is no longer valid: the system is registered and proven again.
    if let Some(system) = facts.receipt.systems.get_mut(arch.target) {
        system.proven = false;
    }
    apply_request(host, ui, &request, facts)
}

/// Registers an own rule of the receipt again.
fn register_rule_again(host: &Host, ui: &Ui, name: &str) -> Result<()> {
    let mut facts = Facts::gather(host, &[])?;
    let file = paths::own_rule_file(name);
    let request = RegisterRequest {
        rules: sorted::map(facts.receipt.parsed_rules().into_iter().filter(|(known, _)| known == name)),
        persist: facts.boot.rules.iter().any(|boot| boot.file == file),
        ..request_nothing(Network::default())
    };
    facts.inspect_rules(host, &request.rules, &[])?;
    apply_request(host, ui, &request, facts)
}

fn apply_request(host: &Host, ui: &Ui, request: &RegisterRequest, facts: Facts) -> Result<()> {
    let plan = plan::register::plan_registration(request, &facts)?;
    let applied = Apply::new(host, ui, facts, request.network.clone()).register(&plan)?;
    print_applied(ui, &applied);
    Ok(())
}

fn print_applied(ui: &Ui, applied: &ApplyResult) {
    for note in &applied.notes {
        ui.print_note(note);
    }
    for finding in &applied.findings {
        ui.print_warning(finding);
    }
}

/// Returns a request that changes nothing.
fn request_nothing(network: Network) -> RegisterRequest {
    RegisterRequest {
        systems: Vec::new(),
        rules: BTreeMap::new(),
        tests: Vec::new(),
        all: false,
        source: Source::Auto,
        network,
        credentials: false,
        nix: NixChoice::No,
        persist: false,
        force: false,
        others: OtherSystems::Keep,
    }
}

fn rebuild_request(facts: &Facts, arch: &'static Arch, network: Network) -> RegisterRequest {
    let known = facts.receipt.systems.get(arch.target);
    let file = paths::boot_rule(arch);
    let boot_flags = facts.boot.rules.iter().find(|boot| boot.file == file).map(|boot| boot.rule.flags);
    let flags = facts.our_entry(arch).map(|entry| entry.rule.flags).or(boot_flags);
    let [_, second, ..] = paths::entry_names(arch);
    RegisterRequest {
        systems: vec![arch],
        credentials: flags.is_some_and(|flags| flags.credentials),
        nix: match known.map(|system| system.nix) {
            Some(NixUse::Configured) => NixChoice::Yes,
            Some(NixUse::Absent) => NixChoice::Auto,
            Some(NixUse::Declined) | None => NixChoice::No,
        },
        persist: boot_flags.is_some(),
        // The entry has its second name only if it was registered with --force.
        force: known.is_some_and(|system| system.entry == second),
        ..request_nothing(network)
    }
}

fn restart_nix_daemon(host: &Host, ui: &Ui) -> Result<()> {
    let facts = Facts::gather(host, &[])?;
    let plan = Plan { steps: vec![Step::RestartNixDaemon], ..Plan::default() };
    let applied = Apply::new(host, ui, facts, Network::default()).unregister(&plan)?;
    print_applied(ui, &applied);
    Ok(())
}
