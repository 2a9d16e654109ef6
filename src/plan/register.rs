//! From "register these" and a look at the machine to the steps.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use binfmt_magic::{Arch, EntryName, Flags, Recognition, Rule};

use super::choose::{Choice, How, choose};
use super::parts::Parts;
use super::rivals::{Stance, adopt, conflict, entry_name, stance};
use super::{Plan, Planned, Step, tell_nix};
use crate::binfmt_misc::{self, Table, name_of, same_rule};
use crate::digest::Sha256;
use crate::error::{Error, Result};
use crate::facts::{Facts, Native};
use crate::interpreter::{KERNEL_TELLS_ARGV0, KNOWS_ARGV0, Version};
use crate::qemu::obtain::Supply;
use crate::receipt::System;
use crate::request::Register;
use crate::{boot, layout};

/// Plans a registration.
pub fn plan(request: &Register, facts: &Facts) -> Result<Plan> {
    if facts.table.is_switched_off() {
        return Err(switched_off(facts));
    }
    let mut parts = Parts::default();
    let mut absent = Vec::new();
    for arch in &request.systems {
        match one(request, facts, arch, &mut parts) {
            Ok(()) => {}
            Err(Error::Native { .. }) if request.all => {
                parts.notes.push(format!("{}: passed over, this machine runs it natively", arch.target));
            }
            Err(e) if request.all && facts.native.contains_key(arch.target) => {
                parts.notes.push(format!("{}: passed over: {e}", arch.target));
            }
            Err(Error::NoInterpreter { .. } | Error::Unsupported { .. }) if request.all => absent.push(arch.target),
            Err(e @ Error::Conflict { .. }) if request.all => parts.findings.push(format!("{}: {e}", arch.target)),
            Err(e) => return Err(e),
        }
    }
    if !absent.is_empty() {
        let origin = facts.supply.as_ref().map_or("this machine", Supply::origin_name);
        parts.notes.push(format!("{origin} has no emulator for: {}", absent.join(" ")));
        if parts.systems.is_empty() {
            return Err(Error::NoInterpreter { binary: "qemu-SYSTEM".into(), tried: "none is installed".into() });
        }
    }
    tell_nix::plan(request, facts, &mut parts)?;
    notes(request, facts, &mut parts);
    Ok(parts.into_plan(facts))
}

pub(super) fn switched_off(facts: &Facts) -> Error {
    let status = facts.real(&binfmt_misc::path("status"));
    Error::Conflict {
        what: format!("binfmt_misc is switched off as a whole: {} says \"disabled\"", status.display()),
        hint: format!("switch it on: echo 1 > {}", status.display()),
    }
}

pub(super) fn refuse(native: &Native, facts: &Facts, arch: &Arch) -> Error {
    let (system, machine) = (arch.target.to_owned(), facts.machine.clone());
    match native {
        Native::Runs => Error::Native { system, machine },
        Native::Unknown(why) => Error::Unsupported {
            what: format!("cannot find out whether this {machine} machine runs {system} programs by itself: {why}"),
            hint: "a program has to be started from memory for that: sysctl vm.memfd_noexec=0 allows it".into(),
        },
    }
}

