//! Plan of `register`: decides the steps from the request and the facts.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use binfmt_magic::{Arch, Entry, EntryName, Flags, Recognition, Rule};

use super::{Plan, Step, SystemPlan};
use crate::binfmt::boot::OwnBootFile;
use crate::binfmt::native::NativeSupport;
use crate::binfmt::table;
use crate::binfmt::table::{Table, entry_name, is_same_rule};
use crate::error::{Error, Result};
use crate::paths;
use crate::qemu::binary::{FIRST_WITH_ARGV0, KERNEL_PASSES_ARGV0, QemuVersion};
use crate::qemu::obtain::ResolvedSource;
use crate::register::facts::Facts;
use crate::register::plan::boot_hook;
use crate::register::plan::conflicts::{
    Conflict, ConflictingEntryError, choose_entry_name, choose_stand_in, classify_conflicts, conflict_error,
    use_existing_entry,
};
use crate::register::plan::emulator::{EmulatorChoice, Provision, choose_emulator, describe_previous};
use crate::register::plan::nix;
use crate::register::plan::rules;
use crate::register::plan::step_groups::StepGroups;
use crate::register::plan::unregister;
use crate::register::receipt::{PackedAcceleration, System};
use crate::register::request::{OtherSystems, RegisterRequest};
use crate::register::subject::Subject;
use crate::sanitize::{AsText as _, shell_quote};
use crate::sha256::Sha256;
use crate::ui::quantity::count;

/// Plans a registration. With `all`, a system that cannot be registered becomes a note or a finding instead of an error.
pub fn plan_registration(request: &RegisterRequest, facts: &Facts) -> Result<Plan> {
    if facts.table.is_switched_off() {
        return Err(table_disabled_error(facts));
    }
    let mut groups = StepGroups::default();
    let mut unavailable = Vec::new();
    for arch in &request.systems {
        match plan_system(request, facts, arch, &mut groups) {
            Ok(()) => {}
            Err(Error::Native { .. }) if request.all => {
                groups.notes.push(format!("{}: skipped, because this machine runs it natively", arch.target));
            }
            Err(e) if request.all && facts.native_systems.contains_key(arch.target) => {
                groups.notes.push(format!("{}: skipped: {e}", arch.target));
            }
            Err(Error::NoInterpreter { .. } | Error::Unsupported { .. }) if request.all => {
                unavailable.push(arch.target);
            }
            Err(e) if request.all && is_conflict(&e) => {
                groups.findings.push(format!("{}: {}", arch.target, e.to_log_text()));
            }
            Err(e) => return Err(e),
        }
    }
    if !unavailable.is_empty() {
        let origin = facts.supply.as_ref().map_or("this machine", ResolvedSource::origin_name);
        groups.notes.push(format!("{origin} has no emulator for: {}", unavailable.join(" ")));
        if groups.systems.is_empty() {
            return Err(Error::NoInterpreter { binary: "qemu-SYSTEM".into(), tried: "none is installed".into() });
        }
    }
    rules::plan_rules(request, facts, &mut groups)?;
    boot_hook::add_boot_hook(request, facts, &mut groups)?;
    if request.others == OtherSystems::Remove {
        unregister::add_removal_of_others(request, facts, &mut groups);
    }
    nix::add_nix_steps(request, facts, &mut groups)?;
    add_notes(request, facts, &mut groups);
    Ok(groups.into_plan(facts))
}

/// Returns the targets of the packed accelerations that a plan has to know: the entries of their systems change, or theirs
/// are not complete.
pub fn find_touched_accelerations(request: &RegisterRequest, facts: &Facts, plan: &Plan) -> Vec<String> {
    let is_touched = |arch: &'static Arch, packed: &PackedAcceleration| {
        let is_changed = plan.steps.iter().any(|step| match step {
            Step::InstallEmulator(other) | Step::SwapEmulators(other) => other.target == arch.target,
            Step::AddEntry { subject, .. } => subject.arch().is_some_and(|other| other.target == arch.target),
            _ => false,
        });
        is_changed || !facts.has_entries_of(arch, packed)
    };
    let is_requested = |arch: &'static Arch| request.systems.iter().any(|other| other.target == arch.target);
    let packed = facts.receipt.packed.iter().filter_map(|(target, packed)| Some((Arch::by_target(target)?, packed)));
    let touched = packed.filter(|(arch, packed)| {
        request.others == OtherSystems::Remove || (is_requested(arch) && is_touched(arch, packed))
    });
    touched.map(|(arch, _)| arch.target.to_owned()).collect()
}

