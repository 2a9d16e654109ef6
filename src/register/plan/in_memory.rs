//! From "register these without a file" and a look at the machine to what is left to do. Pure.

use std::collections::{BTreeMap, BTreeSet};

use binfmt_magic::{Arch, Entry, Rule};

use super::register::{CREDENTIALS_WARNING, native_system_error, table_disabled_error};
use crate::binfmt::table::{Table, entry_name};
use crate::error::{Error, Result};
use crate::register::facts::{Facts, in_memory_entry_name};
use crate::register::plan::conflicts::{Conflict, classify_conflicts, conflict_error};
use crate::register::request::RegisterRequest;

/// What has to be done.
#[derive(Debug, Default)]
pub struct InMemoryPlan {
    /// The systems that get an emulator in memory.
    pub missing: Vec<&'static Arch>,
    /// Our entries that make room for theirs: of the same name, with or without flag C.
    pub replaces: BTreeMap<&'static str, Rule>,
    /// Those that run already, and through which entry.
    pub already: Vec<(&'static Arch, String)>,
    /// The table has to be mounted.
    pub mount: bool,
    /// Things worth knowing.
    pub notes: Vec<String>,
}

/// Decides for each system. Entries of others are left alone, as ever; those that work (`working`) will do.
pub fn plan_in_memory(
    request: &RegisterRequest,
    facts: &Facts,
    working: &BTreeSet<&'static str>,
) -> Result<InMemoryPlan> {
    if facts.table.is_switched_off() {
        return Err(table_disabled_error(facts));
    }
    if matches!(facts.table, Table::Offline) {
        return Err(Error::Usage("a tree below --root has no kernel, and --in-memory needs one".into()));
    }
    let mut plan = InMemoryPlan::default();
    for arch in &request.systems {
        match plan_system(request, facts, working, arch, &mut plan) {
            Err(e) if request.all => plan.notes.push(format!("{}: passed over: {e}", arch.target)),
            done => done?,
        }
    }
    if request.credentials && !plan.missing.is_empty() {
        plan.notes.push(CREDENTIALS_WARNING.into());
    }
    plan.mount = matches!(facts.table, Table::NotMounted) && !plan.missing.is_empty();
    Ok(plan)
}

fn plan_system(
    request: &RegisterRequest,
    facts: &Facts,
    working: &BTreeSet<&'static str>,
    arch: &'static Arch,
    plan: &mut InMemoryPlan,
) -> Result<()> {
    if let Some(native) = facts.native_systems.get(arch.target) {
        return Err(native_system_error(native, facts, arch));
    }
    let foreign = match classify_conflicts(request, facts, arch) {
        // It needs no boot file to be as good as one of ours, which would have none.
        Conflict::UseExisting(entry) => Some(entry_name(&entry)),
        Conflict::Blocked(_) if request.force => None,
        Conflict::Blocked(foreign) => match equivalent_entry(request, facts, working, arch) {
            None => return Err(conflict_error(arch, &foreign, None)),
            works => works,
        },
        Conflict::None => None,
    };
    let fits = |entry: &&Entry| entry.rule.flags.normalised().credentials == request.credentials;
    let fileless = facts.in_memory_entry(arch);
    match facts.our_entry(arch).filter(fits).or(fileless.filter(fits)).map(entry_name).or(foreign) {
        Some(entry) => plan.already.push((arch, entry)),
        None if facts.our_entry(arch).is_some() => return Err(registered_with_files_error(request, arch)),
        None if fileless.is_none() && facts.table.has_entry(&in_memory_entry_name(arch)) => {
            return Err(Error::Conflict {
                what: format!("the name of our entry, {}, is taken", in_memory_entry_name(arch)),
                hint: "binfmt-nix status shows the entries; remove the one that is not needed".into(),
            });
        }
        None => {
            plan.missing.push(arch);
            plan.replaces.extend(fileless.map(|entry| (arch.target, entry.rule.clone())));
        }
    }
    Ok(())
}

/// One entry of somebody else that takes the same programs, and with which they run, wherever its interpreter came from.
fn equivalent_entry(
    request: &RegisterRequest,
    facts: &Facts,
    working: &BTreeSet<&str>,
    arch: &'static Arch,
) -> Option<String> {
    let [rival] = facts.conflicts.get(arch.target)?.as_slice() else { return None };
    let rule = &rival.entry.rule;
    let same = rule.pattern().is_some_and(|pattern| pattern.same_programs(&arch.pattern()));
    let flags = rule.flags.fix_binary && (rule.flags.credentials || !request.credentials);
    (same && flags && working.contains(arch.target)).then(|| entry_name(&rival.entry))
}

/// An entry that has files is not replaced by one that has none.
fn registered_with_files_error(request: &RegisterRequest, arch: &Arch) -> Error {
    let with = |credentials| if credentials { "with flag C" } else { "without flag C" };
    let option = if request.credentials { " --credentials" } else { "" };
    Error::Conflict {
        what: format!("{} is registered with files, and {}", arch.target, with(!request.credentials)),
        hint: format!(
            "with files it can be had {}: binfmt-nix register {}{option}",
            with(request.credentials),
            arch.target
        ),
    }
}
