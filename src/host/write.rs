//! Atomic writes: after each, a file is either complete or unchanged.

use std::ffi::OsStr;
use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use nix::errno::Errno;
use xattr::FileExt as _;

use super::dir_fd::Dir;
use super::staging::{Backup, StagedFile, StagedProgram, TempName};
use super::{Host, failpoint};
use crate::error::{Error, Result};

/// Mode of a new file.
pub(super) const NEW_FILE: u32 = 0o644;

impl Host {
    /// Creates an empty staged file in the logical directory `dir`.
    pub fn stage_file(&self, dir: &Path) -> Result<StagedFile> {
        let staged = TempName::create_file(self.open_dir_checked(dir)?);
        let (temp, file) = staged.map_err(|e| Error::io("create a temporary file in", &self.real_path(dir), e))?;
        Ok(StagedFile { temp, file })
    }

    /// Renames a staged program to its final name, in the directory where it was staged.
    pub fn place_program(&self, file: StagedProgram, path: &Path) -> Result<()> {
        let StagedProgram { mut temp, .. } = file;
        let name = path.file_name().unwrap_or_default();
        temp.rename_to(name).map_err(|e| Error::io("place", &self.real_path(path), e))
    }

    /// Exchanges the file at `path` with the file of another name in the same directory.
    pub fn exchange_files(&self, path: &Path, other: &Path) -> Result<()> {
        let (dir, name) = self.open_parent_checked(path)?;
        let (other_dir, other) = self.open_parent_checked(other)?;
        // Few file systems cannot do it: those of FUSE whose server does not know it (`fuse_rename2`), NFS, ext2.
        let cannot = |e: &io::Error| {
            [Errno::EINVAL, Errno::ENOSYS].map(|errno| errno as i32).contains(&e.raw_os_error().unwrap_or_default())
        };
        let exchanged = match dir.exchange(name, other) {
            Err(e) if cannot(&e) => TempName::exchange([dir, other_dir], name, other),
            done => done,
        };
        exchanged.map_err(|e| Error::io("exchange", &self.real_path(path), e))
    }

    /// Adds a second name to the file at `path`, from which it can be restored. Returns `None` if the file does not
    /// exist.
    pub fn keep_backup(&self, path: &Path) -> Result<Option<Backup>> {
        let Some((dir, name)) = self.open_parent_if_exists(path)? else { return Ok(None) };
        let temp = TempName::link_file(dir, name).map_err(|e| Error::io("back up", &self.real_path(path), e))?;
        Ok(Some(Backup { temp }))
    }

    /// Gives the backup of [`Host::keep_backup`] its name back.
    pub fn restore_backup(&self, previous: Backup, path: &Path) -> Result<()> {
        let Backup { mut temp } = previous;
        let name = path.file_name().unwrap_or_default();
        temp.rename_to(name).map_err(|e| Error::io("restore", &self.real_path(path), e))
    }

    /// Replaces or creates a file: writes a temporary file, then fchmod, fsync, rename, and fsync of the directory. An
    /// existing file's mode, owner and extended attributes are kept; a new file has mode 0644.
    pub fn write_atomic(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        self.write_atomic_as(path, bytes, NEW_FILE)
    }

    /// Like [`Host::write_atomic`], but a new file has this mode.
    pub fn write_atomic_as(&self, path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
        let (dir, name) = self.open_parent_checked(path)?;
        replace_file(&dir, name, bytes, mode).map_err(|e| Error::io("write", &self.real_path(path), e))
    }

    /// Creates a symbolic link. Fails if the path exists.
    pub fn make_link(&self, path: &Path, target: &Path) -> Result<()> {
        let (dir, name) = self.open_parent_checked(path)?;
        dir.make_link(name, target).map_err(|e| Error::io("create the link", &self.real_path(path), e))
    }

    /// Opens a file that is written in pieces, and creates it with mode 0600 if it is missing. A symbolic link, a file
    /// with a second name, and a file of another user are rejected.
    pub fn open_private_file(&self, path: &Path) -> Result<File> {
        let real = self.real_path(path);
        let (dir, name) = self.open_parent_checked(path)?;
        let file = dir.open_or_create(name, 0o600).map_err(|e| Error::io("open", &real, e))?;
        let meta = file.metadata().map_err(|e| Error::io("look at", &real, e))?;
        if meta.is_file() && meta.nlink() == 1 && meta.uid() == super::env::effective_ids().0 {
            return Ok(file);
        }
        Err(Error::io(
            "open",
            &real,
            io::Error::new(
                io::ErrorKind::InvalidInput,
                "it is not a regular file, has a second name, or belongs to another user",
            ),
        ))
    }

    /// Gives a new file the SELinux label that the policy defines for its path, on machines with SELinux.
    pub fn restore_selinux_label(&self, path: &Path) {
        if self.is_live() && self.exists(Path::new("/sys/fs/selinux/enforce")) {
            // Without restorecon the file has the label of its directory, which is the default.
            drop(self.run_trusted_quietly("/usr/sbin/restorecon", &["-F", &path.to_string_lossy()]));
        }
    }

    /// Removes a file. A missing file is not an error.
    pub fn remove_file(&self, path: &Path) -> Result<()> {
        let Some((dir, name)) = self.open_parent_if_exists(path)? else { return Ok(()) };
        match dir.remove_file(name) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", &self.real_path(path), e)),
            _ => Ok(()),
        }
    }
}

pub(super) fn replace_file(dir: &Dir, name: &OsStr, bytes: &[u8], new_mode: u32) -> io::Result<()> {
    let previous = match dir.open_file(name) {
        Ok(file) => Some(file),
        Err(e) if e.kind() == io::ErrorKind::NotFound => None,
        Err(e) => return Err(e),
    };
    let (mut temp, mut file) = TempName::create_file(dir.try_clone()?)?;
    failpoint::write_all(&mut file, bytes, &dir.path_of(name))?;
    let mut mode = new_mode;
    if let Some(previous) = previous {
        let meta = previous.metadata()?;
        mode = meta.mode() & 0o7777;
        std::os::unix::fs::fchown(&file, Some(meta.uid()), Some(meta.gid()))?;
        copy_xattrs(&previous, &file)?;
    }
    file.set_permissions(Permissions::from_mode(mode))?;
    failpoint::begin_change("fsync", &dir.path_of(name))?;
    file.sync_all()?;
    temp.rename_to(name)
}

/// Copies all extended attributes: security labels, ACLs and user attributes. A file system without extended attributes
/// has none to copy.
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
