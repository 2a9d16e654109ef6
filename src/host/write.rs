//! Writes that are either whole or not there at all.

use std::fs::{File, Metadata, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tempfile::{NamedTempFile, TempPath};

use super::{Host, OpenOptions};
use crate::error::{Error, Result};

/// Temporary files that a killed run may leave start like this.
pub const TEMP_PREFIX: &str = ".binfmt-nix-";

/// A file that is being filled in the directory where it will be placed, so
/// that placing it is one `rename(2)`. Dropped unplaced, it is deleted.
#[derive(Debug)]
pub struct Staged {
    temp: NamedTempFile,
}

impl Staged {
    /// A second handle to write to.
    pub fn writer(&self) -> io::Result<File> {
        self.temp.reopen()
    }

    /// The handle it was created with.
    pub fn file(&mut self) -> &mut File {
        self.temp.as_file_mut()
    }

    /// Makes it a finished program: mode 0755, on disk, closed for writing (a
    /// file that is open for writing cannot be executed: ETXTBSY).
    pub fn finish(self) -> io::Result<Ready> {
        self.temp.as_file().set_permissions(Permissions::from_mode(0o755))?;
        self.temp.as_file().sync_all()?;
        Ok(Ready { path: self.temp.into_temp_path() })
    }
}

/// A staged file that is complete and executable under its temporary name.
#[derive(Debug)]
pub struct Ready {
    path: TempPath,
}

impl Ready {
    /// Its real path, valid until it is placed or dropped.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Host {
    /// An empty temporary file in the logical directory `dir`.
    pub fn stage(&self, dir: &Path) -> Result<Staged> {
        let real = self.at(dir);
        let temp = temp_in(&real).map_err(|e| Error::io("create a temporary file in", &real, e))?;
        Ok(Staged { temp })
    }

    /// Gives a finished file its final name. What had the name before is
    /// returned under a temporary one, to go back to.
    pub fn place(&self, file: Ready, path: &Path) -> Result<Option<Ready>> {
        let real = self.at(path);
        let failed = |e| Error::io("place", &real, e);
        let dir = parent(&real);
        let previous = if self.exists(path) {
            let link = previous_name(&real);
            std::fs::hard_link(&real, &link).map_err(failed)?;
            let path = TempPath::try_from_path(link).map_err(failed)?;
            Some(Ready { path })
        } else {
            None
        };
        file.path.persist(&real).map_err(|e| failed(e.error))?;
        sync_dir(dir).map_err(failed)?;
        Ok(previous)
    }

    /// Gives what [`Host::place`] returned its name back.
    pub fn put_back(&self, previous: Ready, path: &Path) -> Result<()> {
        let real = self.at(path);
        let renamed = previous.path.persist(&real).map_err(|e| e.error);
        renamed.and_then(|()| sync_dir(parent(&real))).map_err(|e| Error::io("put back", &real, e))
    }

    /// Replaces or creates a file by temp, fchmod, fsync, rename, fsync of the
    /// directory. An existing file's mode, owner and extended attributes stay;
    /// a new one is 0644.
    pub fn write_atomic(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        let before = self.lstat(path)?;
        let real = self.at(path);
        replace(&real, bytes, before.as_ref()).map_err(|e| Error::io("write", &real, e))
    }

    /// Exactly one `write(2)` to a file of the kernel, never creating it.
    pub fn write_kernel(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).open(self.at(path))?;
        match file.write(bytes)? {
            n if n == bytes.len() => Ok(()),
            _ => Err(io::ErrorKind::WriteZero.into()),
        }
    }

    /// Gives a new file the SELinux label that the policy has for its place, on
    /// machines with SELinux.
    pub fn relabel(&self, path: &Path) {
        if self.is_live() && self.exists(Path::new("/sys/fs/selinux/enforce")) {
            // Without restorecon the label is the directory's, which is the default.
            drop(self.run(Path::new("/usr/sbin/restorecon"), &["-F", &path.to_string_lossy()]));
        }
    }

    /// Removes a file; one that is not there is fine.
    pub fn remove_file(&self, path: &Path) -> Result<()> {
        let real = self.at(path);
        match std::fs::remove_file(&real) {
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(()),
            Err(e) => Err(Error::io("remove", &real, e)),
            Ok(()) => sync_dir(parent(&real)).map_err(|e| Error::io("remove", &real, e)),
        }
    }
}

fn replace(path: &Path, bytes: &[u8], before: Option<&Metadata>) -> io::Result<()> {
    let mut temp = temp_in(parent(path))?;
    temp.write_all(bytes)?;
    let file = temp.as_file();
    if let Some(meta) = before {
        std::os::unix::fs::fchown(file, Some(meta.uid()), Some(meta.gid()))?;
        copy_xattrs(path, temp.path())?;
    }
    let mode = before.map_or(0o644, |meta| meta.mode() & 0o7777);
    file.set_permissions(Permissions::from_mode(mode))?;
    file.sync_all()?;
    temp.persist(path).map_err(|e| e.error)?;
    sync_dir(parent(path))
}

/// Security labels, ACLs and users' attributes. A file system without them has
/// nothing to keep.
fn copy_xattrs(from: &Path, to: &Path) -> io::Result<()> {
    let names = match xattr::list(from) {
        Ok(names) => names,
        Err(e) if e.kind() == io::ErrorKind::Unsupported => return Ok(()),
        Err(e) => return Err(e),
    };
    for name in names {
        let Some(value) = xattr::get(from, &name)? else {
            continue;
        };
        if xattr::get(to, &name)?.as_ref() != Some(&value) {
            xattr::set(to, &name, &value)?;
        }
    }
    Ok(())
}

fn temp_in(dir: &Path) -> io::Result<NamedTempFile> {
    tempfile::Builder::new().prefix(TEMP_PREFIX).permissions(Permissions::from_mode(0o600)).tempfile_in(dir)
}

/// A temporary name for what had the name `path`. The lock is held, and what
/// killed runs left was swept away, so it is free.
fn previous_name(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    parent(path).join(format!("{TEMP_PREFIX}previous-{name}"))
}

pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

pub(super) fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or_else(|| Path::new("/"))
}
