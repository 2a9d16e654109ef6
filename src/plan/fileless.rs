//! From "register these without a file" and a look at the machine to what is left to do. Pure.

use std::collections::{BTreeMap, BTreeSet};

use binfmt_magic::{Arch, Entry, Rule};

use super::register::{RISK, refuse, switched_off};
use super::rivals::{Stance, conflict, stance};
use crate::binfmt_misc::{Table, name_of};
use crate::error::{Error, Result};
use crate::facts::{Facts, fileless_name};
use crate::request::Register;

/// What has to be done.
#[derive(Debug, Default)]
pub struct Fileless {
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
pub fn plan(request: &Register, facts: &Facts, working: &BTreeSet<&'static str>) -> Result<Fileless> {
    if facts.table.is_switched_off() {
        return Err(switched_off(facts));
    }
    if matches!(facts.table, Table::Offline) {
        return Err(Error::Usage("a tree below --root has no kernel, and --in-memory needs one".into()));
    }
    let mut plan = Fileless::default();
    for arch in &request.systems {
        match one(request, facts, working, arch, &mut plan) {
            Err(e) if request.all => plan.notes.push(format!("{}: passed over: {e}", arch.target)),
            done => done?,
        }
    }
    if request.credentials && !plan.missing.is_empty() {
        plan.notes.push(RISK.into());
    }
    plan.mount = matches!(facts.table, Table::NotMounted) && !plan.missing.is_empty();
    Ok(plan)
}

fn one(
    request: &Register,
    facts: &Facts,
    working: &BTreeSet<&'static str>,
    arch: &'static Arch,
    plan: &mut Fileless,
) -> Result<()> {
    if let Some(native) = facts.native.get(arch.target) {
        return Err(refuse(native, facts, arch));
    }
    let theirs = match stance(request, facts, arch) {
        // It needs no boot file to be as good as one of ours, which would have none.
        Stance::Adopt(entry) => Some(name_of(&entry)),
        Stance::InTheWay(_) if request.force => None,
        Stance::InTheWay(theirs) => match as_good(request, facts, working, arch) {
            None => return Err(conflict(arch, &theirs, None)),
            works => works,
        },
        Stance::Free => None,
    };
    let fits = |entry: &&Entry| entry.rule.flags.normalised().credentials == request.credentials;
    let fileless = facts.fileless(arch);
    match facts.our_entry(arch).filter(fits).or(fileless.filter(fits)).map(name_of).or(theirs) {
        Some(entry) => plan.already.push((arch, entry)),
        None if facts.our_entry(arch).is_some() => return Err(with_files(request, arch)),
        None if fileless.is_none() && facts.table.has(&fileless_name(arch)) => {
            return Err(Error::Conflict {
                what: format!("the name of our entry, {}, is taken", fileless_name(arch)),
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
fn as_good(request: &Register, facts: &Facts, working: &BTreeSet<&str>, arch: &'static Arch) -> Option<String> {
    let [rival] = facts.rivals.get(arch.target)?.as_slice() else { return None };
    let rule = &rival.entry.rule;
    let same = rule.pattern().is_some_and(|pattern| pattern.same_programs(&arch.pattern()));
    let flags = rule.flags.fix_binary && (rule.flags.credentials || !request.credentials);
    (same && flags && working.contains(arch.target)).then(|| name_of(&rival.entry))
}

/// An entry that has files is not replaced by one that has none.
fn with_files(request: &Register, arch: &Arch) -> Error {
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
