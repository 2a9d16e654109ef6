//! `binfmt-nix register SYSTEM…`

use super::{conclude, fileless, lock, origin, permission, show, systems, talk};
use crate::apply::{Applied, Apply};
use crate::cli;
use crate::container::Container;
use crate::error::{ExitCode, Result};
use crate::facts::Facts;
use crate::host::Host;
use crate::nix::answer::{self, Answer};
use crate::outcome::Outcome;
use crate::plan::{self, Plan, Planned, Step};
use crate::request::{NixChoice, Register};
use crate::source;
use crate::ui::Ui;

pub(super) fn run(args: &cli::Register, host: &Host, container: Option<&Container>, ui: &Ui) -> Result<ExitCode> {
    let request = request(args, host)?;
    if let Some(container) = container {
        container.check(host, false)?;
    }
    // A container's files go with it; who has Nix in there says so.
    if args.fileless || (container.is_some() && !args.nix) {
        return fileless::run(args, &request, host, container, ui);
    }
    if !args.dry_run {
        permission::check(host, Some(&args.systems))?;
    }
    let _lock = if args.dry_run { None } else { Some(lock(host, ui, args.wait)?) };
    let supply = source::supply(host, ui, &request.source, &request.network)?;
    let facts = Facts::gather(host, &request.systems, Some(&supply))?;
    let plan = plan::register::plan(&request, &facts)?;
    if args.dry_run {
        return Ok(show(ui, &plan));
    }
    if plan.steps.is_empty() && plan.systems.iter().all(|planned| is_known(&facts, planned)) {
        return Ok(report(ui, &plan, &Outcome::planned(&plan)));
    }
    let applied = Apply::new(host, ui, facts, request.network).register(&plan)?;
    let mut outcome = Outcome::planned(&plan).applied(&applied);
    check(host, &plan, &applied, &mut outcome);
    Ok(report(ui, &plan, &outcome))
}

fn request(args: &cli::Register, host: &Host) -> Result<Register> {
    let (systems, all) = systems::named(&args.systems)?;
    let (source, network) = origin::wanted(&args.origin, host, systems.len())?;
    Ok(Register {
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
fn is_known(facts: &Facts, planned: &Planned) -> bool {
    facts.receipt.systems.get(planned.arch.target) == planned.system.as_ref()
}

/// What Nix answers is what is claimed of it.
fn check(host: &Host, plan: &Plan, applied: &Applied, outcome: &mut Outcome) {
    let told = plan.steps.iter().any(|step| matches!(step, Step::RestartDaemon));
    if !told || !host.is_live() {
        return;
    }
    let registered = |planned: &&Planned| applied.receipt.systems.get(planned.arch.target).is_some_and(|s| s.nix);
    let systems: Vec<&str> =
        plan.systems.iter().filter(registered).flat_map(|planned| planned.arch.nix_systems).copied().collect();
    match answer::ask(host) {
        Some(answer) => outcome.nix_answered(&systems, answer),
        None => outcome
            .notes
            .push("Nix was told, but could not be asked: there is no nix here that root can safely run".into()),
    }
}

/// Prints what came of it.
fn report(ui: &Ui, plan: &Plan, outcome: &Outcome) -> ExitCode {
    talk(ui, outcome);
    for system in &outcome.systems {
        ui.result(system);
    }
    if let Some(answer) = &outcome.nix {
        ui.result(&nix_line(answer));
    }
    if outcome.changed {
        let changed = plan.systems.iter().filter(|planned| !planned.already || plan.systems.len() == 1);
        let names: Vec<_> = changed.map(|planned| planned.arch.target).collect();
        ui.result(&format!("undo with: binfmt-nix unregister {}", names.join(" ")));
    }
    conclude(ui, outcome)
}

fn nix_line(answer: &Answer) -> String {
    let sandbox = match answer.sandbox.as_str() {
        "true" => "in its sandbox",
        "relaxed" => "in its sandbox, unless a derivation asks to be let out",
        _ => "without a sandbox (sandbox = false in its settings)",
    };
    format!("nix builds {sandbox} for: {}", answer.extra_platforms.join(" "))
}
