//! The only access to the machine: files below a root prefix, processes, mounts.
//!
//! Callers use logical, absolute paths (`/etc/nix/nix.conf`). `Host` joins them to its root (`--root DIR`, default
//! `/`). Functions that need no root prefix are free functions of the modules. This room does not know what a file
//! means.
//!
//! Writes are atomic. Reads return `None` for a missing file. Programs are started with a fixed environment, so that
//! the caller's `PATH` cannot change which programs run as root.
#![expect(clippy::disallowed_methods, reason = "the rest of the crate has to use this room instead")]

pub mod capture;
pub mod composed_root;
pub mod dir_fd;
pub mod directories;
pub mod env;
pub mod exec;
pub mod failpoint;
pub mod inherited_run;
pub mod isolation;
pub mod kernel_files;
pub mod lock;
pub mod lock_holder;
pub mod memfd;
pub mod metadata;
pub mod mount;
pub mod namespaces;
pub mod parallel;
pub mod process;
pub mod procfs;
pub mod regular_file;
pub mod run_as_user;
pub mod safe_open;
pub mod sd_notify;
pub mod signals;
pub mod staging;
pub mod stopped_child;
pub mod temp_program;
pub mod trust;
pub mod unprivileged;
pub mod user_files;
pub mod user_rights;
pub mod watch;
pub mod worker;
pub mod write;

pub use kernel_files::DirContents;
pub use lock::{KernelLock, Lock};
pub use lock_holder::LockHolder;
pub use namespaces::{IdMapper, IdRange, NamespaceError};
pub use process::ProcessOutput;
pub use sd_notify::ServiceManager;
pub use staging::{Backup, StagedFile, StagedProgram};
pub use stopped_child::{RunningProgram, StoppedChild};
pub use temp_program::TempProgram;
pub use trust::ProgramSearchError;
pub use user_files::OutputFile;
pub use user_rights::UserFiles;
pub use watch::{DirWatch, InotifyInstance, WakeReason};
pub use worker::{INTERNAL, Worker, WorkerOutput};

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{DirEntry, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::sha256::Sha256;

/// A machine, or a directory tree that will become one.
#[derive(Debug, Clone)]
pub struct Host {
    root: PathBuf,
    signals: signals::SignalState,
}

/// Properties that differ between two versions of a file, so that a change is noticed without reading it.
///
/// These are inode, size and both times. Any write or replacement changes at least the change time, which no program
/// can set (inode(7)). The device number is left out because it may differ after a reboot.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FileStamp {
    ino: u64,
    size: u64,
    mtime_ns: i128,
    ctime_ns: i128,
}

/// Device and inode: the identity of a file, whatever its names are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileId {
    /// Device number (`st_dev`)
    pub dev: u64,
    /// Inode number (`st_ino`)
    pub ino: u64,
}

impl FileId {
    /// Takes the identity from the result of `fstat(2)`.
    pub fn from_metadata(meta: &Metadata) -> Self {
        Self { dev: meta.dev(), ino: meta.ino() }
    }
}

impl FileStamp {
    /// Takes the stamp from the result of `stat(2)`.
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

    /// Whether both are of one file with one content: a new name, mode or label changes only the change time.
    pub fn has_same_content(&self, other: &Self) -> bool {
        Self { ctime_ns: other.ctime_ns, ..self.clone() } == *other
    }
}

impl Host {
    /// Creates a host with the prefix `root`, which must be the path of a directory.
    pub fn new(root: &Path) -> Result<Self> {
        let root = root.canonicalize().map_err(|e| Error::io("open the root directory", root, e))?;
        if !root.is_dir() {
            let e = io::Error::from(io::ErrorKind::NotADirectory);
            return Err(Error::io("open the root directory", &root, e));
        }
        Ok(Self { root, signals: signals::SignalState::default() })
    }

    /// Returns the running machine itself.
    pub fn live() -> Self {
        Self { root: PathBuf::from("/"), signals: signals::SignalState::default() }
    }

