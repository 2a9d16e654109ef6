//! Everything that can go wrong, what repairs it, and the exit code it means.

use std::io;
use std::path::{Path, PathBuf};

use binfmt_magic::{RuleError, UnknownSystem};

use crate::digest::Sha256;
use crate::host::Distrust;

/// What functions of this crate return.
pub type Result<T> = std::result::Result<T, Error>;

/// The process's exit status. Part of the public interface: see the README.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// Done, or nothing to do.
    Ok = 0,
    /// Something failed; what had been begun was undone.
    Failed = 1,
    /// The command line asks for something that makes no sense.
    Usage = 2,
    /// Something of somebody else's is in the way, or a check found a fault.
    Findings = 3,
    /// Needs root.
    NotPermitted = 4,
    /// Bytes from elsewhere are not the ones that are pinned.
    Unverified = 5,
    /// This kernel or machine cannot do it.
    Unsupported = 6,
    /// `run`: the command is there, and cannot be executed. As in a shell.
    NotExecutable = 126,
    /// `run`: there is no such command. As in a shell.
    NoCommand = 127,
    /// SIGHUP came; what had been begun was undone.
    HungUp = 129,
    /// SIGINT (Ctrl-C) came; what had been begun was undone.
    Interrupted = 130,
    /// SIGTERM came; what had been begun was undone.
    Terminated = 143,
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
    Bricking {
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
    #[error("{what} has the SHA-256 {is}, not {wanted}; nothing of it was used")]
    Digest {
        /// the file
        what: String,
        /// what it has
        is: Sha256,
        /// what was named
        wanted: Sha256,
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
    Distrusted(#[from] Distrust),
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
    /// The download failed.
    #[error(transparent)]
    Download(#[from] crate::download::DownloadError),
    /// Nothing that Debian signed says which QEMU is the latest.
    #[error(transparent)]
    Debian(#[from] crate::debian::DebianError),
    /// The embedded catalogue, or the package it is made from, is wrong.
    #[error(transparent)]
    Catalog(#[from] crate::catalog::CatalogError),
}

impl Error {
    /// An I/O error with what was tried on which path.
    pub fn io(what: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        Self::Io { what, path, source }
    }

    /// What this failure means to a script.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::UnknownSystem(_) | Self::Usage(_) | Self::Native { .. } => ExitCode::Usage,
            Self::Conflict { .. } => ExitCode::Findings,
            Self::NotRoot { .. } => ExitCode::NotPermitted,
            Self::Command { source, .. } if source.kind() == io::ErrorKind::NotFound => ExitCode::NoCommand,
            Self::Command { .. } => ExitCode::NotExecutable,
            Self::Interrupted { signal: 1 } => ExitCode::HungUp,
            Self::Interrupted { signal: 15 } => ExitCode::Terminated,
            Self::Interrupted { .. } => ExitCode::Interrupted,
            Self::Unsupported { .. } => ExitCode::Unsupported,
            Self::Digest { .. } => ExitCode::Unverified,
            Self::Download(e) if e.is_unverified() => ExitCode::Unverified,
            Self::Debian(e) if e.is_unverified() => ExitCode::Unverified,
            Self::Io { .. }
            | Self::Locked { .. }
            | Self::Bricking { .. }
            | Self::Refused { .. }
            | Self::NotWorking { .. }
            | Self::Unfit { .. }
            | Self::Archive { .. }
            | Self::NoInterpreter { .. }
            | Self::Distrusted(_)
            | Self::Receipt { .. }
            | Self::Rule(_)
            | Self::Download(_)
            | Self::Debian(_)
            | Self::Catalog(_) => ExitCode::Failed,
        }
    }

    /// What repairs it, where we know.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Io { source, path, .. } => return io_hint(source, path),
            Self::UnknownSystem(_) => "binfmt-nix list shows every system and its names".into(),
            Self::Native { .. } => "nothing needs to be registered for them".into(),
            Self::NotRoot { line, rootless } => {
                let rootless = rootless.as_ref().map(|line| format!("\nor, for one command and without root: {line}"));
                format!("run: {line}{}", rootless.unwrap_or_default())
            }
            Self::Unsupported { hint, .. } | Self::Conflict { hint, .. } => hint.clone(),
            Self::Locked { .. } => "wait for it to end, then run this again; --wait SECONDS waits longer".into(),
            Self::Unfit { .. } => {
                "it has to be a statically linked qemu-user for this machine; --source and --qemu choose another".into()
            }
            Self::NoInterpreter { .. } => "--source download fetches one, --qemu PATH names one".into(),
            Self::Distrusted(_) => {
                "make root its owner and take write permission from others (chown root, chmod go-w)".into()
            }
            Self::NotWorking { .. } => "try another QEMU: --source download, or --qemu PATH".into(),
            Self::Receipt { path, .. } => format!(
                "it says what unregister would take away; if it is beyond repair, move {} aside and register again",
                path.display()
            ),
            Self::Archive { .. } => {
                "--from takes a .deb, an .apk, a tar archive (plain or packed by gzip, xz, zstd), a directory, or a program"
                    .into()
            }
            Self::Download(e) => e.hint(),
            Self::Debian(e) => e.hint(),
            Self::Command { .. }
            | Self::Digest { .. }
            | Self::Interrupted { .. }
            | Self::Usage(_)
            | Self::Bricking { .. }
            | Self::Refused { .. }
            | Self::Rule(_)
            | Self::Catalog(_) => return None,
        })
    }
}

fn io_hint(source: &io::Error, path: &Path) -> Option<String> {
    let hint = match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            format!("free some space on the file system of {}; df -h shows it", path.display())
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            format!("{} is on a read-only file system; remount it writable", path.display())
        }
        io::ErrorKind::PermissionDenied => "run it as root".into(),
        _ => return None,
    };
    Some(hint)
}
