//! Registration without files: changes only the kernel's table.
//!
//! No receipt is written. If the run is killed, its entries are recognised by their form
//! ([`Facts::in_memory_entry`](crate::register::facts::Facts::in_memory_entry)), and a restart of the machine removes them.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use binfmt_magic::{Arch, Rule};

use crate::binfmt::in_memory::{FD_DIR, in_memory_path};
use crate::binfmt::probe;
use crate::binfmt::probe::{ProbeOutput, ProbeResult};
use crate::binfmt::selinux::{ExecmemDenied, Selinux};
use crate::binfmt::table;
use crate::error::{Error, Result};
use crate::host::{self, FileId, Host};
use crate::qemu::binary;
use crate::register::apply::{prior_proof, verify};
use crate::register::plan::in_memory::Replacement;
use crate::sanitize::text_of_bytes;

/// Emulator in memory with its rule.
#[derive(Debug)]
pub struct InMemoryEntry<'a> {
    /// System of the emulator.
    pub arch: &'static Arch,
    /// Sealed file that contains the emulator.
    pub file: &'a File,
    /// Rule whose interpreter is the path of the open file.
    pub rule: Rule,
    /// Current entries of this tool that the new one replaces.
    pub replaces: Option<Replacement>,
}

/// Registers all entries and runs a program of each. If one fails, none stays registered.
pub fn add_entries(host: &Host, mount: bool, entries: &[InMemoryEntry<'_>]) -> Result<()> {
    if mount {
        table::mount_table(host)?;
    }
    // Only the entry holds its emulator in memory. It is opened here, so that it still exists for rollback after the entry
    // was removed.
    let replaced: Vec<_> =
        entries.iter().filter_map(|entry| Some((entry.replaces.as_ref()?, open_running_emulator(entry)))).collect();
    let mut added = Vec::new();
    let result = entries.iter().try_for_each(|entry| add_entry(host, entry, &mut added));
    if result.is_err() {
        // `remove_entry` cannot tell a rule of this run from an identical one that another tool registered since, so only
        // rules that this run added are removed: those that stand in for a replaced entry when that one is back.
        let is_new = |rule: &Rule| entries.iter().any(|entry| entry.rule.name == rule.name);
        let (new, stand_ins): (Vec<_>, Vec<_>) = added.into_iter().partition(is_new);
        for rule in new {
            table::remove_entry(host, &rule)?;
        }
        for (replacement, emulator) in &replaced {
            for rule in replacement.rules.iter().rev() {
                restore_replaced_entry(host, rule, emulator.as_ref())?;
            }
        }
        for rule in stand_ins {
            table::remove_entry(host, &rule)?;
        }
        if mount && table::read_table(host)?.is_empty() {
            host.unmount(Path::new(table::DIR))?;
        }
    }
    result
}

/// Opens the emulator that runs the system's programs now, if it is in memory.
fn open_running_emulator(entry: &InMemoryEntry<'_>) -> Option<File> {
    let ProbeResult::Ran(ProbeOutput { program: Some(program), .. }) = probe::run_direct(entry.arch) else {
        return None;
    };
    host::memfd::is_own_memfd(&program.file).then_some(program.file)
}

/// Registers a replaced entry again, unless it was never removed.
fn restore_replaced_entry(host: &Host, rule: &Rule, emulator: Option<&File>) -> Result<()> {
    let is_present = table::read_table(host)?.has_entry(&text_of_bytes(rule.name.as_bytes()));
    match emulator {
        Some(emulator) if !is_present => {
            table::add_entry(host, &Rule { interpreter: in_memory_path(FD_DIR, emulator), ..rule.clone() })
        }
        _ => Ok(()),
    }
}

/// Registers one entry and runs a program through it. Where it replaces another one, it is first registered above that one
/// under another name, so that no program starts without an entry.
fn add_entry(host: &Host, entry: &InMemoryEntry<'_>, added: &mut Vec<Rule>) -> Result<()> {
    let Some(Replacement { rules, stand_in }) = &entry.replaces else {
        return put_entry(host, entry, &entry.rule, added);
    };
    prior_proof::prove_directly(entry.arch, Path::new(OsStr::from_bytes(&in_memory_path(FD_DIR, entry.file))))?;
    let above = stand_in.as_ref().map(|name| Rule { name: name.clone(), ..entry.rule.clone() });
    if let Some(above) = &above {
        // The kernel does not use an entry that an interrupted replacement left under this name: a newer one exists.
        for left in rules.iter().filter(|rule| rule.name == above.name) {
            table::remove_entry(host, left)?;
        }
        put_entry(host, entry, above, added)?;
    }
    let others = rules.iter().filter(|rule| Some(&rule.name) != stand_in.as_ref());
    let (before, after): (Vec<_>, Vec<_>) = others.partition(|old| above.is_some() || old.name == entry.rule.name);
    for old in before {
        table::remove_entry(host, old)?;
    }
    put_entry(host, entry, &entry.rule, added)?;
    for old in after.into_iter().chain(above.as_ref()) {
        table::remove_entry(host, old)?;
    }
    Ok(())
}

fn put_entry(host: &Host, entry: &InMemoryEntry<'_>, rule: &Rule, added: &mut Vec<Rule>) -> Result<()> {
    let name = text_of_bytes(rule.name.as_bytes());
    let not_working = |why: String| Error::NotWorking { name: name.clone(), why };
    let head = host::user_files::read_head(entry.file, binary::HEAD_SIZE).map_err(|e| not_working(e.to_string()))?;
    verify::check_rule_is_safe(rule, &head)?;
    table::add_entry(host, rule)?;
    added.push(rule.clone());
    let emulator = FileId::from_metadata(&entry.file.metadata().map_err(|e| not_working(e.to_string()))?);
    match probe::run_in_memory(entry.arch.probe().unwrap_or_default()) {
        Ok(Some(run)) if run.program != emulator => {
            Err(not_working("the kernel runs the probe with a file other than the verified emulator".into()))
        }
        Ok(Some(run)) if run.status.success() => Ok(()),
        Ok(Some(run)) if run.is_jit_refused() => {
            let denied = ExecmemDenied::for_entry(&name, &Selinux::read(host));
            Err(denied.map_or_else(|| not_working(run.complaints.trim().to_owned()), Error::other))
        }
        Ok(Some(run)) => Err(not_working(format!("the probe ended with {}: {}", run.status, run.complaints.trim()))),
        Ok(None) => Err(not_working("the probe ended before it could be observed".into())),
        Err(e) => Err(not_working(format!("the probe cannot be started: {e}"))),
    }
}
