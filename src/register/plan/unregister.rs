//! Plan of `unregister`: decides the steps from the request and the facts.
//!
//! Undo distinguishes three states. An artifact that is unchanged is removed. An artifact that is missing is dropped from
//! the receipt. An artifact that was changed after this tool made it is kept, and reported as a finding.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use binfmt_magic::Arch;

use super::{AccelerationPlan, Plan, RulePlan, Step, SystemPlan, accelerate};
use crate::binfmt::boot_hook;
use crate::binfmt::table::entry_name;
use crate::nix::conf::{self, NixGuest};
use crate::paths;
use crate::paths::NIX_OWN_CONF;
use crate::register::acceleration;
use crate::register::facts::{Facts, RecordState};
use crate::register::plan::nix::{guests_afterwards, list_guests};
use crate::register::plan::step_groups::StepGroups;
use crate::register::receipt::{Artifact, Record, System};
use crate::register::request::{RegisterRequest, UnregisterRequest};
use crate::sanitize::AsText as _;
use crate::sha256::Sha256;
use crate::sorted;

/// Plans the removal of systems. The order is Nix, then the entry, the boot file and the emulator.
pub fn plan_removal(request: &UnregisterRequest, facts: &Facts) -> Plan {
    let requested = find_registered(request, facts);
    let mut plan = Plan::default();
    for arch in &request.systems {
        let known = requested.contains(arch);
        if known || !request.all {
            plan.systems.push(SystemPlan { arch, system: None, already: !known });
        }
    }
    let is_own = |name: &&String| acceleration::system_of_rule(name).is_none();
    let rules = sorted::set(request.rules.iter().filter(|name| is_own(name) && facts.has_rule(name)).cloned());
    let shown = request.rules.iter().filter(is_own).filter(|name| rules.contains(*name) || !request.all);
    plan.rules.extend(shown.map(|name| RulePlan { name: name.clone(), rule: None, already: !rules.contains(name) }));
    let is_kept = |target: &String| !requested.iter().any(|arch| arch.target == target);
    let remaining = sorted::map(facts.receipt.systems.clone().into_iter().filter(|(target, _)| is_kept(target)));
    let kept_rules = sorted::map(facts.receipt.rules.clone().into_iter().filter(|(name, _)| !rules.contains(name)));
    let native = sorted::map(facts.receipt.native_paths().into_iter().filter(|(target, _)| is_kept(target)));
    plan_nix_removal(facts, &list_guests(&remaining, &kept_rules, &native), &mut plan);
    plan.steps.extend(in_memory_removal(request, facts));
    for entry in request.systems.iter().filter(|_| !request.by_watcher).filter_map(|arch| facts.watched_entry(arch)) {
        let entry = entry_name(entry);
        plan.notes.push(format!("{entry} was registered by register --watch, which registers it again while it runs"));
    }
    add_removal(facts, &requested, &rules, &mut plan);
    let is_removed = |name: &String| plan.rules.iter().any(|rule| rule.name == *name && rule.rule.is_none());
    if remaining.is_empty() && facts.receipt.rules.keys().all(is_removed) {
        add_undo_steps(facts, &mut plan, is_of_hook);
        if plan.steps.iter().any(|step| matches!(step, Step::RemoveFile(path) if boot_hook::is_runlevel_link(path))) {
            let insserv = facts.boot.hook.as_ref().and_then(|state| state.insserv.clone());
            plan.steps.extend(insserv.map(Step::ListBootScripts));
        }
        add_undo_steps(facts, &mut plan, |record| matches!(record.made, Artifact::Mount { .. }));
        let planned = plan.steps.clone();
        let is_planned = |path: &Path| planned.contains(&Step::RemoveDir(path.to_owned()));
        add_undo_steps(
            facts,
            &mut plan,
            |record| matches!(&record.made, Artifact::Dir { path } if !is_above_receipt(path) && !is_planned(path)),
        );
    }
    if requested.is_empty() && rules.is_empty() && !plan.steps.is_empty() {
        plan.notes.push("removing what an earlier run left behind".into());
    }
    plan
}

