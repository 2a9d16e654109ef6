//! Plan of `upgrade` and `rollback`: another emulator for registered systems, and everything else as it is.

use binfmt_magic::Arch;

use super::register::{
    add_emulator_steps, add_entry_steps, build_rule, choose_flags, foreign_file_error, table_disabled_error,
    write_own_file,
};
use super::{Plan, Step, SystemPlan};
use crate::binfmt::boot::OwnBootFile;
use crate::binfmt::table::{describe_entry, entry_name};
use crate::error::{Error, Result};
use crate::paths;
use crate::qemu::binary::QemuVersion;
use crate::qemu::known_bad;
use crate::qemu::obtain::choose::{is_package, pinned_release};
use crate::register::facts::{Facts, find_package_of};
use crate::register::plan::conflicts::{choose_entry_name, conflict_error};
use crate::register::plan::emulator::{EmulatorChoice, Provision, choose_emulator, describe_previous, keep_installed};
use crate::register::plan::step_groups::StepGroups;
use crate::register::plan::switch::unregistered_error;
use crate::register::receipt::{PreviousEmulator, System};
use crate::register::request::UpgradeRequest;
use crate::register::subject::Subject;
use crate::sanitize::AsText as _;

/// Plans to replace the emulators of registered systems. With `all`, those that cannot get another one become notes.
pub fn plan_upgrade(request: &UpgradeRequest, facts: &Facts) -> Result<Plan> {
    if facts.table.is_switched_off() {
        return Err(table_disabled_error(facts));
    }
    let mut groups = StepGroups::default();
    for arch in &request.systems {
        match facts.receipt.systems.get(arch.target) {
            None if request.all => {}
            None => return Err(unregistered_error(facts, arch)),
            Some(system) => {
                let choice = match choose(request, facts, arch, system) {
                    Err(error @ Error::Conflict { .. }) if request.all => {
                        let hint = error.hint().unwrap_or_default();
                        groups.notes.push(format!("{}: left as it is: {error}; {hint}", arch.target));
                        continue;
                    }
                    choice => choice?,
                };
                match plan_system(request, facts, arch, system, choice, &mut groups) {
                    Err(error) if request.all => {
                        groups.findings.push(format!("{}: {}", arch.target, error.to_log_text()));
                    }
                    done => done?,
                }
            }
        }
    }
    Ok(groups.into_plan(facts))
}

/// Describes why the release that this version pins is better than an installed one; `None` if it is not.
pub fn describe_outdated(machine: &str, arch: &Arch, installed: QemuVersion) -> Option<String> {
    let pinned = pinned_release(machine, arch)?;
    let flaw = known_bad::find_flaw(installed, machine, arch.target, false);
    match flaw {
        Some(flaw) if installed != pinned => Some(format!("QEMU {installed} {} ({})", flaw.what, flaw.thread)),
        _ if installed < pinned => Some(format!("QEMU {installed} is older than {pinned}, which this version pins")),
        _ => None,
    }
}

fn plan_system(
    request: &UpgradeRequest,
    facts: &Facts,
    arch: &'static Arch,
    system: &System,
    choice: EmulatorChoice,
    groups: &mut StepGroups,
) -> Result<()> {
    let (target, path, own) = (arch.target, paths::interpreter_path(arch), facts.recorded_entries(arch));
    let is_settled = choice.provision == Provision::Keep && !facts.stale_systems.contains(target);
    if is_settled && (system.disabled || (system.proven && own.len() == 1)) {
        groups.systems.push(SystemPlan { arch, already: true, system: Some(system.clone()) });
        return Ok(());
    }
    if let Some(foreign) = facts.conflicts.get(target).and_then(|entries| entries.first()) {
        return Err(conflict_error(arch, &describe_entry(&foreign.entry), None));
    }
    let current = facts.our_entry(arch);
    let boot_file = facts.boot_files.get(target);
    let flags = current.map(|entry| &entry.rule).or(boot_file.map(|file| &file.rule)).map(|rule| rule.flags);
    // An entry that was turned off by hand would be turned on, and one without a boot file could not be turned on later.
    let is_off = current.is_some_and(|entry| !entry.enabled) && !system.disabled;
    let (Some(flags), false) = (flags, is_off || (system.disabled && boot_file.is_none())) else {
        let why = if is_off { "was turned off, and not by disable" } else { "is gone, and no boot file has its rule" };
        let what = format!("the entry {} {why}", system.entry);
        let register = facts.shell.tool_command(format_args!("register {}", arch.target));
        return Err(Error::Conflict { what, hint: format!("to register it again, run: {register}") });
    };
    let flags = choose_flags(flags.credentials, facts, choice.version);
    let name = choose_entry_name(facts, arch, &own)?;
    let rule = build_rule(arch, &name, &facts.real_path(&path), flags)?;
    let file = paths::boot_rule(arch);
    let boot = match boot_file {
        Some(known) => {
            let text =
                OwnBootFile { rule: build_rule(arch, &name, &path, flags)?, enabled: known.enabled }.to_text()?;
            write_own_file(facts, file, text, Some(Subject::System(arch)))?
        }
        None if facts.files.contains_key(&file) => return Err(foreign_file_error(facts, &file)),
        None => None,
    };
    let previous = describe_previous(facts, arch, &choice.provision)?;
    let before = groups.count_system_steps();
    if request.back {
        groups.place.push(Step::SwapEmulators(arch));
    } else {
        add_emulator_steps(arch, &choice, groups);
    }
    groups.boot.extend(boot);
    if system.disabled {
        // The entry holds the old emulator. `enable` registers the rule of the boot file.
        groups.register.extend(own.iter().map(|entry| Step::RemoveEntry(entry_name(entry))));
    } else {
        add_entry_steps(facts, arch, rule, &own, groups)?;
    }
    let already = groups.count_system_steps() == before;
    let system = System {
        entry: name,
        interpreter: path,
        qemu: choice.version.to_string(),
        source: choice.source,
        given: choice.given,
        previous,
        proven: already && system.proven,
        nix_build: system.nix_build.clone().filter(|_| already),
        ..system.clone()
    };
    groups.systems.push(SystemPlan { arch, already, system: Some(system) });
    Ok(())
}

