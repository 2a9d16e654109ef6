//! The command `register --in-memory`: registers systems without writing to disk.
//!
//! `register` also uses it in containers, whose files the host cannot see.

use std::collections::BTreeSet;

use binfmt_magic::Arch;

use super::{acquire_lock, check_permission, finish, print_notes};
use crate::binfmt::container::Container;
use crate::binfmt::in_memory::{FD_DIR, WATCHED_FD_DIR};
use crate::binfmt::probe;
use crate::binfmt::probe::ProbeResult;
use crate::binfmt::probe::isolated;
use crate::binfmt::probe::isolated::Isolation;
use crate::binfmt::shell::Shell;
use crate::binfmt::table;
use crate::binfmt::table::Table;
use crate::cli;
use crate::cli::commands::watch;
use crate::error::{ExitCode, Result};
use crate::host::Host;
use crate::nix::conf;
use crate::qemu::obtain::ObtainContext;
use crate::qemu::obtain::emulators::{self, Emulator, EmulatorFile, Storage};
use crate::register::apply::in_memory::{InMemoryEntry, add_entries};
use crate::register::facts::{Facts, in_memory_entry_name};
use crate::register::plan::Step;
use crate::register::plan::in_memory;
use crate::register::plan::in_memory::InMemoryPlan as Plan;
use crate::register::report::{Report, StepReport, SystemReport};
use crate::register::request::RegisterRequest;
use crate::register::subject::Subject;
use crate::register::watch::Reregister;
use crate::sorted;
use crate::ui::Ui;

pub(super) fn run(
    args: &cli::RegisterArgs,
    request: &RegisterRequest,
    host: &Host,
    container: Option<&Container>,
    ui: &Ui,
) -> Result<ExitCode> {
    let mut registrar = InMemoryRegistrar { args, host, container, emulators: Vec::new() };
    if args.change.dry_run {
        let (facts, mut plan) = registrar.plan_registration(request)?;
        watch::describe_dry_run(args, host, &mut plan.notes)?;
        return Ok(print_report(ui, &facts.shell, &build_report(&facts, &plan, &[], false), false));
    }
    check_permission(host, Some(&args.systems))?;
    let setup = watch::prepare_watch(args, host, container, ui)?;
    let report = registrar.register_systems(request, ui)?;
    let code = print_report(ui, &Shell::for_host(host), &report, true);
    let Some(setup) = setup else { return Ok(code) };
    let log = &ui.as_log();
    setup.watch_until_signal(host, log, request, &report, &mut InMemoryReregister { registrar, request, log })
}

/// Registers systems with emulators in memory. The emulators stay open as long as this process runs, so it does not
/// obtain them again when it registers a system again.
struct InMemoryRegistrar<'a> {
    args: &'a cli::RegisterArgs,
    host: &'a Host,
    container: Option<&'a Container>,
    emulators: Vec<Emulator>,
}

impl InMemoryRegistrar<'_> {
    fn plan_registration(&self, request: &RegisterRequest) -> Result<(Facts, Plan)> {
        let facts = Facts::gather(self.host, &request.systems)?;
        let mut plan = in_memory::plan_in_memory(request, &facts, &find_working_systems(request, &facts))?;
        plan.notes.extend(self.container.filter(|_| !plan.missing.is_empty()).map(container_note));
        Ok((facts, plan))
    }

    fn has_emulator(&self, arch: &Arch) -> bool {
        self.emulators.iter().any(|one| one.arch.target == arch.target)
    }

    /// Acquires the lock, gathers facts, plans, obtains missing emulators, and adds the entries.
    fn register_systems(&mut self, request: &RegisterRequest, ui: &Ui) -> Result<Report> {
        let _lock = acquire_lock(self.host, ui, self.args.change.wait)?;
        let (facts, mut plan) = self.plan_registration(request)?;
        let new: Vec<_> = plan.missing.iter().copied().filter(|arch| !self.has_emulator(arch)).collect();
        if !new.is_empty() {
            let context = ObtainContext { host: self.host, ui, network: &request.network };
            let wanted: Vec<_> = new.iter().map(|arch| facts.wanted(arch)).collect();
            let source = emulators::ObtainOptions {
                source: &request.source,
                skip_missing: request.all,
                storage: Storage::Memory,
            };
            let machine = (facts.machine.as_str(), facts.kernel);
            self.emulators.extend(emulators::obtain_emulators(context, &wanted, machine, &source)?);
        }
        // With "all", systems without an emulator are skipped.
        plan.missing.retain(|arch| self.has_emulator(arch));
        let fd_dir = if self.args.watch { WATCHED_FD_DIR } else { FD_DIR };
        let mut rules = Vec::new();
        for emulator in self.emulators.iter().filter(|one| plan.missing.iter().any(|a| a.target == one.arch.target)) {
            if let EmulatorFile::Memory(file) = &emulator.file {
                let rule =
                    emulator.build_rule_with_path(fd_dir, &in_memory_entry_name(emulator.arch), request.credentials)?;
                let replaces = plan.replaces.get(emulator.arch.target).cloned();
                let step = Step::AddEntry {
                    subject: Subject::System(emulator.arch),
                    rule: rule.clone(),
                    replaces: replaces.iter().flat_map(|old| old.rules.clone()).collect(),
                    stand_in: None,
                };
                ui.print_step(step.verb(), &step);
                rules.push(InMemoryEntry { arch: emulator.arch, file, rule, replaces });
            }
        }
        add_entries(self.host, plan.mount, &rules)?;
        Ok(build_report(&facts, &plan, &self.emulators, true))
    }
}

