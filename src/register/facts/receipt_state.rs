//! What became of the things that the receipt says we made.

use std::path::Path;

use crate::binfmt::table;
use crate::binfmt::table::Table;
use crate::error::Result;
use crate::host::{self, FileStamp, Host};
use crate::nix::conf;
use crate::register::receipt::{Artifact, Receipt, Record, Stage};

/// The ways a thing can be now: they decide what undoing it means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordState {
    /// As we left it: may be taken away.
    Unchanged,
    /// Not there: nothing to do.
    Missing,
    /// Changed by somebody else, who keeps it.
    Modified,
}

/// Compares the receipt with the machine and brings it up to date: what was
/// begun and is there is done, what is gone is forgotten. Returns what became of
/// each record that is left; and those of entries whose name another one has:
/// the kernel changes no entry, so that ours is gone.
pub(super) fn reconcile(host: &Host, receipt: &mut Receipt, table: &Table) -> Result<(Vec<RecordState>, Vec<Record>)> {
    let (mut reconciled, mut replaced) = (Vec::new(), Vec::new());
    for record in std::mem::take(&mut receipt.records) {
        match record_state(host, &record.made, table)? {
            RecordState::Modified if is_known_entry(&record.made, table) => replaced.push(record),
            states => reconciled.push((record, states)),
        }
    }
    let unchanged: Vec<Artifact> = reconciled
        .iter()
        .filter(|(_, states)| *states == RecordState::Unchanged)
        .map(|(r, _)| r.made.clone())
        .collect();
    // An interrupted replacement leaves two records of one thing: one is true.
    reconciled.retain(|(record, states)| match states {
        RecordState::Unchanged => true,
        RecordState::Missing => false,
        RecordState::Modified => !unchanged.iter().any(|made| made.is_same_object(&record.made)),
    });
    let mut states = Vec::new();
    for (mut record, state) in reconciled {
        if state == RecordState::Unchanged {
            record.state = Stage::Done;
        }
        receipt.records.push(record);
        states.push(state);
    }
    Ok((states, replaced))
}

fn record_state(host: &Host, made: &Artifact, table: &Table) -> Result<RecordState> {
    // A link or a directory in the place of our file is somebody else's.
    match (made, made.path()) {
        (Artifact::Dir { .. }, _) | (_, None) => {}
        (_, Some(path)) if host.exists(path) && !host.is_regular_file(path) => return Ok(RecordState::Modified),
        _ => {}
    }
    Ok(match made {
        Artifact::Dir { path } => match host.lstat(path)? {
            Some(meta) if meta.is_dir() => RecordState::Unchanged,
            _ => RecordState::Missing,
        },
        Artifact::Interpreter { path, sha256, seal, .. } => match host.lstat(path)? {
            None => RecordState::Missing,
            Some(meta) if seal.as_ref() == Some(&FileStamp::from_metadata(&meta)) => RecordState::Unchanged,
            Some(_) => unchanged_if(host.fingerprint(path)?.is_some_and(|(sum, _)| sum == *sha256)),
        },
        Artifact::File { path, sha256 } => match host.fingerprint(path)? {
            None => RecordState::Missing,
            Some((sum, _)) => unchanged_if(sum == *sha256),
        },
        Artifact::Include { path, .. } => match host.read_file(path)? {
            Some(text) if conf::has_include(&text, conf::OWN_FILE_NAME) => RecordState::Unchanged,
            _ => RecordState::Missing,
        },
        // A mount that is not the very one we made is somebody else's.
        // Nobody had mounted it when ours was begun.
        Artifact::Mount { boot, id } => match host.mount_id(Path::new(table::DIR)) {
            Some(found) if host::procfs::boot_id() == *boot && id.as_ref().is_none_or(|id| *id == found) => {
                RecordState::Unchanged
            }
            _ => RecordState::Missing,
        },
        Artifact::Entry { name, line } => entry_state(name, line, table),
    })
}

/// An entry of that name is there, and is one that we understand.
fn is_known_entry(made: &Artifact, table: &Table) -> bool {
    matches!(made, Artifact::Entry { name, .. } if table.find_entry(name).is_some())
}

fn entry_state(name: &str, line: &str, table: &Table) -> RecordState {
    let wanted = binfmt_magic::Rule::parse(line.as_bytes());
    match (table.find_entry(name), wanted) {
        (Some(found), Ok(wanted)) => unchanged_if(table::is_same_rule(&found.rule, &wanted)),
        (None, _) if !table.has_entry(name) => RecordState::Missing,
        _ => RecordState::Modified,
    }
}

fn unchanged_if(same: bool) -> RecordState {
    if same { RecordState::Unchanged } else { RecordState::Modified }
}
