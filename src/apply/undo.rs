//! Taking back the steps of a registration that failed, newest first.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use binfmt_magic::Rule;

use super::Apply;
use crate::binfmt_misc::{self, same_rule};
use crate::error::{Error, Result};
use crate::host::Backup;

/// How to take back one step. Each is right, too, if the step came to nothing.
#[derive(Debug)]
pub(super) enum Undo {
    RemoveDir(PathBuf),
    RemoveFile(PathBuf),
    /// Give an earlier emulator its name back.
    Restore(PathBuf, Backup),
    /// Write an earlier content.
    Rewrite(PathBuf, Vec<u8>),
    /// Take our line out of a nix.conf.
    Exclude {
        path: PathBuf,
        newline_added: bool,
        created: bool,
    },
    Withdraw(Rule),
    Enter(Rule),
    Mount,
    Unmount,
}

impl Apply<'_> {
    /// Takes everything back. What cannot be taken back is reported and stays
    /// in the receipt, so that `unregister` can try again.
    pub(super) fn roll_back(&mut self) {
        let mut complete = true;
        self.staged.clear();
        self.receipt.systems.clone_from(&self.facts.receipt.systems);
        let first = self.done.first().map(|(_, before)| before.clone());
        // An entry is put in again once its emulator is back in its place: the
        // kernel opens that there and then (flag F).
        let (entries, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.done).into_iter().partition(|(undo, _)| matches!(undo, Undo::Enter(_)));
        for (undo, before) in rest.into_iter().rev().chain(entries.into_iter().rev()) {
            let of_an_entry = matches!(undo, Undo::Enter(_));
            match self.take_back(undo) {
                Ok(()) if complete && !of_an_entry => self.receipt.records = before,
                Ok(()) => {}
                Err(error) => {
                    complete = false;
                    self.ui.warn(&format!("while undoing: {error}"));
                }
            }
        }
        if complete {
            self.receipt.records = first.unwrap_or_else(|| std::mem::take(&mut self.receipt.records));
            self.drop_begun();
        }
        let written = if self.receipt.is_spent() { self.close_receipt() } else { self.save() };
        match written {
            Ok(()) if complete => self.ui.note("nothing was changed: what had been done was undone"),
            Ok(()) => self.ui.warn("not everything could be undone; run: binfmt-nix unregister all"),
            Err(error) => self.ui.warn(&format!("while undoing: {error}")),
        }
    }

    /// The step that failed never came to its end.
    fn drop_begun(&mut self) {
        self.receipt.records.retain(|record| record.state == crate::receipt::State::Done);
    }

    fn take_back(&mut self, undo: Undo) -> Result<()> {
        let host = self.host;
        match undo {
            Undo::RemoveDir(path) => host.remove_dir(&path).map(|_| ()),
            Undo::RemoveFile(path) => host.remove_file(&path),
            Undo::Restore(path, previous) => host.restore_backup(previous, &path),
            Undo::Rewrite(path, bytes) if host.read(&path)?.as_ref() == Some(&bytes) => Ok(()),
            Undo::Rewrite(path, bytes) => host.write_atomic(&path, &bytes),
            Undo::Exclude { path, newline_added, created } => self.take_line_out(&path, newline_added, created),
            Undo::Withdraw(rule) => binfmt_misc::remove(host, &rule).map(drop),
            Undo::Enter(rule)
                if binfmt_misc::look(host)?.entries().iter().any(|entry| same_rule(&entry.rule, &rule)) =>
            {
                Ok(())
            }
            Undo::Enter(rule) => binfmt_misc::register(host, &rule),
            Undo::Mount => binfmt_misc::mount(host),
            Undo::Unmount => match self.keeps_mounted()? {
                None => Ok(()),
                Some(_) => {
                    Err(Error::io("unmount", &host.at(Path::new(binfmt_misc::DIR)), ErrorKind::ResourceBusy.into()))
                }
            },
        }
    }
}