/// Adds to a registration the removal of every system that it does not request, without the configuration of Nix. The
/// directories and the boot hook stay, because the requested systems need them.
pub(super) fn add_removal_of_others(request: &RegisterRequest, facts: &Facts, groups: &mut StepGroups) {
    let others = request.removal_of_others(&facts.receipt.rule_names());
    let registered = find_registered(&others, facts);
    let mut plan = Plan::default();
    add_removal(facts, &registered, &others.rules, &mut plan);
    groups.removed.extend(plan.steps);
    groups.findings.extend(plan.findings);
    groups.rules.extend(plan.rules);
    groups.accelerations.extend(plan.accelerations);
    // These steps are the last of all, because rollback cannot restore an entry whose emulator was only in memory.
    groups.last.extend(in_memory_removal(&others, facts));
    groups.systems.extend(registered.into_iter().map(|arch| SystemPlan { arch, system: None, already: false }));
    groups.rules.extend(others.rules.into_iter().map(|name| RulePlan { name, rule: None, already: false }));
}

/// Adds the removal of the lines of nix.conf that belong to none of `systems` to a registration.
pub(super) fn add_nix_removal(facts: &Facts, systems: &BTreeMap<String, System>, groups: &mut StepGroups) {
    let mut plan = Plan::default();
    plan_nix_removal(facts, &guests_afterwards(facts, systems, groups), &mut plan);
    groups.nix.extend(plan.steps);
    groups.findings.extend(plan.findings);
}

/// Returns those of the requested systems that this tool has registered.
fn find_registered(request: &UnregisterRequest, facts: &Facts) -> Vec<&'static Arch> {
    request.systems.iter().copied().filter(|arch| facts.has_records_for(arch)).collect()
}

/// Returns the steps that remove the entries of the requested systems whose emulators are in memory.
fn in_memory_removal(request: &UnregisterRequest, facts: &Facts) -> impl Iterator<Item = Step> {
    let entries = request.systems.iter().flat_map(|arch| facts.in_memory_entries(arch));
    entries.map(|entry| Step::RemoveEntry(entry_name(entry)))
}

