//! Entries that run no system's programs now: those of Java archives, WebAssembly, Windows programs, Python's byte code,
//! and so on, and those of emulators that are off or come after another entry. Pure.

use std::fmt::Write as _;

use binfmt_magic::{Arch, Entry, Recognition, Rule};
use serde::Serialize;

use crate::binfmt::table::{Table, entry_name};
use crate::sanitize::text_of_bytes;
use crate::ui::quantity::count;

/// An entry of another tool that runs no system's programs now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct OtherEntry {
    /// The name of the entry.
    pub name: String,
    /// Whether the kernel uses it.
    pub enabled: bool,
    /// The flags of the entry, in the kernel's order.
    pub flags: String,
    /// The path of the interpreter.
    pub interpreter: String,
    /// The files that the kernel starts with the interpreter, in words.
    pub takes: String,
}

/// Whether an entry matches no program that a compiler makes for a system.
pub fn is_other(entry: &Entry) -> bool {
    !Arch::ALL.iter().any(|arch| arch.headers().iter().any(|head| entry.rule.matches(head)))
}

/// Returns the entries of other tools that no system has now, in the order in which the kernel tries them: those that run no
/// system's programs, and those of emulators that are off, or that come after another entry. `is_shown` says whether an
/// entry is one of this tool, or the one that the kernel picks for a system.
pub fn list_other_entries(table: &Table, is_shown: impl Fn(&Entry) -> bool) -> Vec<OtherEntry> {
    let describe = |entry: &Entry| OtherEntry {
        name: entry_name(entry),
        enabled: entry.enabled,
        flags: entry.rule.flags.to_string(),
        interpreter: text_of_bytes(&entry.rule.interpreter),
        takes: describe_systems(entry).unwrap_or_else(|| describe_files(&entry.rule)),
    };
    let unsupported = table.unsupported_entries().iter().map(|entry| OtherEntry {
        name: entry.name.clone(),
        enabled: entry.handler.as_ref().is_none_or(|handler| handler.enabled),
        flags: String::new(),
        interpreter: "unknown".to_owned(),
        takes: match &entry.handler {
            Some(_) => format!("files that cannot be known from outside: {entry}"),
            None => "files that this version does not know: it is an entry of a newer kernel".to_owned(),
        },
    });
    table.entries().iter().filter(|entry| !is_shown(entry)).map(describe).chain(unsupported).collect()
}

/// Describes the programs that an entry matches; `None` if it matches those of no system.
fn describe_systems(entry: &Entry) -> Option<String> {
    let matches = |arch: &&Arch| arch.headers().iter().any(|head| entry.rule.matches(head));
    let mut systems = Arch::ALL.iter().filter(matches).map(|arch| arch.target);
    let first = systems.next()?;
    Some(match systems.count() {
        0 => format!("{first} programs"),
        more => format!("programs of {first} and {}", count(more, "other system")),
    })
}

/// Describes the files that a rule takes.
pub fn describe_files(rule: &Rule) -> String {
    match &rule.recognition {
        Recognition::Extension(suffix) => format!("files named *.{}", text_of_bytes(suffix)),
        Recognition::Magic(pattern) => {
            let hex = pattern.magic().iter().fold(String::new(), |mut hex, byte| {
                // Writing to a String does not fail.
                let _ = write!(hex, "{byte:02x}");
                hex
            });
            let mask = if pattern.mask().is_some() { " under a mask" } else { "" };
            match pattern.offset() {
                0 => format!("files that begin with {hex}{mask}"),
                offset => format!("files with {hex}{mask} at byte {offset}"),
            }
        }
    }
}
