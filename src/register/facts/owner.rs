//! Which tool made an entry.

use std::fmt;

use binfmt_magic::Entry;
use serde::Serialize;

use super::Facts;
use crate::binfmt::table::entry_name;

/// Who made an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Owner {
    /// This tool, on this machine.
    BinfmtNix,
    /// Another tool.
    Others,
    /// No entry exists.
    Nobody,
}

/// The maker of an entry.
pub fn owner_of(facts: &Facts, entry: Option<&Entry>) -> Owner {
    match entry.map(entry_name) {
        None => Owner::Nobody,
        Some(name) if facts.our_entries().any(|ours| ours == name) => Owner::BinfmtNix,
        Some(_) => Owner::Others,
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BinfmtNix => "binfmt-nix",
            Self::Others => "others",
            Self::Nobody => "nobody",
        })
    }
}
