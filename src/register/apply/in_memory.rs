//! Registration without a file: only the kernel's table changes.
//!
//! There is no receipt to write. Who was killed in the midst leaves entries that
//! are known by their form (`Facts::fileless`), and that a restart takes away.

use std::fs::File;
use std::path::Path;

use binfmt_magic::{Arch, Rule};

use crate::binfmt::in_memory::{FD_DIR, in_memory_path};
use crate::binfmt::probe;
use crate::binfmt::probe::{ProbeOutput, ProbeResult};
use crate::binfmt::table;
use crate::error::{Error, Result};
use crate::host::{self, FileId, Host};
use crate::qemu::binary;
use crate::register::apply::verify;

/// An emulator in memory, and its rule.
#[derive(Debug)]
pub struct InMemoryEntry<'a> {
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
pub fn add_entries(host: &Host, mount: bool, emulators: &[InMemoryEntry<'_>]) -> Result<()> {
    if mount {
        table::mount_table(host)?;
    }
    // Whom an entry in memory runs is held by that entry alone: it goes with it, unless it is held here too.
    let replaced: Vec<_> =
        emulators.iter().filter_map(|one| Some((one.replaces.as_ref()?, open_running_emulator(one)))).collect();
    let mut entered = Vec::new();
    let done = emulators.iter().try_for_each(|one| add_entry(host, one, &mut entered));
    if done.is_err() {
        // One that somebody else made meanwhile may read like ours to the letter.
        for rule in entered {
            table::remove_entry(host, rule)?;
        }
        for (rule, emulator) in &replaced {
            restore_replaced_entry(host, rule, emulator.as_ref())?;
        }
        if mount && table::read_table(host)?.is_empty() {
            host.unmount(Path::new(table::DIR))?;
        }
    }
    done
}

/// The emulator of the entry that is to be replaced, if that is what runs these programs.
fn open_running_emulator(one: &InMemoryEntry<'_>) -> Option<File> {
    let ProbeResult::Ran(ProbeOutput { program: Some(program), .. }) = probe::run_direct(one.arch) else { return None };
    host::memfd::is_own_memfd(&program).then_some(program)
}

/// Registers what was replaced once more, unless it never went.
fn restore_replaced_entry(host: &Host, rule: &Rule, emulator: Option<&File>) -> Result<()> {
    let is_present = table::read_table(host)?.has_entry(&String::from_utf8_lossy(rule.name.as_bytes()));
    match emulator {
        Some(emulator) if !is_present => {
            table::add_entry(host, &Rule { interpreter: in_memory_path(FD_DIR, emulator), ..rule.clone() })
        }
        _ => Ok(()),
    }
}

fn add_entry<'a>(host: &Host, one: &'a InMemoryEntry<'_>, entered: &mut Vec<&'a Rule>) -> Result<()> {
    let name = String::from_utf8_lossy(one.rule.name.as_bytes()).into_owned();
    let broken = |why: String| Error::NotWorking { name: name.clone(), why };
    let head = host::user_files::read_head(one.file, binary::HEAD_SIZE).map_err(|e| broken(e.to_string()))?;
    verify::check_rule_is_safe(&one.rule, &head)?;
    if let Some(old) = &one.replaces {
        table::remove_entry(host, old)?;
    }
    table::add_entry(host, &one.rule)?;
    entered.push(&one.rule);
    let emulator = FileId::from_metadata(&one.file.metadata().map_err(|e| broken(e.to_string()))?);
    match probe::run_in_memory(one.arch.probe().unwrap_or_default()) {
        Ok(Some(run)) if run.program != emulator => Err(broken("another file runs the probe".into())),
        Ok(Some(run)) if run.status.success() => Ok(()),
        Ok(Some(run)) => Err(broken(format!("the probe ended with {}: {}", run.status, run.complaints.trim()))),
        Ok(None) => Err(broken("the probe ended as soon as it was started".into())),
        Err(e) => Err(broken(format!("the probe cannot be started: {e}"))),
    }
}
