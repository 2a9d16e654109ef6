//! `binfmt-nix register --in-memory`: for hosts where nothing may be written.

use std::collections::BTreeSet;
use std::path::Path;

use binfmt_magic::Arch;

use super::{check_permission, conclude, hold, lock, talk};
use crate::apply::fileless::{Fileless, register};
use crate::binfmt_misc::{self, Table};
use crate::cli;
use crate::container::Container;
use crate::error::{ExitCode, Result};
use crate::facts::{Facts, fileless_name};
use crate::hold::Registration;
use crate::host::Host;
use crate::in_memory::{HELD_IN_MEMORY, IN_MEMORY};
use crate::nix::conf::{self, Guest};
use crate::outcome::{Outcome, StepLine, SystemLine};
use crate::plan::Step;
use crate::plan::fileless::{self, Fileless as Plan};
use crate::probe::room::{self, Room};
use crate::probe::{self, Trial};
use crate::qemu::obtain::Context;
use crate::qemu::obtain::emulators::{self, Emulator, Keep, Place};
use crate::request::Register;
use crate::ui::Ui;

pub(super) fn run(
    args: &cli::Register,
    request: &Register,
    host: &Host,
    container: Option<&Container>,
    ui: &Ui,
) -> Result<ExitCode> {
    let mut memory = Memory { args, host, container, emulators: Vec::new() };
    if args.dry_run {
        let (facts, mut plan) = memory.look(request)?;
        hold::foretell(args, host, &mut plan.notes)?;
        return Ok(report(ui, &outcome(&facts, &plan, &[], false), false));
    }
    check_permission(host, Some(&args.systems))?;
    let hold = hold::begin(args, host, container, ui)?;
    let outcome = memory.register(request, ui)?;
    let code = report(ui, &outcome, true);
    let Some(hold) = hold else { return Ok(code) };
    let log = &ui.logging();
    hold.stay(host, log, request, &outcome, &mut Again { memory, request, log })
}

/// Emulators stay open while this process does: what it registers again, it does not bring again.
struct Memory<'a> {
    args: &'a cli::Register,
    host: &'a Host,
    container: Option<&'a Container>,
    emulators: Vec<Emulator>,
}

impl Memory<'_> {
    fn look(&self, request: &Register) -> Result<(Facts, Plan)> {
        let facts = Facts::gather(self.host, &request.systems, None)?;
        let mut plan = fileless::plan(request, &facts, &working(request, &facts))?;
        plan.notes.extend(self.container.filter(|_| !plan.missing.is_empty()).map(in_container));
        Ok((facts, plan))
    }

    fn has(&self, arch: &Arch) -> bool {
        self.emulators.iter().any(|one| one.arch.target == arch.target)
    }

    /// Look, plan, apply, check.
    fn register(&mut self, request: &Register, ui: &Ui) -> Result<Outcome> {
        let _lock = lock(self.host, ui, self.args.wait)?;
        let (facts, mut plan) = self.look(request)?;
        let new: Vec<_> = plan.missing.iter().copied().filter(|arch| !self.has(arch)).collect();
        if !new.is_empty() {
            let context = Context { host: self.host, ui, network: &request.network };
            let wanted: Vec<_> = new.iter().map(|arch| facts.wanted(arch)).collect();
            let source = emulators::Request { source: &request.source, all: request.all, keep: Keep::Memory };
            let machine = (facts.machine.as_str(), facts.kernel);
            self.emulators.extend(emulators::obtain(context, &wanted, machine, &source)?);
        }
        // With "all", what nobody has is passed over.
        plan.missing.retain(|arch| self.has(arch));
        let place = if self.args.watch { HELD_IN_MEMORY } else { IN_MEMORY };
        let mut rules = Vec::new();
        for emulator in self.emulators.iter().filter(|one| plan.missing.iter().any(|a| a.target == one.arch.target)) {
            if let Place::Memory(file) = &emulator.place {
                let rule = emulator.rule_by(place, &fileless_name(emulator.arch), request.credentials)?;
                let replaces = plan.replaces.get(emulator.arch.target).cloned();
                let step = Step::Register { arch: emulator.arch, rule: rule.clone(), replaces: replaces.clone() };
                ui.step(step.verb(), &step);
                rules.push(Fileless { arch: emulator.arch, file, rule, replaces });
            }
        }
        register(self.host, plan.mount, &rules)?;
        Ok(outcome(&facts, &plan, &self.emulators, true))
    }
}

/// The systems that an entry of somebody else runs, in chroots too, where that can be tried. Its interpreter's path may be
/// one of another mount namespace, so that only a program that runs can tell.
fn working(request: &Register, facts: &Facts) -> BTreeSet<&'static str> {
    let has_rival = |arch: &&&'static Arch| facts.rivals.get(arch.target).is_some_and(|rivals| !rivals.is_empty());
    let runs = |arch: &&&'static Arch| match room::run(Room::Chroot, arch) {
        Trial::Ran(_) => true,
        Trial::Untried(_) => matches!(probe::direct(arch), Trial::Ran(_)),
        Trial::Refused(_) | Trial::Ended(_) => false,
    };
    request.systems.iter().filter(has_rival).filter(runs).map(|arch| arch.target).collect()
}

fn in_container(container: &Container) -> String {
    let kind = &container.kind;
    let until = if container.alone {
        "all of it ends with the container, for nobody else has the kernel's table mounted"
    } else {
        "and needs nothing of it any more"
    };
    format!("this is a container ({kind}): QEMU is kept in the machine's memory, {until}")
}

/// What `--watch` does again.
struct Again<'a> {
    memory: Memory<'a>,
    request: &'a Register,
    log: &'a Ui,
}

impl Registration for Again<'_> {
    fn mount(&mut self) -> Result<()> {
        let Memory { args, host, .. } = self.memory;
        let _lock = lock(host, self.log, args.wait)?;
        match binfmt_misc::look(host)? {
            Table::NotMounted => binfmt_misc::mount(host),
            _ => Ok(()),
        }
    }

    fn register(&mut self, systems: &[&'static Arch]) -> Result<Outcome> {
        let request = Register { systems: systems.to_vec(), ..self.request.clone() };
        self.memory.register(&request, self.log)
    }
}

fn outcome(facts: &Facts, plan: &Plan, made: &[Emulator], done: bool) -> Outcome {
    let version =
        |arch: &Arch| made.iter().find(|one| one.arch.target == arch.target).map(|one| one.version.to_string());
    let new = plan.missing.iter().map(|arch| line(arch, fileless_name(arch), version(arch), done));
    let old =
        plan.already.iter().map(|(arch, entry)| SystemLine { already: true, ..line(arch, entry.clone(), None, false) });
    let step = |arch: &&'static Arch| StepLine { verb: "register", what: format!("{} in memory", fileless_name(arch)) };
    let mount = plan.mount.then(|| StepLine { verb: "mount", what: binfmt_misc::DIR.into() });
    Outcome {
        version: 1,
        changed: done && !plan.missing.is_empty(),
        steps: mount.into_iter().chain(plan.missing.iter().map(step)).collect(),
        systems: new.chain(old).collect(),
        nix: None,
        notes: notes(facts, plan),
        findings: Vec::new(),
    }
}

fn report(ui: &Ui, outcome: &Outcome, done: bool) -> ExitCode {
    talk(ui, outcome);
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
        let names: Vec<_> = outcome.systems.iter().filter(|line| !line.already).map(|line| line.system).collect();
        ui.result(&format!("undo with: binfmt-nix unregister {}", names.join(" ")));
    }
    conclude(ui, outcome)
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
