//! Staged files: files under a temporary name, in the directory where they will be placed. Placing one is a
//! `rename(2)`; until then no program uses it by its final name.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use super::dir_fd::Dir;
use super::failpoint;

/// Prefix of all temporary names.
const TEMP_PREFIX: &str = ".binfmt-nix-";

/// Whether [`unique_name`] returns this name, in any process: the prefix, two numbers, and a hyphen between them.
pub(super) fn is_temp_name(name: &OsStr) -> bool {
    let numbers = name.to_str().and_then(|name| name.strip_prefix(TEMP_PREFIX)?.split_once('-'));
    let is_number = |text: &str| text.parse::<u32>().is_ok_and(|number| number.to_string() == text);
    numbers.is_some_and(|(process, count)| is_number(process) && is_number(count))
}

/// Returns an unused temporary name. It is unused because the caller holds the lock, the files of killed runs were
/// removed, and each name is returned once.
pub(super) fn unique_name() -> OsString {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    format!("{TEMP_PREFIX}{}-{}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed)).into()
}

/// A temporary name. The file is removed when the value is dropped, unless it was renamed.
#[derive(Debug)]
pub(super) struct TempName {
    dir: Dir,
    name: OsString,
    placed: bool,
}

impl TempName {
    /// Creates an empty file with mode 0600 under a temporary name.
    pub(super) fn create_file(dir: Dir) -> io::Result<(Self, File)> {
        let name = unique_name();
        let file = dir.create_file(&name)?;
        Ok((Self { dir, name, placed: false }, file))
    }

    /// Adds a temporary name to the file `name`.
    pub(super) fn link_file(dir: Dir, name: &OsStr) -> io::Result<Self> {
        let temp_name = unique_name();
        dir.hard_link(name, &temp_name)?;
        Ok(Self { dir, name: temp_name, placed: false })
    }

    /// Renames the file to `name`. An existing file of that name is replaced.
    pub(super) fn rename_to(&mut self, name: &OsStr) -> io::Result<()> {
        let placed = self.dir.rename(&self.name, name);
        // If both are names of one file, rename(2) does nothing. If an fsync failed, the result is unknown.
        self.placed = placed.is_ok() && !self.dir.contains(&self.name).unwrap_or(true);
        placed
    }

    /// Exchanges two files of a directory where the kernel cannot do it by one change. `name` has one of them at every
    /// instant. If a change fails, it has its own again.
    pub(super) fn exchange(dirs: [Dir; 2], name: &OsStr, other: &OsStr) -> io::Result<()> {
        let [dir, other_dir] = dirs;
        let mut first = Self::link_file(dir, name)?;
        let mut second = Self::link_file(other_dir, other)?;
        let exchanged = second.rename_to(name).and_then(|()| first.rename_to(other));
        exchanged.inspect_err(|_| drop(first.rename_to(name)))
    }

    /// Path of the temporary name, for messages.
    pub(super) fn path(&self) -> PathBuf {
        self.dir.path_of(&self.name)
    }
}

impl Drop for TempName {
    fn drop(&mut self) {
        if !self.placed {
            // If this fails, the next run removes the file.
            drop(self.dir.remove_file(&self.name));
        }
    }
}

/// A staged file that is being written. It is removed when it is dropped unplaced.
#[derive(Debug)]
pub struct StagedFile {
    pub(super) temp: TempName,
    pub(super) file: File,
}

impl StagedFile {
    /// Returns the open file.
    pub fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Returns the path that a file of this name in the same directory has, for messages.
    pub fn path_of(&self, name: &str) -> PathBuf {
        self.temp.dir.path_of(OsStr::new(name))
    }

    /// Finishes the file as a program: mode 0755, written to the disk, and closed for writing, because a file that is
    /// open for writing cannot be executed (ETXTBSY).
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

/// A staged file that is complete and can be executed under its temporary name.
#[derive(Debug)]
pub struct StagedProgram {
    pub(super) temp: TempName,
    file: File,
}

impl StagedProgram {
    /// The file, open for reading, whatever its name refers to by then.
    pub fn file(&self) -> &File {
        &self.file
    }
}

/// A second name of a file that will be replaced, from which it can be restored.
#[derive(Debug)]
pub struct Backup {
    pub(super) temp: TempName,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_generated_names_are_temporary_names() {
        assert!(is_temp_name(&unique_name()) && is_temp_name(OsStr::new(".binfmt-nix-4242-0")));
        for name in [
            "",
            ".binfmt-nix-",
            ".binfmt-nix-1",
            ".binfmt-nix-1-",
            ".binfmt-nix--1",
            ".binfmt-nix-1-2-3",
            ".binfmt-nix-01-2",
            ".binfmt-nix-+1-2",
            ".binfmt-nix-1-2 ",
            "binfmt-nix-1-2",
            ".binfmt-nix-1-2.bak",
            ".binfmt-nix-backup-of-mine",
            ".binfmt-nix-99999999999-1",
        ] {
            assert!(!is_temp_name(OsStr::new(name)), "{name}");
        }
    }
}
