//! What can be wrong with a receipt: each record is something that `unregister`, as root, takes away, so one that
//! names what this tool never makes is refused. Pure.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use binfmt_magic::{Arch, Rule};

use super::{Made, Receipt, Record, System, VERSION};
use crate::layout;

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

pub(super) fn check(receipt: &Receipt) -> Result<(), InvalidReceipt> {
    receipt.systems.iter().try_for_each(|(target, system)| check_system(target, system))?;
    receipt.records.iter().try_for_each(check_record)
}

fn check_system(target: &str, system: &System) -> Result<(), InvalidReceipt> {
    let arch = known(target)?;
    let ours = system.interpreter == layout::interpreter(arch) && layout::entries(arch).contains(&system.entry);
    demand(ours || system.adopted, || InvalidReceipt::System {
        target: target.to_owned(),
        entry: system.entry.clone(),
        interpreter: system.interpreter.clone(),
    })
}

fn check_record(record: &Record) -> Result<(), InvalidReceipt> {
    let arch = record.target.as_deref().map(known).transpose()?;
    match &record.made {
        Made::Mount { .. } => Ok(()),
        Made::Entry { name, line } => {
            demand(arch.is_some_and(|arch| is_entry(arch, name, line)), || InvalidReceipt::Entry(name.clone()))
        }
        Made::Dir { path } => demand(layout::dirs().any(|dir| dir == path), || names(path)),
        Made::Include { path, .. } => {
            demand(layout::NIX_CONFS.iter().any(|conf| path == Path::new(conf)), || names(path))
        }
        Made::Interpreter { path, .. } => {
            demand(arch.is_some_and(|arch| *path == layout::interpreter(arch)), || names(path))
        }
        Made::File { path, .. } => {
            let own_conf = path == Path::new(layout::NIX_OWN_CONF);
            demand(own_conf || arch.is_some_and(|arch| *path == layout::boot_rule(arch)), || names(path))
        }
    }
}

/// A line that cannot be read back (a root that is no UTF-8 was in it) is that of no entry.
fn is_entry(arch: &Arch, name: &String, line: &str) -> bool {
    let emulator = layout::interpreter(arch);
    let emulator = emulator.as_os_str().as_bytes();
    layout::entries(arch).contains(name)
        && Rule::parse(line.as_bytes())
            .map_or(true, |rule| rule.name.as_bytes() == name.as_bytes() && rule.interpreter.ends_with(emulator))
}

fn known(target: &str) -> Result<&'static Arch, InvalidReceipt> {
    Arch::by_target(target).ok_or_else(|| InvalidReceipt::UnknownSystem(target.to_owned()))
}

fn names(path: &Path) -> InvalidReceipt {
    InvalidReceipt::Path(path.to_owned())
}

fn demand(holds: bool, why: impl FnOnce() -> InvalidReceipt) -> Result<(), InvalidReceipt> {
    if holds { Ok(()) } else { Err(why()) }
}
