//! Steps that create, change and remove directories and text files.

use std::path::Path;

use super::Apply;
use crate::error::Result;
use crate::nix::conf;
use crate::register::apply::rollback::Undo;
use crate::register::receipt::Artifact;
use crate::register::subject::Subject;
use crate::sanitize::AsText as _;
use crate::sha256::Sha256;

impl Apply<'_> {
    /// Creates a directory and records it.
    pub(super) fn make_dir(&mut self, path: &Path) -> Result<()> {
        // `open_receipt` may have created a parent directory such as `/var` already.
        if self.host.exists(path) {
            return Ok(());
        }
        let artifact = Artifact::Dir { path: path.to_owned() };
        self.record_started(artifact.clone(), None)?;
        self.host.make_dir(path)?;
        self.host.restore_selinux_label(path);
        self.push_undo(Undo::RemoveDir(path.to_owned()));
        self.record_done(artifact)
    }

    /// Writes a file that belongs to this tool as a whole.
    pub(super) fn write_file(
        &mut self,
        path: &Path,
        text: &[u8],
        subject: Option<&Subject>,
        executable: bool,
    ) -> Result<()> {
        let before = self.host.read_file(path)?;
        let (path, sha256) = (path.to_owned(), Sha256::of_bytes(text));
        let artifact = Artifact::File { path: path.clone(), sha256 };
        self.record_started(artifact.clone(), subject)?;
        self.push_undo(match before {
            Some(bytes) => Undo::WriteFile(path.clone(), bytes),
            None => Undo::RemoveFile(path.clone()),
        });
        self.host.write_atomic_as(&path, text, if executable { 0o755 } else { 0o644 })?;
        self.host.restore_selinux_label(&path);
        self.record_done(artifact)
    }

    /// Adds the `!include` line to a nix.conf.
    pub(super) fn add_include(&mut self, path: &Path) -> Result<()> {
        let before = self.host.read_file(path)?;
        let created = before.is_none();
        let included = conf::add_include(&before.unwrap_or_default());
        let (path, newline_added) = (path.to_owned(), included.newline_added);
        let artifact = Artifact::Include { path: path.clone(), created, newline_added };
        self.record_started(artifact.clone(), None)?;
        self.push_undo(Undo::RemoveInclude { path: path.clone(), newline_added, created });
        self.host.write_atomic(&path, &included.text)?;
        self.record_done(artifact)
    }

    /// Removes the `!include` line and its record.
    pub(super) fn remove_include(&mut self, path: &Path, newline_added: bool, created: bool) -> Result<()> {
        let before = self.host.read_file(path)?.unwrap_or_default();
        self.remove_include_line(path, newline_added, created)?;
        let undo = Undo::WriteFile(path.to_owned(), before);
        self.record_removed(
            undo,
            |artifact| matches!(artifact, Artifact::Include { path: recorded, .. } if recorded == path),
        )
    }

    /// Removes only the `!include` line, so that lines added since stay. A file that this tool created is deleted if nothing
    /// else is left in it. A missing file is not created.
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

    /// Removes a file and its records.
    pub(super) fn remove_file(&mut self, path: &Path) -> Result<()> {
        self.host.remove_file(path)?;
        let is_removed =
            |artifact: &Artifact| !matches!(artifact, Artifact::Include { .. }) && artifact.path() == Some(path);
        self.receipt.records.retain(|record| !is_removed(&record.made));
        self.save_receipt()
    }

    /// Removes a directory if it is empty. The record stays as long as the directory contains recorded artifacts.
    pub(super) fn remove_dir(&mut self, path: &Path) -> Result<()> {
        let removed = self.host.remove_dir(path)?;
        let is_inside =
            |artifact: &Artifact| artifact.path().is_some_and(|inner| inner != path && inner.starts_with(path));
        if !removed && self.receipt.records.iter().any(|record| is_inside(&record.made)) {
            return Ok(());
        }
        if !removed {
            self.notes.push(format!("{} is kept: it contains other files", path.as_text()));
        }
        self.receipt.records.retain(|record| record.made != Artifact::Dir { path: path.to_owned() });
        self.save_receipt()
    }
}
