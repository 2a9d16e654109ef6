//! `test`: proves that programs of a system run now, whichever tool made the entry. Each proof is a probe that really ran.
//!
//! `test --json` prints [`Report`] as it is: fields are added, not changed, within one `version`.

pub mod by_nix;
pub mod pinned;
pub mod why;

use std::fmt;

use binfmt_magic::{Arch, Entry};
use serde::Serialize;

use crate::binfmt_misc::name_of;
use crate::facts::Facts;
use crate::facts::maker::{Maker, maker};
use crate::host::{self, Host};
use crate::interpreter;
use crate::probe::room::{self, Room};
use crate::probe::{self, Ran, Trial};
use pinned::{Pinned, path};
use why::{Case, Cause};

/// What was proven.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Report {
    /// The version of this format: 1.
    pub version: u32,
    /// Whether everything was proven; if not, the exit status is 3.
    pub proven: bool,
    /// One element for each system.
    pub systems: Vec<SystemReport>,
}

/// One system.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SystemReport {
    /// QEMU's name of it.
    pub system: &'static str,
    /// The entry that the kernel picks; null if none is visible.
    pub entry: Option<String>,
    /// The flags of the entry, in the kernel's order.
    pub flags: Option<String>,
    /// The path of the entry's interpreter.
    pub interpreter: Option<String>,
    /// The release of the file that the kernel really ran.
    pub qemu: Option<String>,
    /// The maker of the entry.
    pub by: Maker,
    /// The checks, in order.
    pub proofs: Vec<Proof>,
    /// Notes that do not make a check fail.
    pub notes: Vec<String>,
}

/// One thing that was tried.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Proof {
    /// The check.
    pub what: What,
    /// The result of the check.
    pub result: Verdict,
    /// The result in words, or why the check failed.
    pub text: String,
    /// The repair, if it was not proven.
    pub repair: Option<String>,
}

/// The checks that are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// A program is started directly.
    Direct,
    /// It is started with another name than its file has.
    Argv0,
    /// It is started in an empty chroot.
    Chroot,
    /// It is started in namespaces and a root directory like those of Nix's sandbox.
    Sandbox,
    /// It is the builder of a derivation.
    Nix,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The check succeeded.
    Proven,
    /// The check failed.
    Failed,
    /// The check could not be made.
    Untried,
}

