//! Compares the table's entries with a file, one by one.

use binfmt_magic::{Entry, Recognition, extension};
use serde::Serialize;

use crate::binfmt::table::{Table, entry_name};
use crate::sanitize::text_of_bytes;

/// The result of one entry for a file.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct EntryReport {
    /// The name of the entry.
    pub name: String,
    /// Whether it is enabled; false if 0 was written to it.
    pub enabled: bool,
    /// Whether it matches the file.
    pub matches: bool,
    /// Whether the kernel picks it.
    pub taken: bool,
    /// Why it does not match the file.
    pub differs: Option<EntryMismatch>,
    /// The interpreter of the entry.
    pub interpreter: String,
    /// The flags, in the kernel's order.
    pub flags: String,
}

/// The first difference between a file and what an entry requires.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "in", rename_all = "kebab-case")]
pub enum EntryMismatch {
    /// A byte of the file.
    Byte {
        /// the position in the file
        offset: usize,
        /// the value in the file; null if the file ends before, which counts as 0
        has: Option<u8>,
        /// the value in the rule
        wants: u8,
        /// the bits that are compared
        mask: u8,
    },
    /// The extension of the file's name.
    Extension {
        /// the text after the last dot of the path
        has: Option<String>,
        /// the extension in the rule
        wants: String,
    },
}

/// Compares a file with all entries, in the order in which the kernel tries them.
pub(super) fn compare_entries(table: &Table, path: &[u8], head: &[u8]) -> Vec<EntryReport> {
    let winner = matching_entry(table, path, head);
    let line = |entry: &Entry| EntryReport {
        name: entry_name(entry),
        enabled: entry.enabled,
        matches: entry.rule.matches_file(path, head),
        taken: winner.is_some_and(|winner| std::ptr::eq(winner, entry)),
        differs: find_mismatch(entry, path, head),
        interpreter: text_of_bytes(&entry.rule.interpreter),
        flags: entry.rule.flags.to_string(),
    };
    table.entries().iter().map(line).collect()
}

/// Returns the entry that takes the file, if the table is in force.
pub(super) fn matching_entry<'t>(table: &'t Table, path: &[u8], head: &[u8]) -> Option<&'t Entry> {
    table.matching_entry_for_path(path, head).filter(|_| !table.is_switched_off())
}

fn find_mismatch(entry: &Entry, path: &[u8], head: &[u8]) -> Option<EntryMismatch> {
    match &entry.rule.recognition {
        Recognition::Magic(pattern) => pattern.difference(head).map(|found| EntryMismatch::Byte {
            offset: found.offset,
            has: found.found,
            wants: found.wanted,
            mask: found.mask,
        }),
        Recognition::Extension(wants) => (extension(path) != Some(wants))
            .then(|| EntryMismatch::Extension { has: extension(path).map(text_of_bytes), wants: text_of_bytes(wants) }),
    }
}
