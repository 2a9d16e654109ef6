//! Taking back the steps of a registration that failed, newest first.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use binfmt_magic::Rule;

use super::Apply;
use crate::binfmt::table;
use crate::binfmt::table::is_same_rule;
use crate::error::{Error, Result};
use crate::host::Backup;

/// How to take back one step. Each is right, too, if the step came to nothing.
#[derive(Debug)]
pub(super) enum Undo {
    RemoveDir(PathBuf),
    RemoveFile(PathBuf),
    /// Give an earlier emulator its name back.
    RestoreEmulator(PathBuf, Backup),
    /// Write an earlier content.
    WriteFile(PathBuf, Vec<u8>),
    /// Take our line out of a nix.conf.
    RemoveInclude {
        path: PathBuf,
        newline_added: bool,
        created: bool,
    },
    RemoveEntry(Rule),
    AddEntry(Rule),
    MountTable,
    UnmountTable,
}

impl Apply<'_> {
    /// Takes everything back. What cannot be taken back is reported and stays
    /// in the receipt, so that `unregister` can try again.
    pub(super) fn roll_back(&mut self) {
        let mut complete = true;
        self.staged.clear();
        self.receipt.systems.clone_from(&self.facts.receipt.systems);
        let first = self.undo_list.first().map(|(_, before)| before.clone());
        // An entry is put in again once its emulator is back in its place: the
        // kernel opens that there and then (flag F).
        let (entries, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.undo_list).into_iter().partition(|(undo, _)| matches!(undo, Undo::AddEntry(_)));
        for (undo, before) in rest.into_iter().rev().chain(entries.into_iter().rev()) {
            let is_entry = matches!(undo, Undo::AddEntry(_));
            match self.apply_undo(undo) {
                Ok(()) if complete && !is_entry => self.receipt.records = before,
                Ok(()) => {}
                Err(error) => {
                    complete = false;
                    self.ui.print_warning(&format!("while undoing: {error}"));
                }
            }
        }
        if complete {
            self.receipt.records = first.unwrap_or_else(|| std::mem::take(&mut self.receipt.records));
            self.drop_started_records();
        }
        let written = if self.receipt.is_spent() { self.close_receipt() } else { self.save_receipt() };
        match written {
            Ok(()) if complete => self.ui.print_note("nothing was changed: what had been done was undone"),
            Ok(()) => self.ui.print_warning("not everything could be undone; run: binfmt-nix unregister all"),
            Err(error) => self.ui.print_warning(&format!("while undoing: {error}")),
        }
    }

    /// The step that failed never came to its end.
    fn drop_started_records(&mut self) {
        self.receipt.records.retain(|record| record.state == crate::register::receipt::Stage::Done);
    }

    fn apply_undo(&mut self, undo: Undo) -> Result<()> {
        let host = self.host;
        match undo {
            Undo::RemoveDir(path) => host.remove_dir(&path).map(|_| ()),
            Undo::RemoveFile(path) => host.remove_file(&path),
            Undo::RestoreEmulator(path, previous) => host.restore_backup(previous, &path),
            Undo::WriteFile(path, bytes) if host.read_file(&path)?.as_ref() == Some(&bytes) => Ok(()),
            Undo::WriteFile(path, bytes) => host.write_atomic(&path, &bytes),
            Undo::RemoveInclude { path, newline_added, created } => {
                self.remove_include_line(&path, newline_added, created)
            }
            Undo::RemoveEntry(rule) => table::remove_entry(host, &rule).map(drop),
            Undo::AddEntry(rule)
                if table::read_table(host)?.entries().iter().any(|entry| is_same_rule(&entry.rule, &rule)) =>
            {
                Ok(())
            }
            Undo::AddEntry(rule) => table::add_entry(host, &rule),
            Undo::MountTable => table::mount_table(host),
            Undo::UnmountTable => match self.try_unmount()? {
                None => Ok(()),
                Some(_) => {
                    Err(Error::io("unmount", &host.real_path(Path::new(table::DIR)), ErrorKind::ResourceBusy.into()))
                }
            },
        }
    }
}
