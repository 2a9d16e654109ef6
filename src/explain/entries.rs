//! The table's entries held against a file, one by one.

use binfmt_magic::{Entry, Recognition, extension};
use serde::Serialize;

use super::text;
use crate::binfmt_misc::{Table, name_of};

/// What the kernel does with one entry.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct EntryLine {
    /// Its name.
    pub name: String,
    /// It is looked at; false if 0 was written to it.
    pub enabled: bool,
    /// The file is one of its programs.
    pub matches: bool,
    /// It is the one that the kernel picks.
    pub taken: bool,
    /// Why the file is none of its programs.
    pub differs: Option<Differs>,
    /// What it would start.
    pub interpreter: String,
    /// How.
    pub flags: String,
}

/// The first thing in which a file is not what an entry wants.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "in", rename_all = "kebab-case")]
pub enum Differs {
    /// A byte of the file.
    Byte {
        /// where it is
        offset: usize,
        /// what the file has; null if it ends before, which counts as 0
        has: Option<u8>,
        /// what the rule has
        wants: u8,
        /// which of its bits count
        mask: u8,
    },
    /// The extension of its name.
    Extension {
        /// what follows the last dot of the path
        has: Option<String>,
        /// what the rule has
        wants: String,
    },
}

/// All entries, in the order in which the kernel looks at them.
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

/// The entry that takes the file, if the table is looked at at all.
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
