//! What became of the things that the receipt says we made.

use std::path::Path;

use crate::binfmt_misc::{self, Table};
use crate::error::Result;
use crate::host::{self, FileStamp, Host};
use crate::nix::conf;
use crate::receipt::{Made, Receipt, Record, State};

/// The ways a thing can be now: they decide what undoing it means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Now {
    /// As we left it: may be taken away.
    Ours,
    /// Not there: nothing to do.
    Gone,
    /// Changed by somebody else, who keeps it.
    Changed,
}

/// Compares the receipt with the machine and brings it up to date: what was
/// begun and is there is done, what is gone is forgotten. Returns what became of
/// each record that is left; and those of entries whose name another one has:
/// the kernel changes no entry, so that ours is gone.
pub(super) fn settle(host: &Host, receipt: &mut Receipt, table: &Table) -> Result<(Vec<Now>, Vec<Record>)> {
    let (mut settled, mut replaced) = (Vec::new(), Vec::new());
    for record in std::mem::take(&mut receipt.records) {
        match look(host, &record.made, table)? {
            Now::Changed if is_known(&record.made, table) => replaced.push(record),
            now => settled.push((record, now)),
        }
    }
    let ours: Vec<Made> = settled.iter().filter(|(_, now)| *now == Now::Ours).map(|(r, _)| r.made.clone()).collect();
    // An interrupted replacement leaves two records of one thing: one is true.
    settled.retain(|(record, now)| match now {
        Now::Ours => true,
        Now::Gone => false,
        Now::Changed => !ours.iter().any(|made| made.same_thing(&record.made)),
    });
    let mut now = Vec::new();
    for (mut record, state) in settled {
        if state == Now::Ours {
            record.state = State::Done;
        }
        receipt.records.push(record);
        now.push(state);
    }
    Ok((now, replaced))
}

fn look(host: &Host, made: &Made, table: &Table) -> Result<Now> {
    // A link or a directory in the place of our file is somebody else's.
    match (made, made.path()) {
        (Made::Dir { .. }, _) | (_, None) => {}
        (_, Some(path)) if host.exists(path) && !host.is_regular_file(path) => return Ok(Now::Changed),
        _ => {}
    }
    Ok(match made {
        Made::Dir { path } => match host.lstat(path)? {
            Some(meta) if meta.is_dir() => Now::Ours,
            _ => Now::Gone,
        },
        Made::Interpreter { path, sha256, seal, .. } => match host.lstat(path)? {
            None => Now::Gone,
            Some(meta) if seal.as_ref() == Some(&FileStamp::from_metadata(&meta)) => Now::Ours,
            Some(_) => same_if(host.fingerprint(path)?.is_some_and(|(sum, _)| sum == *sha256)),
        },
        Made::File { path, sha256 } => match host.fingerprint(path)? {
            None => Now::Gone,
            Some((sum, _)) => same_if(sum == *sha256),
        },
        Made::Include { path, .. } => match host.read(path)? {
            Some(text) if conf::includes(&text, conf::OWN) => Now::Ours,
            _ => Now::Gone,
        },
        // A mount that is not the very one we made is somebody else's.
        // Nobody had mounted it when ours was begun.
        Made::Mount { boot, id } => match host.mount_id(Path::new(binfmt_misc::DIR)) {
            Some(found) if host::procfs::boot_id() == *boot && id.as_ref().is_none_or(|id| *id == found) => Now::Ours,
            _ => Now::Gone,
        },
        Made::Entry { name, line } => entry(name, line, table),
    })
}

/// An entry of that name is there, and is one that we understand.
fn is_known(made: &Made, table: &Table) -> bool {
    matches!(made, Made::Entry { name, .. } if table.entry(name).is_some())
}

fn entry(name: &str, line: &str, table: &Table) -> Now {
    let wanted = binfmt_magic::Rule::parse(line.as_bytes());
    match (table.entry(name), wanted) {
        (Some(found), Ok(wanted)) => same_if(binfmt_misc::same_rule(&found.rule, &wanted)),
        (None, _) if !table.has(name) => Now::Gone,
        _ => Now::Changed,
    }
}

fn same_if(same: bool) -> Now {
    if same { Now::Ours } else { Now::Changed }
}
