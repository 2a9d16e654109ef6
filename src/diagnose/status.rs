//! `status`: finds the entry that runs the programs of each system, and whether it works.
//!
//! `status --json` prints [`StatusReport`] as it is: fields are added, not changed, within one `version`.

use std::fmt;
use std::path::{Path, PathBuf};

use binfmt_magic::{Arch, Entry};
use serde::Serialize;

use crate::binfmt::probe::ProbeResult;
use crate::binfmt::table::entry_name;
use crate::diagnose::acceleration::{self, AcceleratedStatus};
use crate::diagnose::other_entries::{OtherEntry, describe_files, list_other_entries};
use crate::diagnose::repair::repair_rule;
use crate::diagnose::rule_state::{RuleState, rule_state};
use crate::diagnose::running_binary;
use crate::diagnose::running_binary::DiskBinary;
use crate::diagnose::trial::Trial;
use crate::diagnose::verify;
use crate::diagnose::verify::cause::{Cause, VerifyContext};
use crate::host::{self, Host};
use crate::nix::config_show::NixConfig;
use crate::nix::daemon::OutdatedDaemon;
use crate::nix::{ConfState, conf};
use crate::paths;
use crate::paths::{NIX_OWN_CONF, WATCH_LOCK};
use crate::qemu::binary::QemuVersion;
use crate::register::acceleration::system_of_rule;
use crate::register::facts::owner::{Owner, owner_of};
use crate::register::facts::{Facts, RecordState};
use crate::register::own_rule;
use crate::register::plan::upgrade::describe_outdated;
use crate::register::receipt::{Artifact, NixBuild, OwnRule, Record, System};
use crate::sanitize::{AsText as _, text_of_bytes};
use crate::sha256::Sha256;
use crate::ui::CheckBar;

/// The state of the machine's foreign systems.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct StatusReport {
    /// The version of this format: 1.
    pub version: u32,
    /// One element for each system that has an entry, or should have one.
    pub systems: Vec<SystemStatus>,
    /// One element for each own rule.
    pub rules: Vec<RuleStatus>,
    /// One element for each guest program that a native one replaces (`accelerate`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub accelerated: Vec<AcceleratedStatus>,
    /// The entries of other tools that run no system's programs now: those of files of Java, Wine, WebAssembly and others,
    /// and those of emulators that are off or come after another entry.
    pub other_entries: Vec<OtherEntry>,
    /// What registers the entries again at boot.
    pub boot: BootStatus,
    /// Whether a file or an entry that this tool made belongs to no registered system: a run is in progress, was
    /// interrupted, or could not remove everything. Running the same command again completes the run;
    /// `unregister all` removes the rest, or reports what remains.
    pub unfinished: bool,
    /// The process that runs `register --watch`, as it describes itself; null if none was found.
    pub holder: Option<String>,
    /// The nix-daemon that `register` could not restart, and that still has its old settings; null if there is none.
    pub outdated_daemon: Option<OutdatedDaemon>,
}

/// What registers entries at boot.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct BootStatus {
    /// The file with which the init system starts `binfmt-nix restore`; null where /etc/binfmt.d is read, or no such
    /// file is complete.
    pub hook: Option<String>,
    /// The reason why nothing registers the entries at boot; null if something does, or if no boot is known: in a
    /// container, or in a user namespace.
    pub problem: Option<String>,
}

impl BootStatus {
    fn gather(facts: &Facts) -> Self {
        let installed = facts.boot.hook.as_ref().filter(|state| state.is_installed());
        let hook = installed.and_then(|state| state.hook.as_ref().ok().map(ToString::to_string));
        let problem = facts.boot.find_problem().filter(|_| facts.survives_boot);
        Self { hook, problem: problem.map(ToString::to_string) }
    }
}

