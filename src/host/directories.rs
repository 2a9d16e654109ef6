//! Directories: made, removed, and swept of what killed runs left.

use std::ffi::OsStr;
use std::io;
use std::path::Path;

use super::Host;
use super::dir_fd::Dir;
use super::staging::{self, TEMP_PREFIX};
use crate::error::{Error, Result};

impl Host {
    /// Creates one directory, mode 0755 whatever the umask.
    pub fn make_dir(&self, path: &Path) -> Result<()> {
        let (above, name) = self.open_parent_checked(path)?;
        above.make_dir(name).map(drop).map_err(|e| Error::io("create the directory", &self.real_path(path), e))
    }

    /// Creates the missing directories above `path`; another process may do the
    /// same at the same time.
    pub fn make_parents(&self, path: &Path) -> Result<()> {
        let missing: Vec<_> = path.ancestors().skip(1).filter(|dir| !self.exists(dir)).collect();
        missing.into_iter().rev().try_for_each(|dir| match self.make_dir(dir) {
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            made => made,
        })
    }

    /// Removes a directory if it is empty; `false` if something is in it.
    pub fn remove_dir(&self, path: &Path) -> Result<bool> {
        let Some((above, name)) = self.open_parent_if_exists(path)? else { return Ok(true) };
        match above.remove_dir(name) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(false),
            Err(e) => Err(Error::io("remove the directory", &self.real_path(path), e)),
        }
    }

    /// Removes a directory that only we ever wrote to, and what is in it.
    pub fn remove_tree(&self, path: &Path) {
        // Best effort: it is named as ours and is swept again on the next run.
        if let Ok((above, name)) = self.open_parent_checked(path) {
            drop(above.remove_tree(name));
        }
    }

    /// Creates a directory together with one file in it: either both are there
    /// or none is, whenever the process is killed.
    pub fn make_dir_with_file(&self, path: &Path, name: &str, bytes: &[u8]) -> Result<()> {
        let (above, dir) = self.open_parent_checked(path)?;
        let temp = staging::unique_name();
        let filled = above.make_dir(&temp).and_then(|made| {
            super::write::replace_file(&made, OsStr::new(name), bytes)?;
            above.rename(&temp, dir)
        });
        filled.map_err(|e| {
            drop(above.remove_tree(&temp));
            Error::io("create the directory", &self.real_path(path), e)
        })
    }

    /// Removes a directory together with the one file in it; `false` if
    /// something else is in it.
    pub fn remove_dir_with_file(&self, path: &Path, name: &str) -> Result<bool> {
        if !self.exists(path) {
            return Ok(true);
        }
        if self.list_dir(path)?.iter().any(|found| found != name) {
            return Ok(false);
        }
        let (above, dir) = self.open_parent_checked(path)?;
        let temp = staging::unique_name();
        let renamed = above.rename(dir, &temp);
        // A rename whose fsync failed was done all the same.
        if above.contains(&temp).unwrap_or(true) {
            drop(above.remove_tree(&temp));
        }
        renamed.map(|()| true).map_err(|e| Error::io("remove the directory", &self.real_path(path), e))
    }

    /// Removes what killed runs left in `dir`. Only under the lock.
    pub fn remove_stale_temp_files(&self, dir: &Path) -> Result<()> {
        let left = |name: &&std::ffi::OsString| name.as_encoded_bytes().starts_with(TEMP_PREFIX.as_bytes());
        let names = self.list_dir(dir)?;
        let left: Vec<_> = names.iter().filter(left).collect();
        if left.is_empty() {
            return Ok(());
        }
        let here = self.open_dir_checked(dir)?;
        for name in left {
            let removed = if here.open_child(name).is_ok() { here.remove_tree(name) } else { here.remove_file(name) };
            removed.map_err(|e| Error::io("remove", &self.real_path(&dir.join(name)), e))?;
        }
        Ok(())
    }

    /// The directory that holds `path`, if there is one.
    pub(super) fn open_parent_if_exists<'p>(&self, path: &'p Path) -> Result<Option<(Dir, &'p OsStr)>> {
        if self.exists(path) { self.open_parent_checked(path).map(Some) } else { Ok(None) }
    }
}
