//! Entries of others that take the programs we are to register for.

use std::path::PathBuf;

use binfmt_magic::{Arch, Entry, Rule};

use super::{Step, SystemPlan};
use crate::binfmt::table::describe_entry;
use crate::error::{Error, Result};
use crate::paths;
use crate::register::facts::{ConflictingEntry, Facts};
use crate::register::plan::nix;
use crate::register::plan::step_groups::StepGroups;
use crate::register::receipt::System;
use crate::register::request::RegisterRequest;

/// How a rival entry is met.
#[derive(Debug)]
pub(super) enum Conflict {
    /// Nobody else takes these programs.
    None,
    /// Somebody else's entry does all that ours would.
    UseExisting(Box<Entry>),
    /// It does not, or not in full.
    Blocked(String),
}

/// Judges the entries that the kernel would pick before ours.
pub(super) fn classify_conflicts(request: &RegisterRequest, facts: &Facts, arch: &'static Arch) -> Conflict {
    let rivals = facts.conflicts.get(arch.target).map_or(&[][..], Vec::as_slice);
    match rivals {
        [] => Conflict::None,
        [rival] => match list_objections(request, facts, arch, rival) {
            reasons if reasons.is_empty() => Conflict::UseExisting(Box::new(rival.entry.clone())),
            reasons => Conflict::Blocked(format!("{} ({})", describe_entry(&rival.entry), reasons.join(", "))),
        },
        entries => {
            let lines: Vec<_> = entries.iter().map(|rival| describe_entry(&rival.entry)).collect();
            Conflict::Blocked(lines.join(" and "))
        }
    }
}

/// Why an entry is not as good as ours.
fn list_objections(request: &RegisterRequest, facts: &Facts, arch: &Arch, rival: &ConflictingEntry) -> Vec<String> {
    let rule = &rival.entry.rule;
    let mut reasons = Vec::new();
    if !rule.pattern().is_some_and(|pattern| pattern.same_programs(&arch.pattern())) {
        reasons.push("its rule takes other programs than ours".to_owned());
    }
    if !rule.flags.fix_binary {
        reasons.push("without flag F it does not work in chroots, containers and the Nix sandbox".to_owned());
    }
    if request.credentials && !rule.flags.credentials {
        reasons.push("without flag C setuid programs do not get their rights".to_owned());
    }
    if let Err(why) = &rival.verdict {
        reasons.push(format!("its interpreter: {why}"));
    }
    if facts.boot.file_registering(rule.name.as_bytes(), &rule.interpreter).is_none() {
        reasons.push("no boot file holds it, so it is gone after a restart".to_owned());
    }
    reasons
}

/// The refusal, with both lines.
pub(super) fn conflict_error(arch: &Arch, theirs: &str, ours: Option<&Rule>) -> Error {
    let ours = ours.and_then(|rule| rule.to_line().ok()).map(|line| String::from_utf8_lossy(&line).into_owned());
    let ours = ours.map(|line| format!("\n  ours:   {line}")).unwrap_or_default();
    Error::Conflict {
        what: format!("somebody else's entry runs {} programs\n  theirs: {theirs}{ours}", arch.target),
        hint: "--force puts ours above it and deletes nothing; unregister takes ours away again".into(),
    }
}

/// Somebody else's entry is as good as ours would be: only Nix needs us.
pub(super) fn use_existing_entry(
    request: &RegisterRequest,
    facts: &Facts,
    arch: &'static Arch,
    rule: &Rule,
    parts: &mut StepGroups,
) -> Result<()> {
    let entry = String::from_utf8_lossy(rule.name.as_bytes()).into_owned();
    let text = String::from_utf8(rule.interpreter.clone());
    let interpreter = text.map(PathBuf::from).map_err(|_| Error::Conflict {
        what: format!("the interpreter of entry {entry} has a name that is not UTF-8"),
        hint: "--force puts ours above it".into(),
    })?;
    let known = facts.receipt.systems.get(arch.target);
    let already = known.is_some_and(|system| system.adopted && system.entry == entry);
    if !already {
        parts.register.push(Step::VerifyForeignEntry(arch));
        parts.notes.push(format!("{}: the entry {entry} of this system does it already: left as it is", arch.target));
    }
    let mut rivals = facts.conflicts.get(arch.target).into_iter().flatten();
    let version = rivals.find_map(|rival| rival.verdict.as_ref().ok());
    let system = System {
        entry,
        interpreter,
        qemu: version.map(ToString::to_string).unwrap_or_default(),
        source: "this system".into(),
        adopted: true,
        nix: nix::needs_nix_config(request, facts) || known.is_some_and(|system| system.nix),
        proven: already && known.is_some_and(|system| system.proven),
    };
    parts.systems.push(SystemPlan { arch, already, system: Some(system) });
    Ok(())
}

/// The name of our entry: QEMU's, or one of our own where that is taken.
pub(super) fn choose_entry_name(facts: &Facts, arch: &Arch, ours: Option<&str>) -> Result<String> {
    let names = paths::entry_names(arch);
    if let Some(name) = ours {
        return Ok(name.to_owned());
    }
    let free = names.iter().find(|name| !facts.table.has_entry(name));
    free.cloned().ok_or_else(|| Error::Conflict {
        what: format!("both names of our entry, {}, are taken", names.join(" and ")),
        hint: "binfmt-nix status shows the entries; remove the one that is not needed".into(),
    })
}
