//! Gathers the facts that the checks judge. This is the only part of the doctor that reads the machine.

pub mod environment;
pub mod nix;

use std::collections::BTreeMap;

use binfmt_magic::{Arch, Entry};

use crate::binfmt::boot::Boot;
use crate::binfmt::native;
use crate::binfmt::native::NativeSupport;
use crate::binfmt::probe::ProbeResult;
use crate::binfmt::setuid;
use crate::binfmt::table;
use crate::binfmt::table::{Table, entry_name};
use crate::diagnose::acceleration;
use crate::diagnose::doctor::flags::has_file;
use crate::diagnose::doctor::snapshot::{InterpreterFile, Snapshot, TrialRun, interpreter_path, systems_matched_by};
use crate::diagnose::explain::{InterpreterStart, find_interpreter_start};
use crate::diagnose::running_binary::is_replaced;
use crate::diagnose::trial::Trial;
use crate::host::{self, Host};
use crate::nix::program;
use crate::qemu::{candidate, known_bad};
use crate::register::facts::Facts;
use crate::register::own_rule;
use crate::sorted;
use crate::ui::CheckBar;

/// Gathers all facts.
pub fn gather(host: &Host, facts: &Facts, bar: &CheckBar) -> Snapshot {
    let all: Vec<&'static Arch> = Arch::ALL.iter().collect();
    let natives = native::find_native(&all, &facts.machine, &facts.table);
    let natives = natives.into_iter().filter(|(_, native)| *native == NativeSupport::Runs);
    let natives = sorted::set(natives.map(|(target, _)| target));
    let writable = match facts.table {
        Table::Mounted { .. } => Some(host.may_write(&table::entry_path("register"))),
        Table::NotMounted | Table::Offline => None,
    };
    let own_rules = facts.receipt.parsed_rules();
    let mut snapshot = Snapshot {
        machine: facts.machine.clone(),
        kernel: facts.kernel,
        run: facts.run.clone(),
        shell: facts.shell.clone(),
        is_table_read_only: facts.is_table_read_only,
        harmful_entries: facts.harmful_entries.clone(),
        table: facts.table.clone(),
        support: environment::find_support(host),
        // An ordinary user cannot write `register` on any machine.
        writable: writable.filter(|_| host::env::effective_ids().0 == 0),
        environment: environment::gather_environment(host, facts),
        natives,
        own_entries: sorted::set(facts.our_entries()),
        registered: sorted::map(facts.receipt.systems.clone().into_iter().filter(|(_, system)| !system.disabled)),
        rules_without_interpreter: own_rules
            .iter()
            .filter(|(_, rule)| !host.has_mode(&own_rule::interpreter_path(rule), 0o111))
            .map(|(name, _)| name.clone())
            .collect(),
        own_rules,
        accelerated: acceleration::list_accelerated(host, facts),
        disabled: sorted::set(
            facts.receipt.systems.iter().filter(|(_, s)| s.disabled).map(|(target, _)| target.clone()),
        ),
        interpreters: BTreeMap::new(),
        starts: BTreeMap::new(),
        trials: BTreeMap::new(),
        boot: Boot { rules: facts.boot.accepted_rules().cloned().collect(), ..facts.boot.clone() },
        foreign_sudo: environment::find_foreign_sudo(host),
        setuid_programs: if facts.table.is_empty() { Vec::new() } else { setuid::find_setuid_programs(host) },
        nix: nix::gather_nix(host, facts),
    };
    if snapshot.environment.emulated {
        clear_outer_table(&mut snapshot);
        snapshot.nix.iter_mut().for_each(|nix| nix.release = program::nix_release(host));
    }
    snapshot.interpreters = inspect_interpreters(&snapshot, bar);
    snapshot.starts = find_starts(&snapshot);
    snapshot.trials = run_trials(&snapshot, bar);
    snapshot
}

/// Ignores the table of the machine outside. A system that runs in an emulator as a whole sees that table, whose
/// entries run this very program and do not belong to the system.
fn clear_outer_table(snapshot: &mut Snapshot) {
    snapshot.table = Table::of_entries(Vec::new());
    snapshot.boot = Boot::default();
    snapshot.environment.container = None;
}

