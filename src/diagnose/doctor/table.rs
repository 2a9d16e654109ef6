//! Checks of the kernel's table as a whole: whether the table exists, is in force, and has our entries.

use binfmt_magic::{Arch, Entry, Rule};

use super::snapshot::KernelSupport;
use super::{Check, Fix, Occurrence, Snapshot, Urgency};
use crate::binfmt::table::{DIR, Table, entry_name};
use crate::diagnose::repair::repair_rule;
use crate::register::acceleration;
use crate::register::receipt::System;
use crate::sanitize::text_of_bytes;

pub(super) const CHECKS: &[Check] = &[
    Check { id: "no-module", urgency: Urgency::Broken, run: check_no_module },
    Check { id: "not-mounted", urgency: Urgency::Broken, run: check_not_mounted },
    Check { id: "table-read-only", urgency: Urgency::Fragile, run: check_read_only },
    Check { id: "switched-off", urgency: Urgency::Broken, run: check_switched_off },
    Check { id: "entry-disabled", urgency: Urgency::Broken, run: check_disabled },
    Check { id: "entry-gone", urgency: Urgency::Broken, run: check_entry_missing },
];

/// The kernel has no binfmt_misc at all: `CONFIG_BINFMT_MISC` is not set, or the modules of the running kernel were
/// removed by an upgrade (tonistiigi/binfmt#162 "no such device", gitea act_runner#51, pmbootstrap#1135). modprobe(8)
/// reads the same lists, so it does not find the module either. A container does not see the modules of its host.
fn check_no_module(snapshot: &Snapshot) -> Vec<Occurrence> {
    let is_missing = matches!(snapshot.table, Table::NotMounted) && snapshot.support == Some(KernelSupport::Missing);
    let occurrence = || {
        if let Some(kind) = &snapshot.environment.container {
            return Occurrence::general(
                format!("the kernel of this container ({kind}) has not loaded binfmt_misc"),
                "/proc/filesystems does not list it, and only the host can load modules",
            )
            .with_repair("sudo modprobe binfmt_misc   # on the host of the container");
        }
        Occurrence::general(
            "this kernel has no binfmt_misc",
            "neither /proc/filesystems nor the modules of the running kernel list it; after an upgrade of the kernel, \
             its modules are found only after a restart of the machine",
        )
        .with_repair(snapshot.shell.as_root("reboot"))
    };
    is_missing.then(occurrence).into_iter().collect()
}

/// The table is not mounted although something needs it: registered systems, or boot rules for foreign programs
/// (armbian#7399, podman#28174, tonistiigi/binfmt#288). A machine on which nothing was ever registered needs no table.
fn check_not_mounted(snapshot: &Snapshot) -> Vec<Occurrence> {
    if !matches!(snapshot.table, Table::NotMounted) || snapshot.support == Some(KernelSupport::Missing) {
        return Vec::new();
    }
    let own_systems: Vec<&'static str> = snapshot.registered_systems().map(|(arch, _)| arch.target).collect();
    let foreign = |arch: &&Arch| !snapshot.natives.contains(arch.target);
    let needs_it =
        |rule: &Rule| Arch::ALL.iter().filter(foreign).any(|arch| arch.headers().iter().any(|head| rule.matches(head)));
    if own_systems.is_empty() && !snapshot.boot.rules.iter().any(|boot| needs_it(&boot.rule)) {
        return Vec::new();
    }
    let place = snapshot.shell.quote_path(DIR.as_ref());
    let mut occurrence = Occurrence::general(
        format!("binfmt_misc is not mounted on {place}"),
        "without the table the kernel has no interpreters: every foreign program fails with \"Exec format error\"",
    );
    occurrence.systems.clone_from(&own_systems);
    vec![if own_systems.is_empty() {
        occurrence
            .with_repairs(mount_commands(snapshot))
            .with_repair(snapshot.shell.as_root("systemctl restart systemd-binfmt"))
    } else {
        let fix = Some(Fix::Register(own_systems.clone()));
        Occurrence { fix, ..occurrence }
            .with_repair(snapshot.shell.tool_command(format_args!("register {}", own_systems.join(" "))))
    }]
}

/// Returns the commands that mount the table of a kernel that has it.
pub(super) fn mount_commands(snapshot: &Snapshot) -> Vec<String> {
    let shell = &snapshot.shell;
    let is_unloaded = snapshot.support == Some(KernelSupport::Unloaded);
    let load = is_unloaded.then(|| shell.as_root("modprobe binfmt_misc"));
    let place = shell.quote_path(DIR.as_ref());
    load.into_iter().chain([shell.as_root(format_args!("mount -t binfmt_misc binfmt_misc {place}"))]).collect()
}

/// The table can be read but not changed: its mount is read-only, as in unprivileged containers and, since WSL 2.9.4,
/// in part under WSL (WSL#40621, EROFS). Reported only if an entry is missing.
fn check_read_only(snapshot: &Snapshot) -> Vec<Occurrence> {
    let missing = snapshot.registered_systems().any(|(arch, _)| snapshot.matching_entry(arch).is_none());
    let read_only = snapshot.is_table_active() && snapshot.writable == Some(false) && missing;
    let occurrence = || {
        Occurrence::general(
            "the kernel's table cannot be written here",
            "it is mounted read-only, or belongs to another user namespace: register entries outside",
        )
        .with_repair(snapshot.shell.remount_command())
    };
    read_only.then(occurrence).into_iter().collect()
}

