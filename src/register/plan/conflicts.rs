//! Conflicts: entries of other tools that handle the programs of a requested system.

use std::path::PathBuf;

use binfmt_magic::{Arch, Entry, EntryName, Rule};

use super::{Step, SystemPlan};
use crate::binfmt::table::{describe_entry, entry_name};
use crate::error::{Error, ExitCode, Failure, Result};
use crate::paths;
use crate::register::facts::{ConflictingEntry, Facts};
use crate::register::plan::nix;
use crate::register::plan::step_groups::StepGroups;
use crate::register::receipt::System;
use crate::register::request::{FORCE_HINT, RegisterRequest};
use crate::sanitize::{command, text_of_bytes};

/// Consequence of the entries of other tools for one system.
#[derive(Debug)]
pub(super) enum Conflict {
    /// No entry of another tool handles these programs.
    None,
    /// An entry of another tool does everything that an entry of this tool would do.
    UseExisting(Box<Entry>),
    /// Entries of other tools handle the programs, but cannot replace an entry of this tool. Holds a
    /// description of the entries.
    Blocked(String),
}

/// Decides what the entries mean that the kernel would pick before an entry of this tool.
pub(super) fn classify_conflicts(request: &RegisterRequest, facts: &Facts, arch: &'static Arch) -> Conflict {
    let conflicts = facts.conflicts.get(arch.target).map_or(&[][..], Vec::as_slice);
    match conflicts {
        [] => Conflict::None,
        [foreign] => match list_objections(request, facts, arch, foreign) {
            reasons if reasons.is_empty() => Conflict::UseExisting(Box::new(foreign.entry.clone())),
            reasons => Conflict::Blocked(format!("{} ({})", describe_entry(&foreign.entry), reasons.join(", "))),
        },
        entries => {
            let lines: Vec<_> = entries.iter().map(|foreign| describe_entry(&foreign.entry)).collect();
            Conflict::Blocked(lines.join(" and "))
        }
    }
}

/// Lists the reasons why an entry cannot replace an entry of this tool. An empty list means that it can.
fn list_objections(request: &RegisterRequest, facts: &Facts, arch: &Arch, foreign: &ConflictingEntry) -> Vec<String> {
    let rule = &foreign.entry.rule;
    let mut reasons = Vec::new();
    if !rule.pattern().is_some_and(|pattern| pattern.same_programs(&arch.pattern())) {
        reasons.push("its rule matches other programs than the rule of binfmt-nix".to_owned());
    }
    if !rule.flags.fix_binary {
        reasons.push("without flag F it does not work in chroots, containers and the Nix sandbox".to_owned());
    }
    if request.credentials && !rule.flags.credentials {
        reasons.push("without flag C it does not give setuid programs their rights".to_owned());
    }
    if let Err(why) = &foreign.verdict {
        reasons.push(format!("its interpreter cannot be used: {why}"));
    }
    if facts.boot.file_registering(rule.name.as_bytes(), &rule.interpreter).is_none() {
        reasons.push("no boot file contains it, so a restart removes it".to_owned());
    }
    reasons
}

/// Another tool's entry that works less well than ours would.
#[derive(Debug, thiserror::Error)]
#[error("another tool's entry handles {system} programs")]
pub struct ConflictingEntryError {
    system: &'static str,
    existing: String,
    wanted: Option<String>,
}

impl Failure for ConflictingEntryError {
    fn hint(&self) -> Option<String> {
        Some(format!("{FORCE_HINT}, and unregister removes only the new one"))
    }

    /// Returns the existing line and the wanted line.
    fn details(&self) -> Vec<String> {
        let wanted = self.wanted.as_ref().map(|line| format!("wanted:   {line}"));
        [format!("existing: {}", self.existing)].into_iter().chain(wanted).collect()
    }

    fn exit_code(&self) -> ExitCode {
        ExitCode::Findings
    }
}

/// Builds the error for a conflict. It shows the existing line and the wanted line.
pub(super) fn conflict_error(arch: &'static Arch, foreign_line: &str, own_rule: Option<&Rule>) -> Error {
    let wanted = own_rule.and_then(|rule| rule.to_line().ok()).map(|line| text_of_bytes(&line));
    Error::other(ConflictingEntryError { system: arch.target, existing: foreign_line.to_owned(), wanted })
}