/// Examines the interpreters. The kernel's paths are those of the running machine, even with `--root`.
fn inspect_interpreters(snapshot: &Snapshot, bar: &CheckBar) -> BTreeMap<Vec<u8>, InterpreterFile> {
    let mut entries: BTreeMap<&[u8], &Entry> = BTreeMap::new();
    for entry in snapshot.table.entries().iter().filter(|entry| has_file(entry)) {
        entries.entry(&entry.rule.interpreter).or_insert(entry);
    }
    bar.expect(entries.len());
    let inspected = host::parallel::map(entries.into_iter().collect(), |(path, entry)| {
        let file = inspect_interpreter(&snapshot.machine, entry);
        bar.advance();
        (path.to_vec(), file)
    });
    sorted::map(inspected)
}

/// Follows the interpreter of each entry.
fn find_starts(snapshot: &Snapshot) -> BTreeMap<String, InterpreterStart> {
    let entries = snapshot.table.entries().iter().filter(|entry| has_file(entry));
    let start = |entry: &Entry| find_interpreter_start(&snapshot.machine, &snapshot.table, entry);
    sorted::map(entries.filter_map(|entry| Some((entry_name(entry), start(entry)?))))
}

fn inspect_interpreter(machine: &str, entry: &Entry) -> InterpreterFile {
    let (host, path) = (Host::live(), interpreter_path(entry));
    if host::user_files::read_path_head(path, 1).is_err() {
        return InterpreterFile {
            exists: host::user_files::path_exists(path),
            executable: true,
            ..InterpreterFile::default()
        };
    }
    let mut inspected = InterpreterFile {
        exists: true,
        executable: host.has_mode(path, 0o111),
        noexec: host.noexec_mount(path),
        distrust: host.open_trusted_through_links(path).err().and_then(|error| match error {
            crate::error::Error::Untrusted(why) => Some(why),
            _ => None,
        }),
        label: host.selinux_label(path),
        ..InterpreterFile::default()
    };
    // A file that another user could have installed is not started, and neither is one that is not static.
    if let Some(arch) = systems_matched_by(entry).next()
        && let Ok(binary) = candidate::validate_any_release(&host, arch, machine, path)
    {
        inspected.version = Some(binary.version);
        let flaw = known_bad::find_flaw(binary.version, machine, arch.target, binary.fixed_address);
        inspected.flaw = flaw.map(|flaw| (flaw.what, flaw.thread));
    }
    inspected
}

/// Starts a probe of each system that has an entry, and finds out which file runs the probe.
fn run_trials(snapshot: &Snapshot, bar: &CheckBar) -> BTreeMap<&'static str, TrialRun> {
    if !snapshot.is_table_active() {
        return BTreeMap::new();
    }
    let systems: Vec<_> = snapshot.emulated_systems().collect();
    bar.expect(systems.len());
    let results = host::parallel::map(systems, |(arch, entry)| {
        let trial = run_trial(snapshot, arch, entry);
        bar.advance();
        Some((arch.target, trial?))
    });
    sorted::map(results.into_iter().flatten())
}

fn run_trial(snapshot: &Snapshot, arch: &Arch, entry: &Entry) -> Option<TrialRun> {
    arch.probe()?;
    let trial = Trial::run(arch);
    match (&trial.direct, &trial.in_chroot) {
        (Some(ProbeResult::Ran(_)), ProbeResult::Refused(e)) => return Some(TrialRun::RanOutside(e.to_string())),
        (Some(ProbeResult::Ran(_)), ProbeResult::Failed(why)) => return Some(TrialRun::RanOutside(why.clone())),
        (None | Some(ProbeResult::Ran(_)), _) => {}
        // Programs in memory may not be started here (sysctl vm.memfd_noexec), or the interpreter may not be executed,
        // which the check of its file reports.
        (Some(ProbeResult::Refused(e)), _) if e.kind() == std::io::ErrorKind::PermissionDenied => return None,
        (Some(ProbeResult::NotRun(_)), _) => return None,
        (Some(ProbeResult::Refused(e)), _) => {
            return Some(TrialRun::Failed(format!("the program could not be started: {e}")));
        }
        (Some(ProbeResult::Failed(why)), _) => return Some(TrialRun::Failed(why.clone())),
        (Some(ProbeResult::JitRefused(_)), _) => return Some(TrialRun::JitRefused),
    }
    let is_stale = trial.program().is_some_and(|running| is_replaced(entry, snapshot.start_of(entry), running));
    // A file that is gone is another finding.
    let exists = has_file(entry) && snapshot.interpreter_of(entry).is_some_and(|file| file.exists);
    Some(if is_stale && exists { TrialRun::RanStale } else { TrialRun::Ran })
}
