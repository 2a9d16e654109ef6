//! Plan of `enable` and `disable`: turns systems off without removing them, and on again.
//!
//! A system that is off has an entry that is off, a boot file whose rule is a comment, and no line for Nix, which would
//! otherwise start builds that fail. The receipt remembers it, so nothing turns it on behind the user's back.

use binfmt_magic::{Arch, Rule};

use super::register::{foreign_file_error, table_disabled_error, write_own_file};
use super::{Plan, Step, SystemPlan};
use crate::binfmt::boot::OwnBootFile;
use crate::binfmt::table::{Table, entry_name, is_same_rule};
use crate::error::{Error, Result};
use crate::nix::ConfState;
use crate::paths;
use crate::register::emulated::EmulatedSystem;
use crate::register::facts::Facts;
use crate::register::plan::nix;
use crate::register::plan::step_groups::StepGroups;
use crate::register::plan::unregister;
use crate::register::receipt::System;
use crate::register::request::SwitchRequest;
use crate::register::subject::Subject;
use crate::sanitize::{AsText as _, text_of_bytes};

/// Plans to turn systems on or off. With `all`, those that cannot be turned on or off become notes.
pub fn plan_switch(request: &SwitchRequest, facts: &Facts) -> Result<Plan> {
    if request.enable && facts.table.is_switched_off() {
        return Err(table_disabled_error(facts));
    }
    let mut groups = StepGroups::default();
    for arch in &request.systems {
        match facts.receipt.systems.get(arch.target) {
            None if request.all => {}
            None => return Err(unregistered_error(facts, arch)),
            Some(system) => match plan_system(request, facts, arch, system, &mut groups) {
                Err(error) if request.all => groups.notes.push(format!("{}: skipped: {error}", arch.target)),
                done => done?,
            },
        }
    }
    add_nix_steps(request, facts, &mut groups)?;
    if !request.enable {
        groups.first = std::mem::take(&mut groups.nix);
    }
    Ok(groups.into_plan(facts))
}

pub(super) fn unregistered_error(facts: &Facts, arch: &Arch) -> Error {
    let run_by = |name: &&String| matches!(EmulatedSystem::of_rule(name), Some(EmulatedSystem::Linux(_, other)) if other.target == arch.target);
    let (what, hint) = match facts.in_memory_entry(arch) {
        None if let Some(rule) = facts.receipt.rules.keys().find(run_by) => (
            format!("{} is not registered with QEMU: the rule {rule} runs its programs", arch.target),
            format!("to turn that off, run: {}", facts.shell.tool_command(format_args!("unregister {rule}"))),
        ),
        Some(_) => (
            format!("{} is registered in memory, and nothing on disk could remember a change", arch.target),
            format!("to remove it, run: {}", facts.shell.tool_command(format_args!("unregister {}", arch.target))),
        ),
        None => (
            format!("{} is not registered by binfmt-nix", arch.target),
            format!("to register it, run: {}", facts.shell.tool_command(format_args!("register {}", arch.target))),
        ),
    };
    Error::Conflict { what, hint }
}

fn plan_system(
    request: &SwitchRequest,
    facts: &Facts,
    arch: &'static Arch,
    system: &System,
    groups: &mut StepGroups,
) -> Result<()> {
    if system.adopted {
        let word = if request.enable { "1" } else { "0" };
        return Err(Error::Conflict {
            what: format!("{} programs run by {}, an entry of another tool", arch.target, system.entry),
            hint: format!("to change it all the same, run: {}", facts.shell.write_command(word, &system.entry)),
        });
    }
    if !request.enable && facts.receipt.is_accelerated(arch) {
        return Err(Error::Conflict {
            what: format!("programs of {} are accelerated, and their entries are not turned off", arch.target),
            hint: format!("first, run: {}", facts.shell.tool_command(format_args!("accelerate --off {}", arch.target))),
        });
    }
    let boot = plan_boot_file(request, facts, arch)?;
    let entry = plan_entry(request, facts, arch, system)?;
    // An interrupted upgrade may have left further entries, which are not kept while the system is off.
    let own = facts.our_entry(arch).map(|entry| &entry.rule.name);
    let others =
        facts.recorded_entries(arch).into_iter().filter(|other| !request.enable && Some(&other.rule.name) != own);
    let others: Vec<_> = others.map(|other| Step::RemoveEntry(entry_name(other))).collect();
    let already = boot.is_none() && entry.is_none() && others.is_empty() && system.disabled != request.enable;
    groups.boot.extend(boot);
    groups.register.extend(others);
    groups.register.extend(entry);
    let system = System { disabled: !request.enable, ..system.clone() };
    groups.systems.push(SystemPlan { arch, already, system: Some(system) });
    Ok(())
}

