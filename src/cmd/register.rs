//! `binfmt-nix register SYSTEM…`

use binfmt_magic::Arch;

use super::{check_permission, conclude, fileless, hold, lock, named_systems, origin, show, talk};
use crate::apply::{Applied, Apply};
use crate::binfmt_misc::{self, Table};
use crate::cli;
use crate::container::Container;
use crate::download::Network;
use crate::error::{ExitCode, Result};
use crate::facts::Facts;
use crate::hold::Registration;
use crate::host::Host;
use crate::layout;
use crate::nix::answer::{self, Answer};
use crate::outcome::Outcome;
use crate::plan::{self, Plan, Planned, Step};
use crate::qemu::obtain::source::Source;
use crate::request::{NixChoice, Register};
use crate::ui::Ui;

pub(super) fn run(args: &cli::Register, host: &Host, container: Option<&Container>, ui: &Ui) -> Result<ExitCode> {
    let request = request(args)?;
    let ui = &if args.watch { ui.in_lines() } else { ui.clone() };
    if let Some(container) = container {
        container.check(host, args.watch)?;
    }
    // A container's files go with it; who has Nix in there says so.
    if args.in_memory || (container.is_some() && !args.nix) {
        return fileless::run(args, &request, host, container, ui);
    }
    if args.dry_run {
        let (_, mut plan) = look(&request, host, ui)?;
        hold::foretell(args, host, &mut plan.notes)?;
        return Ok(show(ui, &plan));
    }
    check_permission(host, Some(&args.systems))?;
    let hold = hold::begin(args, host, container, ui)?;
    let (plan, outcome) = register(&request, host, ui, args.wait)?;
    let code = report(ui, &plan, &outcome);
    let Some(hold) = hold else { return Ok(code) };
    let log = &ui.logging();
    hold.stay(host, log, &request, &outcome, &mut Files { host, log, request: &request, wait: args.wait })
}

fn look(request: &Register, host: &Host, ui: &Ui) -> Result<(Facts, Plan)> {
    let supply = origin::supply(host, ui, request)?;
    let facts = Facts::gather(host, &request.systems, Some(supply))?;
    let plan = plan::register::plan(request, &facts)?;
    Ok((facts, plan))
}

/// Look, plan, apply, check.
fn register(request: &Register, host: &Host, ui: &Ui, wait: u64) -> Result<(Plan, Outcome)> {
    let _lock = lock(host, ui, wait)?;
    let (facts, plan) = look(request, host, ui)?;
    let mut outcome = Outcome::planned(&plan);
    if !plan.steps.is_empty() || !plan.systems.iter().all(|planned| is_known(&facts, planned)) {
        let applied = Apply::new(host, ui, facts, request.network.clone()).register(&plan)?;
        outcome = outcome.applied(&applied);
        check(host, &plan, &applied, &mut outcome);
    }
    Ok((plan, outcome))
}

/// What `--watch` does again.
struct Files<'a> {
    host: &'a Host,
    log: &'a Ui,
    request: &'a Register,
    wait: u64,
}

impl Registration for Files<'_> {
    fn mount(&mut self) -> Result<()> {
        let _lock = lock(self.host, self.log, self.wait)?;
        if !matches!(binfmt_misc::look(self.host)?, Table::NotMounted) {
            return Ok(());
        }
        binfmt_misc::mount(self.host)?;
        let facts = Facts::gather(self.host, &[], None)?;
        Apply::new(self.host, self.log, facts, Network::default()).mounted_again()
    }

    fn register(&mut self, systems: &[&'static Arch]) -> Result<Outcome> {
        let mut request = Register { systems: systems.to_vec(), ..self.request.clone() };
        // What was brought from elsewhere is in its place by now, and is not brought again.
        if systems.iter().all(|arch| self.host.exists(&layout::interpreter(arch))) {
            request.source = Source::Auto;
        }
        let (_, outcome) = register(&request, self.host, self.log, self.wait)?;
        talk(self.log, &outcome);
        Ok(outcome)
    }
}

fn request(args: &cli::Register) -> Result<Register> {
    let (systems, all) = named_systems(&args.systems)?;
    let (source, network) = origin::wanted(&args.origin, systems.len())?;
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
