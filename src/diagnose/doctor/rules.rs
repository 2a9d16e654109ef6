//! Checks of the rules of entries: rules that match too much, too little, or the same programs as another entry.

use binfmt_magic::{Arch, Entry};

use super::{Check, Occurrence, Snapshot, Urgency};
use crate::binfmt::harm::Harm;
use crate::binfmt::table::entry_name;
use crate::diagnose::doctor::snapshot::{system_named_by, systems_matched_by};

/// Name of the check for entries whose rule matches no program of their system.
pub(super) const NEVER_MATCHES: &str = "never-matches";

pub(super) const CHECKS: &[Check] = &[
    Check { id: "native-registered", urgency: Urgency::Danger, run: check_native },
    Check { id: "shadowed", urgency: Urgency::Broken, run: check_shadowed },
    Check { id: "overlap", urgency: Urgency::Fragile, run: check_overlap },
    Check { id: NEVER_MATCHES, urgency: Urgency::Broken, run: check_never_matches },
];

/// A rule matches the machine's own programs. binfmt_misc comes before ELF (`insert_binfmt`), so the kernel starts the
/// interpreter for every program, including the interpreter itself: "Too many levels of symbolic links" (ELOOP,
/// measured), and the machine is unusable (nixpkgs#218465, #239806, linuxdeploy#1078). A disabled entry is a finding,
/// too, because enabling it has the same effect.
fn check_native(snapshot: &Snapshot) -> Vec<Occurrence> {
    let occurrences = snapshot.table.entries().iter().filter_map(|entry| {
        let name = entry_name(entry);
        let native = systems_matched_by(entry).find(|arch| snapshot.natives.contains(arch.target));
        let what = match (native, snapshot.harmful_entries.get(&name)) {
            (Some(arch), _) if !entry.enabled => format!(
                "the entry {name} is off, and would take {} programs, which this machine runs natively",
                arch.target
            ),
            (Some(arch), _) => {
                format!("the entry {name} takes {} programs, which this machine runs natively", arch.target)
            }
            (None, Some(Harm::TakesNative(what))) => {
                format!("the entry {name} would take {what}, if it were in force")
            }
            // An entry that is not in force and takes its own interpreter does no harm, and is not proposed.
            (None, Some(Harm::TakesItself) | None) => return None,
        };
        let why = "the kernel reads its table first and starts an interpreter for each such program; if the interpreter \
                   is such a program, too, nothing can be started any more (\"Too many levels of symbolic links\")";
        let systems = native.iter().map(|arch| arch.target).collect();
        let occurrence = Occurrence { systems, ..Occurrence::general(what, why) };
        Some(occurrence.with_repair(snapshot.shell.write_command("-1", &name)))
    });
    occurrences.collect()
}

/// A system is registered, but another tool's newer entry takes its programs: the kernel tries the newest entry first
/// and uses the first that matches (`list_add` in `fs/binfmt_misc.c`; measured).
fn check_shadowed(snapshot: &Snapshot) -> Vec<Occurrence> {
    let occurrences = snapshot.emulated_systems().filter_map(|(arch, winner)| {
        let own_entry = snapshot.table.entries().iter().find(|entry| {
            entry.enabled && snapshot.is_ours(entry) && arch.headers().iter().any(|head| entry.rule.matches(head))
        })?;
        if snapshot.is_ours(winner) || snapshot.is_of_run(winner) {
            return None;
        }
        let what = format!(
            "the entry {} was registered after ours, {}, and takes its programs",
            entry_name(winner),
            entry_name(own_entry)
        );
        let why = "the kernel uses the newest entry that matches, so ours is not used";
        Some(Occurrence::for_system(arch, what, why).with_repairs(snapshot.repairs().register(arch, "")))
    });
    occurrences.collect()
}

/// Two entries of other tools take the same programs. The order of registration determines which one takes precedence,
/// and that order may differ after the next restart. Tools name their entries differently, so both can exist (facts of
/// peers: QEMU, Debian, NixOS, OpenRC, Docker). One peer has the same MIPS rule twice. If our entry takes
/// precedence over another tool's, that is the user's choice.
fn check_overlap(snapshot: &Snapshot) -> Vec<Occurrence> {
    let is_own = |entry: &Entry| snapshot.is_ours(entry) || snapshot.is_of_run(entry);
    let foreign_entries: Vec<&Entry> =
        snapshot.table.entries().iter().filter(|entry| entry.enabled && !is_own(entry)).collect();
    let mut occurrences = Vec::new();
    for (number, newer) in foreign_entries.iter().enumerate() {
        for older in foreign_entries.iter().skip(number.saturating_add(1)) {
            let matches_both = |arch: &&Arch| {
                let heads = arch.headers();
                heads.iter().any(|head| newer.rule.matches(head) && older.rule.matches(head))
            };
            let archs: Vec<_> = Arch::ALL.iter().filter(matches_both).collect();
            let is_won_by_own = |arch: &&Arch| snapshot.matching_entry(arch).is_some_and(is_own);
            if archs.is_empty() || archs.iter().all(is_won_by_own) {
                continue;
            }
            let (newer, older) = (entry_name(newer), entry_name(older));
            let mut occurrence = Occurrence::general(
                format!("the entries {newer} and {older} take the same programs"),
                format!("the kernel uses the newest, which is {newer} now; after a restart it may be the other one"),
            );
            occurrence.systems = archs.iter().map(|arch| arch.target).collect();
            occurrences.push(occurrence.with_repair(snapshot.shell.write_command("-1", &older)));
        }
    }
    occurrences
}

/// An entry whose rule matches none of the programs in its name. QEMU's own script has microblaze's `e_type` in the
/// wrong byte order (so has Guix), and NixOS's i486, i586 and i686 require `e_machine` 6, which no toolchain writes
/// (computed from their tables, `magic.json`). An entry of another tool that a boot file registers is a note: it does no
/// harm, and the file would bring it back (Debian's `qemu-user-binfmt`, seen on trixie).
fn check_never_matches(snapshot: &Snapshot) -> Vec<Occurrence> {
    let occurrences = snapshot.table.entries().iter().filter_map(|entry| {
        let arch = system_named_by(entry).filter(|arch| !snapshot.natives.contains(arch.target))?;
        if systems_matched_by(entry).next().is_some() || entry.rule.pattern().is_none() {
            return None;
        }
        let name = entry_name(entry);
        let what = format!("the entry {name} can never match a program of {}", arch.target);
        let why = "its magic and mask match none of the programs that compilers produce: a known mistake in tables \
                   that tools copy from each other";
        let is_note =
            !snapshot.is_ours(entry) && snapshot.boot.rules.iter().any(|boot| boot.rule.name == entry.rule.name);
        let occurrence = Occurrence { is_note, ..Occurrence::for_system(arch, what, why) };
        let occurrence =
            if is_note { occurrence } else { occurrence.with_repair(snapshot.shell.write_command("-1", &name)) };
        Some(if snapshot.matching_entry(arch).is_none() {
            occurrence.with_repairs(snapshot.repairs().register(arch, ""))
        } else {
            occurrence
        })
    });
    occurrences.collect()
}
