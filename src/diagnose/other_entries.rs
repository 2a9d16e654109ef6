//! Entries that run no system's programs: Java archives, WebAssembly, Windows programs, Python's byte code, and so on.
//! Pure.

use std::fmt::Write as _;

use binfmt_magic::{Arch, Entry, Recognition};
use serde::Serialize;

use crate::binfmt::table::{Table, entry_name};
use crate::sanitize::text_of_bytes;

/// An entry that runs no system's programs.
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

/// Returns the entries that run no system's programs, in the order in which the kernel tries them.
pub fn list_other_entries(table: &Table) -> Vec<OtherEntry> {
    let describe = |entry: &Entry| OtherEntry {
        name: entry_name(entry),
        enabled: entry.enabled,
        flags: entry.rule.flags.to_string(),
        interpreter: text_of_bytes(&entry.rule.interpreter),
        takes: describe_files(entry),
    };
    let unsupported = table.unsupported_entries().iter().map(|name| OtherEntry {
        name: name.clone(),
        enabled: true,
        flags: String::new(),
        interpreter: "unknown".to_owned(),
        takes: "files that this version does not know: it is an entry of a newer kernel".to_owned(),
    });
    table.entries().iter().filter(|entry| is_other(entry)).map(describe).chain(unsupported).collect()
}

/// Describes the files that an entry matches.
pub fn describe_files(entry: &Entry) -> String {
    match &entry.rule.recognition {
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
