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
use crate::host::{Host, Inode};
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
}

/// Registers all of them, and sees a program of each run; or none of them.
pub fn register(host: &Host, mount: bool, emulators: &[Fileless<'_>]) -> Result<()> {
    if mount {
        binfmt_misc::mount(host)?;
    }
    let done = emulators.iter().try_for_each(|one| enter(host, one));
    if done.is_err() {
        for one in emulators {
            binfmt_misc::remove(host, &one.rule)?;
        }
        if mount && binfmt_misc::look(host)?.is_empty() {
            host.unmount(Path::new(binfmt_misc::DIR))?;
        }
    }
    done
}

fn enter(host: &Host, one: &Fileless<'_>) -> Result<()> {
    let name = String::from_utf8_lossy(one.rule.name.as_bytes()).into_owned();
    let broken = |why: String| Error::NotWorking { name: name.clone(), why };
    let head = host.first_bytes(one.file, interpreter::HEAD).map_err(|e| broken(e.to_string()))?;
    prove::harmless(host, &one.rule, &head)?;
    binfmt_misc::register(host, &one.rule)?;
    let emulator = Inode::of(&one.file.metadata().map_err(|e| broken(e.to_string()))?);
    match probe::run_in_memory(host, one.arch.probe().unwrap_or_default()) {
        Ok(Some(seen)) if seen.program != emulator => Err(broken("another file runs the probe".into())),
        Ok(Some(seen)) if seen.status.success() => Ok(()),
        Ok(Some(seen)) => Err(broken(format!("the probe ended with {}: {}", seen.status, seen.complaints.trim()))),
        Ok(None) => Err(broken("the probe ended as soon as it was started".into())),
        Err(e) => Err(broken(format!("the probe cannot be started: {e}"))),
    }
}
