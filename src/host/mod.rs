//! The one door to the machine: files below a root prefix, processes, mounts.
//!
//! Callers speak of logical, absolute paths (`/etc/nix/nix.conf`); `Host` joins
//! them to its root (`--root DIR`, default `/`). Nothing here knows what a file
//! means. Writes are atomic, reads say "absent" as `None`, and a process that
//! is started gets a fixed environment: nobody's `PATH` steers a root tool.
#![expect(clippy::disallowed_methods, reason = "this module is the door that the rest of the crate has to use")]

pub mod dir_fd;
pub mod directories;
pub mod env;
pub mod failpoint;
pub mod isolation;
pub mod kernel_files;
pub mod lock;
pub mod memfd;
pub mod metadata;
pub mod mount;
pub mod namespaces;
pub mod process;
pub mod procfs;
pub mod safe_open;
pub mod sd_notify;
pub mod signals;
pub mod staging;
pub mod temp_program;
pub mod trust;
pub mod user_files;
pub mod watch;
pub mod worker;
pub mod write;

pub use kernel_files::DirContents;
pub use lock::Lock;
pub use namespaces::{IdMapper, IdRange, NamespaceError};
pub use process::{ProcessOutput, StoppedChild};
pub use sd_notify::ServiceManager;
pub use staging::{Backup, StagedFile, StagedProgram, TEMP_PREFIX};
pub use temp_program::TempProgram;
pub use user_files::OutputFile;
pub use watch::{DirWatch, InotifyInstance, WakeReason};
pub use worker::{INTERNAL, Worker, WorkerOutput};

use std::ffi::OsString;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::sha256::Sha256;

/// A machine, or a directory tree that is to become one.
#[derive(Debug, Clone)]
pub struct Host {
    root: PathBuf,
    signals: signals::SignalState,
}

/// What tells one version of a file from the next without reading it.
///
/// Inode, size and both times: any write or replacement changes at least the
/// change time, which no program can set (inode(7)). The device number is left
/// out, as it may differ after a reboot.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FileStamp {
    ino: u64,
    size: u64,
    mtime_ns: i128,
    ctime_ns: i128,
}

/// Device and inode: which file, whatever its names are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileId {
    /// `st_dev`
    pub dev: u64,
    /// `st_ino`
    pub ino: u64,
}

impl FileId {
    /// The identity that `fstat(2)` gave.
    pub fn from_metadata(meta: &Metadata) -> Self {
        Self { dev: meta.dev(), ino: meta.ino() }
    }
}

impl FileStamp {
    /// The seal of what `stat(2)` returned.
    pub fn from_metadata(meta: &Metadata) -> Self {
        let ns =
            |secs: i64, nanos: i64| i128::from(secs).saturating_mul(1_000_000_000).saturating_add(i128::from(nanos));
        Self {
            ino: meta.ino(),
            size: meta.size(),
            mtime_ns: ns(meta.mtime(), meta.mtime_nsec()),
            ctime_ns: ns(meta.ctime(), meta.ctime_nsec()),
        }
    }
}

impl Host {
    /// A host rooted at `root`, which must be an absolute path to a directory.
    pub fn new(root: &Path) -> Result<Self> {
        let root = root.canonicalize().map_err(|e| Error::io("open the root directory", root, e))?;
        if !root.is_dir() {
            let e = io::Error::from(io::ErrorKind::NotADirectory);
            return Err(Error::io("open the root directory", &root, e));
        }
        Ok(Self { root, signals: signals::SignalState::default() })
    }

    /// The running machine itself.
    pub fn live() -> Self {
        Self { root: PathBuf::from("/"), signals: signals::SignalState::default() }
    }

    /// Is this the running machine itself, and not a tree below `--root`?
    pub fn is_live(&self) -> bool {
        self.root == Path::new("/")
    }