/// The state of one system.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SystemStatus {
    /// QEMU's name of the system.
    pub system: &'static str,
    /// Whether its programs run.
    pub state: Health,
    /// The entry that the kernel picks.
    pub entry: Option<String>,
    /// The flags of the entry, in the kernel's order.
    pub flags: Option<String>,
    /// The path of the entry's interpreter.
    pub interpreter: Option<String>,
    /// The release of the file that the kernel really runs, as the file reports it; null if no program ran.
    pub qemu: Option<String>,
    /// The digest of that file.
    pub sha256: Option<Sha256>,
    /// The file at the interpreter's path, if the kernel runs another one; null if it is the same.
    pub on_disk: Option<DiskBinary>,
    /// Whether a program ran in an empty chroot; null if that could not be tried, or no program ran at all.
    pub in_chroot: Option<bool>,
    /// The origin of the emulator, if this tool installed it.
    pub source: Option<String>,
    /// Why `upgrade` would replace the installed emulator: it is older than the release that this version downloads, or
    /// known to be bad; null if it is neither, or another tool's.
    pub outdated: Option<String>,
    /// The command that replaces it.
    pub upgrade: Option<String>,
    /// The maker of the entry.
    pub by: Owner,
    /// Whether `register --watch` made the entry, with an emulator in memory, and registers it again if it is removed.
    pub held: bool,
    /// Nix's names of the system; empty if Nix has none.
    pub nix_systems: &'static [&'static str],
    /// Whether Nix's settings list all of these names, and the features that nixpkgs requires for them; null if there
    /// is no name, or if Nix could not report its settings.
    pub nix_knows: Option<bool>,
    /// The last build by Nix that `register` or `test --nix` made for the system, since it was registered. It shows what
    /// Nix did then, not what it would do now; null if none was made.
    pub nix_build: Option<NixBuild>,
    /// The problem, if there is one.
    pub detail: Option<String>,
    /// The commands that repair it, in order.
    pub repair: Vec<String>,
}

/// Whether a system's programs run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Health {
    /// A program was run just now, in an empty chroot if that could be tried.
    Works,
    /// A program was run just now, but not in an empty chroot: it does not run in containers and builds.
    Partial,
    /// An entry exists, but no program could be tried.
    NotProven,
    /// A program was started and failed.
    Broken,
    /// The system is registered, but no entry runs its programs.
    Missing,
    /// The system is registered, and `disable` turned it off.
    Disabled,
}

/// The state of an own rule.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RuleStatus {
    /// The name of the rule and of its entry.
    pub rule: String,
    /// Whether the kernel has the entry.
    pub state: RuleState,
    /// Whether a file ran through the entry when it was registered (`--test`).
    pub tested: bool,
    /// The flags of the rule, in the kernel's order.
    pub flags: String,
    /// The path of the interpreter.
    pub interpreter: String,
    /// The files that the rule takes, in words.
    pub takes: String,
    /// The commands that repair it, in order.
    pub repair: Vec<String>,
}

fn gather_rules(host: &Host, facts: &Facts) -> Vec<RuleStatus> {
    let is_own = |(name, _): &(&String, &OwnRule)| system_of_rule(name).is_none();
    let rules = facts.receipt.rules.iter().filter(is_own).filter_map(|(name, own)| {
        let rule = own.rule()?;
        let state = rule_state(facts, name);
        let in_force = state == RuleState::Registered;
        let has_interpreter = host.has_mode(&own_rule::interpreter_path(&rule), 0o111);
        let repair = if in_force { Vec::new() } else { repair_rule(&facts.shell, &rule, has_interpreter) };
        Some(RuleStatus {
            rule: name.clone(),
            state,
            tested: own.tested,
            flags: rule.flags.to_string(),
            interpreter: text_of_bytes(&rule.interpreter),
            takes: describe_files(&rule),
            repair,
        })
    });
    rules.collect()
}

/// Examines every system that has an entry or is in the receipt.
pub fn gather_status(host: &Host, facts: &Facts, config: Option<&NixConfig>, bar: &CheckBar) -> StatusReport {
    bar.expect(Arch::ALL.len());
    let systems = host::parallel::map(Arch::ALL.iter().collect(), |arch| {
        let status = system_status(host, facts, config, arch);
        bar.advance();
        status
    });
    let systems: Vec<SystemStatus> = systems.into_iter().flatten().collect();
    let is_shown = |entry: &Entry| {
        let name = entry_name(entry);
        owner_of(facts, Some(entry)) != Owner::OtherTool
            || systems.iter().any(|system| system.entry.as_ref() == Some(&name))
    };
    StatusReport {
        version: 1,
        rules: gather_rules(host, facts),
        accelerated: acceleration::list_accelerated(host, facts),
        other_entries: list_other_entries(&facts.table, is_shown),
        systems,
        boot: BootStatus::gather(facts),
        unfinished: has_orphaned_records(host, facts) || has_stale_files(host, facts),
        holder: host.lock_holder(Path::new(WATCH_LOCK)).map(|holder| holder.to_string()),
        outdated_daemon: facts.receipt.running_outdated_daemon().cloned(),
    }
}