/// Adds the steps that remove the entries, boot files and emulators of these systems and own rules.
pub(super) fn add_removal(facts: &Facts, systems: &[&'static Arch], rules: &BTreeSet<String>, plan: &mut Plan) {
    let accelerated: Vec<_> = systems.iter().flat_map(|arch| facts.receipt.accelerated_rules(arch.target)).collect();
    let rules = &sorted::set(rules.iter().chain(&accelerated).cloned());
    plan.rules.extend(accelerated.into_iter().map(|name| RulePlan { name, rule: None, already: false }));
    plan.accelerations.extend(systems.iter().map(|arch| AccelerationPlan { arch, acceleration: None }));
    let is_removed = |record: &Record| {
        let is_of_system = |target: &String| systems.iter().any(|arch| arch.target == target);
        record.target.as_ref().is_some_and(is_of_system)
            || record.rule.as_ref().is_some_and(|name| rules.contains(name))
    };
    let replaced = facts.replaced_records.iter().filter(|record| is_removed(record));
    plan.findings.extend(replaced.map(|record| describe_modified(&describe_artifact(facts, &record.made))));
    for kind in [is_entry, is_file, is_interpreter, is_program] {
        add_undo_steps(facts, plan, |record| is_removed(record) && kind(&record.made));
    }
    // The records of directories name no system.
    let is_dir = |record: &Record| {
        matches!(record.made, Artifact::Dir { .. }) && accelerate::is_accelerating(facts, record, systems)
    };
    add_undo_steps(facts, plan, is_dir);
}

fn is_entry(made: &Artifact) -> bool {
    matches!(made, Artifact::Entry { .. })
}

fn is_file(made: &Artifact) -> bool {
    matches!(made, Artifact::File { .. })
}

/// Whether a record belongs to the boot hook, which all systems share.
fn is_of_hook(record: &Record) -> bool {
    match &record.made {
        Artifact::Link { .. } | Artifact::BootCommand { .. } => true,
        Artifact::Program { path, .. } => path == Path::new(paths::PROGRAM),
        Artifact::File { path, .. } => boot_hook::is_hook_file(path),
        _ => false,
    }
}

fn is_program(made: &Artifact) -> bool {
    matches!(made, Artifact::Program { .. })
}

fn is_interpreter(made: &Artifact) -> bool {
    matches!(made, Artifact::Interpreter { .. })
}

/// Whether a directory is the receipt's or above it. Such directories are removed together with the receipt, at the end.
fn is_above_receipt(path: &Path) -> bool {
    Path::new(paths::RECEIPT_DIR).starts_with(path)
}

/// Plans the removal of the systems from binfmt-nix.conf. If no system remains, the file and the `!include` line are
/// removed.
fn plan_nix_removal(facts: &Facts, guests: &[NixGuest], plan: &mut Plan) {
    let is_own_conf =
        |record: &Record| matches!(&record.made, Artifact::File { path, .. } if path == Path::new(NIX_OWN_CONF));
    let before = plan.steps.len();
    if guests.is_empty() {
        add_undo_steps(facts, plan, |record| matches!(record.made, Artifact::Include { .. }));
        add_undo_steps(facts, plan, is_own_conf);
    } else if facts.receipt.records.iter().any(is_own_conf) {
        let text = conf::own_file_text(guests).into_bytes();
        if facts.files.get(Path::new(NIX_OWN_CONF)) != Some(&Some(Sha256::of_bytes(&text))) {
            let path = NIX_OWN_CONF.into();
            let changed = facts.records().any(|(record, state)| is_own_conf(record) && *state == RecordState::Modified);
            if changed {
                plan.findings.push(describe_modified(&facts.real_path(Path::new(NIX_OWN_CONF)).as_text()));
            } else {
                plan.steps.push(Step::WriteFile { path, text, subject: None, executable: false });
            }
        }
    }
    if plan.steps.len() > before {
        plan.steps.push(Step::RestartNixDaemon);
    }
}

/// Adds steps that undo the selected records, newest first.
pub(super) fn add_undo_steps(facts: &Facts, plan: &mut Plan, is_selected: impl Fn(&Record) -> bool) {
    let records: Vec<_> = facts.records().filter(|(record, _)| is_selected(record)).collect();
    for (record, state) in records.into_iter().rev() {
        match (state, &record.made) {
            (RecordState::Missing, _) => {}
            (RecordState::Modified, made) => plan.findings.push(describe_modified(&describe_artifact(facts, made))),
            (RecordState::Unchanged, Artifact::Dir { path }) => plan.steps.push(Step::RemoveDir(path.clone())),
            (
                RecordState::Unchanged,
                Artifact::Interpreter { path, .. }
                | Artifact::Program { path, .. }
                | Artifact::Link { path, .. }
                | Artifact::File { path, .. },
            ) => plan.steps.push(Step::RemoveFile(path.clone())),
            (RecordState::Unchanged, Artifact::BootCommand { path, created, added }) => {
                plan.steps.push(Step::RemoveBootCommand {
                    path: path.clone(),
                    created: *created,
                    added: added.clone(),
                });
            }
            (RecordState::Unchanged, Artifact::Include { path, created, newline_added }) => {
                plan.steps.push(Step::RemoveInclude {
                    path: path.clone(),
                    created: *created,
                    newline_added: *newline_added,
                });
            }
            (RecordState::Unchanged, Artifact::Entry { name, .. }) => plan.steps.push(Step::RemoveEntry(name.clone())),
            (RecordState::Unchanged, Artifact::Mount { .. }) => plan.steps.push(Step::UnmountTable),
        }
    }
}

fn describe_artifact(facts: &Facts, made: &Artifact) -> String {
    match (made, made.path()) {
        (_, Some(path)) => facts.real_path(path).as_text(),
        (Artifact::Entry { name, .. }, None) => format!("the entry {name}"),
        (_, None) => "the mount of binfmt_misc".into(),
    }
}

fn describe_modified(what: &dyn std::fmt::Display) -> String {
    format!("{what} was changed after binfmt-nix made it: left as it is")
}

impl Facts {
    /// Whether the receipt or the table contains anything that this tool made for a system.
    fn has_records_for(&self, arch: &Arch) -> bool {
        self.receipt.systems.contains_key(arch.target)
            || self.receipt.records_of(arch.target).next().is_some()
            || self.receipt.is_accelerated(arch)
            || self.in_memory_entry(arch).is_some()
    }
}
