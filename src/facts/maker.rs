//! Which tool made an entry.

use std::fmt;

use binfmt_magic::Entry;
use serde::Serialize;

use super::Facts;
use crate::binfmt_misc::name_of;

/// Who made an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Maker {
    /// This tool, on this machine.
    BinfmtNix,
    /// Another tool.
    Others,
    /// No entry exists.
    Nobody,
}

/// The maker of an entry.
pub fn maker(facts: &Facts, entry: Option<&Entry>) -> Maker {
    match entry.map(name_of) {
        None => Maker::Nobody,
        Some(name) if facts.our_entries().any(|ours| ours == name) => Maker::BinfmtNix,
        Some(_) => Maker::Others,
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
