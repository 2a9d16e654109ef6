//! Files under a temporary name, in the directory where they will be placed:
//! placing one is a `rename(2)`, and until then nobody takes it for the thing.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Permissions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::dir_fd::Dir;
use super::failpoint;

/// Temporary names start like this; what a killed run left under one is swept.
pub const TEMP_PREFIX: &str = ".binfmt-nix-";

/// A temporary name that is free: the lock is held, what killed runs left was
/// swept, and each name is given once.
pub(super) fn name() -> OsString {
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    format!("{TEMP_PREFIX}{}-{}", std::process::id(), GIVEN.fetch_add(1, Ordering::Relaxed)).into()
}

/// A temporary name, which goes with this value unless it became a real one.
#[derive(Debug)]
pub(super) struct Temp {
    dir: Dir,
    name: OsString,
    placed: bool,
}

impl Temp {
    /// An empty file, which nobody else may read yet.
    pub(super) fn create(dir: Dir) -> io::Result<(Self, File)> {
        let name = name();
        let file = dir.create(&name)?;
        Ok((Self { dir, name, placed: false }, file))
    }

    /// A second name of the file `name`.
    pub(super) fn second_name(dir: Dir, name: &OsStr) -> io::Result<Self> {
        let second = self::name();
        dir.name_too(name, &second)?;
        Ok(Self { dir, name: second, placed: false })
    }

    /// Renames it, in the place of whatever has that name.
    pub(super) fn place(&mut self, name: &OsStr) -> io::Result<()> {
        let placed = self.dir.rename(&self.name, name);
        // Where both were names of one file, rename(2) does nothing; and of an
        // fsync that failed we cannot tell.
        self.placed = placed.is_ok() && !self.dir.has(&self.name).unwrap_or(true);
        placed
    }

    /// Where it is, for messages.
    pub(super) fn path(&self) -> PathBuf {
        self.dir.path(&self.name)
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        if !self.placed {
            // Swept by the next run, if this fails.
            drop(self.dir.unlink(&self.name));
        }
    }
}

/// A file that is being filled. Dropped unplaced, it is deleted.
#[derive(Debug)]
pub struct Staged {
    pub(super) temp: Temp,
    pub(super) file: File,
}

impl Staged {
    /// The handle it was created with.
    pub fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Makes it a finished program: mode 0755, on disk, closed for writing (a
    /// file that is open for writing cannot be executed: ETXTBSY).
    pub fn finish(self) -> io::Result<Ready> {
        let Self { temp, file } = self;
        failpoint::before("chmod", &temp.path())?;
        file.set_permissions(Permissions::from_mode(0o755))?;
        failpoint::before("fsync", &temp.path())?;
        file.sync_all()?;
        let read_only = temp.dir.read(&temp.name)?;
        drop(file);
        Ok(Ready { temp, file: read_only })
    }
}

/// A staged file that is complete and can be executed, under its temporary name.
#[derive(Debug)]
pub struct Ready {
    pub(super) temp: Temp,
    file: File,
}

impl Ready {
    /// The very file, to be executed whatever its name has come to mean; valid
    /// until it is placed or dropped.
    pub fn program(&self) -> PathBuf {
        Path::new("/proc/self/fd").join(self.file.as_raw_fd().to_string())
    }
}

/// A second name of what will be replaced, to go back to.
#[derive(Debug)]
pub struct Previous {
    pub(super) temp: Temp,
}
