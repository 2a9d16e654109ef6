//! Validation of receipts: rejects a receipt that names an object that this tool never makes. Pure.
//!
//! `unregister` runs as root and removes every recorded object, so a damaged or forged record must not name anything
//! else.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use binfmt_magic::{Arch, Rule};

use super::{Artifact, Receipt, Record, System, VERSION};
use crate::accelerate::bundle::{self, BundleFile};
use crate::binfmt::boot_hook;
use crate::binfmt::init_system::WSL_CONF;
use crate::paths;
use crate::register::{acceleration, own_rule};
use crate::sanitize::{AsText as _, bytes_of};

/// Reason why a text is not a valid receipt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidReceipt {
    /// The text is not JSON of the expected shape.
    #[error("{0}")]
    Json(String),
    /// The line of an accelerated system is missing.
    #[error("the line of the accelerated system {0} is missing")]
    NoDetails(String),
    /// The line of an accelerated system and the document disagree.
    #[error("the line of the accelerated system {0} has other programs than the list of its entries")]
    OtherPrograms(String),
    /// The line of an accelerated system is not JSON of the expected shape.
    #[error("the line of the accelerated system {target}: {why}")]
    Details {
        /// QEMU target of the system.
        target: String,
        /// What is wrong with it.
        why: String,
    },
    /// The receipt has a line for no accelerated system.
    #[error("a line at its end is for no accelerated system")]
    MoreDetails,
    /// The receipt has another version.
    #[error("it has version {0}, and this binfmt-nix supports version {VERSION}; use the binfmt-nix that wrote it")]
    Version(u32),
    /// The receipt names an unknown system.
    #[error("it names the system {0:?}, which this binfmt-nix does not know")]
    UnknownSystem(String),
    /// The receipt names an interpreter or entry that this tool does not make for the system.
    #[error(
        "it names the entry {entry:?} with interpreter {} for {target}, which binfmt-nix does not make",
        interpreter.as_text()
    )]
    System {
        /// QEMU target of the system.
        target: String,
        /// Name of the entry.
        entry: String,
        /// Path of the interpreter.
        interpreter: PathBuf,
    },
    /// The receipt names an entry that this tool does not make for the system.
    #[error("it names the entry {0:?}, which binfmt-nix does not make")]
    Entry(String),
    /// The receipt names a file or directory that this tool does not make.
    #[error("it names {}, which binfmt-nix does not make", .0.as_text())]
    Path(PathBuf),
}

/// Checks that rules and records of a part are for its accelerated system: those of another one are elsewhere.
pub(super) fn validate_part(part: &Receipt) -> Result<(), InvalidReceipt> {
    let is_of_part = |name: &str| {
        acceleration::system_of_rule(name).is_some_and(|arch| part.accelerations.contains_key(arch.target))
    };
    part.rules.keys().try_for_each(|name| ensure(is_of_part(name), || InvalidReceipt::Entry(name.clone())))?;
    let other = part.records.iter().find(|record| part.accelerated_system_of(record).is_none());
    other.map_or(Ok(()), |record| Err(invalid_path(record.made.path().unwrap_or(Path::new("an entry")))))
}

/// Checks every system and every record.
pub(super) fn validate_receipt(receipt: &Receipt) -> Result<(), InvalidReceipt> {
    receipt.systems.iter().try_for_each(|(target, system)| validate_system(target, system))?;
    for (name, rule) in &receipt.rules {
        let is_own = own_rule::check_name(name).is_ok() && rule.rule().is_some_and(|rule| has_name(&rule, name));
        ensure(is_own, || InvalidReceipt::Entry(name.clone()))?;
    }
    for (target, packed) in &receipt.packed {
        let arch = find_target(target)?;
        for name in &packed.entries {
            let is_of_system = acceleration::system_of_rule(name).is_some_and(|of| of.target == arch.target);
            ensure(is_of_system, || InvalidReceipt::Entry(name.clone()))?;
        }
        for path in &packed.sandbox_paths {
            let is_native = *path == paths::native_dir(arch) || bundle::store_path(path).as_ref() == Some(path);
            ensure(is_native, || invalid_path(path))?;
        }
    }
    for (target, acceleration) in &receipt.accelerations {
        find_target(target)?;
        for BundleFile { target: path, .. } in &acceleration.files {
            ensure(acceleration::is_native_path(path), || invalid_path(path))?;
        }
    }
    receipt.records.iter().try_for_each(validate_record)
}

