//! Checks of the kernel's table as a whole: whether it exists, is in force, and has our entries.

use binfmt_magic::{Arch, Entry, Rule};

use super::{Case, Check, Fix, Seen, Urgency};
use crate::binfmt_misc::{DIR, Table, name_of};
use crate::receipt::System;

pub(super) const CHECKS: &[Check] = &[
    Check { id: "no-module", urgency: Urgency::Broken, run: no_module },
    Check { id: "not-mounted", urgency: Urgency::Broken, run: not_mounted },
    Check { id: "table-read-only", urgency: Urgency::Fragile, run: read_only },
    Check { id: "switched-off", urgency: Urgency::Broken, run: switched_off },
    Check { id: "entry-disabled", urgency: Urgency::Broken, run: disabled },
    Check { id: "entry-gone", urgency: Urgency::Broken, run: gone },
];

/// The kernel has no binfmt_misc at all: `CONFIG_BINFMT_MISC` is not set, or the modules of the running kernel were
/// removed by an upgrade (tonistiigi/binfmt#162 "no such device", gitea act_runner#51, pmbootstrap#1135). No test machine
/// lacks it: tested on facts, and in a tree with such a /proc.
fn no_module(seen: &Seen) -> Vec<Case> {
    let lacking = matches!(seen.table, Table::NotMounted) && seen.has_binfmt_misc == Some(false);
    let case = || {
        Case::general(
            "this kernel has no binfmt_misc",
            "neither /proc/filesystems nor the modules of the running kernel list it; after an upgrade of the kernel, \
             its modules are found only after a restart of the machine",
        )
        .repair(seen.shell.root("modprobe binfmt_misc"))
        .repair(seen.shell.root("reboot"))
    };
    lacking.then(case).into_iter().collect()
}

/// Not mounted although something needs it: registered systems, or boot rules for foreign programs (armbian#7399,
/// podman#28174, tonistiigi/binfmt#288). A machine on which nothing was ever registered needs no table.
fn not_mounted(seen: &Seen) -> Vec<Case> {
    if !matches!(seen.table, Table::NotMounted) || seen.has_binfmt_misc == Some(false) {
        return Vec::new();
    }
    let ours: Vec<&'static str> = seen.registered().map(|(arch, _)| arch.target).collect();
    let foreign = |arch: &&Arch| !seen.natives.contains(arch.target);
    let needs_it =
        |rule: &Rule| Arch::ALL.iter().filter(foreign).any(|arch| arch.headers().iter().any(|head| rule.matches(head)));
    if ours.is_empty() && !seen.boot.rules().iter().any(|(_, rule)| needs_it(rule)) {
        return Vec::new();
    }
    let place = seen.shell.path(DIR.as_ref());
    let mount = format!("mount -t binfmt_misc binfmt_misc {place}");
    let mut case = Case::general(
        format!("binfmt_misc is not mounted on {place}"),
        "without it the kernel has no interpreters: every foreign program fails with \"Exec format error\"",
    );
    case.systems.clone_from(&ours);
    vec![if ours.is_empty() {
        case.repair(seen.shell.root(mount)).repair(seen.shell.root("systemctl restart systemd-binfmt"))
    } else {
        let fix = Some(Fix::Register(ours.clone()));
        Case { fix, ..case }.repair(seen.shell.tool(format_args!("register {}", ours.join(" "))))
    }]
}

/// The table can be read but not changed: its mount is read-only, as in unprivileged containers and, since WSL 2.9.4,
/// in part under WSL (WSL#40621, EROFS). Reported only if an entry is missing.
fn read_only(seen: &Seen) -> Vec<Case> {
    let missing = seen.registered().any(|(arch, _)| seen.winner(arch).is_none());
    let read_only = seen.is_in_force() && seen.writable == Some(false) && missing;
    let case = || {
        Case::general(
            "the kernel's table cannot be written here",
            "it is mounted read-only, or belongs to another user namespace: register entries outside",
        )
        .repair(seen.shell.root(format_args!("mount -o remount,rw {}", seen.shell.path(DIR.as_ref()))))
    };
    read_only.then(case).into_iter().collect()
}

/// `status` contains "disabled": all dispatch returns ENOEXEC (`fs/binfmt_misc.c`, `load_misc_binary`). `register`
/// refuses to continue then, so `--fix` does not repair it either.
fn switched_off(seen: &Seen) -> Vec<Case> {
    let case = || {
        Case::general(
            "binfmt_misc is switched off as a whole",
            "0 was written to its status: every entry is ignored, and every foreign program fails with \"Exec format \
             error\"",
        )
        .repair(seen.shell.put("1", "status"))
    };
    seen.table.is_switched_off().then(case).into_iter().collect()
}

/// One entry is disabled: the kernel skips it (`fs/binfmt_misc.c`, `search_binfmt_handler`; measured on 6.18). Our own
/// are always enabled. Another tool's entry may be disabled for a reason (update-binfmts has `--disable`), so it is
/// reported only if nothing else runs its programs.
fn disabled(seen: &Seen) -> Vec<Case> {
    let off = seen.table.entries().iter().filter(|entry| !entry.enabled);
    let cases = off.filter_map(|entry| {
        let arch = super::seen::taken_by(entry).find(|arch| !seen.natives.contains(arch.target))?;
        if seen.winner(arch).is_some() {
            return None;
        }
        let name = name_of(entry);
        let why = "0 was written to it: the kernel skips it, and no other entry takes these programs";
        let case = Case::of(arch, format!("the entry {name} is disabled"), why);
        Some(if seen.is_ours(entry) { case.again(seen, arch) } else { case.repair(seen.shell.put("1", &name)) })
    });
    cases.collect()
}

/// Registered, but the entry no longer exists. Causes: a flush of the table (`systemctl restart systemd-binfmt` does one,
/// systemd#30892, tonistiigi/binfmt#249), the last unmount since Linux 6.7 (commit 21ca59b365c0), a restart without a
/// boot rule.
fn gone(seen: &Seen) -> Vec<Case> {
    if !seen.is_in_force() {
        return Vec::new();
    }
    let lost = seen.registered().filter(|(arch, _)| seen.winner(arch).is_none() && !has_disabled(seen, arch));
    let case = |(arch, system): (&'static Arch, &System)| {
        let why = "the table was emptied since, or the machine restarted and nothing registered the entry again";
        let what = format!("the entry {} is gone", system.entry);
        let case = Case::of(arch, what, why).again(seen, arch);
        // Another tool's entry was used before: register one of our own now.
        if system.adopted { Case { fix: None, ..case } } else { case }
    };
    lost.map(case).collect()
}

fn has_disabled(seen: &Seen, arch: &Arch) -> bool {
    let takes = |entry: &&Entry| arch.headers().iter().any(|head| entry.rule.matches(head));
    seen.table.entries().iter().filter(takes).any(|entry| !entry.enabled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_module_and_an_unmounted_table_are_different_findings() {
        let mut seen = Seen { table: Table::NotMounted, ..Seen::default() };
        assert!(not_mounted(&seen).is_empty() && no_module(&seen).is_empty());
        seen.has_binfmt_misc = Some(false);
        assert_eq!((not_mounted(&seen).len(), no_module(&seen).len()), (0, 1));
    }
}
