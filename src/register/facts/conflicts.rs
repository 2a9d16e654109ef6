//! Entries of others that take a system's programs.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use binfmt_magic::{Arch, Entry};

use super::Facts;
use crate::binfmt::table::entry_name;
use crate::host::Host;
use crate::qemu::binary::QemuVersion;
use crate::qemu::candidate::{self, CandidateError};

/// An entry that the kernel picks and that is not ours.
#[derive(Debug)]
pub struct ConflictingEntry {
    /// The entry.
    pub entry: Entry,
    /// Its interpreter's release, or why we would not use that ourselves.
    pub verdict: Result<QemuVersion, CandidateError>,
}

impl ConflictingEntry {
    /// The path of its interpreter.
    pub fn interpreter(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.entry.rule.interpreter))
    }
}

/// The entries of others that win for at least one kind of program of `arch`.
pub(super) fn find_conflicts(facts: &Facts, arch: &'static Arch) -> Vec<ConflictingEntry> {
    let mut names: Vec<String> = Vec::new();
    let mut rivals = Vec::new();
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
        // The kernel's paths are real ones, whatever `--root` says.
        let verdict = candidate::validate_candidate(&Host::live(), arch, &facts.machine, path).map(|fit| fit.version);
        let entry = entry.clone();
        rivals.push(ConflictingEntry { entry, verdict });
    }
    rivals
}
