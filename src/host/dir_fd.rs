//! A directory that is held open, and the changes that are made in it.
//!
//! Names are looked up in the directory itself (openat(2) and its family), so it
//! cannot be swapped for another one meanwhile, and no link is followed.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;

use super::failpoint;

/// What is opened is what has the name, and is never waited for (a FIFO).
const AS_IT_IS: OFlags = OFlags::NOFOLLOW.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK);

/// A directory.
#[derive(Debug)]
pub(super) struct Dir {
    file: File,
    /// How it was reached, for messages.
    real: PathBuf,
}

impl Dir {
    /// Opens a directory by its real path, links followed.
    pub(super) fn open(real: &Path) -> io::Result<Self> {
        let file = rustix::fs::openat(CWD, real, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Self { file: file.into(), real: real.to_owned() })
    }

    /// Opens a directory in this one; "not a directory" for a link too.
    pub(super) fn open_child(&self, name: &OsStr) -> io::Result<Self> {
        let file = rustix::fs::openat(&self.file, name, AS_IT_IS | OFlags::DIRECTORY, Mode::empty())?;
        Ok(Self { file: file.into(), real: self.path_of(name) })
    }

    /// A second handle.
    pub(super) fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { file: self.file.try_clone()?, real: self.real.clone() })
    }

    /// How it was reached.
    pub(super) fn real_path(&self) -> &Path {
        &self.real
    }

    /// The path of what is in it, for messages.
    pub(super) fn path_of(&self, name: &OsStr) -> PathBuf {
        self.real.join(name)
    }

    /// `fstat(2)` of the directory.
    pub(super) fn metadata(&self) -> io::Result<Metadata> {
        self.file.metadata()
    }

    /// Where the link `name` leads; `None` if it is no link.
    pub(super) fn read_link(&self, name: &OsStr) -> io::Result<Option<PathBuf>> {
        match rustix::fs::readlinkat(&self.file, name, Vec::new()) {
            Ok(target) => Ok(Some(OsString::from_vec(target.into_bytes()).into())),
            Err(Errno::INVAL) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// The user whose `name` is, be it a link or what it is.
    pub(super) fn owner_of(&self, name: &OsStr) -> io::Result<u32> {
        Ok(rustix::fs::statat(&self.file, name, AtFlags::SYMLINK_NOFOLLOW)?.st_uid)
    }

    /// Does anything have this name?
    pub(super) fn contains(&self, name: &OsStr) -> io::Result<bool> {
        match rustix::fs::statat(&self.file, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(e) => Err(e.into()),
        }
    }

    /// The names in it, in the file system's order.
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

    /// Opens what has the name, for reading; a link is an error.
    pub(super) fn open_file(&self, name: &OsStr) -> io::Result<File> {
        Ok(rustix::fs::openat(&self.file, name, AS_IT_IS, Mode::empty())?.into())
    }

    /// Opens a file for both, and creates it if it is not there.
    pub(super) fn open_or_create(&self, name: &OsStr, mode: u32) -> io::Result<File> {
        let flags = AS_IT_IS | OFlags::RDWR | OFlags::CREATE;
        Ok(rustix::fs::openat(&self.file, name, flags, Mode::from_raw_mode(mode))?.into())
    }

    /// Creates a file that must not be there, for this user alone.
    pub(super) fn create_file(&self, name: &OsStr) -> io::Result<File> {
        failpoint::begin_change("create", &self.path_of(name))?;
        let flags = AS_IT_IS | OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
        Ok(rustix::fs::openat(&self.file, name, flags, Mode::RUSR | Mode::WUSR)?.into())
    }

    /// Creates a directory in this one, mode 0755 whatever the umask, or nothing.
    pub(super) fn make_dir(&self, name: &OsStr) -> io::Result<Self> {
        let mode = Mode::from_raw_mode(0o755);
        failpoint::begin_change("mkdir", &self.path_of(name))?;
        rustix::fs::mkdirat(&self.file, name, mode)?;
        let made = failpoint::begin_change("chmod", &self.path_of(name)).and_then(|()| {
            let made = self.open_child(name)?;
            rustix::fs::fchmod(&made.file, mode)?;
            self.sync_dir()?;
            Ok(made)
        });
        if made.is_err() {
            // It is empty; what cannot be removed is the same as if it had been there.
            rustix::fs::unlinkat(&self.file, name, AtFlags::REMOVEDIR).ok();
        }
        made
    }

    /// Gives a file or directory another name here, in the place of whatever has it.
    pub(super) fn rename(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        failpoint::begin_change("rename", &self.path_of(to))?;
        rustix::fs::renameat(&self.file, from, &self.file, to)?;
        self.sync_dir()
    }

    /// Gives a file a second name here.
    pub(super) fn hard_link(&self, name: &OsStr, second: &OsStr) -> io::Result<()> {
        failpoint::begin_change("link", &self.path_of(second))?;
        Ok(rustix::fs::linkat(&self.file, name, &self.file, second, AtFlags::empty())?)
    }

    /// Removes a name that is no directory's.
    pub(super) fn remove_file(&self, name: &OsStr) -> io::Result<()> {
        failpoint::begin_change("unlink", &self.path_of(name))?;
        rustix::fs::unlinkat(&self.file, name, AtFlags::empty())?;
        self.sync_dir()
    }

    /// Removes an empty directory.
    pub(super) fn remove_dir(&self, name: &OsStr) -> io::Result<()> {
        failpoint::begin_change("rmdir", &self.path_of(name))?;
        rustix::fs::unlinkat(&self.file, name, AtFlags::REMOVEDIR)?;
        self.sync_dir()
    }

    /// Removes a directory and all that is in it.
    pub(super) fn remove_tree(&self, name: &OsStr) -> io::Result<()> {
        failpoint::begin_change("remove", &self.path_of(name))?;
        // The library opens what is in it without following links either.
        let anchored = Path::new("/proc/self/fd").join(self.file.as_fd().as_raw_fd().to_string());
        std::fs::remove_dir_all(anchored.join(name))
    }

    /// `fsync(2)`: names that were made or taken away are so on the disk.
    pub(super) fn sync_dir(&self) -> io::Result<()> {
        failpoint::begin_change("fsync", &self.real)?;
        self.file.sync_all()
    }
}