/// Plans the use of another tool's entry. The only change is the configuration of Nix.
pub(super) fn use_existing_entry(
    request: &RegisterRequest,
    facts: &Facts,
    arch: &'static Arch,
    rule: &Rule,
    groups: &mut StepGroups,
) -> Result<()> {
    let entry = text_of_bytes(rule.name.as_bytes());
    let text = String::from_utf8(rule.interpreter.clone());
    let interpreter = text.map(PathBuf::from).map_err(|_| Error::Conflict {
        what: format!("the interpreter path of the entry {entry} is not UTF-8"),
        hint: FORCE_HINT.into(),
    })?;
    let known = facts.receipt.systems.get(arch.target);
    let already = known.is_some_and(|system| system.adopted && system.entry == entry);
    if !already {
        groups.register.push(Step::VerifyForeignEntry(arch));
        groups
            .notes
            .push(format!("{}: another tool's entry {entry} already runs these programs: left as it is", arch.target));
    }
    let mut conflicts = facts.conflicts.get(arch.target).into_iter().flatten();
    let version = conflicts.find_map(|foreign| foreign.verdict.as_ref().ok());
    let system = System {
        entry,
        interpreter,
        qemu: version.map(ToString::to_string).unwrap_or_default(),
        source: "this system".into(),
        given: None,
        previous: None,
        adopted: true,
        nix: nix::choose_nix_use(request, facts, arch, known),
        proven: already && known.is_some_and(|system| system.proven),
        disabled: false,
        nix_build: known.filter(|_| already).and_then(|system| system.nix_build.clone()),
    };
    groups.systems.push(SystemPlan { arch, already, system: Some(system) });
    Ok(())
}

/// Chooses the name of the entry: the current name, if this tool has an entry already (`own`); otherwise QEMU's name;
/// otherwise, if that name exists, a name that only this tool uses.
pub(super) fn choose_entry_name(facts: &Facts, arch: &Arch, own: &[&Entry]) -> Result<String> {
    let [first, second, ..] = paths::entry_names(arch);
    let is_own = |name: &String| own.iter().any(|entry| entry_name(entry) == *name);
    let is_free = |name: &String| !facts.table.has_entry(name);
    // An interrupted upgrade may have left only an entry with another name.
    let known = facts.receipt.systems.get(arch.target).filter(|system| !own.is_empty() && !system.adopted);
    let known = known.map(|system| system.entry.clone()).filter(|name| is_own(name) || is_free(name));
    let names = [first, second];
    let own = || names.iter().find(|name| is_own(name)).or(names.iter().find(|name| is_free(name))).cloned();
    known.or_else(own).ok_or_else(|| names_taken_error(&names))
}

/// Chooses the name of the entry that stands in for one of this tool's entries (`own`) while that one is replaced, out of
/// `names`; `None` if none of them has the name of the rule. If interrupted upgrades left entries under all names, also
/// returns one of them, which the kernel does not use: it has to be removed first.
pub(super) fn choose_stand_in<'a>(
    facts: &Facts,
    names: &[String],
    rule: &EntryName,
    own: &[&'a Entry],
) -> Result<(Option<EntryName>, Option<&'a Entry>)> {
    if !own.iter().any(|entry| entry.rule.name == *rule) {
        return Ok((None, None));
    }
    if let Some(free) = names.iter().find(|name| !facts.table.has_entry(name)) {
        return Ok((Some(EntryName::new(free.as_str())?), None));
    }
    let unused = |entry: &&&Entry| entry.rule.name != *rule && own.iter().position(|other| other == *entry) != Some(0);
    let leftover = own.iter().find(unused).copied().ok_or_else(|| names_taken_error(names))?;
    Ok((Some(leftover.rule.name.clone()), Some(leftover)))
}

fn names_taken_error(names: &[String]) -> Error {
    Error::Conflict {
        what: format!("all names that binfmt-nix could give an entry, {}, exist already", names.join(" and ")),
        hint: format!("{} shows the entries; remove the one that is not needed", command::tool("status")),
    }
}
