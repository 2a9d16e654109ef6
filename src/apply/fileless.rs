//! Registration without a file: only the kernel's table changes.
//!
//! There is no receipt to write. Who was killed in the midst leaves entries that
//! are known by their form (`Facts::fileless`), and that a restart takes away.

use std::fs::File;
use std::path::Path;

use binfmt_magic::{Arch, Rule};

use super::prove;
use crate::binfmt_misc;
use crate::error::{Error, Result};
use crate::host::{self, FileId, Host};
use crate::in_memory::{IN_MEMORY, in_memory};
use crate::probe::{Ran, Trial};
use crate::{interpreter, probe};

/// An emulator in memory, and its rule.
#[derive(Debug)]
pub struct Fileless<'a> {
    /// Its guest.
    pub arch: &'static Arch,
    /// The sealed file.
    pub file: &'a File,
    /// The rule, which names the open file.
    pub rule: Rule,
    /// Our entry of that name, which makes room for it.
    pub replaces: Option<Rule>,
}

/// Registers all of them, and sees a program of each run; or none of them.
pub fn register(host: &Host, mount: bool, emulators: &[Fileless<'_>]) -> Result<()> {
    if mount {
        binfmt_misc::mount(host)?;
    }
    // Whom an entry in memory runs is held by that entry alone: it goes with it, unless it is held here too.
    let before: Vec<_> = emulators.iter().filter_map(|one| Some((one.replaces.as_ref()?, running(one)))).collect();
    let mut entered = Vec::new();
    let done = emulators.iter().try_for_each(|one| enter(host, one, &mut entered));
    if done.is_err() {
        // One that somebody else made meanwhile may read like ours to the letter.
        for rule in entered {
            binfmt_misc::remove(host, rule)?;
        }
        for (rule, emulator) in &before {
            put_back(host, rule, emulator.as_ref())?;
        }
        if mount && binfmt_misc::look(host)?.is_empty() {
            host.unmount(Path::new(binfmt_misc::DIR))?;
        }
    }
    done
}

/// The emulator of the entry that is to be replaced, if that is what runs these programs.
fn running(one: &Fileless<'_>) -> Option<File> {
    let Trial::Ran(Ran { program: Some(program), .. }) = probe::direct(one.arch) else { return None };
    host::memfd::is_own_memfd(&program).then_some(program)
}

/// Registers what was replaced once more, unless it never went.
fn put_back(host: &Host, rule: &Rule, emulator: Option<&File>) -> Result<()> {
    let there = binfmt_misc::look(host)?.has(&String::from_utf8_lossy(rule.name.as_bytes()));
    match emulator {
        Some(emulator) if !there => {
            binfmt_misc::register(host, &Rule { interpreter: in_memory(IN_MEMORY, emulator), ..rule.clone() })
        }
        _ => Ok(()),
    }
}

fn enter<'a>(host: &Host, one: &'a Fileless<'_>, entered: &mut Vec<&'a Rule>) -> Result<()> {
    let name = String::from_utf8_lossy(one.rule.name.as_bytes()).into_owned();
    let broken = |why: String| Error::NotWorking { name: name.clone(), why };
    let head = host::user_files::first_bytes(one.file, interpreter::HEAD).map_err(|e| broken(e.to_string()))?;
    prove::harmless(&one.rule, &head)?;
    if let Some(old) = &one.replaces {
        binfmt_misc::remove(host, old)?;
    }
    binfmt_misc::register(host, &one.rule)?;
    entered.push(&one.rule);
    let emulator = FileId::from_metadata(&one.file.metadata().map_err(|e| broken(e.to_string()))?);
    match probe::run_in_memory(one.arch.probe().unwrap_or_default()) {
        Ok(Some(seen)) if seen.program != emulator => Err(broken("another file runs the probe".into())),
        Ok(Some(seen)) if seen.status.success() => Ok(()),
        Ok(Some(seen)) => Err(broken(format!("the probe ended with {}: {}", seen.status, seen.complaints.trim()))),
        Ok(None) => Err(broken("the probe ended as soon as it was started".into())),
        Err(e) => Err(broken(format!("the probe cannot be started: {e}"))),
    }
}