fn is_conflict(error: &Error) -> bool {
    matches!(error, Error::Conflict { .. }) || error.as_failure::<ConflictingEntryError>().is_some()
}

pub(super) fn table_disabled_error(facts: &Facts) -> Error {
    let status = facts.real_path(&table::entry_path("status"));
    let commands = facts.shell.switch_on_commands(&facts.table, &facts.harmful_entries);
    Error::Conflict {
        what: format!("binfmt_misc is switched off for all entries: {} contains \"disabled\"", status.as_text()),
        hint: format!("to switch it on, run: {}", commands.join(" && ")),
    }
}

pub(super) fn native_system_error(native: &NativeSupport, facts: &Facts, arch: &Arch) -> Error {
    let (system, machine) = (arch.target.to_owned(), facts.machine.clone());
    match native {
        NativeSupport::Runs => Error::Native { system, machine },
        NativeSupport::Unknown(why) => Error::Unsupported {
            what: format!("cannot determine whether this {machine} machine runs {system} programs natively: {why}"),
            hint: "the check starts a program from memory; to allow that, run: sysctl vm.memfd_noexec=0".into(),
        },
    }
}

/// Plans one system: emulator, boot file and entry.
fn plan_system(request: &RegisterRequest, facts: &Facts, arch: &'static Arch, groups: &mut StepGroups) -> Result<()> {
    if let Some(native) = facts.native_systems.get(arch.target) {
        return Err(native_system_error(native, facts, arch));
    }
    let conflict = classify_conflicts(request, facts, arch);
    match &conflict {
        Conflict::UseExisting(entry) if !request.force => {
            return use_existing_entry(request, facts, arch, &entry.rule, groups);
        }
        _ => {}
    }
    let choice = choose_emulator(request.network.offline, facts, arch)?;
    let own = facts.recorded_entries(arch);
    let name = choose_entry_name(facts, arch, &own)?;
    let flags = choose_flags(request.credentials, facts, choice.version);
    let path = paths::interpreter_path(arch);
    let rule = build_rule(arch, &name, &facts.real_path(&path), flags)?;
    match &conflict {
        Conflict::Blocked(foreign_line) if !request.force => {
            return Err(conflict_error(arch, foreign_line, Some(&rule)));
        }
        _ => {}
    }
    // Every check that can fail comes before the first step is added, so that a system skipped by `all` leaves no steps.
    let boot = if request.persist {
        let text = OwnBootFile { rule: build_rule(arch, &name, &path, flags)?, enabled: true }.to_text()?;
        write_own_file(facts, paths::boot_rule(arch), text, Some(Subject::System(arch)))?
    } else {
        None
    };
    let previous = describe_previous(facts, arch, &choice.provision)?;
    let count_before = groups.count_system_steps();
    add_emulator_steps(arch, &choice, groups);
    groups.boot.extend(boot);
    let known = facts.receipt.systems.get(arch.target);
    // An entry that was never proven, because its registration was interrupted, is registered again.
    let is_proven = known.is_some_and(|system| system.proven) || (known.is_some() && arch.probe().is_none());
    let is_up_to_date = matches!(own[..], [entry] if entry.enabled && is_same_rule(&entry.rule, &rule))
        && matches!(conflict, Conflict::None)
        && choice.provision == Provision::Keep
        && !facts.stale_systems.contains(arch.target)
        && is_proven;
    if !is_up_to_date {
        add_entry_steps(facts, arch, rule, &own, groups)?;
    }
    // Earlier versions installed emulators in another directory.
    let old_path = paths::old_interpreter_path(arch);
    groups.last.extend(facts.is_unmodified(&old_path).then_some(Step::RemoveFile(old_path)));
    let system = System {
        entry: name,
        interpreter: path,
        qemu: choice.version.to_string(),
        source: choice.source,
        given: choice.given,
        previous,
        adopted: false,
        nix: nix::choose_nix_use(request, facts, arch, known),
        proven: is_up_to_date && known.is_some_and(|system| system.proven),
        disabled: false,
        nix_build: known.filter(|_| is_up_to_date).and_then(|system| system.nix_build.clone()),
    };
    groups.systems.push(SystemPlan {
        arch,
        already: groups.count_system_steps() == count_before,
        system: Some(system),
    });
    Ok(())
}

