//! Creating and removing directories, and removing the temporary files that killed runs left.

use std::ffi::{OsStr, OsString};
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::Host;
use super::dir_fd::Dir;
use super::{staging, trust};
use crate::error::{Error, Result};
use crate::paths;

impl Host {
    /// Creates one directory with mode 0755, whatever the umask is.
    pub fn make_dir(&self, path: &Path) -> Result<()> {
        let (parent, name) = self.open_parent_checked(path)?;
        parent.make_dir(name).map(drop).map_err(|e| Error::io("create the directory", &self.real_path(path), e))
    }

    /// Creates a directory with a temporary name in `parent`, and returns its path. If this process is killed, the next
    /// run removes the directory, as long as it holds only files of [`paths::TEMP_DIR_FILES`].
    pub fn make_temp_dir(&self, parent: &Path) -> Result<PathBuf> {
        let path = parent.join(staging::unique_name());
        self.make_dir(&path)?;
        Ok(path)
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
        // Failures are ignored: its name is a temporary one, so the next run removes it.
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
            super::write::replace_file(&created, OsStr::new(name), bytes, super::write::NEW_FILE)?;
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
        let stale = self.list_stale_temp_files(dir)?;
        if stale.is_empty() {
            return Ok(());
        }
        let dir_fd = self.open_dir_checked(dir)?;
        for name in stale {
            let removed = match dir_fd.open_child(&name) {
                Ok(child) => child
                    .list_names()
                    .and_then(|names| names.iter().try_for_each(|inner| child.remove_file(inner)))
                    .and_then(|()| dir_fd.remove_dir(&name)),
                Err(_) => dir_fd.remove_file(&name),
            };
            removed.map_err(|e| Error::io("remove", &self.real_path(&dir.join(name)), e))?;
        }
        Ok(())
    }

    /// Lists what killed runs left in `dir`: regular files with a temporary name that belong to root or to the user of
    /// this process; and directories that do, if they hold only such files and those of [`paths::TEMP_DIR_FILES`].
    pub fn list_stale_temp_files(&self, dir: &Path) -> Result<Vec<OsString>> {
        let names = self.list_dir(dir)?.into_iter().filter(|name| staging::is_temp_name(name));
        let stale = names.filter_map(|name| match self.is_stale_temp_file(&dir.join(&name)) {
            Ok(true) => Some(Ok(name)),
            Ok(false) => None,
            Err(error) => Some(Err(error)),
        });
        stale.collect()
    }

    fn is_stale_temp_file(&self, path: &Path) -> Result<bool> {
        let is_ours = |meta: &Metadata| !trust::is_untrusted_uid(meta.uid());
        let Some(meta) = self.lstat(path)?.filter(is_ours) else { return Ok(false) };
        if !meta.is_dir() {
            return Ok(meta.is_file());
        }
        for name in self.list_dir(path)? {
            let is_known = staging::is_temp_name(&name) || paths::TEMP_DIR_FILES.iter().any(|known| name == *known);
            let meta = self.lstat(&path.join(name))?.filter(|meta| is_known && meta.is_file() && is_ours(meta));
            if meta.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Opens the directory that holds `path`, by the checked walk. Returns `None` if `path` does not exist.
    pub(super) fn open_parent_if_exists<'p>(&self, path: &'p Path) -> Result<Option<(Dir, &'p OsStr)>> {
        if self.exists(path) { self.open_parent_checked(path).map(Some) } else { Ok(None) }
    }
}
