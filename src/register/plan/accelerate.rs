//! Plan of `accelerate`: rules that start native programs instead of guest programs, above the entry of their system.

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use binfmt_magic::{Arch, Rule};

use super::register::{foreign_file_error, table_disabled_error, write_own_file};
use super::switch::unregistered_error;
use super::{AccelerationPlan, Plan, RulePlan, Step, SystemPlan, unregister};
use crate::binfmt::boot::OwnBootFile;
use crate::binfmt::table::{Table, is_same_rule};
use crate::error::{Error, Result};
use crate::paths;
use crate::register::acceleration::{Acceleration, is_native_path};
use crate::register::facts::Facts;
use crate::register::plan::nix::configure_nix;
use crate::register::plan::step_groups::StepGroups;
use crate::register::receipt::{Artifact, OwnRule, Record, System};
use crate::register::request::AccelerateRequest;
use crate::register::subject::Subject;
use crate::sanitize::text_of_bytes;
use crate::sorted;

/// Plans to accelerate these programs of a system. Other programs of the system stay accelerated.
pub fn plan_acceleration(request: &AccelerateRequest, facts: &Facts) -> Result<Plan> {
    if facts.table.is_switched_off() {
        return Err(table_disabled_error(facts));
    }
    let arch = request.arch;
    let known = facts.receipt.accelerations.get(arch.target);
    let is_replaced = |path: &Path| request.tools.values().any(|new| new.tool.guest.path == path);
    let kept = known.into_iter().flat_map(|known| known.tools.clone());
    let kept = kept.filter(|(_, tool)| !is_replaced(&tool.guest.path));
    let new = request.tools.iter().map(|(name, new)| (name.clone(), new.tool.clone()));
    let files = known.map(|known| known.files.as_slice()).unwrap_or_default();
    let files = [files, &request.files].concat();
    let acceleration = Acceleration::new(check_system(facts, arch)?, arch, sorted::map(kept.chain(new)), &files);
    let mut groups = StepGroups::default();
    add_copies(facts, arch, &acceleration, &mut groups)?;
    let is_built = known == Some(&acceleration) && facts.is_unmodified(&paths::accelerator_path(arch));
    if !is_built {
        groups.place.push(Step::BuildAccelerator { arch, pairs: acceleration.pairs(arch) });
    }
    for name in acceleration.tools.keys() {
        let rule = match request.tools.get(name) {
            Some(new) => Some(new.rule.clone()),
            None => facts.receipt.rules.get(name).and_then(OwnRule::rule),
        };
        if let Some(rule) = rule {
            add_rule(facts, name, &rule, is_built, &mut groups)?;
        }
    }
    add_removal_of_replaced(facts, arch, &acceleration, &mut groups);
    groups.accelerations.push(AccelerationPlan { arch, acceleration: Some(acceleration) });
    if facts.receipt.systems.values().any(System::is_in_nix_conf) {
        configure_nix(facts, &facts.receipt.systems, &mut groups)?;
    }
    Ok(groups.into_plan(facts))
}

