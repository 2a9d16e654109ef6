//! A directory that is held open, and the changes that are made in it.
//!
//! Names are looked up relative to the open directory (openat(2) and its family). So another process cannot replace the
//! directory between two steps, and no symbolic link is followed.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;

use super::{FileId, failpoint, regular_file};

/// Flags of every open by name: a symbolic link is not followed, and opening a FIFO does not block.
const OPEN_FLAGS: OFlags = OFlags::NOFOLLOW.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK);

/// An open directory.
#[derive(Debug)]
pub(super) struct Dir {
    file: File,
    /// Path by which the directory was opened, for messages.
    real: PathBuf,
}

impl Dir {
    /// Opens a directory by its real path. Symbolic links are followed.
    pub(super) fn open(real: &Path) -> io::Result<Self> {
        let file = rustix::fs::openat(CWD, real, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Self { file: file.into(), real: real.to_owned() })
    }

    /// Returns the open directory.
    pub(super) fn into_file(self) -> File {
        self.file
    }

    /// Opens a directory in this one. A symbolic link fails with "not a directory" too.
    pub(super) fn open_child(&self, name: &OsStr) -> io::Result<Self> {
        let file = rustix::fs::openat(&self.file, name, OPEN_FLAGS | OFlags::DIRECTORY, Mode::empty())?;
        Ok(Self { file: file.into(), real: self.path_of(name) })
    }

