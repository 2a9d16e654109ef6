//! Creating and removing directories, and removing the temporary files that killed runs left.

use std::ffi::OsStr;
use std::io;
use std::path::Path;

use super::Host;
use super::dir_fd::Dir;
use super::staging::{self, TEMP_PREFIX};
use crate::error::{Error, Result};

impl Host {
    /// Creates one directory with mode 0755, whatever the umask is.
    pub fn make_dir(&self, path: &Path) -> Result<()> {
        let (parent, name) = self.open_parent_checked(path)?;
        parent.make_dir(name).map(drop).map_err(|e| Error::io("create the directory", &self.real_path(path), e))
    }

    /// Creates the missing directories above `path`. Another process may do the same at the same time.
    pub fn make_parents(&self, path: &Path) -> Result<()> {
        let missing: Vec<_> = path.ancestors().skip(1).filter(|dir| !self.exists(dir)).collect();
        missing.into_iter().rev().try_for_each(|dir| match self.make_dir(dir) {
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            made => made,
        })
    }

    /// Removes a directory if it is empty. Returns `false` if it is not empty.
    pub fn remove_dir(&self, path: &Path) -> Result<bool> {
        let Some((parent, name)) = self.open_parent_if_exists(path)? else { return Ok(true) };
        match parent.remove_dir(name) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(false),
            Err(e) => Err(Error::io("remove the directory", &self.real_path(path), e)),
        }
    }

    /// Removes a directory that only this tool writes to, with everything in it.
    pub fn remove_tree(&self, path: &Path) {
        // Failures are ignored: the name marks it as temporary, so the next run removes it.
        if let Ok((parent, name)) = self.open_parent_checked(path) {
            drop(parent.remove_tree(name));
        }
    }

    /// Creates a directory together with one file in it. Whenever the process is killed, either both exist or neither
    /// does.
    pub fn make_dir_with_file(&self, path: &Path, name: &str, bytes: &[u8]) -> Result<()> {
        let (parent, dir) = self.open_parent_checked(path)?;
        let temp = staging::unique_name();
        let filled = parent.make_dir(&temp).and_then(|created| {
            super::write::replace_file(&created, OsStr::new(name), bytes)?;
            parent.rename(&temp, dir)
        });
        filled.map_err(|e| {
            drop(parent.remove_tree(&temp));
            Error::io("create the directory", &self.real_path(path), e)
        })
    }

    /// Removes a directory together with the one file `name` in it. Returns `false` if it holds anything else.
    pub fn remove_dir_with_file(&self, path: &Path, name: &str) -> Result<bool> {
        if !self.exists(path) {
            return Ok(true);
        }
        if self.list_dir(path)?.iter().any(|found| found != name) {
            return Ok(false);
        }
        let (parent, dir) = self.open_parent_checked(path)?;
        let temp = staging::unique_name();
        let renamed = parent.rename(dir, &temp);
        // The rename has taken effect even if the fsync after it failed.
        if parent.contains(&temp).unwrap_or(true) {
            drop(parent.remove_tree(&temp));
        }
        renamed.map(|()| true).map_err(|e| Error::io("remove the directory", &self.real_path(path), e))
    }

    /// Removes the temporary files that killed runs left in `dir`. The caller must hold the lock: otherwise they may
    /// belong to a running process.
    pub fn remove_stale_temp_files(&self, dir: &Path) -> Result<()> {
        let is_temp = |name: &&std::ffi::OsString| name.as_encoded_bytes().starts_with(TEMP_PREFIX.as_bytes());
        let names = self.list_dir(dir)?;
        let stale: Vec<_> = names.iter().filter(is_temp).collect();
        if stale.is_empty() {
            return Ok(());
        }
        let dir_fd = self.open_dir_checked(dir)?;
        for name in stale {
            let removed =
                if dir_fd.open_child(name).is_ok() { dir_fd.remove_tree(name) } else { dir_fd.remove_file(name) };
            removed.map_err(|e| Error::io("remove", &self.real_path(&dir.join(name)), e))?;
        }
        Ok(())
    }

    /// Opens the directory that holds `path`, by the checked walk. Returns `None` if `path` does not exist.
    pub(super) fn open_parent_if_exists<'p>(&self, path: &'p Path) -> Result<Option<(Dir, &'p OsStr)>> {
        if self.exists(path) { self.open_parent_checked(path).map(Some) } else { Ok(None) }
    }
}
