//! Entries of others that take the programs we are to register for.

use std::path::PathBuf;

use binfmt_magic::{Arch, Entry, Rule};

use super::parts::Parts;
use super::{Planned, Step, tell_nix};
use crate::binfmt_misc::describe;
use crate::error::{Error, Result};
use crate::facts::{Facts, Rival};
use crate::layout;
use crate::receipt::System;
use crate::request::Register;

/// How a rival entry is met.
#[derive(Debug)]
pub(super) enum Stance {
    /// Nobody else takes these programs.
    Free,
    /// Somebody else's entry does all that ours would.
    Adopt(Box<Entry>),
    /// It does not, or not in full.
    InTheWay(String),
}

/// Judges the entries that the kernel would pick before ours.
pub(super) fn stance(request: &Register, facts: &Facts, arch: &'static Arch) -> Stance {
    let rivals = facts.rivals.get(arch.target).map_or(&[][..], Vec::as_slice);
    match rivals {
        [] => Stance::Free,
        [rival] => match objections(request, facts, arch, rival) {
            whys if whys.is_empty() => Stance::Adopt(Box::new(rival.entry.clone())),
            whys => Stance::InTheWay(format!("{} ({})", describe(&rival.entry), whys.join(", "))),
        },
        several => {
            let lines: Vec<_> = several.iter().map(|rival| describe(&rival.entry)).collect();
            Stance::InTheWay(lines.join(" and "))
        }
    }
}

/// Why an entry is not as good as ours.
fn objections(request: &Register, facts: &Facts, arch: &Arch, rival: &Rival) -> Vec<String> {
    let rule = &rival.entry.rule;
    let mut whys = Vec::new();
    if !rule.pattern().is_some_and(|pattern| pattern.same_programs(&arch.pattern())) {
        whys.push("its rule takes other programs than ours".to_owned());
    }
    if !rule.flags.fix_binary {
        whys.push("without flag F it does not work in chroots, containers and the Nix sandbox".to_owned());
    }
    if request.credentials && !rule.flags.credentials {
        whys.push("without flag C setuid programs do not get their rights".to_owned());
    }
    if let Err(why) = &rival.verdict {
        whys.push(format!("its interpreter: {why}"));
    }
    if facts.boot.holder(rule.name.as_bytes(), &rule.interpreter).is_none() {
        whys.push("no boot file holds it, so it is gone after a restart".to_owned());
    }
    whys
}

/// The refusal, with both lines.
pub(super) fn conflict(arch: &Arch, theirs: &str, ours: Option<&Rule>) -> Error {
    let ours = ours.and_then(|rule| rule.to_line().ok()).map(|line| String::from_utf8_lossy(&line).into_owned());
    let ours = ours.map(|line| format!("\n  ours:   {line}")).unwrap_or_default();
    Error::Conflict {
        what: format!("somebody else's entry runs {} programs\n  theirs: {theirs}{ours}", arch.target),
        hint: "--force puts ours above it and deletes nothing; unregister takes ours away again".into(),
    }
}

/// Somebody else's entry is as good as ours would be: only Nix needs us.
pub(super) fn adopt(
    request: &Register,
    facts: &Facts,
    arch: &'static Arch,
    rule: &Rule,
    parts: &mut Parts,
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
        parts.register.push(Step::Prove(arch));
        parts.notes.push(format!("{}: the entry {entry} of this system does it already: left as it is", arch.target));
    }
    let mut rivals = facts.rivals.get(arch.target).into_iter().flatten();
    let version = rivals.find_map(|rival| rival.verdict.as_ref().ok());
    let system = System {
        entry,
        interpreter,
        qemu: version.map(ToString::to_string).unwrap_or_default(),
        source: "this system".into(),
        adopted: true,
        nix: tell_nix::wanted(request, facts) || known.is_some_and(|system| system.nix),
        proven: already && known.is_some_and(|system| system.proven),
    };
    parts.systems.push(Planned { arch, already, system: Some(system) });
    Ok(())
}

/// The name of our entry: QEMU's, or one of our own where that is taken.
pub(super) fn entry_name(facts: &Facts, arch: &Arch, ours: Option<&str>) -> Result<String> {
    let names = layout::entries(arch);
    if let Some(name) = ours {
        return Ok(name.to_owned());
    }
    let free = names.iter().find(|name| !facts.table.has(name));
    free.cloned().ok_or_else(|| Error::Conflict {
        what: format!("both names of our entry, {}, are taken", names.join(" and ")),
        hint: "binfmt-nix status shows the entries; remove the one that is not needed".into(),
    })
}