/// Chooses the emulator: the previous one, the one that this version pins, or the installed one if it is not outdated.
fn choose(request: &UpgradeRequest, facts: &Facts, arch: &'static Arch, system: &System) -> Result<EmulatorChoice> {
    let conflict = |what, hint| Err(Error::Conflict { what, hint });
    if system.adopted {
        let hint = "upgrade it with the tool that installed it".into();
        return conflict(format!("another tool installed the emulator of {}", system.entry), hint);
    }
    if system.interpreter != paths::interpreter_path(arch) {
        let register = facts.shell.tool_command(format_args!("register {}", arch.target));
        let what = format!("an earlier version installed {}", system.interpreter.as_text());
        return conflict(what, format!("to move it, run: {register}"));
    }
    if request.back {
        let kept = system.previous.as_ref().filter(|kept| is_kept(facts, arch, kept));
        let Some((kept, version)) = kept.and_then(|kept| Some((kept, QemuVersion::parse(&kept.qemu)?))) else {
            let what = format!("{} has no earlier emulator to go back to", arch.target);
            return conflict(what, "for another release, use the option --qemu-version of register".into());
        };
        // It is at its place already, and only exchanged.
        let (provision, source, given) = (Provision::Download, kept.source.clone(), kept.given);
        return Ok(EmulatorChoice { provision, version, source, given });
    }
    if request.all
        && let Some(doubt) = describe_given(facts, arch, system)
    {
        let what = format!("QEMU {} is from {}, which you {doubt}", system.qemu, system.source);
        let command = facts.shell.tool_command(format_args!("upgrade {}", arch.target));
        return conflict(what, format!("to replace it, run: {command}"));
    }
    match current_release(facts, arch).and(keep_installed(facts, arch)?) {
        Some(keep) => Ok(keep),
        None => choose_emulator(request.offline, facts, arch),
    }
}

/// Describes that the user named the origin of an emulator, if that is so or may be so. The receipts of earlier versions do
/// not have it: what neither the catalogue nor its earlier packages contain may be the user's.
fn describe_given(facts: &Facts, arch: &Arch, system: &System) -> Option<&'static str> {
    let installed = facts.files.get(&paths::interpreter_path(arch)).copied().flatten();
    let is_pinned = || installed.is_some_and(|sum| find_package_of(&facts.machine, arch, sum).is_some());
    match system.given {
        Some(given) => given.then_some("named"),
        None => (!is_package(&system.source) && !is_pinned()).then_some("may have named to an earlier version"),
    }
}

/// Lists the requested systems that get the emulator of this version.
pub fn list_outdated(request: &UpgradeRequest, facts: &Facts) -> Vec<&'static Arch> {
    let is_own = |arch: &Arch| facts.receipt.systems.get(arch.target).is_some_and(|system| !system.adopted);
    let is_outdated = |arch: &&&'static Arch| !request.back && is_own(arch) && current_release(facts, arch).is_none();
    request.systems.iter().filter(is_outdated).copied().collect()
}

/// Release of the installed emulator, if it is as this tool installed it and may stay.
fn current_release(facts: &Facts, arch: &Arch) -> Option<QemuVersion> {
    let version = facts.installed_version(arch).and_then(QemuVersion::parse)?;
    let stays = facts.is_unmodified(&paths::interpreter_path(arch))
        && describe_outdated(&facts.machine, arch, version).is_none();
    stays.then_some(version)
}

/// Whether the previous emulator is as an upgrade left it, and another one than the installed one.
fn is_kept(facts: &Facts, arch: &Arch, kept: &PreviousEmulator) -> bool {
    let path = paths::previous_path(arch);
    facts.is_unmodified(&path)
        && facts.is_unmodified(&paths::interpreter_path(arch))
        && facts.files.get(&path) == Some(&Some(kept.sha256))
        && facts.files.get(&paths::interpreter_path(arch)) != Some(&Some(kept.sha256))
}
