//! Steps on directories and text files.

use std::path::Path;

use binfmt_magic::Arch;

use super::Apply;
use crate::error::Result;
use crate::nix::conf;
use crate::register::apply::rollback::Undo;
use crate::register::receipt::Artifact;
use crate::sha256::Sha256;

impl Apply<'_> {
    pub(super) fn make_dir(&mut self, path: &Path) -> Result<()> {
        // `/var` may have come with the receipt's own directory.
        if self.host.exists(path) {
            return Ok(());
        }
        let made = Artifact::Dir { path: path.to_owned() };
        self.record_started(made.clone(), None)?;
        self.host.make_dir(path)?;
        self.push_undo(Undo::RemoveDir(path.to_owned()));
        self.record_done(made)
    }

    pub(super) fn write_file(&mut self, path: &Path, text: &[u8], arch: Option<&Arch>) -> Result<()> {
        let before = self.host.read_file(path)?;
        let (path, sha256) = (path.to_owned(), Sha256::of_bytes(text));
        let made = Artifact::File { path: path.clone(), sha256 };
        self.record_started(made.clone(), arch)?;
        self.push_undo(match before {
            Some(bytes) => Undo::WriteFile(path.clone(), bytes),
            None => Undo::RemoveFile(path.clone()),
        });
        self.host.write_atomic(&path, text)?;
        self.host.restore_selinux_label(&path);
        self.record_done(made)
    }

    pub(super) fn add_include(&mut self, path: &Path) -> Result<()> {
        let before = self.host.read_file(path)?;
        let created = before.is_none();
        let included = conf::add_include(&before.unwrap_or_default());
        let (path, newline_added) = (path.to_owned(), included.newline_added);
        let made = Artifact::Include { path: path.clone(), created, newline_added };
        self.record_started(made.clone(), None)?;
        self.push_undo(Undo::RemoveInclude { path: path.clone(), newline_added, created });
        self.host.write_atomic(&path, &included.text)?;
        self.record_done(made)
    }

    pub(super) fn remove_include(&mut self, path: &Path, newline_added: bool, created: bool) -> Result<()> {
        let before = self.host.read_file(path)?.unwrap_or_default();
        self.remove_include_line(path, newline_added, created)?;
        let undo = Undo::WriteFile(path.to_owned(), before);
        self.record_removed(undo, |made| matches!(made, Artifact::Include { path: made, .. } if made == path))
    }

    /// Line by line, so that what others wrote meanwhile stays; a file that was
    /// ours and has nothing else in it goes, and one that is gone stays so.
    pub(super) fn remove_include_line(&self, path: &Path, newline_added: bool, created: bool) -> Result<()> {
        let Some(before) = self.host.read_file(path)? else {
            return Ok(());
        };
        let after = conf::remove_include(&before, newline_added);
        if created && after.is_empty() {
            return self.host.remove_file(path);
        }
        if after == before { Ok(()) } else { self.host.write_atomic(path, &after) }
    }

    pub(super) fn remove_file(&mut self, path: &Path) -> Result<()> {
        self.host.remove_file(path)?;
        let gone = |made: &Artifact| !matches!(made, Artifact::Include { .. }) && made.path() == Some(path);
        self.receipt.records.retain(|record| !gone(&record.made));
        self.save_receipt()
    }

    pub(super) fn remove_dir(&mut self, path: &Path) -> Result<()> {
        let removed = self.host.remove_dir(path)?;
        let holds_ours = |made: &Artifact| made.path().is_some_and(|inner| inner != path && inner.starts_with(path));
        if !removed && self.receipt.records.iter().any(|record| holds_ours(&record.made)) {
            return Ok(());
        }
        if !removed {
            self.notes.push(format!("{} stays: something else is in it", path.display()));
        }
        self.receipt.records.retain(|record| record.made != Artifact::Dir { path: path.to_owned() });
        self.save_receipt()
    }
}
