//! The receipt as a journal: what is about to be made is on the disk before it
//! is made, and how it is taken back is known before it can be half made.

use std::path::Path;

use binfmt_magic::Arch;

use super::Apply;
use crate::error::Result;
use crate::paths;
use crate::register::apply::rollback::Undo;
use crate::register::plan::Plan;
use crate::register::receipt::{Artifact, Receipt, Record, Stage};

impl Apply<'_> {
    /// Makes room for the receipt.
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

    /// Writes the receipt, if it is not so already.
    pub(super) fn save_receipt(&mut self) -> Result<()> {
        let nothing = self.on_disk.is_none() && self.receipt.is_empty();
        if !nothing && self.on_disk.as_ref() != Some(&self.receipt) {
            // Which of the two is there, if this fails, nobody knows.
            self.on_disk = None;
            self.receipt.save(self.host)?;
            self.on_disk = Some(self.receipt.clone());
        }
        Ok(())
    }

    pub(super) fn record_dir(&mut self, path: &Path) {
        let made = Artifact::Dir { path: path.to_owned() };
        self.receipt.records.push(Record { state: Stage::Done, target: None, made });
    }

    /// Records that something is about to be made.
    pub(super) fn record_started(&mut self, made: Artifact, arch: Option<&Arch>) -> Result<()> {
        let target = arch.map(|arch| arch.target.to_owned());
        self.records_before.clone_from(&self.receipt.records);
        self.receipt.records.push(Record { state: Stage::Begun, target, made });
        self.save_receipt()
    }

    /// What was begun is taken back like this, if it comes to that: said before
    /// a file is written, as a write that fails may have got through; and after
    /// what either is or is not, lest somebody else's be taken for it.
    pub(super) fn push_undo(&mut self, undo: Undo) {
        self.undo_list.push((undo, self.records_before.clone()));
    }

    /// Records that it is made, in its final form; an older record of the same
    /// thing is no longer true.
    pub(super) fn record_done(&mut self, made: Artifact) -> Result<()> {
        let Some(mut record) = self.receipt.records.pop() else {
            return Ok(());
        };
        record.state = Stage::Done;
        self.receipt.records.retain(|other| !other.made.is_same_object(&made));
        record.made = made;
        self.receipt.records.push(record);
        self.save_receipt()
    }

    /// Forgets something that was taken away.
    pub(super) fn record_removed(&mut self, undo: Undo, gone: impl Fn(&Artifact) -> bool) -> Result<()> {
        self.undo_list.push((undo, self.receipt.records.clone()));
        self.receipt.records.retain(|record| !gone(&record.made));
        self.save_receipt()
    }

    /// Writes down which systems are registered now.
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
        if self.receipt.is_spent() { self.close_receipt() } else { self.save_receipt() }
    }

    /// Nothing of ours is left but the receipt and directories: they go too.
    pub(super) fn close_receipt(&mut self) -> Result<()> {
        let dirs: Vec<_> = self.receipt.records.drain(..).filter_map(|record| record.made.into_dir()).collect();
        let receipts = Path::new(paths::RECEIPT_DIR);
        Receipt::remove(self.host, dirs.iter().any(|dir| dir == receipts))?;
        for dir in dirs.iter().rev().filter(|dir| *dir != receipts) {
            self.host.remove_dir(dir)?;
        }
        Ok(())
    }
}
