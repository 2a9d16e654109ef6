//! What a failure means to a script.

use std::io;

use super::Error;

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

impl Error {
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
            Self::Other(failure) => failure.exit_code(),
            Self::Io { .. }
            | Self::Locked { .. }
            | Self::RuleBreaksHost { .. }
            | Self::Refused { .. }
            | Self::NotWorking { .. }
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