    /// Returns a second handle of the same directory.
    pub(super) fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { file: self.file.try_clone()?, real: self.real.clone() })
    }

    /// Path by which the directory was opened.
    pub(super) fn real_path(&self) -> &Path {
        &self.real
    }

    /// Path of the entry `name`, for messages.
    pub(super) fn path_of(&self, name: &OsStr) -> PathBuf {
        self.real.join(name)
    }

    /// Returns the `fstat(2)` of the directory.
    pub(super) fn metadata(&self) -> io::Result<Metadata> {
        self.file.metadata()
    }

    /// Returns the target of the symbolic link `name`, or `None` if `name` is not a symbolic link.
    pub(super) fn read_link(&self, name: &OsStr) -> io::Result<Option<PathBuf>> {
        match rustix::fs::readlinkat(&self.file, name, Vec::new()) {
            Ok(target) => Ok(Some(OsString::from_vec(target.into_bytes()).into())),
            Err(Errno::INVAL) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// Returns the owner of `name`. A symbolic link is not followed: its own owner is returned.
    pub(super) fn owner_of(&self, name: &OsStr) -> io::Result<u32> {
        Ok(rustix::fs::statat(&self.file, name, AtFlags::SYMLINK_NOFOLLOW)?.st_uid)
    }

    /// Whether the directory has an entry `name`.
    pub(super) fn contains(&self, name: &OsStr) -> io::Result<bool> {
        match rustix::fs::statat(&self.file, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(e) => Err(e.into()),
        }
    }

    /// Returns the identity of the entry `name`, or `None` if there is none. A symbolic link is not followed.
    pub(super) fn file_id(&self, name: &OsStr) -> io::Result<Option<FileId>> {
        match rustix::fs::statat(&self.file, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(FileId { dev: stat.st_dev, ino: stat.st_ino })),
            Err(Errno::NOENT) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// Lists the names in the directory, in the order of the file system.
    pub(super) fn list_names(&self) -> io::Result<Vec<OsString>> {
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.file)? {
            let name = OsString::from_vec(entry?.file_name().to_bytes().to_vec());
            if name != "." && name != ".." {
                names.push(name);
            }
        }
        Ok(names)
    }

    /// Opens the regular file `name` for reading. A symbolic link is an error.
    pub(super) fn open_file(&self, name: &OsStr) -> io::Result<File> {
        regular_file::open_in(&self.file, name)
    }

    /// Opens a file for reading and writing, and creates it if it is missing.
    pub(super) fn open_or_create(&self, name: &OsStr, mode: u32) -> io::Result<File> {
        let flags = OPEN_FLAGS | OFlags::RDWR | OFlags::CREATE;
        Ok(rustix::fs::openat(&self.file, name, flags, Mode::from_raw_mode(mode))?.into())
    }

    /// Creates a file with mode 0600. Fails if the name exists.
    pub(super) fn create_file(&self, name: &OsStr) -> io::Result<File> {
        failpoint::begin_change("create", &self.path_of(name))?;
        let flags = OPEN_FLAGS | OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
        Ok(rustix::fs::openat(&self.file, name, flags, Mode::RUSR | Mode::WUSR)?.into())
    }

    /// Creates a file that is not part of the machine's state, with mode 0600. Fails if the name exists.
    pub(super) fn create_scratch_file(&self, name: &OsStr) -> io::Result<File> {
        let flags = OPEN_FLAGS | OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
        Ok(rustix::fs::openat(&self.file, name, flags, Mode::RUSR | Mode::WUSR)?.into())
    }

    /// Removes a file that is not part of the machine's state. The removal is not written to the disk.
    pub(super) fn remove_scratch_file(&self, name: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.file, name, AtFlags::empty())?)
    }

    /// Creates a directory in this one with mode 0755, whatever the umask is. If a step fails, the directory is removed
    /// again.
    pub(super) fn make_dir(&self, name: &OsStr) -> io::Result<Self> {
        let mode = Mode::from_raw_mode(0o755);
        failpoint::begin_change("mkdir", &self.path_of(name))?;
        rustix::fs::mkdirat(&self.file, name, mode)?;
        let created = failpoint::begin_change("chmod", &self.path_of(name)).and_then(|()| {
            let dir = self.open_child(name)?;
            rustix::fs::fchmod(&dir.file, mode)?;
            self.sync_dir()?;
            Ok(dir)
        });
        if created.is_err() {
            // The directory is empty. If it cannot be removed either, the state is as if it had existed before.
            rustix::fs::unlinkat(&self.file, name, AtFlags::REMOVEDIR).ok();
        }
        created
    }

    /// Renames a file or directory within this directory. An existing file `to` is replaced.
    pub(super) fn rename(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        failpoint::begin_change("rename", &self.path_of(to))?;
        rustix::fs::renameat(&self.file, from, &self.file, to)?;
        self.sync_dir()
    }

    /// Exchanges two files within this directory by one change (renameat2(2), `RENAME_EXCHANGE`).
    pub(super) fn exchange(&self, one: &OsStr, other: &OsStr) -> io::Result<()> {
        failpoint::begin_change("exchange", &self.path_of(one))?;
        rustix::fs::renameat_with(&self.file, one, &self.file, other, rustix::fs::RenameFlags::EXCHANGE)?;
        self.sync_dir()
    }

    /// Adds the name `second` to the file `name` (link(2)).
    pub(super) fn hard_link(&self, name: &OsStr, second: &OsStr) -> io::Result<()> {
        failpoint::begin_change("link", &self.path_of(second))?;
        Ok(rustix::fs::linkat(&self.file, name, &self.file, second, AtFlags::empty())?)
    }

    /// Creates the symbolic link `name`. Fails if the name exists.
    pub(super) fn make_link(&self, name: &OsStr, target: &Path) -> io::Result<()> {
        failpoint::begin_change("symlink", &self.path_of(name))?;
        rustix::fs::symlinkat(target, &self.file, name)?;
        self.sync_dir()
    }

    /// Removes the entry `name`, which must not be a directory.
    pub(super) fn remove_file(&self, name: &OsStr) -> io::Result<()> {
        failpoint::begin_change("unlink", &self.path_of(name))?;
        rustix::fs::unlinkat(&self.file, name, AtFlags::empty())?;
        self.sync_dir()
    }

    /// Removes the empty directory `name`.
    pub(super) fn remove_dir(&self, name: &OsStr) -> io::Result<()> {
        failpoint::begin_change("rmdir", &self.path_of(name))?;
        rustix::fs::unlinkat(&self.file, name, AtFlags::REMOVEDIR)?;
        self.sync_dir()
    }

    /// Removes the directory `name` and everything in it.
    pub(super) fn remove_tree(&self, name: &OsStr) -> io::Result<()> {
        failpoint::begin_change("remove", &self.path_of(name))?;
        // `remove_dir_all` does not follow symbolic links below the path either.
        let own_path = Path::new("/proc/self/fd").join(self.file.as_fd().as_raw_fd().to_string());
        std::fs::remove_dir_all(own_path.join(name))
    }

    /// Writes the added and removed names to the disk (fsync(2)).
    pub(super) fn sync_dir(&self) -> io::Result<()> {
        failpoint::begin_change("fsync", &self.real)?;
        self.file.sync_all()
    }
}
