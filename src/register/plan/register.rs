//! From "register these" and a look at the machine to the steps.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use binfmt_magic::{Arch, EntryName, Flags, Recognition, Rule};

use super::{Plan, Step, SystemPlan};
use crate::binfmt::boot;
use crate::binfmt::native::NativeSupport;
use crate::binfmt::table;
use crate::binfmt::table::{Table, entry_name, is_same_rule};
use crate::error::{Error, Result};
use crate::paths;
use crate::qemu::binary::{FIRST_WITH_ARGV0, KERNEL_PASSES_ARGV0, QemuVersion};
use crate::qemu::obtain::ResolvedSource;
use crate::register::facts::Facts;
use crate::register::plan::conflicts::{
    Conflict, choose_entry_name, classify_conflicts, conflict_error, use_existing_entry,
};
use crate::register::plan::emulator::{EmulatorChoice, Provision, choose_emulator};
use crate::register::plan::nix;
use crate::register::plan::step_groups::StepGroups;
use crate::register::receipt::System;
use crate::register::request::RegisterRequest;
use crate::sha256::Sha256;

/// Plans a registration.
pub fn plan_registration(request: &RegisterRequest, facts: &Facts) -> Result<Plan> {
    if facts.table.is_switched_off() {
        return Err(table_disabled_error(facts));
    }
    let mut parts = StepGroups::default();
    let mut absent = Vec::new();
    for arch in &request.systems {
        match plan_system(request, facts, arch, &mut parts) {
            Ok(()) => {}
            Err(Error::Native { .. }) if request.all => {
                parts.notes.push(format!("{}: passed over, this machine runs it natively", arch.target));
            }
            Err(e) if request.all && facts.native_systems.contains_key(arch.target) => {
                parts.notes.push(format!("{}: passed over: {e}", arch.target));
            }
            Err(Error::NoInterpreter { .. } | Error::Unsupported { .. }) if request.all => absent.push(arch.target),
            Err(e @ Error::Conflict { .. }) if request.all => parts.findings.push(format!("{}: {e}", arch.target)),
            Err(e) => return Err(e),
        }
    }
    if !absent.is_empty() {
        let origin = facts.supply.as_ref().map_or("this machine", ResolvedSource::origin_name);
        parts.notes.push(format!("{origin} has no emulator for: {}", absent.join(" ")));
        if parts.systems.is_empty() {
            return Err(Error::NoInterpreter { binary: "qemu-SYSTEM".into(), tried: "none is installed".into() });
        }
    }
    nix::add_nix_steps(request, facts, &mut parts)?;
    add_notes(request, facts, &mut parts);
    Ok(parts.into_plan(facts))
}

pub(super) fn table_disabled_error(facts: &Facts) -> Error {
    let status = facts.real_path(&table::entry_path("status"));
    Error::Conflict {
        what: format!("binfmt_misc is switched off as a whole: {} says \"disabled\"", status.display()),
        hint: format!("switch it on: echo 1 > {}", status.display()),
    }
}

pub(super) fn native_system_error(native: &NativeSupport, facts: &Facts, arch: &Arch) -> Error {
    let (system, machine) = (arch.target.to_owned(), facts.machine.clone());
    match native {
        NativeSupport::Runs => Error::Native { system, machine },
        NativeSupport::Unknown(why) => Error::Unsupported {
            what: format!("cannot find out whether this {machine} machine runs {system} programs by itself: {why}"),
            hint: "a program has to be started from memory for that: sysctl vm.memfd_noexec=0 allows it".into(),
        },
    }
}