    /// Where a logical path really is.
    pub fn real_path(&self, path: &Path) -> PathBuf {
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// A logical path with all its symbolic links followed.
    pub fn resolve_symlinks(&self, path: &Path) -> Result<PathBuf> {
        let real = self.real_path(path);
        let resolved = real.canonicalize().map_err(|e| Error::io("find", &real, e))?;
        let inside = resolved.strip_prefix(&self.root).map(|rest| Path::new("/").join(rest));
        inside.map_err(|_| Error::io("find inside the root directory", &resolved, io::ErrorKind::NotFound.into()))
    }

    /// Below a `--root`: where a symbolic link on the way to `path` leads, if that
    /// is out of the tree.
    pub fn target_outside_root(&self, path: &Path) -> Option<PathBuf> {
        let there = path.ancestors().find_map(|above| self.real_path(above).canonicalize().ok())?;
        (!there.starts_with(&self.root)).then_some(there)
    }

    /// The whole file, or `None` if there is none.
    pub fn read_file(&self, path: &Path) -> Result<Option<Vec<u8>>> {
        let real = self.real_path(path);
        absent_is_none(std::fs::read(&real)).map_err(|e| Error::io("read", &real, e))
    }

    /// Like [`Host::read_file`], by the checked way (see `safe_open`) and through no link.
    pub fn read_trusted(&self, path: &Path) -> Result<Option<Vec<u8>>> {
        let mut bytes = Vec::new();
        match self.open_trusted(path) {
            Ok(mut file) => file.read_to_end(&mut bytes).map_err(|e| Error::io("read", &self.real_path(path), e))?,
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(Some(bytes))
    }

    /// Like [`Host::read_file`], but trouble of any kind is "no answer": for hints
    /// about the machine that only improve a message.
    pub fn read_lossy(&self, path: &Path) -> Option<String> {
        let bytes = std::fs::read(self.real_path(path)).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Names in a directory, in the order that the kernel lists them; none if
    /// the directory does not exist.
    pub fn list_dir(&self, path: &Path) -> Result<Vec<OsString>> {
        let real = self.real_path(path);
        let read = absent_is_none(std::fs::read_dir(&real)).map_err(|e| Error::io("list", &real, e))?;
        let Some(read) = read else {
            return Ok(Vec::new());
        };
        read.map(|entry| Ok(entry?.file_name()))
            .collect::<io::Result<Vec<_>>>()
            .map_err(|e| Error::io("list", &real, e))
    }

    /// `lstat(2)`, or `None` if there is nothing by that name.
    pub fn lstat(&self, path: &Path) -> Result<Option<Metadata>> {
        let real = self.real_path(path);
        absent_is_none(std::fs::symlink_metadata(&real)).map_err(|e| Error::io("look at", &real, e))
    }

    /// Does anything have this name? A dangling symbolic link counts.
    pub fn exists(&self, path: &Path) -> bool {
        std::fs::symlink_metadata(self.real_path(path)).is_ok()
    }

    /// Opens a regular file for reading, never through a final symbolic link.
    pub fn open_nofollow(&self, path: &Path) -> Result<File> {
        let real = self.real_path(path);
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK)
            .open(&real)
            .map_err(|e| Error::io("open", &real, e))?;
        check_regular(file, &real)
    }

    /// Opens a program by the checked way (see `safe_open`): nobody but root, or who
    /// runs us, can change it or put another in its place.
    pub fn open_trusted(&self, path: &Path) -> Result<File> {
        let real = self.real_path(path);
        let (dir, name) = self.open_parent_checked(path)?;
        let file = check_regular(dir.open_file(name).map_err(|e| Error::io("open", &real, e))?, &real)?;
        let meta = file.metadata().map_err(|e| Error::io("look at", &real, e))?;
        trust::check_trust(&real, &meta).map_or(Ok(file), |why| Err(why.into()))
    }

    /// Is it a regular file, and no symbolic link to one?
    pub fn is_regular_file(&self, path: &Path) -> bool {
        std::fs::symlink_metadata(self.real_path(path)).is_ok_and(|meta| meta.is_file())
    }

    /// Digest and seal of a file; `None` if it does not exist.
    pub fn fingerprint(&self, path: &Path) -> Result<Option<(Sha256, FileStamp)>> {
        if self.lstat(path)?.is_none() {
            return Ok(None);
        }
        let mut file = self.open_nofollow(path)?;
        let meta = file.metadata().map_err(|e| Error::io("look at", &self.real_path(path), e))?;
        let sum = Sha256::of_reader(&mut file).map_err(|e| Error::io("read", &self.real_path(path), e))?;
        Ok(Some((sum, FileStamp::from_metadata(&meta))))
    }
}

fn absent_is_none<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(e) => Err(e),
    }
}

fn check_regular(file: File, path: &Path) -> Result<File> {
    let meta = file.metadata().map_err(|e| Error::io("look at", path, e))?;
    if meta.is_file() {
        Ok(file)
    } else {
        let e = io::Error::new(io::ErrorKind::InvalidInput, "not a regular file");
        Err(Error::io("open", path, e))
    }
}
