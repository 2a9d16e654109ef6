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
pub(super) fn unique_name() -> OsString {
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    format!("{TEMP_PREFIX}{}-{}", std::process::id(), GIVEN.fetch_add(1, Ordering::Relaxed)).into()
}

/// A temporary name, which goes with this value unless it became a real one.
#[derive(Debug)]
pub(super) struct TempName {
    dir: Dir,
    name: OsString,
    placed: bool,
}

impl TempName {
    /// An empty file, which nobody else may read yet.
    pub(super) fn create_file(dir: Dir) -> io::Result<(Self, File)> {
        let name = unique_name();
        let file = dir.create_file(&name)?;
        Ok((Self { dir, name, placed: false }, file))
    }

    /// A second name of the file `name`.
    pub(super) fn link_file(dir: Dir, name: &OsStr) -> io::Result<Self> {
        let second = self::unique_name();
        dir.hard_link(name, &second)?;
        Ok(Self { dir, name: second, placed: false })
    }

    /// Renames it, in the place of whatever has that name.
    pub(super) fn rename_to(&mut self, name: &OsStr) -> io::Result<()> {
        let placed = self.dir.rename(&self.name, name);
        // Where both were names of one file, rename(2) does nothing; and of an
        // fsync that failed we cannot tell.
        self.placed = placed.is_ok() && !self.dir.contains(&self.name).unwrap_or(true);
        placed
    }

    /// Where it is, for messages.
    pub(super) fn path(&self) -> PathBuf {
        self.dir.path_of(&self.name)
    }
}

impl Drop for TempName {
    fn drop(&mut self) {
        if !self.placed {
            // Swept by the next run, if this fails.
            drop(self.dir.remove_file(&self.name));
        }
    }
}

/// A file that is being filled. Dropped unplaced, it is deleted.
#[derive(Debug)]
pub struct StagedFile {
    pub(super) temp: TempName,
    pub(super) file: File,
}

impl StagedFile {
    /// The handle it was created with.
    pub fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Makes it a finished program: mode 0755, on disk, closed for writing (a
    /// file that is open for writing cannot be executed: ETXTBSY).
    pub fn into_program(self) -> io::Result<StagedProgram> {
        let Self { temp, file } = self;
        failpoint::begin_change("chmod", &temp.path())?;
        file.set_permissions(Permissions::from_mode(0o755))?;
        failpoint::begin_change("fsync", &temp.path())?;
        file.sync_all()?;
        let read_only = temp.dir.open_file(&temp.name)?;
        drop(file);
        Ok(StagedProgram { temp, file: read_only })
    }
}

/// A staged file that is complete and can be executed, under its temporary name.
#[derive(Debug)]
pub struct StagedProgram {
    pub(super) temp: TempName,
    file: File,
}

impl StagedProgram {
    /// The very file, to be executed whatever its name has come to mean; valid
    /// until it is placed or dropped.
    pub fn exec_path(&self) -> PathBuf {
        Path::new("/proc/self/fd").join(self.file.as_raw_fd().to_string())
    }
}

/// A second name of what will be replaced, to go back to.
#[derive(Debug)]
pub struct Backup {
    pub(super) temp: TempName,
}
