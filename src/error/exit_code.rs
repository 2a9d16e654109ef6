//! Exit codes: the meaning of a failure for scripts.

use std::io;

use super::Error;

/// Exit status of the process. It is part of the public interface (see the README).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// Done, or nothing to do
    Ok = 0,
    /// Something failed; all changes were rolled back
    Failed = 1,
    /// The command line makes no sense
    Usage = 2,
    /// Another tool's entry or file conflicts, another process holds the lock, or a check found a fault
    Findings = 3,
    /// Root is needed
    NotPermitted = 4,
    /// Bytes from a remote source do not match the pinned digest
    Unverified = 5,
    /// This kernel or machine does not support it
    Unsupported = 6,
    /// `run`: the command exists and cannot be executed; as in a shell
    NotExecutable = 126,
    /// `run`: the command does not exist; as in a shell
    NoCommand = 127,
    /// SIGHUP arrived; all changes were rolled back
    HungUp = 129,
    /// SIGINT (Ctrl-C) arrived; all changes were rolled back
    Interrupted = 130,
    /// SIGTERM arrived; all changes were rolled back
    Terminated = 143,
}

impl Error {
    /// Returns the exit code of this failure.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::UnknownSystem(_) | Self::Usage(_) | Self::Native { .. } => ExitCode::Usage,
            Self::Conflict { .. } | Self::Locked { .. } => ExitCode::Findings,
            Self::NotRoot { .. } => ExitCode::NotPermitted,
            Self::Command { source, .. } if source.kind() == io::ErrorKind::NotFound => ExitCode::NoCommand,
            Self::Command { .. } => ExitCode::NotExecutable,
            Self::Interrupted { signal: 1 } => ExitCode::HungUp,
            Self::Interrupted { signal: 15 } => ExitCode::Terminated,
            Self::Interrupted { .. } => ExitCode::Interrupted,
            Self::Unsupported { .. } => ExitCode::Unsupported,
            Self::Digest { .. } => ExitCode::Unverified,
            Self::Other(failure) => failure.exit_code(),
            Self::Io { .. }
            | Self::RuleBreaksHost { .. }
            | Self::Refused { .. }
            | Self::NotWorking { .. }
            | Self::NotProven { .. }
            | Self::Unfit { .. }
            | Self::Archive { .. }
            | Self::NoInterpreter { .. }
            | Self::Untrusted(_)
            | Self::Receipt { .. }
            | Self::Rule(_)
            | Self::Offline { .. } => ExitCode::Failed,
        }
    }
}
