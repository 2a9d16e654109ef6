//! Compares the table's entries with a file, one by one.

use binfmt_magic::{Entry, Recognition, extension};
use serde::Serialize;

use super::text;
use crate::binfmt_misc::{Table, name_of};

/// What the kernel does with one entry.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct EntryLine {
    /// The name of the entry.
    pub name: String,
    /// Whether it is enabled; false if 0 was written to it.
    pub enabled: bool,
    /// Whether it matches the file.
    pub matches: bool,
    /// Whether the kernel picks it.
    pub taken: bool,
    /// Why it does not match the file.
    pub differs: Option<Differs>,
    /// The interpreter that it would start.
    pub interpreter: String,
    /// The flags, in the kernel's order.
    pub flags: String,
}

/// The first difference between a file and what an entry requires.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "in", rename_all = "kebab-case")]
pub enum Differs {
    /// A byte of the file.
    Byte {
        /// the position in the file
        offset: usize,
        /// the value in the file; null if the file ends before, which counts as 0
        has: Option<u8>,
        /// what the rule has
        wants: u8,
        /// the bits that are compared
        mask: u8,
    },
    /// The extension of its name.
    Extension {
        /// the text after the last dot of the path
        has: Option<String>,
        /// what the rule has
        wants: String,
    },
}

/// All entries, in the order in which the kernel tries them.
pub(super) fn compare(table: &Table, path: &[u8], head: &[u8]) -> Vec<EntryLine> {
    let winner = winner(table, path, head);
    let line = |entry: &Entry| EntryLine {
        name: name_of(entry),
        enabled: entry.enabled,
        matches: entry.rule.takes(path, head),
        taken: winner.is_some_and(|winner| std::ptr::eq(winner, entry)),
        differs: differs(entry, path, head),
        interpreter: text(&entry.rule.interpreter),
        flags: entry.rule.flags.to_string(),
    };
    table.entries().iter().map(line).collect()
}

/// The entry that takes the file, if the table is in force.
pub(super) fn winner<'t>(table: &'t Table, path: &[u8], head: &[u8]) -> Option<&'t Entry> {
    table.winner_for(path, head).filter(|_| !table.is_switched_off())
}

fn differs(entry: &Entry, path: &[u8], head: &[u8]) -> Option<Differs> {
    match &entry.rule.recognition {
        Recognition::Magic(pattern) => pattern.difference(head).map(|found| Differs::Byte {
            offset: found.offset,
            has: found.found,
            wants: found.wanted,
            mask: found.mask,
        }),
        Recognition::Extension(wants) => (extension(path) != Some(wants))
            .then(|| Differs::Extension { has: extension(path).map(text), wants: text(wants) }),
    }
}
