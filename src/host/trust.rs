//! Checks that only root, or the user of this process, can change a file or a directory.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::{Host, ProcessOutput, process};
use crate::error::{Error, TrustError};
use crate::sanitize::AsText as _;

/// The reason why a program of the machine cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum ProgramSearchError {
    /// `--root` names a tree, and programs are started on the running machine only.
    #[error("--root names another machine, and only programs of this machine can be started")]
    OtherMachine,
    /// No file exists at the usual paths.
    #[error("none of these paths exists: {}", list_paths(.0))]
    Missing(Vec<PathBuf>),
    /// A program exists, and a user other than root and the user of this process could replace it.
    #[error("{} is not safe to start: {source}", path.as_text())]
    Untrusted {
        /// Path of the program.
        path: PathBuf,
        /// What the other user could change.
        source: TrustError,
    },
    /// A file exists and cannot be opened.
    #[error("{source}")]
    Unusable {
        /// What was tried, and the error of the system.
        source: Box<Error>,
    },
}

fn list_paths(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.as_text()).collect::<Vec<_>>().join(", ")
}

impl Host {
    /// Returns the first of `places` on the running machine that leads to a program which only root can replace: root
    /// owns the program, and every directory and symbolic link on its path.
    pub fn find_trusted_program(&self, places: &[&str]) -> Option<PathBuf> {
        self.search_trusted_program(places).ok()
    }

    /// Like [`Host::find_trusted_program`].
    ///
    /// # Errors
    /// No program was found. The error names the first file that exists.
    pub fn search_trusted_program<P: AsRef<Path>>(&self, places: &[P]) -> Result<PathBuf, ProgramSearchError> {
        if !self.is_live() {
            return Err(ProgramSearchError::OtherMachine);
        }
        let mut first = None;
        for place in places.iter().map(AsRef::as_ref) {
            let failure = match self.open_trusted_through_links(place) {
                // The path is not resolved: Nix and busybox choose their function by the name.
                Ok(_) => return Ok(place.to_owned()),
                Err(Error::Io { source, .. }) if is_missing(&source) => continue,
                Err(Error::Untrusted(source)) => ProgramSearchError::Untrusted { path: place.to_owned(), source },
                Err(error) => ProgramSearchError::Unusable { source: Box::new(error) },
            };
            first = first.or(Some(failure));
        }
        Err(first.unwrap_or_else(|| {
            ProgramSearchError::Missing(places.iter().map(|place| place.as_ref().to_owned()).collect())
        }))
    }

    /// Runs a program of the machine, if only root can replace it (see [`Host::find_trusted_program`]).
    pub fn run_trusted_program(&self, program: &str, args: &[&str]) -> crate::error::Result<ProcessOutput> {
        let path = Path::new(program);
        self.open_trusted_through_links(path)?;
        process::run_program(path, args).map_err(|e| Error::io("run", path, e))
    }

    /// Like [`Host::run_trusted_program`], without its output. The policy of SELinux denies some programs to write to a
    /// memory file of this process (seen with restorecon and Debian's policy).
    pub fn run_trusted_quietly(&self, program: &str, args: &[&str]) -> crate::error::Result<()> {
        let path = Path::new(program);
        self.open_trusted_through_links(path)?;
        process::run_quietly(path, args).map_err(|e| Error::io("run", path, e))
    }

    /// Returns the reason if creating `path` is not safe: an existing directory above it, or a symbolic link on the
    /// way, can be changed by a user other than root.
    pub fn check_creation_trust(&self, path: &Path) -> crate::error::Result<Option<TrustError>> {
        let mut above = path.ancestors().skip(1);
        let Some(existing) = above.find(|dir| self.exists(dir)) else { return Ok(None) };
        match self.open_dir_checked(existing) {
            Err(Error::Untrusted(why)) => Ok(Some(why)),
            other => other.map(|_| None),
        }
    }
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

pub(super) fn check_trust(path: &Path, meta: &Metadata) -> Option<TrustError> {
    let path = path.to_owned();
    if is_untrusted_uid(meta.uid()) {
        Some(TrustError::Owner { path, uid: meta.uid() })
    } else if meta.mode() & 0o022 != 0 && !is_private_group(meta) {
        Some(TrustError::Writable { path, mode: meta.mode() & 0o7777 })
    } else {
        None
    }
}

/// Whether only the group may write, and it is the private group of an ordinary user: where the umask is 002, each user
/// has a group with the same number.
fn is_private_group(meta: &Metadata) -> bool {
    meta.mode() & 0o002 == 0 && meta.uid() != 0 && meta.gid() == meta.uid()
}

/// Whether this user is neither root nor the user of this process.
pub(super) fn is_untrusted_uid(uid: u32) -> bool {
    uid != 0 && uid != nix::unistd::geteuid().as_raw() && !is_unmapped_root(uid)
}

/// Whether this uid is the machine's root, as this process sees it.
pub fn is_machine_root(uid: u32) -> bool {
    uid == machine_root()
}

/// Whether this process is one of the machine's root. Root of a namespace may be another user of the machine.
pub fn is_process_of_machine_root() -> bool {
    nix::unistd::geteuid().is_root() && is_machine_root(0)
}

/// Whether this uid is the machine's root where the user namespace of this process does not map it, as in the
/// namespace that `run` makes for an ordinary user.
///
/// The kernel shows every unmapped user by the same uid (`overflowuid`, user_namespaces(7)). It is taken for root only
/// where it also owns `/`: such a namespace has the machine's own files. A container has a root directory of its own.
/// Files of other unmapped users look like root's there. A process in such a namespace has no rights that its
/// user does not have outside.
fn is_unmapped_root(uid: u32) -> bool {
    uid != 0 && is_machine_root(uid) && std::fs::metadata("/").is_ok_and(|root| root.uid() == uid)
}

/// Returns the uid by which this process sees the machine's root. The directory belongs to root of the initial user
/// namespace, in every namespace (`proc_sys_make_inode`, fs/proc/proc_sysctl.c; seen on 6.18).
fn machine_root() -> u32 {
    static ROOT: OnceLock<u32> = OnceLock::new();
    *ROOT.get_or_init(|| std::fs::metadata("/proc/sys/kernel").map_or(0, |meta| meta.uid()))
}