/// One system: emulator, boot file, entry.
fn plan_system(request: &RegisterRequest, facts: &Facts, arch: &'static Arch, parts: &mut StepGroups) -> Result<()> {
    if let Some(native) = facts.native_systems.get(arch.target) {
        return Err(native_system_error(native, facts, arch));
    }
    let stance = classify_conflicts(request, facts, arch);
    match &stance {
        Conflict::UseExisting(entry) if !request.force => {
            return use_existing_entry(request, facts, arch, &entry.rule, parts);
        }
        _ => {}
    }
    let choice = choose_emulator(request, facts, arch)?;
    let own_entry = facts.our_entry(arch);
    let name = choose_entry_name(facts, arch, own_entry.map(entry_name).as_deref())?;
    let flags = choose_flags(request, facts, choice.version);
    let path = paths::interpreter_path(arch);
    let real = build_rule(arch, &name, &facts.real_path(&path), flags)?;
    match &stance {
        Conflict::Blocked(theirs) if !request.force => return Err(conflict_error(arch, theirs, Some(&real))),
        _ => {}
    }
    // All that can be refused was refused before the first step is added.
    let boot = if request.persist {
        let text = boot::boot_file_text(&build_rule(arch, &name, &path, flags)?)?;
        write_own_file(facts, paths::boot_rule(arch), text, Some(arch))?
    } else {
        None
    };
    let count_before = parts.count_system_steps();
    add_emulator_steps(arch, &choice, parts);
    parts.boot.extend(boot);
    let known = facts.receipt.systems.get(arch.target);
    // One that was never proven, as its registration was cut short, is put in once more.
    let tried = known.is_some_and(|system| system.proven) || (known.is_some() && arch.probe().is_none());
    let stands = own_entry.is_some_and(|entry| entry.enabled && is_same_rule(&entry.rule, &real))
        && matches!(stance, Conflict::None)
        && choice.provision == Provision::Keep
        && tried;
    if !stands && !matches!(facts.table, Table::Offline) {
        let replaces = own_entry.map(|entry| entry.rule.clone());
        parts.register.push(Step::AddEntry { arch, rule: real, replaces });
        // Last, as it cannot be put back.
        parts.last.extend(facts.in_memory_entry(arch).map(|entry| Step::RemoveEntry(entry_name(entry))));
    }
    let system = System {
        entry: name,
        interpreter: path,
        qemu: choice.version.to_string(),
        source: choice.source,
        adopted: false,
        nix: nix::needs_nix_config(request, facts) || known.is_some_and(|system| system.nix),
        proven: stands && known.is_some_and(|system| system.proven),
    };
    parts.systems.push(SystemPlan { arch, already: parts.count_system_steps() == count_before, system: Some(system) });
    Ok(())
}

/// The emulator gets to its place.
fn add_emulator_steps(arch: &'static Arch, choice: &EmulatorChoice, parts: &mut StepGroups) {
    match &choice.provision {
        Provision::Keep => return,
        Provision::Copy(from) => parts.copy.push(Step::CopyEmulator { arch, from: from.clone() }),
        Provision::Download => parts.downloads.push(arch),
    }
    parts.place.push(Step::InstallEmulator(arch));
}

fn choose_flags(request: &RegisterRequest, facts: &Facts, qemu: QemuVersion) -> Flags {
    Flags {
        preserve_argv0: facts.kernel >= KERNEL_PASSES_ARGV0 && qemu >= FIRST_WITH_ARGV0,
        open_binary: request.credentials,
        credentials: request.credentials,
        fix_binary: true,
    }
}

fn build_rule(arch: &Arch, name: &str, interpreter: &Path, flags: Flags) -> Result<Rule> {
    Ok(Rule {
        name: EntryName::new(name)?,
        recognition: Recognition::Magic(arch.pattern()),
        interpreter: interpreter.as_os_str().as_bytes().to_vec(),
        flags,
    })
}

/// Writes a file of ours, unless it is so already; one that is not ours is in the way.
pub(super) fn write_own_file(
    facts: &Facts,
    path: PathBuf,
    text: Vec<u8>,
    arch: Option<&'static Arch>,
) -> Result<Option<Step>> {
    match facts.files.get(&path) {
        Some(sum) if *sum == Some(Sha256::of_bytes(&text)) => Ok(None),
        Some(_) if !facts.is_unmodified(&path) => Err(foreign_file_error(facts, &path)),
        _ => Ok(Some(Step::WriteFile { path, text, arch })),
    }
}

/// A file with our name that we did not write, or that was changed since.
pub(super) fn foreign_file_error(facts: &Facts, path: &Path) -> Error {
    let path = facts.real_path(path);
    Error::Conflict {
        what: format!("{} is not as binfmt-nix wrote it, or was never written by it", path.display()),
        hint: format!("see what it is, and move it away: mv {0} {0}.old", path.display()),
    }
}

/// Of `--credentials`.
pub(super) const CREDENTIALS_WARNING: &str = "flag C: whoever may start a setuid program of these systems can write files as its \
                               owner, because QEMU obeys QEMU_LOG_FILENAME and the like";

/// Said only where something changes: the second time they are known.
fn add_notes(request: &RegisterRequest, facts: &Facts, parts: &mut StepGroups) {
    if parts.count_system_steps() == 0 {
        return;
    }
    parts.notes.extend(facts.notes.iter().cloned());
    if request.credentials {
        parts.notes.push(CREDENTIALS_WARNING.into());
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