/// Finds the systems whose programs already run by an entry of another tool, in chroots too if a chroot is possible.
/// The interpreter's path may belong to another mount namespace, so only running a program shows whether the entry
/// works.
fn find_working_systems(request: &RegisterRequest, facts: &Facts) -> BTreeSet<&'static str> {
    let has_rival = |arch: &&&'static Arch| facts.conflicts.get(arch.target).is_some_and(|rivals| !rivals.is_empty());
    let runs = |arch: &&&'static Arch| match isolated::run_isolated(Isolation::Chroot, arch) {
        ProbeResult::Ran(_) => true,
        ProbeResult::NotRun(_) => matches!(probe::run_direct(arch), ProbeResult::Ran(_)),
        ProbeResult::Refused(_) | ProbeResult::Failed(_) | ProbeResult::JitRefused(_) => false,
    };
    sorted::set(request.systems.iter().filter(has_rival).filter(runs).map(|arch| arch.target))
}

fn container_note(container: &Container) -> String {
    let kind = &container.kind;
    let until = if container.is_sole_mounter {
        "the registration ends with the container, because the kernel's table is mounted nowhere else"
    } else {
        "which no longer needs the container"
    };
    format!("this is a container ({kind}): QEMU is kept in the machine's memory, {until}")
}

/// Repairs of `--watch` for registrations in memory.
struct InMemoryReregister<'a> {
    registrar: InMemoryRegistrar<'a>,
    request: &'a RegisterRequest,
    log: &'a Ui,
}

impl Reregister for InMemoryReregister<'_> {
    fn mount_table(&mut self) -> Result<()> {
        let InMemoryRegistrar { args, host, .. } = self.registrar;
        let _lock = acquire_lock(host, self.log, args.change.wait)?;
        match table::read_table(host)? {
            Table::NotMounted => table::mount_table(host),
            _ => Ok(()),
        }
    }

    fn register_again(&mut self, subjects: &[Subject]) -> Result<Report> {
        let systems = subjects.iter().filter_map(Subject::arch).collect();
        let request = RegisterRequest { systems, ..self.request.clone() };
        self.registrar.register_systems(&request, self.log)
    }
}

fn build_report(facts: &Facts, plan: &Plan, emulators: &[Emulator], done: bool) -> Report {
    let version =
        |arch: &Arch| emulators.iter().find(|one| one.arch.target == arch.target).map(|one| one.version.to_string());
    let new = plan.missing.iter().map(|arch| system_report(arch, in_memory_entry_name(arch), version(arch), done));
    let old = plan
        .already
        .iter()
        .map(|(arch, entry)| SystemReport { already: true, ..system_report(arch, entry.clone(), None, false) });
    let step = |arch: &&'static Arch| StepReport {
        verb: "register",
        what: format!("{} in memory", in_memory_entry_name(arch)),
    };
    let mount = plan.mount.then(|| StepReport { verb: "mount", what: table::DIR.into() });
    Report {
        version: 1,
        changed: done && !plan.missing.is_empty(),
        steps: mount.into_iter().chain(plan.missing.iter().map(step)).collect(),
        systems: new.chain(old).collect(),
        rules: Vec::new(),
        accelerated: Vec::new(),
        nix: None,
        nix_builds: Vec::new(),
        notes: collect_notes(facts, plan),
        findings: Vec::new(),
    }
}

fn print_report(ui: &Ui, shell: &Shell, report: &Report, done: bool) -> ExitCode {
    print_notes(ui, report);
    for StepReport { verb, what } in report.steps.iter().filter(|_| !done) {
        ui.print_result(&format!("would {verb:<10} {what}"));
    }
    for system in report.systems.iter().filter(|system| done || system.already) {
        match &system.entry {
            Some(entry) if system.already => {
                ui.print_result(&format!("{}: runs already (entry {entry})", system.system));
            }
            _ => ui.print_result(system),
        }
    }
    if report.changed {
        let names: Vec<_> = report.systems.iter().filter(|line| !line.already).map(|line| line.system).collect();
        let undo = shell.tool_command(format_args!("unregister {}", names.join(" ")));
        ui.print_result(&format!("undo with: {undo}"));
    }
    finish(ui, report)
}

fn system_report(arch: &'static Arch, entry: String, qemu: Option<String>, proven: bool) -> SystemReport {
    SystemReport {
        system: arch.target,
        nix_systems: arch.nix_systems,
        registered: true,
        already: false,
        proven,
        adopted: false,
        disabled: false,
        entry: Some(entry),
        interpreter: None,
        qemu,
        source: None,
    }
}

fn collect_notes(facts: &Facts, plan: &Plan) -> Vec<String> {
    let mut notes = plan.notes.clone();
    if plan.missing.is_empty() {
        return notes;
    }
    notes.push("nothing is written to disk: the registration ends when the machine restarts".into());
    if facts.nix.trace.is_some() {
        let systems: Vec<&str> = plan.missing.iter().flat_map(|arch| arch.nix_systems).copied().collect();
        for line in conf::platform_lines(&systems) {
            notes.push(format!(
                "Nix is not configured, and no build by Nix was tried; add this line to its nix.conf and restart its \
                 daemon: {line}"
            ));
        }
    }
    if plan.mount {
        notes.push(format!("{} also stays mounted until then", table::DIR));
    }
    notes
}