/// `status` contains "disabled": all dispatch returns ENOEXEC (`fs/binfmt_misc.c`, `load_misc_binary`). `register`
/// refuses to continue then, so `--fix` does not repair it either.
fn check_switched_off(snapshot: &Snapshot) -> Vec<Occurrence> {
    let occurrence = || {
        Occurrence::general(
            "binfmt_misc is switched off as a whole",
            "0 was written to its status: every entry is ignored, and every foreign program fails with \"Exec format \
             error\"",
        )
        .with_repairs(snapshot.shell.switch_on_commands(&snapshot.table, &snapshot.harmful_entries))
    };
    snapshot.table.is_switched_off().then(occurrence).into_iter().collect()
}

/// One entry is disabled: the kernel skips it (`fs/binfmt_misc.c`, `search_binfmt_handler`; measured on 6.18). Our own
/// are enabled unless `disable` turned them off, which the report has as a note. Another tool's entry may be disabled for
/// a reason (update-binfmts has `--disable`), so it is reported only if nothing else runs its programs.
fn check_disabled(snapshot: &Snapshot) -> Vec<Occurrence> {
    let disabled_entries = snapshot.table.entries().iter().filter(|entry| !entry.enabled);
    let occurrences = disabled_entries.filter_map(|entry| {
        let arch = crate::diagnose::doctor::snapshot::systems_matched_by(entry)
            .find(|arch| !snapshot.natives.contains(arch.target))?;
        let name = entry_name(entry);
        let is_intended = snapshot.is_ours(entry) && snapshot.disabled.contains(arch.target);
        if snapshot.matching_entry(arch).is_some() || snapshot.harmful_entries.contains_key(&name) || is_intended {
            return None;
        }
        let why = "0 was written to it: the kernel skips it, and no other entry takes these programs";
        let occurrence = Occurrence::for_system(arch, format!("the entry {name} is disabled"), why);
        Some(if snapshot.is_ours(entry) {
            occurrence.with_register_fix(snapshot, arch)
        } else {
            let takes = |other: &Entry| other.rule.name == entry.rule.name;
            occurrence.with_repairs(snapshot.repairs().put_in_force(Some(arch), &takes))
        })
    });
    occurrences.collect()
}

/// A system is registered, but its entry no longer exists. Possible causes are a flush of the table (`systemctl restart
/// systemd-binfmt` does one, systemd#30892, tonistiigi/binfmt#249), the last unmount since Linux 6.7 (commit
/// 21ca59b365c0), and a restart without a boot rule.
fn check_entry_missing(snapshot: &Snapshot) -> Vec<Occurrence> {
    if !snapshot.is_table_active() {
        return Vec::new();
    }
    let lost = snapshot
        .registered_systems()
        .filter(|(arch, _)| snapshot.matching_entry(arch).is_none() && !has_disabled_entry(snapshot, arch));
    let occurrence = |(arch, system): (&'static Arch, &System)| {
        let why = "the table was emptied, or the machine restarted and nothing registered the entry again";
        let what = format!("the entry {} is gone", system.entry);
        let occurrence = Occurrence::for_system(arch, what, why).with_register_fix(snapshot, arch);
        // Another tool's entry was used before: register one of our own now.
        if system.adopted { Occurrence { fix: None, ..occurrence } } else { occurrence }
    };
    lost.map(occurrence).chain(lost_rules(snapshot)).collect()
}

/// Own rules whose entries are gone or off.
fn lost_rules(snapshot: &Snapshot) -> impl Iterator<Item = Occurrence> {
    let is_in_force = |name: &String| snapshot.table.find_entry(name).is_some_and(|e| e.enabled && snapshot.is_ours(e));
    // Another check reports the rules of `accelerate`.
    let is_lost = move |name: &String| !is_in_force(name) && acceleration::system_of_rule(name).is_none();
    snapshot.own_rules.iter().filter(move |(name, _)| is_lost(name)).map(|(name, rule)| {
        let has_interpreter = !snapshot.rules_without_interpreter.contains(name);
        let why = if has_interpreter {
            "the table was emptied, 0 was written to the entry, or nothing registered it again after a restart".to_owned()
        } else {
            format!(
                "its interpreter {} is missing or may not be executed: put it back and register the rule again, or undo the \
                 rule",
                text_of_bytes(&rule.interpreter)
            )
        };
        let occurrence = Occurrence {
            fix: has_interpreter.then(|| Fix::RegisterRule(name.clone())),
            ..Occurrence::general(format!("the entry {name} of an own rule is gone or off"), why)
        };
        occurrence.with_repairs(repair_rule(&snapshot.shell, rule, has_interpreter))
    })
}

fn has_disabled_entry(snapshot: &Snapshot, arch: &Arch) -> bool {
    let takes = |entry: &&Entry| arch.headers().iter().any(|head| entry.rule.matches(head));
    snapshot.table.entries().iter().filter(takes).any(|entry| !entry.enabled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_module_and_an_unmounted_table_are_different_findings() {
        let mut snapshot = Snapshot { table: Table::NotMounted, ..Snapshot::default() };
        assert!(check_not_mounted(&snapshot).is_empty() && check_no_module(&snapshot).is_empty());
        snapshot.support = Some(KernelSupport::Missing);
        assert_eq!((check_not_mounted(&snapshot).len(), check_no_module(&snapshot).len()), (0, 1));
    }
}