/// Makes all checks.
pub fn prove(host: &Host, facts: &Facts, systems: &[&'static Arch], with_nix: bool) -> Report {
    let systems: Vec<_> = systems.iter().map(|arch| one(host, facts, arch, with_nix)).collect();
    let all = |system: &SystemReport| system.proofs.iter().all(|proof| proof.result == Verdict::Proven);
    Report { version: 1, proven: !systems.is_empty() && systems.iter().all(all), systems }
}

fn one(host: &Host, facts: &Facts, arch: &'static Arch, with_nix: bool) -> SystemReport {
    let case = case(facts, arch);
    let mut direct = probe::direct(arch);
    let running = if let Trial::Ran(ran) = &mut direct { ran.program.take() } else { None };
    let pinned = match (case.entry, running) {
        (Some(entry), Some(running)) => pinned::look(facts, arch, entry, running),
        _ => Pinned::default(),
    };
    let mut proofs = vec![started(&case, &direct)];
    if let Trial::Ran(ran) = &direct {
        proofs.push(named(&case, ran, pinned.qemu.as_deref()));
        for (what, room) in [(What::Chroot, Room::Chroot), (What::Sandbox, Room::Sandbox)] {
            proofs.push(shut_in(&case, what, &room::run(room, arch)));
        }
    } else {
        proofs.extend([What::Argv0, What::Chroot, What::Sandbox].map(Proof::for_nothing));
    }
    if with_nix {
        proofs.push(by_nix::prove(host, arch));
    }
    SystemReport {
        system: arch.target,
        entry: case.entry.map(name_of),
        flags: case.entry.map(|entry| entry.rule.flags.to_string()),
        interpreter: case.entry.map(|entry| path(entry).display().to_string()),
        notes: notes(facts, &case, &direct, &pinned),
        qemu: pinned.qemu,
        by: maker(facts, case.entry),
        proofs,
    }
}

/// Gathers the facts about a system before its probe is started.
pub fn case<'f>(facts: &'f Facts, arch: &'static Arch) -> Case<'f> {
    let entry = arch.headers().iter().find_map(|head| facts.table.winner(head));
    Case {
        arch,
        table: &facts.table,
        entry,
        ours: maker(facts, entry) == Maker::BinfmtNix,
        fault: entry.and_then(|entry| fault(facts, entry)),
        kernel: facts.kernel,
        root: host::env::effective_ids().0 == 0,
    }
}

/// The problem of the file that an entry names. The file is read, but not started.
fn fault(facts: &Facts, entry: &Entry) -> Option<String> {
    if crate::in_memory::is_in_memory(&entry.rule.interpreter) {
        return None;
    }
    let Ok(file) = host::user_files::open_regular(path(entry)) else {
        return host::user_files::path_is_missing(path(entry)).then(|| "there is no such file".into());
    };
    let head = host::user_files::first_bytes(&file, interpreter::HEAD).ok()?;
    interpreter::judge(&head, &facts.machine).err().map(|why| why.to_string())
}

fn started(case: &Case, trial: &Trial) -> Proof {
    match trial {
        Trial::Ran(_) => Proof::seen(What::Direct, "a program ran"),
        _ => Proof::unseen(What::Direct, trial, case.direct(trial)),
    }
}

fn named(case: &Case, ran: &Ran, qemu: Option<&str>) -> Proof {
    if ran.keeps_argv0() {
        return Proof::seen(What::Argv0, "it kept its argv[0]");
    }
    let Cause { why, repair } = case.argv0(ran, qemu);
    Proof { what: What::Argv0, result: Verdict::Failed, text: format!("it lost its argv[0]; {why}"), repair }
}

fn shut_in(case: &Case, what: What, trial: &Trial) -> Proof {
    match (what, trial) {
        (What::Chroot, Trial::Ran(_)) => Proof::seen(what, "it ran in an empty chroot"),
        (_, Trial::Ran(_)) => Proof::seen(what, "it ran in a sandbox like Nix's"),
        _ => Proof::unseen(what, trial, case.shut_in(trial)),
    }
}

fn notes(facts: &Facts, case: &Case, direct: &Trial, pinned: &Pinned) -> Vec<String> {
    let mut notes = Vec::new();
    let Some(entry) = case.entry else {
        if matches!(direct, Trial::Ran(_)) {
            notes
                .push("the entry that runs it is not in the table that is seen here: a container's host has it".into());
        }
        return notes;
    };
    notes.extend(pinned::stale(entry, pinned));
    if entry.rule.flags.credentials {
        notes.push(format!(
            "{} has flag C: setuid programs get their rights, and so does the emulator, which obeys its caller's variables",
            name_of(entry)
        ));
    }
    if let Some(ours) = facts.our_entry(case.arch).filter(|_| !case.ours) {
        notes.push(format!("{}, which is not ours, lies above our {}", name_of(entry), name_of(ours)));
    }
    notes
}

impl Proof {
    fn seen(what: What, text: &str) -> Self {
        Self { what, result: Verdict::Proven, text: text.to_owned(), repair: None }
    }

    fn unseen(what: What, trial: &Trial, cause: Cause) -> Self {
        let Cause { why, repair } = cause;
        let (result, text) = match trial {
            Trial::Untried(_) => (Verdict::Untried, format!("{what} could not be tried: {why}")),
            _ => (Verdict::Failed, format!("{what}: {why}")),
        };
        Self { what, result, text, repair }
    }

    fn for_nothing(what: What) -> Self {
        let text = format!("{what}: no program runs at all");
        Self { what, result: Verdict::Failed, text, repair: None }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Direct => "started by itself",
            Self::Argv0 => "its argv[0]",
            Self::Chroot => "in an empty chroot",
            Self::Sandbox => "in a sandbox like Nix's",
            Self::Nix => "as a builder of Nix",
        })
    }
}
