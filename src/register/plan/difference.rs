//! Difference: what a plan would change, as lines with `+` and `-`. Pure.
//!
//! A plan without a difference has nothing to do. Steps that only prepare others, such as downloads, have no line.

use std::fmt;
use std::path::Path;

use binfmt_magic::Rule;
use serde::Serialize;

use super::{Plan, RulePlan, Step, SystemPlan};
use crate::binfmt::table;
use crate::nix::conf::INCLUDE_LINE;
use crate::paths;
use crate::register::facts::Facts;
use crate::sanitize::{AsText as _, text_of_bytes};

/// Difference between this machine and its wanted state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Difference {
    /// What happens to the object.
    pub change: Change,
    /// Object, as text for people.
    pub what: String,
}

/// What happens to an object that differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// It is added.
    Add,
    /// It is removed.
    Remove,
    /// It is replaced.
    Replace,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { change, what } = self;
        match change {
            Change::Add => write!(f, "+{what}"),
            Change::Remove => write!(f, "-{what}"),
            // As in a unified diff: the old one, and the new one.
            Change::Replace => write!(f, "-{what}\n+{what}"),
        }
    }
}

/// Lists what differs: first the systems, and then every object in the order of the plan.
pub fn list_differences(plan: &Plan, facts: &Facts) -> Vec<Difference> {
    let systems = plan.systems.iter().filter_map(|planned| compare_system(planned, facts));
    let objects = plan.steps.iter().flat_map(|step| compare_step(step, facts));
    let rules = plan.rules.iter().filter_map(|planned| compare_rule(planned, facts));
    systems.chain(rules).chain(objects).collect()
}

fn compare_system(planned: &SystemPlan, facts: &Facts) -> Option<Difference> {
    let target = planned.arch.target;
    let (before, after) = (facts.receipt.systems.get(target), planned.system.as_ref());
    let line = |change, qemu: &str| Difference { change, what: format!("system {target} (QEMU {qemu})") };
    match (before, after) {
        (None, Some(system)) => Some(line(Change::Add, &system.qemu)),
        (Some(system), None) => Some(line(Change::Remove, &system.qemu)),
        (None, None) | (Some(_), Some(_)) => None,
    }
}

fn compare_rule(planned: &RulePlan, facts: &Facts) -> Option<Difference> {
    let line = |change| Some(Difference { change, what: format!("rule {}", planned.name) });
    match (facts.receipt.rules.get(&planned.name), &planned.rule) {
        (None, Some(_)) => line(Change::Add),
        (Some(_), None) => line(Change::Remove),
        (Some(before), Some(after)) if before.line != after.line => line(Change::Replace),
        (None, None) | (Some(_), Some(_)) => None,
    }
}

fn compare_step(step: &Step, facts: &Facts) -> Vec<Difference> {
    let line = |change, what| vec![Difference { change, what }];
    let file = |path: &Path| {
        let change = if facts.files.contains_key(path) { Change::Replace } else { Change::Add };
        line(change, format!("file {}", path.as_text()))
    };
    match step {
        Step::DownloadEmulators(_)
        | Step::CopyEmulator { .. }
        | Step::VerifyForeignEntry(_)
        | Step::TestRule { .. }
        | Step::RestartNixDaemon => Vec::new(),
        Step::MakeDir(path) => line(Change::Add, format!("directory {}", path.as_text())),
        Step::RemoveDir(path) => line(Change::Remove, format!("directory {}", path.as_text())),
        Step::InstallEmulator(arch) | Step::SwapEmulators(arch) => {
            let path = paths::interpreter_path(arch);
            let kept = facts.files.contains_key(&path).then(|| file(&paths::previous_path(arch)));
            file(&path).into_iter().chain(kept.into_iter().flatten()).collect()
        }
        Step::WriteFile { path, .. } => file(path),
        Step::InstallProgram(_) => file(Path::new(paths::PROGRAM)),
        Step::CopyNative { file: copy, .. } => file(&copy.target),
        Step::BuildAccelerator { arch, .. } => file(&paths::accelerator_path(arch)),
        Step::RemoveFile(path) => line(Change::Remove, format!("file {}", path.as_text())),
        Step::MakeLink { path, target } => {
            line(Change::Add, format!("link {} -> {}", path.as_text(), target.as_text()))
        }
        Step::AddBootCommand { path, line: added } => line(Change::Add, line_of(path, added)),
        Step::RemoveBootCommand { path, added, .. } => {
            line(Change::Remove, line_of(path, added.lines().last().unwrap_or_default()))
        }
        Step::ListBootScripts(_) => line(Change::Replace, "list of boot scripts".into()),
        Step::MountTable => line(Change::Add, format!("table {}", table::DIR)),
        Step::UnmountTable => line(Change::Remove, format!("table {}", table::DIR)),
        Step::RemoveEntry(name) => {
            let rule = facts.table.find_entry(name).map(|entry| &entry.rule);
            line(Change::Remove, rule.map_or_else(|| format!("entry {name}"), describe_entry))
        }
        Step::AddEntry { rule, replaces, .. } => {
            let removed = replaces.iter().flat_map(|old| line(Change::Remove, describe_entry(old)));
            removed.chain(line(Change::Add, describe_entry(rule))).collect()
        }
        Step::SwitchEntry { rule, .. } => line(Change::Replace, describe_entry(rule)),
        Step::AddInclude(path) => line(Change::Add, line_of(path, INCLUDE_LINE)),
        Step::RemoveInclude { path, .. } => line(Change::Remove, line_of(path, INCLUDE_LINE)),
    }
}

fn describe_entry(rule: &Rule) -> String {
    let interpreter = text_of_bytes(&rule.interpreter);
    format!("entry {} (flags {}, {interpreter})", text_of_bytes(rule.name.as_bytes()), rule.flags)
}

fn line_of(path: &Path, line: &str) -> String {
    format!("line of {}: {line}", path.as_text())
}
