//! Compares the table's entries with a file, one by one.

use binfmt_magic::{Entry, Recognition, extension};
use serde::Serialize;

use super::MachineFacts;
use crate::binfmt::table::{Table, entry_name};
use crate::sanitize::text_of_bytes;

/// The result of one entry for a file.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub struct EntryReport {
    /// The name of the entry.
    pub name: String,
    /// Whether it is enabled; false if 0 was written to it.
    pub enabled: bool,
    /// Whether it matches the file.
    pub matches: bool,
    /// Whether the kernel picks it.
    pub taken: bool,
    /// Whether the kernel may pick it instead: Linux 7.3 tries an entry that was registered off as new as it was turned on
    /// for the first time, which nothing shows.
    pub may_precede: bool,
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
pub(super) fn compare_entries(machine: &MachineFacts, path: &[u8], head: &[u8]) -> Vec<EntryReport> {
    let table = &machine.table;
    let winner = matching_entry(table, path, head);
    let is_winner = |entry: &Entry| winner.is_some_and(|winner| std::ptr::eq(winner, entry));
    let matches = |entry: &Entry| entry.rule.matches_file(path, head);
    let line = |entry: &Entry| EntryReport {
        name: entry_name(entry),
        enabled: entry.enabled,
        matches: matches(entry),
        taken: is_winner(entry),
        may_precede: machine.hides_order && winner.is_some() && entry.enabled && matches(entry) && !is_winner(entry),
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

#[cfg(test)]
mod tests {
    use binfmt_magic::Rule;

    use super::*;

    #[test]
    fn on_linux_7_3_an_older_entry_may_precede() {
        let entry = |line: &[u8], enabled| match Rule::parse(line) {
            Ok(rule) => Entry { rule, enabled },
            Err(error) => panic!("{error}"),
        };
        let entries = vec![
            entry(b":new:E::x::/n:", true),
            entry(b":other:E::y::/o:", true),
            entry(b":off:E::x::/f:", false),
            entry(b":old:E::x::/o:", true),
        ];
        let table = |enabled| Table::new(entries.clone(), Vec::new(), enabled);
        let may_precede = |hides_order, enabled| {
            let machine = MachineFacts { hides_order, ..MachineFacts::with_all_loaders("x86_64", table(enabled)) };
            let reports = compare_entries(&machine, b"a.x", b"");
            reports.into_iter().filter(|report| report.may_precede).map(|report| report.name).collect::<Vec<_>>()
        };
        assert_eq!(may_precede(true, true), ["old"]);
        assert!(may_precede(false, true).is_empty() && may_precede(true, false).is_empty());
    }
}
