//! Why nothing that Debian signed says which QEMU is the latest, for people.

use super::Date;
use crate::error::{Error, ExitCode, Failure};

/// There is no offer that can be believed.
#[derive(Debug, thiserror::Error)]
pub enum DebianError {
    /// It is not what Debian signed, or nothing that it would sign.
    #[error("refused the unverified {what}: {why}")]
    Unverified {
        /// its path on the mirror
        what: String,
        /// what is wrong with it
        why: String,
    },
    /// It was right once.
    #[error(
        "{what} is stale: it expired on {until}, {} days ago, and was made on {made}, {} days ago",
        days_between(*until, *now),
        days_between(*made, *now)
    )]
    Expired {
        /// its path on the mirror
        what: String,
        /// `Valid-Until`
        until: Date,
        /// `Date`
        made: Date,
        /// what this machine's clock shows
        now: Date,
    },
    /// It is not right yet.
    #[error("{what} was made on {made}, and this machine's clock shows {now}")]
    Future {
        /// its path on the mirror
        what: String,
        /// `Date`
        made: Date,
        /// what this machine's clock shows
        now: Date,
    },
    /// It is verified, and has no QEMU.
    #[error("Debian offers no qemu-user for {architecture} today: it is neither in {suites}")]
    NoOffer {
        /// Debian's name of the machine
        architecture: String,
        /// where it was looked for
        suites: String,
    },
    /// The process that verifies could not do it.
    #[error("the process that verifies Debian's lists {0}")]
    Process(String),
}

fn days_between(earlier: Date, now: Date) -> u64 {
    earlier.age_at(now).as_secs() / 86_400
}

impl DebianError {
    /// What a person can do about it.
    pub fn hint(&self) -> String {
        let pinned = "or leave out --qemu-version: the pinned QEMU needs no list";
        match self {
            Self::Unverified { .. } => format!(
                "the mirror, or a proxy before it, does not give Debian's file; nothing of it was used. Name another \
                 Debian mirror: --mirror URL (or BINFMT_NIX_MIRROR); if all do the same, Debian may have newer keys \
                 than this binfmt-nix knows; {pinned}"
            ),
            Self::Expired { .. } => format!(
                "the mirror is not kept up to date, or somebody holds back what is newer; or the clock of this machine \
                 is wrong. Name another Debian mirror: --mirror URL (or BINFMT_NIX_MIRROR), {pinned}"
            ),
            Self::Future { .. } => format!("set the clock of this machine, {pinned}"),
            Self::NoOffer { .. } => "leave out --qemu-version: the pinned QEMU can be had".to_owned(),
            Self::Process(_) => format!("run it again; if that does not help, please report it, {pinned}"),
        }
    }

    /// Whether something came that cannot be believed (exit code 5).
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
