//! Entries of other tools that the kernel picks for a system's programs.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use binfmt_magic::{Arch, Entry};

use super::Facts;
use crate::binfmt::table::entry_name;
use crate::host::Host;
use crate::qemu::binary::QemuVersion;
use crate::qemu::candidate::{self, CandidateError};

/// An entry of another tool that the kernel picks before an entry of this tool.
#[derive(Debug)]
pub struct ConflictingEntry {
    /// The entry as the kernel shows it.
    pub entry: Entry,
    /// Release of its interpreter, or the reason why this tool would not use that interpreter itself.
    pub verdict: Result<QemuVersion, CandidateError>,
}

impl ConflictingEntry {
    /// Path of the entry's interpreter.
    pub fn interpreter(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.entry.rule.interpreter))
    }
}

/// Lists the entries of other tools that the kernel picks for at least one kind of program of `arch`.
pub(super) fn find_conflicts(facts: &Facts, arch: &'static Arch) -> Vec<ConflictingEntry> {
    let mut names: Vec<String> = Vec::new();
    let mut conflicts = Vec::new();
    for head in arch.headers() {
        let Some(entry) = facts.table.matching_entry(&head) else {
            continue;
        };
        let name = entry_name(entry);
        if facts.our_entries().any(|own_name| own_name == name) || names.contains(&name) {
            continue;
        }
        names.push(name);
        let path = Path::new(OsStr::from_bytes(&entry.rule.interpreter));
        // A path in the kernel's table is a path on the running system, even with `--root`.
        let verdict = candidate::validate_candidate(&Host::live(), arch, &facts.machine, path).map(|fit| fit.version);
        let entry = entry.clone();
        conflicts.push(ConflictingEntry { entry, verdict });
    }
    conflicts
}