/// One system: emulator, boot file, entry.
fn one(request: &Register, facts: &Facts, arch: &'static Arch, parts: &mut Parts) -> Result<()> {
    if let Some(native) = facts.native.get(arch.target) {
        return Err(refuse(native, facts, arch));
    }
    let stance = stance(request, facts, arch);
    match &stance {
        Stance::Adopt(entry) if !request.force => return adopt(request, facts, arch, &entry.rule, parts),
        _ => {}
    }
    let choice = choose(request, facts, arch)?;
    let ours = facts.our_entry(arch);
    let name = entry_name(facts, arch, ours.map(name_of).as_deref())?;
    let flags = flags(request, facts, choice.version);
    let path = layout::interpreter(arch);
    let real = rule(arch, &name, &facts.real(&path), flags)?;
    match &stance {
        Stance::InTheWay(theirs) if !request.force => return Err(conflict(arch, theirs, Some(&real))),
        _ => {}
    }
    // All that can be refused was refused before the first step is added.
    let boot = if request.persist {
        let text = boot::text(&rule(arch, &name, &path, flags)?)?;
        write(facts, layout::boot_rule(arch), text, Some(arch))?
    } else {
        None
    };
    let before = parts.len();
    bring(arch, &choice, parts);
    parts.boot.extend(boot);
    let known = facts.receipt.systems.get(arch.target);
    // One that was never proven, as its registration was cut short, is put in once more.
    let tried = known.is_some_and(|system| system.proven) || (known.is_some() && arch.probe().is_none());
    let stands = ours.is_some_and(|entry| entry.enabled && same_rule(&entry.rule, &real))
        && matches!(stance, Stance::Free)
        && choice.how == How::Keep
        && tried;
    if !stands && !matches!(facts.table, Table::Offline) {
        let replaces = ours.map(|entry| entry.rule.clone());
        parts.register.push(Step::Register { arch, rule: real, replaces });
        // Last, as it cannot be put back.
        parts.last.extend(facts.fileless(arch).map(|entry| Step::Withdraw(name_of(entry))));
    }
    let system = System {
        entry: name,
        interpreter: path,
        qemu: choice.version.to_string(),
        source: choice.source,
        adopted: false,
        nix: tell_nix::wanted(request, facts) || known.is_some_and(|system| system.nix),
        proven: stands && known.is_some_and(|system| system.proven),
    };
    parts.systems.push(Planned { arch, already: parts.len() == before, system: Some(system) });
    Ok(())
}

/// The emulator gets to its place.
fn bring(arch: &'static Arch, choice: &Choice, parts: &mut Parts) {
    match &choice.how {
        How::Keep => return,
        How::Copy(from) => parts.copy.push(Step::Copy { arch, from: from.clone() }),
        How::Fetch => parts.fetch.push(arch),
    }
    parts.place.push(Step::Place(arch));
}

fn flags(request: &Register, facts: &Facts, qemu: Version) -> Flags {
    Flags {
        preserve_argv0: facts.kernel >= KERNEL_TELLS_ARGV0 && qemu >= KNOWS_ARGV0,
        open_binary: request.credentials,
        credentials: request.credentials,
        fix_binary: true,
    }
}

fn rule(arch: &Arch, name: &str, interpreter: &Path, flags: Flags) -> Result<Rule> {
    Ok(Rule {
        name: EntryName::new(name)?,
        recognition: Recognition::Magic(arch.pattern()),
        interpreter: interpreter.as_os_str().as_bytes().to_vec(),
        flags,
    })
}

/// Writes a file of ours, unless it is so already; one that is not ours is in the way.
pub(super) fn write(facts: &Facts, path: PathBuf, text: Vec<u8>, arch: Option<&'static Arch>) -> Result<Option<Step>> {
    match facts.files.get(&path) {
        Some(sum) if *sum == Some(Sha256::of(&text)) => Ok(None),
        Some(_) if !facts.made_by_us(&path) => Err(not_ours(facts, &path)),
        _ => Ok(Some(Step::Write { path, text, arch })),
    }
}

/// A file with our name that we did not write, or that was changed since.
pub(super) fn not_ours(facts: &Facts, path: &Path) -> Error {
    let path = facts.real(path);
    Error::Conflict {
        what: format!("{} is not as binfmt-nix wrote it, or was never written by it", path.display()),
        hint: format!("see what it is, and move it away: mv {0} {0}.old", path.display()),
    }
}

/// Of `--credentials`.
pub(super) const RISK: &str = "flag C: whoever may start a setuid program of these systems can write files as its \
                               owner, because QEMU obeys QEMU_LOG_FILENAME and the like";

/// Said only where something changes: the second time they are known.
fn notes(request: &Register, facts: &Facts, parts: &mut Parts) {
    if parts.len() == 0 {
        return;
    }
    parts.notes.extend(facts.notes.iter().cloned());
    if request.credentials {
        parts.notes.push(RISK.into());
    }
    if matches!(facts.table, Table::Offline) {
        parts.notes.push("the tree below --root has no /proc/sys/fs/binfmt_misc: no entry is registered now".into());
    } else if facts.in_user_namespace {
        parts.notes.push("this is a user namespace: entries exist in it alone, and end with it".into());
    }
    if request.persist && !facts.boot.has_reader {
        parts.notes.push("nothing on this system reads /etc/binfmt.d at boot: register again after a restart".into());
    }
}
