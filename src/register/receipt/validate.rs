//! What can be wrong with a receipt: each record is something that `unregister`, as root, takes away, so one that
//! names what this tool never makes is refused. Pure.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use binfmt_magic::{Arch, Rule};

use super::{Artifact, Receipt, Record, System, VERSION};
use crate::paths;

/// A text is not a receipt that can be believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidReceipt {
    /// It is not JSON of this shape.
    #[error("{0}")]
    Json(String),
    /// It is of another version.
    #[error("it has version {0}, this binfmt-nix knows version {VERSION}; use the binfmt-nix that wrote it")]
    Version(u32),
    /// It names a system that the table of architectures does not have.
    #[error("it names the system {0:?}, which this binfmt-nix does not know")]
    UnknownSystem(String),
    /// It names another interpreter or entry for a system than this tool makes.
    #[error("it says that {target} runs through {entry:?}, {}", interpreter.display())]
    System {
        /// the system, by QEMU's name
        target: String,
        /// its entry
        entry: String,
        /// its interpreter
        interpreter: PathBuf,
    },
    /// It names an entry that this tool does not make.
    #[error("it names the entry {0:?}, which binfmt-nix does not make there")]
    Entry(String),
    /// It names a file or directory that this tool does not make.
    #[error("it names {}, which binfmt-nix does not make there", .0.display())]
    Path(PathBuf),
}

pub(super) fn validate_receipt(receipt: &Receipt) -> Result<(), InvalidReceipt> {
    receipt.systems.iter().try_for_each(|(target, system)| validate_system(target, system))?;
    receipt.records.iter().try_for_each(validate_record)
}

fn validate_system(target: &str, system: &System) -> Result<(), InvalidReceipt> {
    let arch = find_target(target)?;
    let is_own_emulator =
        system.interpreter == paths::interpreter_path(arch) && paths::entry_names(arch).contains(&system.entry);
    ensure(is_own_emulator || system.adopted, || InvalidReceipt::System {
        target: target.to_owned(),
        entry: system.entry.clone(),
        interpreter: system.interpreter.clone(),
    })
}

fn validate_record(record: &Record) -> Result<(), InvalidReceipt> {
    let arch = record.target.as_deref().map(find_target).transpose()?;
    match &record.made {
        Artifact::Mount { .. } => Ok(()),
        Artifact::Entry { name, line } => {
            ensure(arch.is_some_and(|arch| is_entry(arch, name, line)), || InvalidReceipt::Entry(name.clone()))
        }
        Artifact::Dir { path } => ensure(paths::managed_dirs().any(|dir| dir == path), || describe_path(path)),
        Artifact::Include { path, .. } => {
            ensure(paths::NIX_CONFS.iter().any(|conf| path == Path::new(conf)), || describe_path(path))
        }
        Artifact::Interpreter { path, .. } => {
            ensure(arch.is_some_and(|arch| *path == paths::interpreter_path(arch)), || describe_path(path))
        }
        Artifact::File { path, .. } => {
            let own_conf = path == Path::new(paths::NIX_OWN_CONF);
            ensure(own_conf || arch.is_some_and(|arch| *path == paths::boot_rule(arch)), || describe_path(path))
        }
    }
}

/// A line that cannot be read back (a root that is no UTF-8 was in it) is that of no entry.
fn is_entry(arch: &Arch, name: &String, line: &str) -> bool {
    let emulator = paths::interpreter_path(arch);
    let emulator = emulator.as_os_str().as_bytes();
    paths::entry_names(arch).contains(name)
        && Rule::parse(line.as_bytes())
            .map_or(true, |rule| rule.name.as_bytes() == name.as_bytes() && rule.interpreter.ends_with(emulator))
}

fn find_target(target: &str) -> Result<&'static Arch, InvalidReceipt> {
    Arch::by_target(target).ok_or_else(|| InvalidReceipt::UnknownSystem(target.to_owned()))
}

fn describe_path(path: &Path) -> InvalidReceipt {
    InvalidReceipt::Path(path.to_owned())
}

fn ensure(holds: bool, why: impl FnOnce() -> InvalidReceipt) -> Result<(), InvalidReceipt> {
    if holds { Ok(()) } else { Err(why()) }
}
