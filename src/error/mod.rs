//! The error of the whole crate: its text, the hint that repairs it, and its exit code.
//!
//! This room knows no room that uses it. A room with errors of its own implements [`Failure`] for them, and
//! converts them to [`Error::Other`]; [`Error::as_failure`] gives them back to a caller that distinguishes them.

pub mod exit_code;
pub mod failure;
pub mod hint;

pub use exit_code::ExitCode;
pub use failure::Failure;

use std::io;
use std::path::{Path, PathBuf};

use binfmt_magic::{RuleError, UnknownSystem};

use crate::sha256::Sha256;

/// What functions of this crate return.
pub type Result<T> = std::result::Result<T, Error>;

/// Reason why a file or directory is not trusted: a user other than root, or than the one who runs the program, can
/// change it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// The owner is neither root nor the user of this process.
    #[error("{path} belongs to user {uid}, who could change it")]
    Owner {
        /// Path of the file or directory
        path: PathBuf,
        /// Owner of the file or directory
        uid: u32,
    },
    /// Mode bits let other users write.
    #[error("{path} may be written by others (mode {mode:04o})")]
    Writable {
        /// Path of the file or directory
        path: PathBuf,
        /// Permission bits of the file or directory
        mode: u32,
    },
}

/// One failure. The text says what was tried, on what, and why it failed;
/// [`Error::hint`] says what repairs it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file, directory or process could not be used.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// what was tried: "read", "create the directory"
        what: &'static str,
        /// on what
        path: PathBuf,
        /// the system's answer
        source: io::Error,
    },
    /// No system has this name.
    #[error(transparent)]
    UnknownSystem(#[from] UnknownSystem),
    /// The command line contradicts itself.
    #[error("{0}")]
    Usage(String),
    /// The host runs these programs by itself.
    #[error("{system} programs run on this {machine} machine without an emulator")]
    Native {
        /// the QEMU target that was asked for
        system: String,
        /// `uname -m`
        machine: String,
    },
    /// Not root; the line does the same as root.
    #[error("changing this machine needs root")]
    NotRoot {
        /// the command to type
        line: String,
        /// one that does the same for one command, without root
        rootless: Option<String>,
    },
    /// The user, or the machine that goes down, wants an end.
    #[error("interrupted by signal {signal}")]
    Interrupted {
        /// its number
        signal: usize,
    },
    /// `run`: everything was ready, but the command could not be started.
    #[error("cannot run {command}: {source}")]
    Command {
        /// as it was typed
        command: String,
        /// the system's answer
        source: io::Error,
    },
    /// Another binfmt-nix is at work.
    #[error("{holder} holds {}", path.display())]
    Locked {
        /// the lock file
        path: PathBuf,
        /// who holds it, in its own words
        holder: String,
    },
    /// The kernel or the container lacks what is needed.
    #[error("{what}")]
    Unsupported {
        /// what is missing and how that was seen
        what: String,
        /// what helps
        hint: String,
    },
    /// Something of somebody else's is in the way.
    #[error("{what}")]
    Conflict {
        /// what is in the way
        what: String,
        /// what helps
        hint: String,
    },
    /// A rule would catch a program that the machine needs to run itself.
    #[error(
        "refusing to register {name}: its rule matches {what}, so that every start of a program would end in ELOOP"
    )]
    RuleBreaksHost {
        /// the entry
        name: String,
        /// the program it matches
        what: String,
    },
    /// The kernel did not take a registration.
    #[error("the kernel refused to register {name}: {why} (line: {line})")]
    Refused {
        /// the entry
        name: String,
        /// errno and what it means here
        why: String,
        /// the very line that was written
        line: String,
    },
    /// Registered, but a foreign program did not run; the entry is out again.
    #[error("{name} was registered but does not work: {why}; the entry was taken out again")]
    NotWorking {
        /// the entry
        name: String,
        /// what the probe did
        why: String,
    },
    /// A QEMU that is not fit to be registered.
    #[error("{} cannot be used as {binary}: {why}", path.display())]
    Unfit {
        /// the file
        path: PathBuf,
        /// what was wanted: `qemu-aarch64`
        binary: String,
        /// what is wrong
        why: String,
    },
    /// An archive that gives no emulator.
    #[error("cannot take an emulator from {}: {why}", path.display())]
    Archive {
        /// the archive
        path: PathBuf,
        /// what is wrong with it
        why: String,
    },
    /// Other bytes than those that were named by their digest.
    #[error("{what} has the SHA-256 {actual}, not {expected}; nothing of it was used")]
    Digest {
        /// the file
        what: String,
        /// what it has
        actual: Sha256,
        /// what was named
        expected: Sha256,
    },
    /// There is no QEMU to be had.
    #[error("no usable {binary} found: {tried}")]
    NoInterpreter {
        /// what was wanted
        binary: String,
        /// where was looked, with the reason for each
        tried: String,
    },
    /// A file or directory that others can write.
    #[error("not safe: {0}")]
    Untrusted(#[from] TrustError),
    /// The receipt cannot be understood.
    #[error("the receipt {} cannot be used: {why}", path.display())]
    Receipt {
        /// the receipt
        path: PathBuf,
        /// what is wrong with it
        why: String,
    },
    /// A rule is not one that the kernel takes.
    #[error(transparent)]
    Rule(#[from] RuleError),
    /// `--offline`, and this is not on this machine.
    #[error("{what} would have to be downloaded, and --offline forbids that")]
    Offline {
        /// what is not here
        what: String,
    },
    /// A failure of another room, which knows its own hint and exit code.
    #[error("{0}")]
    Other(Box<dyn Failure>),
}

impl Error {
    /// An I/O error with what was tried on which path.
    pub fn io(what: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        Self::Io { what, path, source }
    }
}
