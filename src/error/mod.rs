//! The error type of the whole crate: message, hint and exit code.
//!
//! This room does not depend on the rooms that use it. A room with its own errors implements [`Failure`] for them and
//! converts them to [`Error::Other`]. A caller that distinguishes them gets them back by [`Error::as_failure`].

pub mod exit_code;
pub mod failure;
pub mod hint;
pub mod report;

pub use exit_code::ExitCode;
pub use failure::Failure;
pub use report::ErrorReport;

use std::io;
use std::path::{Path, PathBuf};

use binfmt_magic::{RuleError, UnknownSystem};

use crate::sanitize::AsText as _;
use crate::sha256::Sha256;

/// Result of most functions of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Reason why a file or directory is not trusted: a user other than root and the user of this process can change it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// The owner is neither root nor the user of this process
    #[error("{path} belongs to user {uid}, so that user can change it")]
    Owner {
        /// Path of the file or directory
        path: PathBuf,
        /// Owner of the file or directory
        uid: u32,
    },
    /// Mode bits allow other users to write
    #[error("{path} may be written by others (mode {mode:04o})")]
    Writable {
        /// Path of the file or directory
        path: PathBuf,
        /// Permission bits of the file or directory
        mode: u32,
    },
}

impl TrustError {
    /// Returns the path of the file or directory.
    pub fn path(&self) -> &Path {
        match self {
            Self::Owner { path, .. } | Self::Writable { path, .. } => path,
        }
    }
}

/// A failure. The message has what was tried, on what path or name, and what failed; [`Error::hint`] returns what
/// repairs it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file, directory or process could not be used
    #[error("cannot {what} {}: {source}", path.as_text())]
    Io {
        /// What was tried, as a verb: "read", "create the directory"
        what: &'static str,
        /// Path of the file or directory
        path: PathBuf,
        /// Error of the system
        source: io::Error,
    },
    /// No system has this name
    #[error(transparent)]
    UnknownSystem(#[from] UnknownSystem),
    /// The command line contradicts itself
    #[error("{0}")]
    Usage(String),
    /// The machine runs these programs without an emulator
    #[error("{system} programs run on this {machine} machine without an emulator")]
    Native {
        /// Requested system, by QEMU's name
        system: String,
        /// Machine (`uname -m`)
        machine: String,
    },
    /// The command needs root
    #[error("changing this machine needs root")]
    NotRoot {
        /// Command that does the same as root
        line: String,
        /// Command that does the same for one command, without root
        rootless: Option<String>,
    },
    /// The user, or the shutdown of the machine, ended the process
    #[error("interrupted by signal {signal}")]
    Interrupted {
        /// Number of the signal
        signal: usize,
    },
    /// `run`: the command could not be started
    #[error("cannot run {command}: {source}")]
    Command {
        /// Command as it was typed
        command: String,
        /// Error of the system
        source: io::Error,
    },
    /// Another binfmt-nix holds the lock
    #[error("{holder} holds {}", path.as_text())]
    Locked {
        /// Path of the lock file
        path: PathBuf,
        /// Description of the holder
        holder: String,
        /// What the user can do
        hint: &'static str,
    },
    /// The kernel or the container lacks a feature that is needed
    #[error("{what}")]
    Unsupported {
        /// Missing feature, and the sign of its absence
        what: String,
        /// What the user can do
        hint: String,
    },
    /// Another tool's entry or file conflicts
    #[error("{what}")]
    Conflict {
        /// Description of the conflict
        what: String,
        /// What the user can do
        hint: String,
    },
    /// A rule matches a program that the machine needs to run itself
    #[error(
        "refusing to register {name}: its rule matches {what}, so that every start of a program would end in ELOOP"
    )]
    RuleBreaksHost {
        /// Name of the entry
        name: String,
        /// Program that the rule matches
        what: String,
    },
    /// The kernel rejected a registration
    #[error("the kernel refused to register {name}: {why} (line: {line})")]
    Refused {
        /// Name of the entry
        name: String,
        /// errno and its meaning here
        why: String,
        /// Line that was written
        line: String,
    },
    /// A registered entry did not run a program of its system, and was removed again
    #[error("{name} was registered but does not work: {why}; the entry was removed again")]
    NotWorking {
        /// Name of the entry
        name: String,
        /// Result of the probe
        why: String,
    },
    /// A program of its system did not run by an emulator that was to replace another one
    #[error("the new emulator of {name} does not work: {why}; no entry was registered for it")]
    NotProven {
        /// System, or name of the rule
        name: String,
        /// Whether it is a system
        is_system: bool,
        /// Result of the probe
        why: String,
    },
    /// A file cannot be used as an emulator
    #[error("{} cannot be used as {binary}: {why}", path.as_text())]
    Unfit {
        /// Path or name of the file
        path: PathBuf,
        /// Name of the wanted emulator: `qemu-aarch64`
        binary: String,
        /// Reason
        why: String,
    },
    /// An archive contains no usable emulator
    #[error("cannot extract an emulator from {}: {why}", path.as_text())]
    Archive {
        /// Path of the archive
        path: PathBuf,
        /// Reason
        why: String,
    },
    /// Bytes do not match their expected digest
    #[error("{what} has the SHA-256 {actual}, not {expected}; nothing of it was used")]
    Digest {
        /// Path or name of the file
        what: String,
        /// Digest of the bytes
        actual: Sha256,
        /// Expected digest
        expected: Sha256,
    },
    /// No source has a usable emulator
    #[error("no usable {binary} found: {tried}")]
    NoInterpreter {
        /// Name of the wanted emulator
        binary: String,
        /// Places that were searched, each with the reason
        tried: String,
    },
    /// A file or directory can be changed by other users
    #[error("not safe: {0}")]
    Untrusted(#[from] TrustError),
    /// The receipt cannot be used
    #[error("the receipt {} cannot be used: {why}", path.as_text())]
    Receipt {
        /// Path of the receipt
        path: PathBuf,
        /// Reason
        why: String,
    },
    /// The kernel would reject a rule
    #[error(transparent)]
    Rule(#[from] RuleError),
    /// `--offline` forbids a download that is needed
    #[error("{what} would have to be downloaded, and --offline forbids that")]
    Offline {
        /// Missing file or package
        what: String,
    },
    /// A failure of another room, with its own hint and exit code
    #[error("{0}")]
    Other(Box<dyn Failure>),
}

impl Error {
    /// Makes an I/O error of what was tried on which path.
    pub fn io(what: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        Self::Io { what, path, source }
    }

    /// Makes an error of copying a file: of its destination, if only writing fails with it, otherwise of its source.
    pub fn copy(from: &Path, to: &Path, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::io("write", to, source),
            _ => Self::io("copy", from, source),
        }
    }
}
