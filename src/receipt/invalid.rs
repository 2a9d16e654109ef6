//! What can be wrong with a receipt: each record is something that `unregister`, as root, takes away, so one that
//! names what this tool never makes is refused. Pure.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use binfmt_magic::{Arch, Rule};

use super::{Made, Receipt, Record, System};
use crate::layout;

pub(super) fn check(receipt: &Receipt) -> Result<(), String> {
    receipt.systems.iter().try_for_each(|(target, system)| check_system(target, system))?;
    receipt.records.iter().try_for_each(check_record)
}

fn check_system(target: &str, system: &System) -> Result<(), String> {
    let arch = known(target)?;
    let ours = system.interpreter == layout::interpreter(arch) && layout::entries(arch).contains(&system.entry);
    demand(ours || system.adopted, || {
        format!("it says that {target} runs through {:?}, {}", system.entry, system.interpreter.display())
    })
}

fn check_record(record: &Record) -> Result<(), String> {
    let arch = record.target.as_deref().map(known).transpose()?;
    let what = match &record.made {
        Made::Mount { .. } => return Ok(()),
        Made::Entry { name, line } => {
            demand(arch.is_some_and(|arch| is_entry(arch, name, line)), || format!("it names the entry {name:?}"))
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
    };
    what.map_err(|what| format!("{what}, which binfmt-nix does not make there"))
}

/// A line that cannot be read back (a root that is no UTF-8 was in it) is that of no entry.
fn is_entry(arch: &Arch, name: &String, line: &str) -> bool {
    let emulator = layout::interpreter(arch);
    let emulator = emulator.as_os_str().as_bytes();
    layout::entries(arch).contains(name)
        && Rule::parse(line.as_bytes())
            .map_or(true, |rule| rule.name.as_bytes() == name.as_bytes() && rule.interpreter.ends_with(emulator))
}

fn known(target: &str) -> Result<&'static Arch, String> {
    Arch::by_target(target)
        .ok_or_else(|| format!("it names the system {target:?}, which this binfmt-nix does not know"))
}

fn names(path: &Path) -> String {
    format!("it names {}", path.display())
}

fn demand(holds: bool, why: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(why()) }
}
