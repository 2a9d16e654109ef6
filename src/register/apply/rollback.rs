//! Rollback: undoes the completed steps of a failed registration, newest first.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use binfmt_magic::{Arch, Rule};

use super::Apply;
use crate::binfmt::table;
use crate::binfmt::table::is_same_rule;
use crate::error::{Error, Result};
use crate::host::{Backup, FileId};
use crate::paths;
use crate::sanitize::command;

/// Action that undoes one step. Each action is also correct if the step had no effect.
#[derive(Debug)]
pub(super) enum Undo {
    /// Remove a directory, if it is empty.
    RemoveDir(PathBuf),
    /// Remove a file.
    RemoveFile(PathBuf),
    /// Move the previous emulator back to its path.
    RestoreEmulator(PathBuf, Backup),
    /// Put the emulator that is kept beside the installed one back to its path.
    TakeBack(&'static Arch),
    /// Exchange both emulators again, unless the installed one is still this file.
    SwapEmulators(&'static Arch, Option<FileId>),
    /// Write the previous content of a file.
    WriteFile(PathBuf, Vec<u8>),
    /// Remove the `!include` line from a nix.conf.
    RemoveInclude { path: PathBuf, newline_added: bool, created: bool },
    /// Remove the boot command from a wsl.conf.
    RemoveBootCommand { path: PathBuf, added: String, created: bool },
    /// Remove an entry with this rule.
    RemoveEntry(Rule),
    /// Register this rule again, unless an entry has it, when its emulator is back at its path.
    AddEntry(Rule),
    /// Register the stand-in of an entry that will be removed.
    AddStandIn(Rule),
    /// Remove the stand-in, when the entries that it stood in for are back.
    RemoveStandIn(Rule),
    /// Turn an entry with this rule on or off again.
    SwitchEntry { rule: Rule, enabled: bool },
    /// Mount the table.
    MountTable,
    /// Unmount the table, if it contains no entry.
    UnmountTable,
}

impl Apply<'_> {
    /// Undoes every completed step. A step that cannot be undone is reported and stays in the receipt, so that `unregister`
    /// can try again.
    pub(super) fn roll_back(&mut self) {
        let mut complete = true;
        self.staged.clear();
        self.receipt.systems.clone_from(&self.facts.receipt.systems);
        self.receipt.rules.clone_from(&self.facts.receipt.rules);
        self.receipt.accelerations.clone_from(&self.facts.receipt.accelerations);
        let initial_records = self.undo_list.first().map(|(_, before)| before.clone());
        // Entries are registered again only after their emulators are back at their paths, because the kernel opens the
        // interpreter at registration (flag F).
        let is_late = |undo: &Undo| matches!(undo, Undo::AddEntry(_) | Undo::RemoveStandIn(_));
        let (mut late, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.undo_list).into_iter().partition(|(undo, _)| is_late(undo));
        // The oldest is undone last: a stand-in was added before its entry was removed.
        late.reverse();
        for (undo, before) in rest.into_iter().rev().chain(late) {
            let is_late = is_late(&undo);
            match self.apply_undo(undo) {
                Ok(()) if complete && !is_late => self.receipt.records = before,
                Ok(()) => {}
                Err(error) => {
                    complete = false;
                    self.ui.print_warning(&format!("while undoing: {error}"));
                }
            }
        }
        if complete {
            self.receipt.records = initial_records.unwrap_or_else(|| std::mem::take(&mut self.receipt.records));
            self.drop_started_records();
        }
        let saved = if self.receipt.is_spent() { self.close_receipt() } else { self.save_receipt() };
        match saved {
            Ok(()) if complete => self.ui.print_note("nothing was changed: all completed steps were undone"),
            Ok(()) => self.ui.print_warning(&format!(
                "not everything could be undone; run: {}",
                command::tool_as_root("unregister all")
            )),
            Err(error) => self.ui.print_warning(&format!("while undoing: {error}")),
        }
    }

    /// Drops the record of the step that failed.
    fn drop_started_records(&mut self) {
        self.receipt.records.retain(|record| record.state == crate::register::receipt::Stage::Done);
    }

    fn apply_undo(&mut self, undo: Undo) -> Result<()> {
        let host = self.host;
        match undo {
            Undo::RemoveDir(path) => host.remove_dir(&path).map(|_| ()),
            Undo::RemoveFile(path) => host.remove_file(&path),
            Undo::RestoreEmulator(path, previous) => host.restore_backup(previous, &path),
            Undo::TakeBack(arch) => match host.keep_backup(&paths::previous_path(arch))? {
                Some(link) => host.restore_backup(link, &paths::interpreter_path(arch)),
                None => Ok(()),
            },
            Undo::SwapEmulators(arch, id) => {
                let path = paths::interpreter_path(arch);
                match host.lstat(&path)?.map(|meta| FileId::from_metadata(&meta)) {
                    now if now == id => Ok(()),
                    _ => host.exchange_files(&path, &paths::previous_path(arch)),
                }
            }
            Undo::WriteFile(path, bytes) if host.read_file(&path)?.as_ref() == Some(&bytes) => Ok(()),
            Undo::WriteFile(path, bytes) => host.write_atomic(&path, &bytes),
            Undo::RemoveInclude { path, newline_added, created } => {
                self.remove_include_line(&path, newline_added, created)
            }
            Undo::RemoveBootCommand { path, added, created } => self.remove_boot_command_text(&path, &added, created),
            Undo::RemoveEntry(rule) | Undo::RemoveStandIn(rule) => table::remove_entry(host, &rule).map(drop),
            Undo::AddEntry(rule) | Undo::AddStandIn(rule)
                if table::read_table(host)?.entries().iter().any(|entry| is_same_rule(&entry.rule, &rule)) =>
            {
                Ok(())
            }
            Undo::AddEntry(rule) | Undo::AddStandIn(rule) => table::add_entry(host, &rule),
            Undo::SwitchEntry { rule, enabled } => table::switch_entry(host, &rule, enabled).map(drop),
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
