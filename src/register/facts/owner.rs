//! Owner of an entry: the tool that registered it.

use std::fmt;

use binfmt_magic::Entry;
use serde::Serialize;

use super::Facts;
use crate::binfmt::table::entry_name;

/// Tool that registered an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Owner {
    /// binfmt-nix, on this machine.
    BinfmtNix,
    /// `binfmt-nix run`, in whose user namespace this process is.
    Run,
    /// Another tool.
    #[serde(rename = "others")]
    OtherTool,
    /// No entry exists.
    #[serde(rename = "nobody")]
    Missing,
}

/// Determines which tool registered an entry.
pub fn owner_of(facts: &Facts, entry: Option<&Entry>) -> Owner {
    let made_by_run = |entry: &Entry| facts.run.as_ref().is_some_and(|run| run.made(entry));
    if entry.is_some_and(made_by_run) {
        return Owner::Run;
    }
    match entry.map(entry_name) {
        None => Owner::Missing,
        Some(name) if facts.our_entries().any(|own_name| own_name == name) => Owner::BinfmtNix,
        Some(_) => Owner::OtherTool,
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BinfmtNix => "binfmt-nix",
            Self::Run => "run",
            Self::OtherTool => "others",
            Self::Missing => "nobody",
        })
    }
}
