//! Write-ahead journal: each change is recorded in the receipt on disk before it is made, and its undo action is known
//! before the change can be half made.

use std::path::Path;

use super::Apply;
use crate::error::Result;
use crate::paths;
use crate::register::apply::rollback::Undo;
use crate::register::plan::Plan;
use crate::register::receipt::{Artifact, Receipt, Record, Stage};
use crate::register::subject::Subject;

impl Apply<'_> {
    /// Creates the receipt and its directory, if they do not exist.
    pub(super) fn open_receipt(&mut self) -> Result<()> {
        let dir = Path::new(paths::RECEIPT_DIR);
        let above: Vec<_> = dir.ancestors().skip(1).filter(|dir| !self.host.exists(dir)).collect();
        for dir in above.into_iter().rev() {
            self.host.make_dir(dir)?;
            self.record_dir(dir);
        }
        if self.host.exists(dir) {
            return self.save_receipt();
        }
        self.record_dir(dir);
        self.receipt.save_with_directory(self.host)?;
        self.on_disk = Some(self.receipt.clone());
        Ok(())
    }

    /// Writes the receipt, unless the file has this content already.
    pub(super) fn save_receipt(&mut self) -> Result<()> {
        let is_unneeded = self.on_disk.is_none() && self.receipt.is_empty();
        if !is_unneeded && self.on_disk.as_ref() != Some(&self.receipt) {
            // If writing fails, the file may have the old or the new content.
            self.on_disk = None;
            self.receipt.save(self.host)?;
            self.on_disk = Some(self.receipt.clone());
        }
        Ok(())
    }

    /// Adds the record of a directory, without writing the receipt.
    pub(super) fn record_dir(&mut self, path: &Path) {
        let made = Artifact::Dir { path: path.to_owned() };
        self.receipt.records.push(Record::new(Stage::Done, None, made));
    }

    /// Records an artifact that is about to be made.
    pub(super) fn record_started(&mut self, made: Artifact, subject: Option<&Subject>) -> Result<()> {
        self.records_before.clone_from(&self.receipt.records);
        self.receipt.records.push(Record::new(Stage::Started, subject, made));
        self.save_receipt()
    }

    /// Adds an undo action for the step in progress. For file writes, call this before writing, because a failed write may
    /// still have taken effect. For operations that either happen or do not (such as adding an entry), call it afterwards,
    /// so that rollback never removes something that another process created.
    pub(super) fn push_undo(&mut self, undo: Undo) {
        self.undo_list.push((undo, self.records_before.clone()));
    }

    /// Records that an artifact was made, in its final form. An older record of the same object is dropped.
    pub(super) fn record_done(&mut self, made: Artifact) -> Result<()> {
        self.note_done(made);
        self.save_receipt()
    }

    /// Like [`Self::record_done`], but leaves the writing to the next step: until then, the record on disk says that the
    /// artifact may exist.
    pub(super) fn note_done(&mut self, made: Artifact) {
        if let Some(mut record) = self.receipt.records.pop() {
            record.state = Stage::Done;
            self.receipt.records.retain(|other| !other.made.is_same_object(&made));
            record.made = made;
            self.receipt.records.push(record);
        }
    }

    /// Drops the records of an artifact that was removed, and adds the action that restores it.
    pub(super) fn record_removed(&mut self, undo: Undo, is_removed: impl Fn(&Artifact) -> bool) -> Result<()> {
        self.note_removed(undo, is_removed);
        self.save_receipt()
    }

    /// Like [`Self::record_removed`], but leaves the writing to the next step: the record on disk of a missing artifact is
    /// ignored.
    pub(super) fn note_removed(&mut self, undo: Undo, is_removed: impl Fn(&Artifact) -> bool) {
        self.undo_list.push((undo, self.receipt.records.clone()));
        self.receipt.records.retain(|record| !is_removed(&record.made));
    }

    /// Records which systems are registered now.
    pub(super) fn record_systems(&mut self, plan: &Plan) -> Result<()> {
        for system_plan in &plan.systems {
            let target = system_plan.arch.target;
            match system_plan.system.clone() {
                Some(mut system) => {
                    system.proven |= self.proven.contains(&target);
                    if let Some((version, source)) = self.fallback_sources.get(target) {
                        (system.qemu, system.source) = (version.to_string(), source.clone());
                    }
                    self.receipt.systems.insert(target.to_owned(), system);
                }
                None => {
                    self.receipt.systems.remove(target);
                }
            }
        }
        for rule_plan in &plan.rules {
            let name = &rule_plan.name;
            match rule_plan.rule.clone() {
                Some(mut rule) => {
                    rule.tested |= self.tested_rules.contains(name);
                    self.receipt.rules.insert(name.clone(), rule);
                }
                None => drop(self.receipt.rules.remove(name)),
            }
        }
        for planned in &plan.accelerations {
            let target = planned.arch.target;
            match planned.acceleration.clone() {
                Some(new) => drop(self.receipt.accelerations.insert(target.to_owned(), new)),
                None => drop(self.receipt.accelerations.remove(target)),
            }
        }
        for (target, (emulator, launcher)) in &self.accelerated {
            if let Some(acceleration) = self.receipt.accelerations.get_mut(*target) {
                (acceleration.emulator, acceleration.launcher) = (*emulator, *launcher);
            }
        }
        if self.receipt.is_spent() { self.close_receipt() } else { self.save_receipt() }
    }

    /// Removes the receipt and the recorded directories, when nothing else is left.
    pub(super) fn close_receipt(&mut self) -> Result<()> {
        let dirs: Vec<_> = self.receipt.records.drain(..).filter_map(|record| record.made.into_dir()).collect();
        let receipt_dir = Path::new(paths::RECEIPT_DIR);
        Receipt::remove(self.host, dirs.iter().any(|dir| dir == receipt_dir))?;
        for dir in dirs.iter().rev().filter(|dir| *dir != receipt_dir) {
            self.host.remove_dir(dir)?;
        }
        Ok(())
    }
}
