//! What runs foreign programs here, and whether it does.
//!
//! `status --json` prints [`Status`] as it is: fields are added, not changed,
//! within one `version`.

mod emulator;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use binfmt_magic::{Arch, Entry};
use serde::Serialize;

use crate::binfmt_misc::name_of;
use crate::digest::Sha256;
use crate::facts::{Facts, IN_MEMORY, Now};
use crate::host::{Host, Inode, TEMP_PREFIX};
use crate::nix::answer::Answer;
use crate::nix::{ConfState, OWN_CONF, conf};
use crate::receipt::{self, Made, Record, System};
use crate::{layout, probe};
use emulator::Emulator;

/// The machine's foreign systems.
#[derive(Debug, Serialize)]
pub struct Status {
    /// Of this format: 1.
    pub version: u32,
    /// One for each system that has an entry, or should have one.
    pub systems: Vec<SystemStatus>,
    /// Something of ours is there that belongs to no registered system: a run is
    /// under way, was cut short, or had to leave something. The same command
    /// again completes it; `unregister all` takes it away, or says what stays.
    pub unfinished: bool,
}

/// One system.
#[derive(Debug, Serialize)]
pub struct SystemStatus {
    /// QEMU's name of it.
    pub system: &'static str,
    /// Whether its programs run.
    pub state: Working,
    /// The entry that the kernel picks.
    pub entry: Option<String>,
    /// Its flags, in the kernel's order.
    pub flags: Option<String>,
    /// Its interpreter's path.
    pub interpreter: Option<String>,
    /// The release that the interpreter's file answers with.
    pub qemu: Option<String>,
    /// The digest of that file.
    pub sha256: Option<Sha256>,
    /// Where it came from, if we brought it.
    pub source: Option<String>,
    /// Who made the entry.
    pub by: Maker,
    /// Nix builds for all of its Nix systems; null if it could not be asked.
    pub nix_knows: Option<bool>,
    /// What is wrong, if something is.
    pub detail: Option<String>,
}

/// Whether a system's programs run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Working {
    /// A program was run just now.
    Works,
    /// There is an entry, and no probe to try it with.
    NotProven,
    /// A program was started and failed.
    Broken,
    /// Something was made for it, but no entry runs its programs.
    Missing,
}

/// Who made an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Maker {
    /// This tool, on this machine.
    BinfmtNix,
    /// Somebody else.
    Others,
    /// Nobody: there is no entry.
    Nobody,
}

/// Looks at every system that has an entry or is in the receipt.
pub fn gather(host: &Host, facts: &Facts, answer: Option<&Answer>) -> Status {
    let systems = Arch::ALL.iter().filter_map(|arch| one(host, facts, answer, arch)).collect();
    Status { version: 1, systems, unfinished: has_strays(host, facts) || has_litter(host) }
}

/// Things that are as we made them, and that no registered system needs.
fn has_strays(host: &Host, facts: &Facts) -> bool {
    let systems = &facts.receipt.systems;
    let needed = |record: &Record| match (&record.target, &record.made) {
        (Some(target), _) => systems.contains_key(target),
        (None, Made::Include { .. } | Made::File { .. }) => systems.values().any(|system| system.nix),
        (None, _) => !systems.is_empty(),
    };
    let strays = facts.records().any(|(record, now)| *now == Now::Ours && !needed(record));
    strays || (systems.is_empty() && host.exists(Path::new(receipt::PATH)))
}

/// Temporary files, which the next run that changes something sweeps.
fn has_litter(host: &Host) -> bool {
    let dirs = layout::homes().into_iter().chain(Path::new(receipt::DIR).parent());
    let ours = |name: &OsString| name.as_bytes().starts_with(TEMP_PREFIX.as_bytes());
    dirs.into_iter().any(|dir| host.list(dir).is_ok_and(|names| names.iter().any(ours)))
}

/// What `status` in the table can say.
const SWITCHED_OFF: &str = "the whole table is switched off; echo 1 > /proc/sys/fs/binfmt_misc/status switches it on";