    /// Whether this is the running machine itself, and not a tree below `--root`.
    pub fn is_live(&self) -> bool {
        self.root == Path::new("/")
    }

    /// Returns the real path of a logical path: the root prefix joined with it.
    pub fn real_path(&self, path: &Path) -> PathBuf {
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Resolves all symbolic links of a logical path. The result is a logical path.
    pub fn resolve_symlinks(&self, path: &Path) -> Result<PathBuf> {
        let real = self.real_path(path);
        let resolved = real.canonicalize().map_err(|e| Error::io("find", &real, e))?;
        let inside = resolved.strip_prefix(&self.root).map(|rest| Path::new("/").join(rest));
        inside.map_err(|_| Error::io("find inside the root directory", &resolved, io::ErrorKind::NotFound.into()))
    }

    /// Returns the target of a symbolic link on the way to `path` that leads out of the tree below `--root`, if there
    /// is one.
    pub fn target_outside_root(&self, path: &Path) -> Option<PathBuf> {
        let resolved = path.ancestors().find_map(|above| self.real_path(above).canonicalize().ok())?;
        (!resolved.starts_with(&self.root)).then_some(resolved)
    }

    /// Reads a whole regular file of at most [`regular_file::MAX_TEXT`] bytes. Returns `None` if it does not exist.
    pub fn read_file(&self, path: &Path) -> Result<Option<Vec<u8>>> {
        let real = self.real_path(path);
        none_if_missing(read_text(&real)).map_err(|e| Error::io("read", &real, e))
    }

    /// Like [`Host::read_file`], but by the checked walk (see [`safe_open`]), and a symbolic link instead of the
    /// file is an error.
    pub fn read_trusted(&self, path: &Path) -> Result<Option<Vec<u8>>> {
        let Some(file) = self.find_trusted(path)? else { return Ok(None) };
        let bytes = user_files::read_text_file(&file);
        bytes.map(Some).map_err(|e| Error::io("read", &self.real_path(path), e))
    }

    /// Like [`Host::read_trusted`], but a symbolic link that root, or the user of this process, owns is followed, and a
    /// missing file is an error.
    pub fn read_trusted_through_links(&self, path: &Path) -> Result<Vec<u8>> {
        let file = self.open_trusted_through_links(path)?;
        let bytes = user_files::read_text_file(&file);
        bytes.map_err(|e| Error::io("read", &self.real_path(path), e))
    }

    /// Like [`Host::read_file`], but every failure gives `None`: for facts that only improve a message.
    pub fn read_lossy(&self, path: &Path) -> Option<String> {
        let bytes = read_text(&self.real_path(path)).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Lists the names in a directory, in the order of the kernel. The list is empty if the directory does not exist.
    pub fn list_dir(&self, path: &Path) -> Result<Vec<OsString>> {
        self.list_names_where(path, |_| Ok(true))
    }

    /// Lists the names of the directories in a directory, as [`Host::list_dir`].
    pub fn list_subdirs(&self, path: &Path) -> Result<Vec<OsString>> {
        self.list_names_where(path, |entry| Ok(entry.file_type()?.is_dir()))
    }

    fn list_names_where(&self, path: &Path, is_selected: fn(&DirEntry) -> io::Result<bool>) -> Result<Vec<OsString>> {
        let real = self.real_path(path);
        let entries = none_if_missing(std::fs::read_dir(&real)).map_err(|e| Error::io("list", &real, e))?;
        let name = |entry: io::Result<DirEntry>| {
            let entry = entry?;
            Ok(is_selected(&entry)?.then(|| entry.file_name()))
        };
        let names = entries.into_iter().flatten().filter_map(|entry| name(entry).transpose());
        names.collect::<io::Result<Vec<_>>>().map_err(|e| Error::io("list", &real, e))
    }

    /// Lists the `*.conf` files of these directories, sorted by name. A name in an earlier directory hides the same name
    /// in later ones, as in binfmt.d(5), sysctl.d(5) and the drop-ins of systemd.unit(5).
    pub fn list_conf_files(&self, dirs: impl IntoIterator<Item = impl AsRef<Path>>) -> Result<Vec<PathBuf>> {
        self.list_conf_files_where(dirs, |_| true)
    }

    /// Lists the files of [`Host::list_conf_files`] whose names are selected.
    pub fn list_conf_files_where(
        &self,
        dirs: impl IntoIterator<Item = impl AsRef<Path>>,
        is_selected: impl Fn(&OsStr) -> bool,
    ) -> Result<Vec<PathBuf>> {
        let mut files: BTreeMap<OsString, PathBuf> = BTreeMap::new();
        for dir in dirs {
            for name in self.list_dir(dir.as_ref())? {
                if Path::new(&name).extension().is_some_and(|ext| ext == "conf") && is_selected(&name) {
                    let path = dir.as_ref().join(&name);
                    files.entry(name).or_insert(path);
                }
            }
        }
        Ok(files.into_values().collect())
    }

    /// Returns the `lstat(2)` of a path, or `None` if the path does not exist.
    pub fn lstat(&self, path: &Path) -> Result<Option<Metadata>> {
        let real = self.real_path(path);
        none_if_missing(std::fs::symlink_metadata(&real)).map_err(|e| Error::io("look at", &real, e))
    }

    /// Returns the target of a symbolic link; `None` if there is no symbolic link that can be read.
    pub fn read_link(&self, path: &Path) -> Option<PathBuf> {
        std::fs::read_link(self.real_path(path)).ok()
    }

    /// Whether the path exists. A dangling symbolic link counts.
    pub fn exists(&self, path: &Path) -> bool {
        std::fs::symlink_metadata(self.real_path(path)).is_ok()
    }

    /// Opens a regular file for reading. A symbolic link as the last component is an error.
    pub fn open_nofollow(&self, path: &Path) -> Result<File> {
        let real = self.real_path(path);
        regular_file::open_nofollow(&real).map_err(|e| Error::io("open", &real, e))
    }

    /// Opens a regular file by the checked walk (see [`safe_open`]): only root, or the user of this process, can change
    /// the file or replace it.
    pub fn open_trusted(&self, path: &Path) -> Result<File> {
        let real = self.real_path(path);
        let (dir, name) = self.open_parent_checked(path)?;
        let file = dir.open_file(name).map_err(|e| Error::io("open", &real, e))?;
        let meta = file.metadata().map_err(|e| Error::io("look at", &real, e))?;
        trust::check_trust(&real, &meta).map_or(Ok(file), |why| Err(why.into()))
    }

    /// Opens a file as [`Host::open_trusted`], if it exists.
    pub fn find_trusted(&self, path: &Path) -> Result<Option<File>> {
        match self.open_trusted(path) {
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            opened => opened.map(Some),
        }
    }

    /// Whether the path is a regular file, and not a symbolic link to one.
    pub fn is_regular_file(&self, path: &Path) -> bool {
        std::fs::symlink_metadata(self.real_path(path)).is_ok_and(|meta| meta.is_file())
    }

    /// Returns digest and stamp of a file, or `None` if it does not exist.
    pub fn fingerprint(&self, path: &Path) -> Result<Option<(Sha256, FileStamp)>> {
        if self.lstat(path)?.is_none() {
            return Ok(None);
        }
        let mut file = self.open_nofollow(path)?;
        let meta = file.metadata().map_err(|e| Error::io("look at", &self.real_path(path), e))?;
        regular_file::check_program_size(&meta).map_err(|e| Error::io("read", &self.real_path(path), e))?;
        let digest = Sha256::of_reader(&mut file).map_err(|e| Error::io("read", &self.real_path(path), e))?;
        Ok(Some((digest, FileStamp::from_metadata(&meta))))
    }
}

fn none_if_missing<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(e) => Err(e),
    }
}

fn read_text(real: &Path) -> io::Result<Vec<u8>> {
    user_files::read_text_file(&regular_file::open(real)?)
}
