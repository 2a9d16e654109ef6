//! `binfmt-nix register --fileless`: for hosts where nothing may be written.

use std::collections::BTreeSet;
use std::path::Path;

use binfmt_magic::Arch;

use super::{conclude, lock, permission, talk};
use crate::apply::fileless::{Fileless, register};
use crate::binfmt_misc;
use crate::cli;
use crate::container::Container;
use crate::error::{ExitCode, Result};
use crate::facts::{Facts, fileless_name};
use crate::host::Host;
use crate::nix::conf::{self, Guest};
use crate::outcome::{Outcome, StepLine, SystemLine};
use crate::plan::Step;
use crate::plan::fileless::{self, Fileless as Plan};
use crate::probe::Trial;
use crate::probe::room::{self, Room};
use crate::request::Register;
use crate::rootless::emulators::{self, Emulator, Keep, Place, Wish};
use crate::ui::Ui;

pub(super) fn run(
    args: &cli::Register,
    request: &Register,
    host: &Host,
    container: Option<&Container>,
    ui: &Ui,
) -> Result<ExitCode> {
    if !args.dry_run {
        permission::check(host, Some(&args.systems))?;
    }
    let _lock = if args.dry_run { None } else { Some(lock(host, ui, args.wait)?) };
    let facts = Facts::gather(host, &request.systems, None)?;
    let mut plan = fileless::plan(request, &facts, &working(host, request, &facts))?;
    plan.notes.extend(container.filter(|_| !plan.missing.is_empty()).map(in_container));
    if args.dry_run {
        return Ok(report(ui, &facts, &plan, &[], false));
    }
    let wish =
        Wish { source: request.source.clone(), network: request.network.clone(), all: false, keep: Keep::Memory };
    let emulators = emulators::obtain(host, ui, &plan.missing, &facts.machine, &wish)?;
    let mut rules = Vec::new();
    for emulator in &emulators {
        if let Place::Memory(file) = &emulator.place {
            let rule = emulator.rule(&fileless_name(emulator.arch), request.credentials)?;
            let replaces = plan.replaces.get(emulator.arch.target).cloned();
            ui.step(&Step::Register { arch: emulator.arch, rule: rule.clone(), replaces: replaces.clone() });
            rules.push(Fileless { arch: emulator.arch, file, rule, replaces });
        }
    }
    register(host, plan.mount, &rules)?;
    Ok(report(ui, &facts, &plan, &emulators, true))
}

/// The systems that an entry of somebody else runs, in chroots too. Its interpreter's path may be one of another mount
/// namespace, so that only a program that runs can tell.
fn working(host: &Host, request: &Register, facts: &Facts) -> BTreeSet<&'static str> {
    let has_rival = |arch: &&&'static Arch| facts.rivals.get(arch.target).is_some_and(|rivals| !rivals.is_empty());
    let runs = |arch: &&&'static Arch| matches!(room::run(host, Room::Chroot, arch), Trial::Ran(_));
    request.systems.iter().filter(has_rival).filter(runs).map(|arch| arch.target).collect()
}

fn in_container(container: &Container) -> String {
    let kind = &container.kind;
    format!("this is a container ({kind}): QEMU is kept in the machine's memory, and needs nothing of it any more")
}

fn report(ui: &Ui, facts: &Facts, plan: &Plan, made: &[Emulator], done: bool) -> ExitCode {
    let version =
        |arch: &Arch| made.iter().find(|one| one.arch.target == arch.target).map(|one| one.version.to_string());
    let new = plan.missing.iter().map(|arch| line(arch, fileless_name(arch), version(arch), done));
    let old =
        plan.already.iter().map(|(arch, entry)| SystemLine { already: true, ..line(arch, entry.clone(), None, false) });
    let step = |arch: &&'static Arch| StepLine { verb: "register", what: format!("{} in memory", fileless_name(arch)) };
    let mount = plan.mount.then(|| StepLine { verb: "mount", what: binfmt_misc::DIR.into() });
    let outcome = Outcome {
        version: 1,
        changed: done && !plan.missing.is_empty(),
        steps: mount.into_iter().chain(plan.missing.iter().map(step)).collect(),
        systems: new.chain(old).collect(),
        nix: None,
        notes: notes(facts, plan),
        findings: Vec::new(),
    };
    talk(ui, &outcome);
    for StepLine { verb, what } in outcome.steps.iter().filter(|_| !done) {
        ui.result(&format!("would {verb:<10} {what}"));
    }
    for system in outcome.systems.iter().filter(|system| done || system.already) {
        match &system.entry {
            Some(entry) if system.already => ui.result(&format!("{}: runs already (entry {entry})", system.system)),
            _ => ui.result(system),
        }
    }
    if outcome.changed {
        let names: Vec<_> = plan.missing.iter().map(|arch| arch.target).collect();
        ui.result(&format!("undo with: binfmt-nix unregister {}", names.join(" ")));
    }
    conclude(ui, &outcome)
}

fn line(arch: &'static Arch, entry: String, qemu: Option<String>, proven: bool) -> SystemLine {
    SystemLine {
        system: arch.target,
        nix_systems: arch.nix_systems,
        registered: true,
        already: false,
        proven,
        adopted: false,
        entry: Some(entry),
        interpreter: None,
        qemu,
        source: None,
    }
}

fn notes(facts: &Facts, plan: &Plan) -> Vec<String> {
    let mut notes = plan.notes.clone();
    if plan.missing.is_empty() {
        return notes;
    }
    notes.push("nothing is written to disk: all of this ends when the machine restarts".into());
    if facts.nix.trace.is_some() {
        let systems: Vec<&str> = plan.missing.iter().flat_map(|arch| arch.nix_systems).copied().collect();
        let lines = conf::lines(&[Guest { systems: &systems, interpreter: Path::new("") }]);
        let line = lines.first().map_or("", String::as_str);
        notes.push(format!("Nix is not told; this line in its nix.conf does, and its daemon needs a restart: {line}"));
    }
    if plan.mount {
        notes.push(format!("{} is mounted until then, too", binfmt_misc::DIR));
    }
    notes
}