fn one(host: &Host, facts: &Facts, answer: Option<&Answer>, arch: &'static Arch) -> Option<SystemStatus> {
    let entry = arch.headers().iter().find_map(|head| facts.table.winner(head));
    let known = facts.receipt.systems.get(arch.target);
    let begun = known.is_none() && has_something_of(facts, arch);
    if entry.is_none() && known.is_none() && !begun {
        return None;
    }
    let mut stale = false;
    let (state, detail) = match entry {
        Some(_) if facts.table.is_switched_off() => (Working::Broken, Some(SWITCHED_OFF.into())),
        Some(entry) => try_out(host, arch, entry, &mut stale),
        None if begun => (Working::Missing, None),
        None => (Working::Missing, Some(missing(arch))),
    };
    let detail = detail.or_else(|| begun.then(|| cut_short(arch))).or_else(|| untold(host, facts, arch, known?));
    let interpreter = entry.map(|entry| Path::new(OsStr::from_bytes(&entry.rule.interpreter)));
    // Of a file that has no name any more nothing is known.
    let emulator = interpreter.filter(|_| !stale).map(|path| Emulator::of(host, facts, arch, path, known));
    let emulator = emulator.unwrap_or_default();
    Some(SystemStatus {
        system: arch.target,
        state,
        entry: entry.map(name_of),
        flags: entry.map(|entry| entry.rule.flags.to_string()),
        interpreter: interpreter.map(|path| path.display().to_string()),
        qemu: emulator.qemu,
        sha256: emulator.sha256,
        source: emulator.source,
        by: maker(facts, entry),
        nix_knows: answer.map(|answer| answer.missing(arch.nix_systems).is_empty()),
        detail,
    })
}

fn maker(facts: &Facts, entry: Option<&Entry>) -> Maker {
    match entry.map(name_of) {
        None => Maker::Nobody,
        Some(name) if facts.our_entries().any(|ours| ours == name) => Maker::BinfmtNix,
        Some(_) => Maker::Others,
    }
}

fn try_out(host: &Host, arch: &Arch, entry: &Entry, is_stale: &mut bool) -> (Working, Option<String>) {
    let Some(bytes) = arch.probe() else {
        return (Working::NotProven, None);
    };
    let broken = |why: String| (Working::Broken, Some(why));
    match probe::run_in_memory(host, bytes) {
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
            (Working::NotProven, Some(format!("a program cannot be tried from memory: {e} (sysctl vm.memfd_noexec)")))
        }
        Err(e) => broken(format!("a program cannot be started: {e}")),
        Ok(None) => broken("a program ended as soon as it was started".into()),
        Ok(Some(seen)) if !seen.status.success() => {
            broken(format!("a program ended with {}: {}", seen.status, seen.complaints.trim()))
        }
        Ok(Some(seen)) => {
            let stale = stale(host, entry, seen.program);
            *is_stale = stale.is_some();
            (Working::Works, stale)
        }
    }
}

/// Flag F holds the file that was there at registration; a newer one at the
/// same path is not used.
fn stale(host: &Host, entry: &Entry, running: Inode) -> Option<String> {
    let path = Path::new(OsStr::from_bytes(&entry.rule.interpreter));
    // That path is one of whoever registered it.
    let file = if path.starts_with(IN_MEMORY) { None } else { host.open_given(path).ok() }?;
    let there = Inode::of(&file.metadata().ok()?);
    (there != running).then(|| {
        format!("the kernel still runs the file that {} was when {} was registered", path.display(), name_of(entry))
    })
}

fn missing(arch: &Arch) -> String {
    let system = arch.target;
    format!(
        "no entry runs its programs any more; binfmt-nix register {system} puts it back, unregister {system} takes \
         the rest away"
    )
}

/// Anything that is as we made it.
fn has_something_of(facts: &Facts, arch: &Arch) -> bool {
    facts.records().any(|(record, now)| *now == Now::Ours && record.target.as_deref() == Some(arch.target))
}

fn cut_short(arch: &Arch) -> String {
    let system = arch.target;
    format!("its registration was cut short; binfmt-nix register {system} completes it, unregister {system} undoes it")
}

/// Nix was to be told of it, and its files do not say so; where they are not
/// ours to change, only Nix knows.
fn untold(host: &Host, facts: &Facts, arch: &Arch, known: &System) -> Option<String> {
    let included = match &facts.nix.state {
        ConfState::LeaveAlone(_) => return None,
        ConfState::Absent => false,
        ConfState::Editable(text) => conf::includes(text, conf::OWN),
    };
    let own = host.peek(Path::new(OWN_CONF)).unwrap_or_default();
    let told = included && arch.nix_systems.iter().all(|name| own.split_whitespace().any(|word| word == *name));
    (known.nix && !told).then(|| format!("Nix is not told of it; binfmt-nix register {} tells it", arch.target))
}

impl fmt::Display for Working {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Works => "works",
            Self::NotProven => "not proven",
            Self::Broken => "broken",
            Self::Missing => "missing",
        })
    }
}

impl fmt::Display for Maker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BinfmtNix => "binfmt-nix",
            Self::Others => "others",
            Self::Nobody => "nobody",
        })
    }
}