/// Adds the steps that register the rule of a system, and remove its current entries.
pub(super) fn add_entry_steps(
    facts: &Facts,
    arch: &'static Arch,
    rule: Rule,
    own: &[&Entry],
    groups: &mut StepGroups,
) -> Result<()> {
    if matches!(facts.table, Table::Offline) {
        return Ok(());
    }
    add_replacement_steps(facts, Subject::System(arch), rule, own, groups)?;
    // This step is the last of all, because rollback cannot restore an entry whose emulator was only in memory.
    groups.last.extend(facts.in_memory_entries(arch).into_iter().map(|entry| Step::RemoveEntry(entry_name(entry))));
    Ok(())
}

/// Adds the steps that register a rule above the current entries of its system or own rule (`own`), and remove those.
pub(super) fn add_replacement_steps(
    facts: &Facts,
    subject: Subject,
    rule: Rule,
    own: &[&Entry],
    groups: &mut StepGroups,
) -> Result<()> {
    let [_, names @ ..] = subject.entry_names();
    let (stand_in, leftover) = choose_stand_in(facts, &names, &rule.name, own)?;
    let replaces = own.iter().filter(|entry| leftover.is_none_or(|leftover| entry.rule != leftover.rule));
    let replaces = replaces.map(|entry| entry.rule.clone()).collect();
    groups.register.extend(leftover.map(|entry| Step::RemoveEntry(entry_name(entry))));
    // A longer name may not fit into the line.
    let stand_in = stand_in.filter(|name| Rule { name: name.clone(), ..rule.clone() }.to_line().is_ok());
    groups.register.push(Step::AddEntry { subject, rule, replaces, stand_in });
    Ok(())
}

/// Adds the steps that bring the emulator to its path.
pub(super) fn add_emulator_steps(arch: &'static Arch, choice: &EmulatorChoice, groups: &mut StepGroups) {
    match &choice.provision {
        Provision::Keep => return,
        Provision::Copy(from) => groups.copy.push(Step::CopyEmulator { arch, from: from.clone() }),
        Provision::Download => groups.downloads.push(arch),
    }
    groups.place.push(Step::InstallEmulator(arch));
}

pub(super) fn choose_flags(credentials: bool, facts: &Facts, qemu: QemuVersion) -> Flags {
    Flags {
        preserve_argv0: facts.kernel >= KERNEL_PASSES_ARGV0 && qemu >= FIRST_WITH_ARGV0,
        open_binary: credentials,
        credentials,
        fix_binary: true,
        ..Flags::default()
    }
}

pub(super) fn build_rule(arch: &Arch, name: &str, interpreter: &Path, flags: Flags) -> Result<Rule> {
    Ok(Rule {
        name: EntryName::new(name)?,
        recognition: Recognition::Magic(arch.pattern()),
        interpreter: interpreter.as_os_str().as_bytes().to_vec(),
        flags,
    })
}

/// Plans to write a file of this tool. Returns `None` if the file has the wanted content already.
///
/// # Errors
/// The existing file is not as this tool wrote it.
pub(super) fn write_own_file(
    facts: &Facts,
    path: PathBuf,
    text: Vec<u8>,
    subject: Option<Subject>,
) -> Result<Option<Step>> {
    match facts.files.get(&path) {
        Some(sum) if *sum == Some(Sha256::of_bytes(&text)) => Ok(None),
        Some(_) if !facts.is_unmodified(&path) => Err(foreign_file_error(facts, &path)),
        _ => Ok(Some(Step::WriteFile { path, text, subject, executable: false })),
    }
}

