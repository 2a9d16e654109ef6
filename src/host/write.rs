//! Writes that are either whole or not there at all.

use std::ffi::OsStr;
use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use xattr::FileExt as _;

use super::dir_fd::Dir;
use super::staging::{Backup, StagedFile, StagedProgram, TempName};
use super::{Host, failpoint};
use crate::error::{Error, Result};

impl Host {
    /// An empty temporary file in the logical directory `dir`.
    pub fn stage_file(&self, dir: &Path) -> Result<StagedFile> {
        let staged = TempName::create_file(self.open_dir_checked(dir)?);
        let (temp, file) = staged.map_err(|e| Error::io("create a temporary file in", &self.real_path(dir), e))?;
        Ok(StagedFile { temp, file })
    }

    /// Gives a finished file its final name, in the directory where it was staged.
    pub fn place_program(&self, file: StagedProgram, path: &Path) -> Result<()> {
        let StagedProgram { mut temp, .. } = file;
        let name = path.file_name().unwrap_or_default();
        temp.rename_to(name).map_err(|e| Error::io("place", &self.real_path(path), e))
    }

    /// A second name for what may be at `path`, to go back to.
    pub fn keep_backup(&self, path: &Path) -> Result<Option<Backup>> {
        let Some((dir, name)) = self.open_parent_if_exists(path)? else { return Ok(None) };
        let temp = TempName::link_file(dir, name).map_err(|e| Error::io("keep", &self.real_path(path), e))?;
        Ok(Some(Backup { temp }))
    }

    /// Gives what [`Host::keep_backup`] returned its name back, if it lost it.
    pub fn restore_backup(&self, previous: Backup, path: &Path) -> Result<()> {
        let Backup { mut temp } = previous;
        let name = path.file_name().unwrap_or_default();
        temp.rename_to(name).map_err(|e| Error::io("put back", &self.real_path(path), e))
    }

    /// Replaces or creates a file by temp, fchmod, fsync, rename, fsync of the
    /// directory. An existing file's mode, owner and extended attributes stay;
    /// a new one is 0644.
    pub fn write_atomic(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        let (dir, name) = self.open_parent_checked(path)?;
        replace_file(&dir, name, bytes).map_err(|e| Error::io("write", &self.real_path(path), e))
    }

    /// Opens a file that is written piece by piece, for this user alone; created if it is not there. A link, or
    /// what has a second name, is refused.
    pub fn open_private_file(&self, path: &Path) -> Result<File> {
        let real = self.real_path(path);
        let (dir, name) = self.open_parent_checked(path)?;
        let file = dir.open_or_create(name, 0o600).map_err(|e| Error::io("open", &real, e))?;
        let meta = file.metadata().map_err(|e| Error::io("look at", &real, e))?;
        if meta.is_file() && meta.nlink() == 1 && meta.uid() == super::env::effective_ids().0 {
            return Ok(file);
        }
        Err(Error::io("open", &real, io::Error::new(io::ErrorKind::InvalidInput, "it is not a file of our own")))
    }

    /// Gives a new file the SELinux label that the policy has for its place, on
    /// machines with SELinux.
    pub fn restore_selinux_label(&self, path: &Path) {
        if self.is_live() && self.exists(Path::new("/sys/fs/selinux/enforce")) {
            // Without restorecon the label is the directory's, which is the default.
            drop(super::process::run_program(Path::new("/usr/sbin/restorecon"), &["-F", &path.to_string_lossy()]));
        }
    }

    /// Removes a file; one that is not there is fine.
    pub fn remove_file(&self, path: &Path) -> Result<()> {
        let Some((dir, name)) = self.open_parent_if_exists(path)? else { return Ok(()) };
        match dir.remove_file(name) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", &self.real_path(path), e)),
            _ => Ok(()),
        }
    }
}

pub(super) fn replace_file(dir: &Dir, name: &OsStr, bytes: &[u8]) -> io::Result<()> {
    let before = match dir.open_file(name) {
        Ok(file) => Some(file),
        Err(e) if e.kind() == io::ErrorKind::NotFound => None,
        Err(e) => return Err(e),
    };
    let (mut temp, mut file) = TempName::create_file(dir.try_clone()?)?;
    failpoint::write_all(&mut file, bytes, &dir.path_of(name))?;
    let mut mode = 0o644;
    if let Some(before) = before {
        let meta = before.metadata()?;
        mode = meta.mode() & 0o7777;
        std::os::unix::fs::fchown(&file, Some(meta.uid()), Some(meta.gid()))?;
        copy_xattrs(&before, &file)?;
    }
    file.set_permissions(Permissions::from_mode(mode))?;
    failpoint::begin_change("fsync", &dir.path_of(name))?;
    file.sync_all()?;
    temp.rename_to(name)
}

/// Security labels, ACLs and users' attributes. A file system without them has
/// nothing to keep.
fn copy_xattrs(from: &File, to: &File) -> io::Result<()> {
    let names = match from.list_xattr() {
        Ok(names) => names,
        Err(e) if e.kind() == io::ErrorKind::Unsupported => return Ok(()),
        Err(e) => return Err(e),
    };
    for name in names {
        let Some(value) = from.get_xattr(&name)? else {
            continue;
        };
        if to.get_xattr(&name)?.as_ref() != Some(&value) {
            to.set_xattr(&name, &value)?;
        }
    }
    Ok(())
}
