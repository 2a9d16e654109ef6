//! Plan of a registration without files: decides from the request and the facts which entries are missing. Pure.

use std::collections::{BTreeMap, BTreeSet};

use binfmt_magic::{Arch, Entry, EntryName, Rule};

use super::register::{CREDENTIALS_WARNING, native_system_error, table_disabled_error};
use crate::binfmt::table::{Table, entry_name};
use crate::error::{Error, Result};
use crate::paths;
use crate::register::facts::{Facts, in_memory_entry_name};
use crate::register::plan::conflicts::{Conflict, choose_stand_in, classify_conflicts, conflict_error};
use crate::register::request::RegisterRequest;
use crate::sanitize::command;

/// Changes that a registration without files has to make.
#[derive(Debug, Default)]
pub struct InMemoryPlan {
    /// Systems that get an emulator in memory.
    pub missing: Vec<&'static Arch>,
    /// Entries of this tool that are replaced, by target. The new entry has the same name and the other choice of flag C.
    pub replaces: BTreeMap<&'static str, Replacement>,
    /// Systems whose programs run already, each with the name of the entry.
    pub already: Vec<(&'static Arch, String)>,
    /// Whether the table has to be mounted.
    pub mount: bool,
    /// Facts that the user should know.
    pub notes: Vec<String>,
}

/// Entries with emulators in memory that a new one replaces.
#[derive(Debug, Clone)]
pub struct Replacement {
    /// Rules of the entries.
    pub rules: Vec<Rule>,
    /// Name under which the new rule is registered above them, until they are removed.
    pub stand_in: Option<EntryName>,
}

/// Plans each system. Entries of other tools are never changed. Such an entry is used if programs of its system run
/// (`working_systems`).
pub fn plan_in_memory(
    request: &RegisterRequest,
    facts: &Facts,
    working_systems: &BTreeSet<&'static str>,
) -> Result<InMemoryPlan> {
    if facts.table.is_switched_off() {
        return Err(table_disabled_error(facts));
    }
    if matches!(facts.table, Table::Offline) {
        return Err(Error::Usage("--in-memory needs a running kernel, and a tree below --root has none".into()));
    }
    let mut plan = InMemoryPlan::default();
    for arch in &request.systems {
        match plan_system(request, facts, working_systems, arch, &mut plan) {
            Err(e) if request.all => plan.notes.push(format!("{}: skipped: {e}", arch.target)),
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
    working_systems: &BTreeSet<&'static str>,
    arch: &'static Arch,
    plan: &mut InMemoryPlan,
) -> Result<()> {
    if let Some(native) = facts.native_systems.get(arch.target) {
        return Err(native_system_error(native, facts, arch));
    }
    let foreign = match classify_conflicts(request, facts, arch) {
        Conflict::UseExisting(entry) => Some(entry_name(&entry)),
        Conflict::Blocked(_) if request.force => None,
        // The existing entry needs no boot file to be equivalent, because an entry in memory has none either.
        Conflict::Blocked(foreign) => match equivalent_entry(request, facts, working_systems, arch) {
            None => return Err(conflict_error(arch, &foreign, None)),
            name => name,
        },
        Conflict::None => None,
    };
    let fits = |entry: &&Entry| entry.rule.flags.normalised().credentials == request.credentials;
    let (name, in_memory) = (in_memory_entry_name(arch), facts.in_memory_entries(arch));
    let has_name = |entry: &&Entry| entry_name(entry) == name;
    // An interrupted replacement left several, or one with another name.
    let complete = in_memory.first().copied().filter(|entry| in_memory.len() == 1 && has_name(entry));
    match facts.our_entry(arch).filter(fits).or(complete.filter(fits)).map(entry_name).or(foreign) {
        Some(entry) => plan.already.push((arch, entry)),
        None if facts.our_entry(arch).is_some() => return Err(registered_with_files_error(request, arch)),
        None if !in_memory.iter().any(has_name) && facts.table.has_entry(&name) => {
            return Err(Error::Conflict {
                what: format!("another tool's entry has the name {name}"),
                hint: format!("{} shows the entries; remove the one that is not needed", command::tool("status")),
            });
        }
        None => {
            plan.missing.push(arch);
            let [_, _, names @ ..] = paths::entry_names(arch);
            // The last name is free, unless two replacements were interrupted: then that entry is removed first.
            let (stand_in, _) = choose_stand_in(facts, &names, &EntryName::new(name)?, &in_memory)?;
            let rules: Vec<_> = in_memory.iter().map(|entry| entry.rule.clone()).collect();
            plan.replaces.extend((!rules.is_empty()).then_some((arch.target, Replacement { rules, stand_in })));
        }
    }
    Ok(())
}

/// Returns the name of another tool's entry if it is the only one, matches the same programs, has the needed flags, and
/// programs run through it. The origin of its interpreter does not matter.
fn equivalent_entry(
    request: &RegisterRequest,
    facts: &Facts,
    working_systems: &BTreeSet<&str>,
    arch: &'static Arch,
) -> Option<String> {
    let [foreign] = facts.conflicts.get(arch.target)?.as_slice() else { return None };
    let rule = &foreign.entry.rule;
    let same = rule.pattern().is_some_and(|pattern| pattern.same_programs(&arch.pattern()));
    let flags = rule.flags.fix_binary && (rule.flags.credentials || !request.credentials);
    (same && flags && working_systems.contains(arch.target)).then(|| entry_name(&foreign.entry))
}

/// Builds the error for a system that is registered with files and with the other choice of flag C. Such an entry is not
/// replaced by an entry in memory.
fn registered_with_files_error(request: &RegisterRequest, arch: &Arch) -> Error {
    let flag_text = |credentials| if credentials { "with flag C" } else { "without flag C" };
    let option = if request.credentials { " --credentials" } else { "" };
    Error::Conflict {
        what: format!("{} is registered with files and {}", arch.target, flag_text(!request.credentials)),
        hint: format!(
            "to register it with files and {}, run: {}",
            flag_text(request.credentials),
            command::tool_as_root(format_args!("register {}{option}", arch.target))
        ),
    }
}
