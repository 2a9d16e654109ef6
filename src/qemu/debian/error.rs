//! Errors of the search for Debian's latest QEMU: their texts, hints and exit codes.

use super::Date;
use crate::error::{Error, ExitCode, Failure};

/// Failed search for Debian's latest QEMU.
#[derive(Debug, thiserror::Error)]
pub enum DebianError {
    /// File that Debian did not sign, or with contents that Debian does not sign.
    #[error("refused the unverified {what}: {why}")]
    Unverified {
        /// Path on the mirror.
        what: String,
        /// Reason.
        why: String,
    },
    /// List that has expired.
    #[error(
        "{what} is stale: it expired on {until}, {} days ago, and was made on {made}, {} days ago",
        days_between(*until, *now),
        days_between(*made, *now)
    )]
    Expired {
        /// Path on the mirror.
        what: String,
        /// `Valid-Until` of the list.
        until: Date,
        /// `Date` of the list.
        made: Date,
        /// Current time by the clock of this machine.
        now: Date,
    },
    /// List with a date in the future.
    #[error("{what} was made on {made}, and this machine's clock shows {now}")]
    Future {
        /// Path on the mirror.
        what: String,
        /// `Date` of the list.
        made: Date,
        /// Current time by the clock of this machine.
        now: Date,
    },
    /// Verified lists without the package.
    #[error("Debian offers no qemu-user for {architecture} today: it is neither in {suites}")]
    NoOffer {
        /// Debian's name for the architecture.
        architecture: String,
        /// Names of the suites, separated by "nor in".
        suites: String,
    },
    /// The worker failed.
    #[error("the verify worker {0}")]
    Process(String),
}

fn days_between(earlier: Date, now: Date) -> u64 {
    earlier.age_at(now).as_secs() / 86_400
}

impl DebianError {
    /// Returns what the user can do about the failure.
    pub fn hint(&self) -> String {
        let pinned = "or leave out --qemu-version: the pinned QEMU needs no list";
        match self {
            Self::Unverified { .. } => format!(
                "the mirror or a proxy in front of it does not send Debian's file; nothing of it was used. Name \
                 another Debian mirror: --mirror URL (or BINFMT_NIX_MIRROR); if all of them fail, Debian may have newer \
                 keys than this binfmt-nix knows; {pinned}"
            ),
            Self::Expired { .. } => format!(
                "the mirror is not kept up to date, or an attacker withholds newer lists, or the clock of this machine \
                 is wrong. Name another Debian mirror: --mirror URL (or BINFMT_NIX_MIRROR), {pinned}"
            ),
            Self::Future { .. } => format!("set the clock of this machine, {pinned}"),
            Self::NoOffer { .. } => "leave out --qemu-version to use the pinned QEMU".to_owned(),
            Self::Process(_) => {
                format!("run the command again; if that does not help, please report it, {pinned}")
            }
        }
    }

    /// Whether the failure is a file that is not verified (exit code 5).
    pub fn is_unverified(&self) -> bool {
        matches!(self, Self::Unverified { .. } | Self::Expired { .. } | Self::Future { .. })
    }
}

impl Failure for DebianError {
    fn hint(&self) -> Option<String> {
        Some(self.hint())
    }

    fn exit_code(&self) -> ExitCode {
        if self.is_unverified() { ExitCode::Unverified } else { ExitCode::Failed }
    }
}

impl From<DebianError> for Error {
    fn from(error: DebianError) -> Self {
        Self::other(error)
    }
}