/// Builds the error for a file at one of this tool's paths that the tool did not write, or that was changed since.
pub(super) fn foreign_file_error(facts: &Facts, path: &Path) -> Error {
    let path = facts.real_path(path);
    Error::Conflict {
        what: format!("{} is not as binfmt-nix wrote it: it was changed, or another tool created it", path.as_text()),
        hint: format!("inspect the file, then move it away: mv {0} {0}.old", shell_quote(&path.as_text())),
    }
}

/// Warning for `--credentials`.
pub(super) const CREDENTIALS_WARNING: &str = "flag C: any user who may start a setuid program of these systems can write files as \
                               its owner, because QEMU obeys QEMU_LOG_FILENAME and similar variables";

/// Adds notes only if the plan changes something. A repeated `register` prints none.
fn add_notes(request: &RegisterRequest, facts: &Facts, groups: &mut StepGroups) {
    if groups.count_system_steps() == 0 {
        return;
    }
    groups.notes.extend(facts.notes.iter().cloned());
    if request.credentials {
        groups.notes.push(CREDENTIALS_WARNING.into());
    }
    if matches!(facts.table, Table::Offline) {
        groups.notes.push("the tree below --root has no /proc/sys/fs/binfmt_misc: no entry is registered now".into());
    } else if facts.in_user_namespace {
        groups.notes.push("this is a user namespace: its entries exist only in it and end with it".into());
    } else if let Some(kind) = &facts.shared_table {
        // Since Linux 6.7 the last unmount removes all entries (seen with systemd-nspawn on 6.12).
        groups.notes.push(format!(
            "this container ({kind}) uses the machine's table: its entries are in force on the whole machine, until they are \
             removed, the machine restarts, or nothing has the table mounted"
        ));
    }
    if request.persist {
        groups.notes.extend(boot_notes(facts, &groups.systems));
    }
}

/// Describes what will keep the new entries from working after a restart.
fn boot_notes(facts: &Facts, systems: &[SystemPlan]) -> Vec<String> {
    let boot = &facts.boot;
    // A boot hook replaces the reader, or is a finding.
    let reader = boot.find_problem().filter(|_| !facts.survives_boot);
    let reader = reader.map(|problem| format!("{problem}: run register again after each restart"));
    let switch_off = boot.switch_off.iter().filter_map(|line| {
        let is_new = |plan: &SystemPlan| plan.system.as_ref().is_some_and(|system| system.entry == line.name);
        let what = match line.name.as_str() {
            "status" => "all entries".to_owned(),
            name if systems.iter().any(is_new) => format!("the entry {name}"),
            _ => return None,
        };
        Some(format!("line {} of {} switches {what} off at boot: {}", line.number, line.file.as_text(), line.text))
    });
    let overridden = systems.iter().filter_map(|plan| {
        let system = plan.system.as_ref().filter(|system| !system.adopted)?;
        let file = paths::boot_rule(plan.arch);
        let later = boot.overriding_rule(&file, system.entry.as_bytes(), plan.arch)?;
        Some(format!(
            "{} is read after {} at boot, and its rule then takes precedence for {}",
            later.file.as_text(),
            file.as_text(),
            plan.arch.target
        ))
    });
    // What is wrong with a file of this tool is repaired by this run.
    let is_own = |file: &Path| systems.iter().any(|plan| paths::boot_rule(plan.arch) == file);
    let refused: Vec<_> = boot.refused.iter().filter(|line| !is_own(&line.file)).collect();
    let lines = count(refused.len(), "line");
    let refused = refused.first().map(|line| {
        format!("{lines} of binfmt.d will be refused at boot (first line {} of {})", line.number, line.file.as_text())
    });
    let notes: Vec<String> = reader.into_iter().chain(switch_off).chain(overridden).chain(refused).collect();
    let doctor = (!notes.is_empty()).then(|| "binfmt-nix doctor has the reasons and the repairs".to_owned());
    notes.into_iter().chain(doctor).collect()
}
