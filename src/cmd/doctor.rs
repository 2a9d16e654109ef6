//! `binfmt-nix doctor`

use binfmt_magic::Arch;

use super::{check_permission, lock};
use crate::apply::Apply;
use crate::cli;
use crate::doctor::report::Report;
use crate::doctor::{self, Finding, Fix, Seen, look, messages};
use crate::download::Network;
use crate::error::{ExitCode, Result};
use crate::facts::Facts;
use crate::host::env::kernel;
use crate::host::{self, Host};
use crate::layout;
use crate::mirrors;
use crate::plan::{self, Plan, Step};
use crate::qemu::obtain::source::Source;
use crate::qemu::obtain::{Caching, Context, Order, Purpose, Supply};
use crate::request::{NixChoice, Register};
use crate::ui::Ui;

pub(super) fn run(args: &cli::Doctor, host: &Host, ui: &Ui) -> Result<ExitCode> {
    if args.fix {
        check_permission(host, None)?;
    }
    let _lock = if args.fix { Some(lock(host, ui, args.wait)?) } else { None };
    let (seen, findings) = look_at(host)?;
    if let Some(text) = text(args)? {
        return Ok(explain(ui, &seen, findings, &text));
    }
    let report = if args.fix { repair(host, ui, &findings)? } else { Report::new(&seen, findings) };
    Ok(conclude(ui, &report))
}

/// The text that was brought, if one was: the words of the command line, or what is on standard input.
fn text(args: &cli::Doctor) -> Result<Option<String>> {
    match args.message.as_slice() {
        [] => Ok(None),
        [dash] if dash == "-" => host::user_files::read_stdin_tail(LONGEST).map(Some),
        words => Ok(Some(words.join(" "))),
    }
}

/// Of a log, so much: the end, where it failed.
const LONGEST: u64 = 1 << 20;

/// A message that is known is something wrong, so that a script can tell it from one that is not.
fn explain(ui: &Ui, seen: &Seen, findings: Vec<Finding>, text: &str) -> ExitCode {
    let meanings: Vec<_> =
        messages::recognise(text).iter().map(|found| messages::meaning(found, seen, &findings)).collect();
    let report = if meanings.is_empty() {
        ui.note("this is no message that binfmt-nix knows; what it finds by itself:");
        Report::new(seen, findings)
    } else {
        Report::of_text(seen, meanings)
    };
    conclude(ui, &report)
}

fn conclude(ui: &Ui, report: &Report) -> ExitCode {
    if ui.is_json() {
        ui.json(report);
    } else {
        ui.verdicts(&report.text());
    }
    if report.is_clean() { ExitCode::Ok } else { ExitCode::Findings }
}

fn look_at(host: &Host) -> Result<(Seen, Vec<Finding>)> {
    let facts = Facts::gather(host, &[], None)?;
    let seen = look::look(host, &facts);
    let findings = doctor::examine(&seen);
    Ok((seen, findings))
}

/// Does what is safe, one by one, and looks again. What fails is told, and is still found.
fn repair(host: &Host, ui: &Ui, findings: &[Finding]) -> Result<Report> {
    let mut done: Vec<&'static str> = Vec::new();
    for finding in findings {
        match &finding.case.fix {
            Some(Fix::Register(targets)) => {
                for target in targets.iter().filter(|target| !done.contains(target)) {
                    if let Some(arch) = Arch::by_target(target)
                        && let Err(error) = register(host, ui, arch)
                    {
                        ui.error(&error);
                    }
                }
                done.extend(targets);
            }
            Some(Fix::RestartDaemon) => restart(host, ui)?,
            None => {}
        }
    }
    let (seen, left) = look_at(host)?;
    let mut report = Report::new(&seen, left);
    let still = |finding: &Finding| report.findings.iter().any(|left| left.id == finding.id);
    report.fixed = findings.iter().filter(|finding| !still(finding)).map(|finding| finding.id).collect();
    report.fixed.dedup();
    Ok(report)
}

/// What `register` would do, with what was asked for when it was registered, as far as that still shows.
fn register(host: &Host, ui: &Ui, arch: &'static Arch) -> Result<()> {
    let network = Network { mirror: mirrors::named(None)?, offline: false };
    let (machine, kernel) = kernel();
    let order =
        Order { source: &Source::Auto, machine: &machine, kernel, purpose: Purpose::Machine, caching: Caching::Read };
    let supply = Supply::open(Context { host, ui, network: &network }, &order, &[arch])?;
    let mut facts = Facts::gather(host, &[arch], Some(supply))?;
    let request = request(&facts, arch, network);
    // What was proven of it is not so now: it is put in and proven once more.
    if let Some(system) = facts.receipt.systems.get_mut(arch.target) {
        system.proven = false;
    }
    let plan = plan::register::plan(&request, &facts)?;
    let applied = Apply::new(host, ui, facts, request.network).register(&plan)?;
    for note in &applied.notes {
        ui.note(note);
    }
    for finding in &applied.findings {
        ui.warn(finding);
    }
    Ok(())
}

fn request(facts: &Facts, arch: &'static Arch, network: Network) -> Register {
    let known = facts.receipt.systems.get(arch.target);
    let file = layout::boot_rule(arch);
    let held = facts.boot.rules().iter().find(|(path, _)| *path == file).map(|(_, rule)| rule.flags);
    let flags = facts.our_entry(arch).map(|entry| entry.rule.flags).or(held);
    let [_, second] = layout::entries(arch);
    Register {
        systems: vec![arch],
        all: false,
        source: Source::Auto,
        network,
        credentials: flags.is_some_and(|flags| flags.credentials),
        nix: if known.is_some_and(|system| system.nix) { NixChoice::Yes } else { NixChoice::No },
        persist: held.is_some(),
        // It has this name because the user wanted it above somebody else's.
        force: known.is_some_and(|system| system.entry == second),
    }
}

fn restart(host: &Host, ui: &Ui) -> Result<()> {
    let facts = Facts::gather(host, &[], None)?;
    let plan = Plan { steps: vec![Step::RestartDaemon], ..Plan::default() };
    let applied = Apply::new(host, ui, facts, Network::default()).unregister(&plan)?;
    for note in &applied.notes {
        ui.note(note);
    }
    for finding in &applied.findings {
        ui.warn(finding);
    }
    Ok(())
}
