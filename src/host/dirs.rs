//! Directories: made, removed, and swept of what killed runs left.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::Host;
use super::write::{TEMP_PREFIX, parent, sync_dir};
use crate::error::{Error, Result};

impl Host {
    /// Creates one directory, mode 0755 whatever the umask.
    pub fn make_dir(&self, path: &Path) -> Result<()> {
        let real = self.at(path);
        std::fs::create_dir(&real)
            .and_then(|()| std::fs::set_permissions(&real, Permissions::from_mode(0o755)))
            .and_then(|()| sync_dir(parent(&real)))
            .map_err(|e| Error::io("create the directory", &real, e))
    }

    /// Creates the missing directories above `path`.
    pub fn make_parents(&self, path: &Path) -> Result<()> {
        let missing: Vec<_> = path.ancestors().skip(1).filter(|dir| !self.exists(dir)).collect();
        missing.into_iter().rev().try_for_each(|dir| self.make_dir(dir))
    }

    /// Removes a directory if it is empty; `false` if something is in it.
    pub fn remove_dir(&self, path: &Path) -> Result<bool> {
        let real = self.at(path);
        match std::fs::remove_dir(&real) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(false),
            Err(e) => Err(Error::io("remove the directory", &real, e)),
        }
    }

    /// Removes a directory that only we ever wrote to, and what is in it.
    pub fn remove_tree(&self, path: &Path) {
        // Best effort: it is named as ours and is swept again on the next run.
        drop(std::fs::remove_dir_all(self.at(path)));
    }

    /// Creates a directory together with one file in it: either both are there
    /// or none is, whenever the process is killed.
    pub fn make_dir_with(&self, path: &Path, name: &str, bytes: &[u8]) -> Result<()> {
        let temp = beside(path, "new");
        self.make_dir(&temp)?;
        let made = self.write_atomic(&temp.join(name), bytes).and_then(|()| self.rename(&temp, path));
        if made.is_err() {
            self.remove_tree(&temp);
        }
        made
    }

    /// Removes a directory together with the one file in it; `false` if
    /// something else is in it.
    pub fn remove_dir_with(&self, path: &Path, name: &str) -> Result<bool> {
        if !self.exists(path) {
            return Ok(true);
        }
        if self.list(path)?.iter().any(|found| found != name) {
            return Ok(false);
        }
        let temp = beside(path, "old");
        self.rename(path, &temp)?;
        self.remove_tree(&temp);
        Ok(true)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        let (from, to) = (self.at(from), self.at(to));
        std::fs::rename(&from, &to).and_then(|()| sync_dir(parent(&to))).map_err(|e| Error::io("rename", &from, e))
    }

    /// Removes what killed runs left in `dir`. Only under the lock.
    pub fn sweep(&self, dir: &Path) -> Result<()> {
        for name in self.list(dir)? {
            if name.to_string_lossy().starts_with(TEMP_PREFIX) {
                let path = dir.join(&name);
                match self.lstat(&path)? {
                    Some(meta) if meta.is_dir() => self.remove_tree(&path),
                    _ => self.remove_file(&path)?,
                }
            }
        }
        Ok(())
    }
}

/// A temporary name in the same directory.
fn beside(path: &Path, what: &str) -> PathBuf {
    path.with_file_name(format!("{TEMP_PREFIX}{what}"))
}