/// Plans the boot file. A system that was registered until the next restart has none, and gets none.
fn plan_boot_file(request: &SwitchRequest, facts: &Facts, arch: &'static Arch) -> Result<Option<Step>> {
    let path = paths::boot_rule(arch);
    match facts.boot_files.get(arch.target) {
        Some(file) => {
            let text = OwnBootFile { enabled: request.enable, ..file.clone() }.to_text()?;
            write_own_file(facts, path, text, Some(Subject::System(arch)))
        }
        None if facts.files.contains_key(&path) => Err(foreign_file_error(facts, &path)),
        None => Ok(None),
    }
}

fn plan_entry(request: &SwitchRequest, facts: &Facts, arch: &'static Arch, system: &System) -> Result<Option<Step>> {
    let switch =
        |rule: &Rule| Step::SwitchEntry { subject: Subject::System(arch), rule: rule.clone(), enabled: request.enable };
    let own = facts.our_entry(arch);
    if let Some(entry) = own {
        return Ok((entry.enabled != request.enable).then(|| switch(&entry.rule)));
    }
    // A restart has removed the entry: one that is off is left out at boot.
    if !request.enable || matches!(facts.table, Table::Offline) {
        return Ok(None);
    }
    let Some(file) = facts.boot_files.get(arch.target) else {
        return Err(Error::Conflict {
            what: format!("the entry {} is gone, and no boot file has its rule", system.entry),
            hint: format!("register it again: {}", facts.shell.tool_command(format_args!("register {}", arch.target))),
        });
    };
    let interpreter = facts.real_path(&paths::interpreter_path(arch)).as_os_str().as_encoded_bytes().to_vec();
    let rule = Rule { interpreter, ..file.rule.clone() };
    let name = text_of_bytes(rule.name.as_bytes());
    match facts.table.find_entry(&name) {
        // Something else registered the rule of this tool: the receipt does not have that entry.
        Some(entry) if is_same_rule(&entry.rule, &rule) && entry.enabled => Ok(None),
        Some(entry) if is_same_rule(&entry.rule, &rule) => Ok(Some(switch(&rule))),
        None if !facts.table.has_entry(&name) => {
            Ok(Some(Step::AddEntry { subject: Subject::System(arch), rule, replaces: Vec::new(), stand_in: None }))
        }
        _ => Err(Error::Conflict {
            what: format!("another tool's entry has the name {name}"),
            hint: format!(
                "to register beside it, run: {}",
                facts.shell.tool_command(format_args!("register {} --force", arch.target))
            ),
        }),
    }
}

/// Adds the steps for Nix, if it was configured for one of the systems.
fn add_nix_steps(request: &SwitchRequest, facts: &Facts, groups: &mut StepGroups) -> Result<()> {
    let is_configured = |plan: &SystemPlan| plan.system.as_ref().is_some_and(System::configures_nix);
    let configured: Vec<_> = groups.systems.iter().filter(|plan| is_configured(plan)).collect();
    if configured.is_empty() {
        return Ok(());
    }
    if !request.enable && matches!(facts.nix.state, ConfState::LeaveAlone(_)) {
        let systems: Vec<_> = configured.iter().flat_map(|plan| plan.arch.nix_systems).copied().collect();
        groups.notes.push(format!(
            "{} is left as it is: if its lines name {}, Nix still starts such builds, and they fail",
            facts.nix.conf.as_text(),
            systems.join(" ")
        ));
        return Ok(());
    }
    let systems = nix::systems_afterwards(facts, groups);
    let before = groups.nix.len();
    if request.enable {
        nix::configure_nix(facts, &systems, groups)?;
    } else {
        unregister::add_nix_removal(facts, &systems, groups);
    }
    let changes = groups.nix.len() > before;
    for plan in groups.systems.iter_mut().filter(|plan| changes && is_configured(plan)) {
        plan.already = false;
    }
    Ok(())
}