/// Whether unchanged files or entries of this tool exist that no registered system needs.
fn has_orphaned_records(host: &Host, facts: &Facts) -> bool {
    let systems = &facts.receipt.systems;
    let rules = &facts.receipt.rules;
    let is_nix_needed = systems.values().any(System::is_in_nix_conf) || rules.values().any(|own| own.nix);
    // An upgrade was interrupted while an entry with another name stood in for the one of the system or rule.
    let is_needed = |record: &Record| match (&record.target, &record.made) {
        (_, Artifact::Entry { name, .. }) if record.rule.is_some() => {
            record.rule.as_ref() == Some(name) && rules.contains_key(name)
        }
        _ if record.rule.is_some() => record.rule.as_ref().is_some_and(|name| rules.contains_key(name)),
        (Some(target), Artifact::Entry { name, .. }) => {
            systems.get(target).is_some_and(|system| system.adopted || system.entry == *name)
        }
        (Some(target), Artifact::Interpreter { path, sha256, .. })
            if Arch::by_target(target).is_some_and(|arch| *path == paths::previous_path(arch)) =>
        {
            let kept = systems.get(target).and_then(|system| system.previous.as_ref());
            kept.is_some_and(|kept| kept.sha256 == *sha256)
        }
        (Some(target), _) => systems.contains_key(target),
        (None, Artifact::Include { .. }) => is_nix_needed,
        (None, Artifact::File { path, .. }) if path == Path::new(NIX_OWN_CONF) => is_nix_needed,
        (None, _) => !systems.is_empty() || !rules.is_empty(),
    };
    let has_orphans = facts.records().any(|(record, state)| *state == RecordState::Unchanged && !is_needed(record));
    has_orphans || (systems.is_empty() && rules.is_empty() && host.exists(Path::new(paths::RECEIPT)))
}

/// Whether temporary files exist, which the next run that changes something removes.
fn has_stale_files(host: &Host, facts: &Facts) -> bool {
    let has_some = |dir: &PathBuf| host.list_stale_temp_files(dir).is_ok_and(|names| !names.is_empty());
    facts.receipt.written_dirs(host).is_ok_and(|dirs| dirs.iter().any(has_some))
}

fn system_status(host: &Host, facts: &Facts, config: Option<&NixConfig>, arch: &'static Arch) -> Option<SystemStatus> {
    let context = verify::build_context(facts, arch);
    let registered = facts.receipt.systems.get(arch.target);
    let has_artifacts = registered.is_none() && has_artifacts_of(facts, arch);
    if context.entry.is_none() && registered.is_none() && !has_artifacts {
        return None;
    }
    let trial = context.entry.map(|_| Trial::run(arch));
    let binary = context.inspect_running(facts, trial.as_ref().and_then(Trial::program));
    let missing = if context.is_disabled { Health::Disabled } else { Health::Missing };
    let state = match &trial {
        Some(trial) => SystemState::of_trial(&context, trial),
        None => SystemState::new(missing, Some(missing_cause(&context, has_artifacts))),
    };
    let stale = context.entry.and_then(|entry| running_binary::describe_replaced(entry, &binary));
    let stale = stale.map(|why| Cause { why, repair: Vec::new() });
    let problem = state.problem.or(stale).or_else(|| has_artifacts.then(|| missing_cause(&context, true)));
    let problem = problem.or_else(|| nix_not_configured(host, facts, &context, registered?));
    let outdated = registered.filter(|system| !system.adopted).and_then(|_| find_outdated(facts, arch));
    Some(SystemStatus {
        system: arch.target,
        state: state.state,
        entry: context.entry.map(entry_name),
        flags: context.entry.map(|entry| entry.rule.flags.to_string()),
        interpreter: context.entry.map(|entry| running_binary::interpreter_path(entry).as_text()),
        source: registered
            .filter(|system| is_recorded_emulator(facts, system, context.entry))
            .map(|system| system.source.clone()),
        upgrade: outdated.is_some().then(|| facts.shell.tool_command(format_args!("upgrade {}", arch.target))),
        outdated,
        by: match context.entry {
            None if context.is_disabled => Owner::BinfmtNix,
            entry => owner_of(facts, entry),
        },
        held: context
            .entry
            .is_some_and(|entry| facts.watched_entry(arch).is_some_and(|held| held.rule.name == entry.rule.name)),
        nix_systems: arch.nix_systems,
        nix_knows: config
            .filter(|_| !arch.nix_systems.is_empty())
            .map(|config| config.is_complete_for(arch.nix_systems)),
        nix_build: registered.and_then(|system| system.nix_build.clone()),
        repair: problem.as_ref().map(|problem| problem.repair.clone()).unwrap_or_default(),
        detail: problem.map(|problem| problem.why),
        qemu: binary.qemu,
        sha256: binary.sha256,
        on_disk: binary.on_disk,
        in_chroot: state.in_chroot,
    })
}

fn find_outdated(facts: &Facts, arch: &Arch) -> Option<String> {
    let installed = QemuVersion::parse(facts.installed_version(arch)?)?;
    describe_outdated(&facts.machine, arch, installed)
}

/// Whether the entry's interpreter is the emulator in the receipt.
fn is_recorded_emulator(facts: &Facts, system: &System, entry: Option<&Entry>) -> bool {
    entry.is_some_and(|entry| facts.real_path(&system.interpreter) == running_binary::interpreter_path(entry))
}