/// Plans to start the guest programs of these systems by their emulators again.
pub fn plan_end(systems: &[&'static Arch], facts: &Facts) -> Result<Plan> {
    let mut groups = StepGroups::default();
    add_end(facts, systems, &mut groups);
    if facts.receipt.systems.values().any(System::is_in_nix_conf) {
        configure_nix(facts, &facts.receipt.systems, &mut groups)?;
    }
    Ok(groups.into_plan(facts))
}

/// Checks that the entry of the system and its emulator are in place, and returns the emulator's digest.
pub fn check_system(facts: &Facts, arch: &'static Arch) -> Result<crate::sha256::Sha256> {
    let conflict = |what, command| Err(Error::Conflict { what, hint: format!("first, run: {command}") });
    let enable = facts.shell.tool_command(format_args!("enable {}", arch.target));
    let register = facts.shell.tool_command(format_args!("register {}", arch.target));
    let Some(system) = facts.receipt.systems.get(arch.target) else { return Err(unregistered_error(facts, arch)) };
    let path = paths::interpreter_path(arch);
    if system.disabled {
        return conflict(format!("{} is disabled", arch.target), enable);
    }
    if system.adopted || system.interpreter != path {
        return Err(Error::Conflict {
            what: format!("the emulator of {} was not installed by this version of binfmt-nix", arch.target),
            hint: "a launcher is added to a copy of an emulator that binfmt-nix has installed".into(),
        });
    }
    match facts.files.get(&path) {
        Some(Some(sum)) if facts.is_unmodified(&path) => Ok(*sum),
        _ => conflict(format!("the emulator of {} is not as it was installed", arch.target), register),
    }
}

/// Adds the copies of native programs that are missing.
fn add_copies(facts: &Facts, arch: &'static Arch, acceleration: &Acceleration, groups: &mut StepGroups) -> Result<()> {
    let mut dirs = BTreeSet::new();
    for file in &acceleration.files {
        match facts.files.get(&file.target) {
            Some(sum) if *sum == Some(file.sha256) => continue,
            Some(_) if !facts.is_unmodified(&file.target) => return Err(foreign_file_error(facts, &file.target)),
            _ => {}
        }
        let above = file.target.ancestors().skip(1).filter(|dir| is_native_path(dir));
        dirs.extend(above.map(Path::to_owned));
        groups.copy.push(Step::CopyNative { arch, file: file.clone() });
    }
    // They sort before what is in them.
    groups.first.extend(dirs.into_iter().map(Step::MakeDir));
    Ok(())
}

/// Adds the boot file and the entry of one guest program. An entry holds the launcher of its registration (flag F).
fn add_rule(facts: &Facts, name: &str, rule: &Rule, is_built: bool, groups: &mut StepGroups) -> Result<()> {
    let subject = Subject::Rule(name.to_owned());
    let text = OwnBootFile { rule: rule.clone(), enabled: true }.to_text()?;
    let boot = write_own_file(facts, paths::own_rule_file(name), text, Some(subject))?;
    let entry = add_entry(facts, name, rule, is_built);
    let line = text_of_bytes(&rule.to_line()?);
    let already = boot.is_none() && entry.is_none() && facts.receipt.rules.contains_key(name);
    groups.boot.extend(boot);
    groups.register.extend(entry);
    let rule = OwnRule { line, tested: false, nix: false };
    groups.rules.push(RulePlan { name: name.to_owned(), rule: Some(rule), already });
    Ok(())
}

/// Returns the step that registers the rule of a guest program, above all other entries. While it is replaced, the emulator
/// runs the program.
fn add_entry(facts: &Facts, name: &str, rule: &Rule, is_current: bool) -> Option<Step> {
    if matches!(facts.table, Table::Offline) {
        return None;
    }
    let interpreter = facts.real_path(Path::new(std::ffi::OsStr::from_bytes(&rule.interpreter)));
    let rule = Rule { interpreter: interpreter.as_os_str().as_bytes().to_vec(), ..rule.clone() };
    let own = facts.own_rule_entry(name);
    let is_registered = own.is_some_and(|entry| entry.enabled && is_same_rule(&entry.rule, &rule));
    let replaces = own.map(|entry| entry.rule.clone()).into_iter().collect();
    let step = || Step::AddEntry { subject: Subject::Rule(name.to_owned()), rule, replaces, stand_in: None };
    (!is_current || !is_registered).then(step)
}

/// Adds the removal of the entries, boot files and copies that the acceleration does not have any more.
fn add_removal_of_replaced(facts: &Facts, arch: &'static Arch, acceleration: &Acceleration, groups: &mut StepGroups) {
    let is_left = |name: &String| !acceleration.tools.contains_key(name);
    let rules = sorted::set(facts.receipt.accelerated_rules(arch.target).into_iter().filter(is_left));
    let is_needed = |path: &Path| {
        path == paths::accelerator_path(arch) || acceleration.files.iter().any(|file| file.target.starts_with(path))
    };
    let is_unneeded = |record: &Record| {
        is_accelerating(facts, record, &[arch]) && record.made.path().is_some_and(|path| !is_needed(path))
    };
    remove(facts, &rules, is_unneeded, groups);
}

/// Adds the removal of everything that accelerates these systems.
fn add_end(facts: &Facts, systems: &[&'static Arch], groups: &mut StepGroups) {
    let rules = sorted::set(systems.iter().flat_map(|arch| facts.receipt.accelerated_rules(arch.target)));
    remove(facts, &rules, |record| is_accelerating(facts, record, systems), groups);
    groups.accelerations.extend(systems.iter().map(|arch| AccelerationPlan { arch, acceleration: None }));
}

fn remove(facts: &Facts, rules: &BTreeSet<String>, is_selected: impl Fn(&Record) -> bool, groups: &mut StepGroups) {
    let mut plan = Plan::default();
    unregister::add_removal(facts, &[], rules, &mut plan);
    unregister::add_undo_steps(facts, &mut plan, |record| {
        !matches!(record.made, Artifact::Dir { .. }) && is_selected(record)
    });
    unregister::add_undo_steps(facts, &mut plan, |record| {
        matches!(record.made, Artifact::Dir { .. }) && is_selected(record)
    });
    groups.removed.extend(plan.steps);
    groups.findings.extend(plan.findings);
    groups.rules.extend(rules.iter().map(|name| RulePlan { name: name.clone(), rule: None, already: false }));
}

/// Whether a record is of a copy of a native program for these systems, of a directory of such copies, or of an emulator
/// with a launcher. The directory of all systems belongs to the last ones.
pub(super) fn is_accelerating(facts: &Facts, record: &Record, systems: &[&'static Arch]) -> bool {
    match &record.made {
        Artifact::Program { path, .. } => systems
            .iter()
            .any(|arch| path.starts_with(paths::native_dir(arch)) || *path == paths::accelerator_path(arch)),
        Artifact::Dir { path } if path == Path::new(paths::NATIVE_DIR) => {
            let is_one = |target: &String| systems.iter().any(|arch| arch.target == target);
            facts.receipt.accelerations.keys().chain(facts.receipt.packed.keys()).all(is_one)
        }
        Artifact::Dir { path } => systems.iter().any(|arch| path.starts_with(paths::native_dir(arch))),
        _ => false,
    }
}

/// Adds to a plan for systems what keeps the entries of their guest programs above theirs, and what is missing of them. A
/// launcher is built again if its emulator is replaced.
pub(super) fn keep_above(facts: &Facts, groups: &mut StepGroups) {
    for (target, acceleration) in &facts.receipt.accelerations {
        let is_here =
            |plan: &SystemPlan| plan.arch.target == target && plan.system.as_ref().is_some_and(|s| !s.disabled);
        let is_planned = groups.accelerations.iter().any(|planned| planned.arch.target == target);
        let Some(arch) = groups.systems.iter().find(|plan| is_here(plan)).map(|plan| plan.arch) else { continue };
        let is_of_system = |other: &&'static Arch| other.target == arch.target;
        let is_built = groups.place.iter().any(|step| match step {
            Step::InstallEmulator(other) | Step::SwapEmulators(other) => is_of_system(other),
            _ => false,
        });
        let is_below = is_built
            || groups.register.iter().any(|step| match step {
                Step::AddEntry { subject, .. } => subject.arch().as_ref().is_some_and(is_of_system),
                _ => false,
            });
        if is_planned || !(is_built || facts.is_unmodified(&paths::accelerator_path(arch))) {
            continue;
        }
        if is_built {
            groups.place.push(Step::BuildAccelerator { arch, pairs: acceleration.pairs(arch) });
        }
        let rules = acceleration.tools.keys().filter_map(|name| Some((name, facts.receipt.rules.get(name)?.rule()?)));
        let entries = rules.filter_map(|(name, rule)| add_entry(facts, name, &rule, !is_below));
        groups.register.extend(entries);
    }
}
