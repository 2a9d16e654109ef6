//! From "register these without a file" and a look at the machine to what is left to do. Pure.

use binfmt_magic::Arch;

use super::register::{refuse, switched_off};
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
    /// Those that run already, and through which entry.
    pub already: Vec<(&'static Arch, String)>,
    /// The table has to be mounted.
    pub mount: bool,
    /// Things worth knowing.
    pub notes: Vec<String>,
}

/// Decides for each system. Entries of others are left alone, as ever.
pub fn plan(request: &Register, facts: &Facts) -> Result<Fileless> {
    if facts.table.is_switched_off() {
        return Err(switched_off(facts));
    }
    if matches!(facts.table, Table::Offline) {
        return Err(Error::Usage("a tree below --root has no kernel, and --fileless needs one".into()));
    }
    let mut plan = Fileless::default();
    for arch in &request.systems {
        match one(request, facts, arch, &mut plan) {
            Err(e) if request.all => plan.notes.push(format!("{}: passed over: {e}", arch.target)),
            done => done?,
        }
    }
    plan.mount = matches!(facts.table, Table::NotMounted) && !plan.missing.is_empty();
    Ok(plan)
}

fn one(request: &Register, facts: &Facts, arch: &'static Arch, plan: &mut Fileless) -> Result<()> {
    if let Some(native) = facts.native.get(arch.target) {
        return Err(refuse(native, facts, arch));
    }
    let theirs = match stance(facts, arch) {
        // It needs no boot file to be as good as one of ours, which would have none.
        Stance::Adopt(entry) => Some(name_of(&entry)),
        Stance::InTheWay(theirs) if !request.force => return Err(conflict(arch, &theirs, None)),
        Stance::InTheWay(_) | Stance::Free => None,
    };
    let ours = facts.our_entry(arch).or_else(|| facts.fileless(arch)).map(name_of);
    match ours.or(theirs) {
        Some(entry) => plan.already.push((arch, entry)),
        None if facts.table.has(&fileless_name(arch)) => {
            return Err(Error::Conflict {
                what: format!("the name of our entry, {}, is taken", fileless_name(arch)),
                hint: "binfmt-nix status shows the entries; remove the one that is not needed".into(),
            });
        }
        None => plan.missing.push(arch),
    }
    Ok(())
}
