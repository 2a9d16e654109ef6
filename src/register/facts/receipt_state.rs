//! State of recorded artifacts: compares each record of the receipt with the machine.

use std::path::Path;

use crate::binfmt::boot_hook::renumbered_link;
use crate::binfmt::table;
use crate::binfmt::table::Table;
use crate::error::Result;
use crate::host::{self, FileStamp, Host};
use crate::nix::conf;
use crate::register::receipt::{Artifact, Receipt, Record, Stage};
use crate::sanitize::bytes_of;

/// Current state of a recorded artifact. It decides how the artifact is undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordState {
    /// The artifact is as this tool left it. Undo removes it.
    Unchanged,
    /// The artifact does not exist. Undo has nothing to do.
    Missing,
    /// The artifact was changed after this tool made it. Undo keeps it.
    Modified,
}

/// Compares the receipt with the machine and updates the receipt. A started record whose artifact exists becomes done.
/// A record whose artifact is missing is dropped.
///
/// Returns the states of the remaining records, and the records of entries that another entry of the same name has
/// replaced. The kernel never changes an entry in place, so an entry of that name with another rule means that this
/// tool's entry was removed.
pub(super) fn reconcile(host: &Host, receipt: &mut Receipt, table: &Table) -> Result<(Vec<RecordState>, Vec<Record>)> {
    let (mut reconciled, mut replaced) = (Vec::new(), Vec::new());
    for mut record in std::mem::take(&mut receipt.records) {
        if let Artifact::Link { path, .. } = &mut record.made {
            *path = renumbered_link(host, path);
        }
        match record_state(host, &record.made, table)? {
            RecordState::Modified if is_known_entry(&record.made, table) => replaced.push(record),
            state => reconciled.push((record, state)),
        }
    }
    // An interrupted replacement leaves two records of one artifact. Only the one that matches is kept.
    let is_duplicate = |modified: &Artifact| {
        let mut unchanged = reconciled.iter().filter(|(_, state)| *state == RecordState::Unchanged);
        unchanged.any(|(record, _)| record.made.is_same_object(modified))
    };
    let is_kept = |(record, state): &(Record, RecordState)| match state {
        RecordState::Unchanged => true,
        RecordState::Missing => false,
        RecordState::Modified => !is_duplicate(&record.made),
    };
    let kept: Vec<bool> = reconciled.iter().map(is_kept).collect();
    let mut states = Vec::new();
    for ((mut record, state), _) in reconciled.into_iter().zip(kept).filter(|(_, kept)| *kept) {
        if state == RecordState::Unchanged {
            record.state = Stage::Done;
        }
        receipt.records.push(record);
        states.push(state);
    }
    Ok((states, replaced))
}

fn record_state(host: &Host, made: &Artifact, table: &Table) -> Result<RecordState> {
    let found = match made {
        Artifact::Link { .. } => None,
        _ => made.path().map(|path| host.lstat(path)).transpose()?.flatten(),
    };
    // A link or a directory at the path of a recorded file was not made by this tool.
    match (made, &found) {
        (Artifact::Dir { .. }, _) => {}
        (_, Some(meta)) if !meta.is_file() => return Ok(RecordState::Modified),
        _ => {}
    }
    Ok(match made {
        Artifact::Dir { .. } => match found {
            Some(meta) if meta.is_dir() => RecordState::Unchanged,
            _ => RecordState::Missing,
        },
        Artifact::Interpreter { path, sha256, seal, .. } | Artifact::Program { path, sha256, seal } => match found {
            None => RecordState::Missing,
            Some(meta) if seal.as_ref() == Some(&FileStamp::from_metadata(&meta)) => RecordState::Unchanged,
            Some(_) => unchanged_if(host.fingerprint(path)?.is_some_and(|(sum, _)| sum == *sha256)),
        },
        Artifact::Link { path, target } => match (host.read_link(path), host.exists(path)) {
            (Some(found), _) => unchanged_if(found == *target),
            (None, true) => RecordState::Modified,
            (None, false) => RecordState::Missing,
        },
        Artifact::BootCommand { path, added, .. } => match host.read_file(path)? {
            Some(text) if String::from_utf8_lossy(&text).contains(added.as_str()) => RecordState::Unchanged,
            _ => RecordState::Missing,
        },
        Artifact::File { path, sha256 } => match host.fingerprint(path)? {
            None => RecordState::Missing,
            Some((sum, _)) => unchanged_if(sum == *sha256),
        },
        Artifact::Include { path, .. } => match host.read_file(path)? {
            Some(text) if conf::has_include(&text, conf::OWN_FILE_NAME) => RecordState::Unchanged,
            _ => RecordState::Missing,
        },
        // A mount with another ID was not made by this tool. A record without an ID was written just before the mount,
        // when no table was mounted, so any mount of this boot matches it.
        Artifact::Mount { boot, id } => match host.mount_id(Path::new(table::DIR)) {
            Some(found) if host::procfs::boot_id() == *boot && id.as_ref().is_none_or(|id| *id == found) => {
                RecordState::Unchanged
            }
            _ => RecordState::Missing,
        },
        Artifact::Entry { name, line } => entry_state(name, line, table),
    })
}

/// Whether an entry of that name exists and could be parsed.
fn is_known_entry(made: &Artifact, table: &Table) -> bool {
    matches!(made, Artifact::Entry { name, .. } if table.find_entry(name).is_some())
}

fn entry_state(name: &str, line: &str, table: &Table) -> RecordState {
    let expected = binfmt_magic::Rule::parse(&bytes_of(line));
    match (table.find_entry(name), expected) {
        (Some(found), Ok(expected)) => unchanged_if(table::is_same_rule(&found.rule, &expected)),
        (None, _) if !table.has_entry(name) => RecordState::Missing,
        _ => RecordState::Modified,
    }
}

fn unchanged_if(same: bool) -> RecordState {
    if same { RecordState::Unchanged } else { RecordState::Modified }
}