/// What `status --check --json` prints: one system, as fast as possible. Nothing is read about Nix and about the next boot.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CheckReport {
    /// The version of this format: 1.
    pub version: u32,
    /// QEMU's name of the system.
    pub system: &'static str,
    /// Whether its programs run; `works` is exit status 0, and everything else 3.
    pub state: Health,
    /// The problem, if there is one.
    pub detail: Option<String>,
}

/// Examines one system, whose probe was tried.
pub fn check_system(facts: &Facts, arch: &'static Arch, trial: &Trial) -> CheckReport {
    let context = verify::build_context(facts, arch);
    let is_stale = match (context.entry, trial.program()) {
        (Some(entry), Some(running)) => running_binary::is_replaced(entry, context.start.as_ref(), running),
        _ => false,
    };
    let state = SystemState::of_trial(&context, trial);
    let stale = is_stale.then(|| "by another file than the one at its path now; status shows both".to_owned());
    // The host of a container may have the entry.
    let missing = context.entry.is_none() && state.state == Health::Broken;
    let detail = state.problem.map(|problem| problem.why).or(stale);
    let off = if context.is_disabled { Health::Disabled } else { Health::Missing };
    let state = if missing { off } else { state.state };
    CheckReport { version: 1, system: arch.target, state, detail }
}

/// The state of a system after its probe was tried.
struct SystemState {
    state: Health,
    problem: Option<Cause>,
    in_chroot: Option<bool>,
}

impl SystemState {
    fn new(state: Health, problem: Option<Cause>) -> Self {
        Self { state, problem, in_chroot: None }
    }

    fn of_trial(context: &VerifyContext, trial: &Trial) -> Self {
        let Some(direct) = &trial.direct else {
            return Self { state: Health::Works, problem: None, in_chroot: Some(true) };
        };
        if !matches!(direct, ProbeResult::Ran(_)) {
            let state = if matches!(direct, ProbeResult::NotRun(_)) { Health::NotProven } else { Health::Broken };
            return Self::new(state, Some(context.direct_cause(direct)));
        }
        let Cause { why, repair } = context.isolated_cause(&trial.in_chroot);
        let (state, in_chroot, why) = match trial.in_chroot {
            ProbeResult::NotRun(_) => (Health::Works, None, format!("a start in a chroot could not be tried: {why}")),
            _ => (Health::Partial, Some(false), format!("not in chroots, containers and builds: {why}")),
        };
        Self { state, problem: Some(Cause { why, repair }), in_chroot }
    }
}

/// Describes a system without an entry in force. `is_unfinished` says that the receipt has artifacts of the system, but
/// not the system itself.
fn missing_cause(context: &VerifyContext, is_unfinished: bool) -> Cause {
    if is_unfinished {
        return Cause {
            why: "its registration was interrupted: registering it again completes it, and unregister undoes it".into(),
            repair: context.repairs.register(context.arch, ""),
        };
    }
    context.inactive_cause().unwrap_or_else(|| Cause { why: "nothing runs its programs".into(), repair: Vec::new() })
}

/// Whether an unchanged file or entry exists that this tool made for the system.
fn has_artifacts_of(facts: &Facts, arch: &Arch) -> bool {
    facts
        .records()
        .any(|(record, state)| *state == RecordState::Unchanged && record.target.as_deref() == Some(arch.target))
}

/// Describes the problem that Nix was configured for the system, but its files no longer list the system. If this tool
/// must not change the files, it does not judge them either: only Nix knows its effective settings.
fn nix_not_configured(host: &Host, facts: &Facts, context: &VerifyContext, registered: &System) -> Option<Cause> {
    let arch = context.arch;
    let included = match &facts.nix.state {
        ConfState::LeaveAlone(_) => return None,
        ConfState::Absent => false,
        ConfState::Editable(text) => conf::has_include(text, conf::OWN_FILE_NAME),
    };
    let own = host.read_lossy(Path::new(NIX_OWN_CONF)).unwrap_or_default();
    let features = conf::required_features(arch.nix_systems);
    let mut wanted = arch.nix_systems.iter().chain(&features);
    let is_configured = included && wanted.all(|name| own.split_whitespace().any(|word| word == *name));
    (registered.is_in_nix_conf() && !is_configured).then(|| Cause {
        why: format!("Nix is not configured for {}", arch.target),
        repair: context.repairs.register(arch, ""),
    })
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Works => "works",
            Self::Partial => "partial",
            Self::NotProven => "untried",
            Self::Broken => "broken",
            Self::Missing => "missing",
            Self::Disabled => "disabled",
        })
    }
}
