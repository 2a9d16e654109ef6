//! What the rules of entries take: too much, too little, or what another one takes too.

use binfmt_magic::{Arch, Entry};

use super::seen::{meant_by, taken_by};
use super::{Case, Check, Seen, Urgency};
use crate::binfmt_misc::name_of;

pub(super) const CHECKS: &[Check] = &[
    Check { id: "native-registered", urgency: Urgency::Danger, run: native },
    Check { id: "shadowed", urgency: Urgency::Broken, run: shadowed },
    Check { id: "overlap", urgency: Urgency::Fragile, run: overlap },
    Check { id: "never-matches", urgency: Urgency::Broken, run: never_matches },
];

/// A rule that takes what the machine runs by itself: binfmt_misc comes before ELF (`insert_binfmt`), so every start of
/// a program goes to the interpreter, whose own start goes there too: "Too many levels of symbolic links" (ELOOP,
/// measured), and the machine is lost (nixpkgs#218465, #239806, linuxdeploy#1078). A disabled entry is a trap as well.
fn native(seen: &Seen) -> Vec<Case> {
    let cases = seen.table.entries().iter().filter_map(|entry| {
        let arch = taken_by(entry).find(|arch| seen.natives.contains(arch.target))?;
        let name = name_of(entry);
        let what = format!("the entry {name} takes {} programs, which this machine runs by itself", arch.target);
        let why = "the kernel asks its table first: each such program goes to an interpreter, and as far as that is \
                   one itself, nothing can be started any more (\"Too many levels of symbolic links\")";
        Some(Case::of(arch, what, why).repair(seen.shell.put("-1", &name)))
    });
    cases.collect()
}

/// Registered here, and a newer entry of somebody else's takes its programs: the kernel tries newest first and takes the
/// first that matches (`list_add` in `fs/binfmt_misc.c`; measured).
fn shadowed(seen: &Seen) -> Vec<Case> {
    let cases = seen.emulated().filter_map(|(arch, winner)| {
        let ours = seen.table.entries().iter().find(|entry| {
            entry.enabled && seen.is_ours(entry) && arch.headers().iter().any(|head| entry.rule.matches(head))
        })?;
        if seen.is_ours(winner) {
            return None;
        }
        let what =
            format!("the entry {} was made after ours, {}, and takes its programs", name_of(winner), name_of(ours));
        let why = "the newest entry that matches wins, so ours is not used";
        let line = seen.shell.tool(format_args!("register {} --force", arch.target));
        Some(Case::of(arch, what, why).repair(line))
    });
    cases.collect()
}

/// Two entries of others take the same programs: which one, only the order of their registration says, and after the
/// next restart that may be another. Tools name their entries differently, so both can be there (facts of peers:
/// QEMU, Debian, NixOS, OpenRC, Docker); one peer's MIPS rules are the same twice. That ours is above one of theirs, the
/// user wanted.
fn overlap(seen: &Seen) -> Vec<Case> {
    let others: Vec<&Entry> =
        seen.table.entries().iter().filter(|entry| entry.enabled && !seen.is_ours(entry)).collect();
    let mut cases = Vec::new();
    for (number, newer) in others.iter().enumerate() {
        for older in others.iter().skip(number.saturating_add(1)) {
            let both = |arch: &&Arch| {
                let heads = arch.headers();
                heads.iter().any(|head| newer.rule.matches(head) && older.rule.matches(head))
            };
            let archs: Vec<_> = Arch::ALL.iter().filter(both).collect();
            let won_by_us = |arch: &&Arch| seen.winner(arch).is_some_and(|winner| seen.is_ours(winner));
            if archs.is_empty() || archs.iter().all(won_by_us) {
                continue;
            }
            let (newer, older) = (name_of(newer), name_of(older));
            let mut case = Case::general(
                format!("the entries {newer} and {older} take the same programs"),
                format!("the newest wins, which is {newer} now; after a restart it may be the other"),
            );
            case.systems = archs.iter().map(|arch| arch.target).collect();
            cases.push(case.repair(seen.shell.put("-1", &older)));
        }
    }
    cases
}

/// An entry whose rule matches none of the programs that it is named for: QEMU's own script has microblaze's `e_type` in
/// the wrong byte order (so has Guix), NixOS's i486, i586 and i686 ask for `e_machine` 6, which no toolchain writes
/// (computed from their tables, `magic.json`).
fn never_matches(seen: &Seen) -> Vec<Case> {
    let cases = seen.table.entries().iter().filter_map(|entry| {
        let arch = meant_by(entry).filter(|arch| !seen.natives.contains(arch.target))?;
        if taken_by(entry).next().is_some() || entry.rule.pattern().is_none() {
            return None;
        }
        let name = name_of(entry);
        let what = format!("the entry {name} can never take a program of {}", arch.target);
        let why = "its magic and mask fit none of the programs that compilers write for it: a known mistake in tables \
                   that are copied from tool to tool";
        let case = Case::of(arch, what, why).repair(seen.shell.put("-1", &name));
        Some(if seen.winner(arch).is_none() { case.repair(seen.shell.register(arch)) } else { case })
    });
    cases.collect()
}