fn validate_system(target: &str, system: &System) -> Result<(), InvalidReceipt> {
    let arch = find_target(target)?;
    let is_own_emulator =
        own_interpreters(arch).contains(&system.interpreter) && paths::entry_names(arch).contains(&system.entry);
    ensure(is_own_emulator || system.adopted, || InvalidReceipt::System {
        target: target.to_owned(),
        entry: system.entry.clone(),
        interpreter: system.interpreter.clone(),
    })
}

fn validate_record(record: &Record) -> Result<(), InvalidReceipt> {
    let arch = record.target.as_deref().map(find_target).transpose()?;
    if let Some(rule) = &record.rule {
        return validate_rule_record(rule, &record.made);
    }
    match &record.made {
        Artifact::Mount { .. } => Ok(()),
        Artifact::Entry { name, line } => {
            ensure(arch.is_some_and(|arch| is_entry(arch, name, line)), || InvalidReceipt::Entry(name.clone()))
        }
        Artifact::Dir { path } => {
            let is_own = paths::managed_dirs().any(|dir| dir == path) || acceleration::is_native_path(path);
            ensure(is_own, || invalid_path(path))
        }
        Artifact::Include { path, .. } => {
            ensure(paths::NIX_CONFS.iter().any(|conf| path == Path::new(conf)), || invalid_path(path))
        }
        Artifact::Interpreter { path, .. } => {
            let is_own = |arch| own_interpreters(arch).contains(path) || *path == paths::previous_path(arch);
            ensure(arch.is_some_and(is_own), || invalid_path(path))
        }
        Artifact::Program { path, .. } => {
            let is_of_system = |arch| {
                *path == paths::accelerator_path(arch)
                    || (acceleration::is_native_path(path) && path.starts_with(paths::native_dir(arch)))
            };
            ensure(path == Path::new(paths::PROGRAM) || arch.is_some_and(is_of_system), || invalid_path(path))
        }
        Artifact::Link { path, target } => ensure(boot_hook::is_hook_link(path, target), || invalid_path(path)),
        Artifact::BootCommand { path, added, .. } => {
            let is_own = path == Path::new(WSL_CONF) && boot_hook::is_own_addition(added);
            ensure(is_own, || invalid_path(path))
        }
        Artifact::File { path, .. } => {
            let is_shared = path == Path::new(paths::NIX_OWN_CONF) || boot_hook::is_hook_file(path);
            ensure(is_shared || arch.is_some_and(|arch| *path == paths::boot_rule(arch)), || invalid_path(path))
        }
    }
}

/// Checks a record of an own rule: its entry, or its boot file.
fn validate_rule_record(rule: &str, made: &Artifact) -> Result<(), InvalidReceipt> {
    ensure(own_rule::check_name(rule).is_ok(), || InvalidReceipt::Entry(rule.to_owned()))?;
    match made {
        Artifact::Entry { name, line } => {
            let has_own_name = Rule::parse(&bytes_of(line)).map_or(true, |parsed| has_name(&parsed, name));
            let is_own = paths::own_rule_entry_names(rule).contains(name) && has_own_name;
            ensure(is_own, || InvalidReceipt::Entry(name.clone()))
        }
        Artifact::File { path, .. } => ensure(*path == paths::own_rule_file(rule), || invalid_path(path)),
        other => Err(invalid_path(other.path().unwrap_or(Path::new("a mount")))),
    }
}

fn has_name(rule: &Rule, name: &str) -> bool {
    rule.name.as_bytes() == name.as_bytes()
}

/// Whether this tool makes such an entry for the system. A line that cannot be parsed is accepted, because the path of the
/// root prefix in it may not have been UTF-8. Such a line never equals the rule of an existing entry.
fn is_entry(arch: &Arch, name: &String, line: &str) -> bool {
    let is_own =
        |path: &[u8]| own_interpreters(arch).iter().any(|emulator| path.ends_with(emulator.as_os_str().as_bytes()));
    paths::entry_names(arch).contains(name)
        && Rule::parse(line.as_bytes())
            .map_or(true, |rule| rule.name.as_bytes() == name.as_bytes() && is_own(&rule.interpreter))
}

/// The paths of a system's emulator: that of this version, and that of earlier ones.
fn own_interpreters(arch: &Arch) -> [PathBuf; 2] {
    [paths::interpreter_path(arch), paths::old_interpreter_path(arch)]
}

fn find_target(target: &str) -> Result<&'static Arch, InvalidReceipt> {
    Arch::by_target(target).ok_or_else(|| InvalidReceipt::UnknownSystem(target.to_owned()))
}

fn invalid_path(path: &Path) -> InvalidReceipt {
    InvalidReceipt::Path(path.to_owned())
}

fn ensure(holds: bool, why: impl FnOnce() -> InvalidReceipt) -> Result<(), InvalidReceipt> {
    if holds { Ok(()) } else { Err(why()) }
}
