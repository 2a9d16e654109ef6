//! Errors of downloads, for people: each mirror with its reason, and advice.

use std::io;

use super::MirrorFailure;
use crate::error::{Error, ExitCode, Failure};

/// Why a download failed.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// There is no mirror to try.
    #[error("cannot download {package}: no mirror is known")]
    NoMirror {
        /// File name of the package.
        package: String,
    },
    /// The HTTP client could not be set up.
    #[error("cannot set up downloads: {0}")]
    Client(String),
    /// No mirror provided the bytes.
    #[error("cannot download {package}")]
    Failed {
        /// File name of the package.
        package: String,
        /// Whether the file is Debian's, which has more mirrors.
        mirrored: bool,
        /// Failed attempts, in order.
        tries: Vec<FailedAttempt>,
    },
    /// No mirror provided the pinned bytes, and at least one sent other bytes.
    #[error("refused unverified bytes instead of {package}")]
    Unverified {
        /// File name of the package.
        package: String,
        /// Whether the file is Debian's, which has more mirrors.
        mirrored: bool,
        /// Failed attempts, in order.
        tries: Vec<FailedAttempt>,
    },
    /// The bytes are the pinned ones, but their content differs from the catalogue.
    #[error("the catalogue does not match its own package: qemu-{target}: {why}")]
    Inconsistent {
        /// QEMU's name of the guest.
        target: String,
        /// Difference between package and catalogue.
        why: String,
    },
    /// The downloaded bytes could not be written.
    #[error("cannot write {what}: {source}")]
    Write {
        /// Name of the file.
        what: String,
        /// Error of the system.
        source: io::Error,
    },
    /// The worker failed.
    #[error("the download worker {0}")]
    Process(String),
}

/// A failed attempt at one mirror.
#[derive(Debug)]
pub struct FailedAttempt {
    /// Requested URL, without passwords.
    pub url: String,
    /// Reason of the failure.
    pub reason: MirrorFailure,
}

impl DownloadError {
    /// Returns advice for the user.
    pub fn hint(&self) -> String {
        let qemu = "or bring a static QEMU of your own: --qemu PATH";
        match self {
            Self::NoMirror { .. } => {
                format!("name a Debian mirror: --mirror URL (or BINFMT_NIX_MIRROR), {qemu}")
            }
            Self::Client(_) => format!("check SSL_CERT_FILE, NIX_SSL_CERT_FILE and the proxy variables, {qemu}"),
            Self::Failed { mirrored, tries, .. } => mirror_advice(*mirrored, tries, qemu),
            Self::Unverified { mirrored: false, .. } => {
                "the server, or a proxy in between, sent a file with another digest; no byte of it was used. Ask the \
                 publisher for the current digest"
                    .to_owned()
            }
            Self::Unverified { .. } => format!(
                "the mirror, or a proxy in between, did not send Debian's file; no byte of it was \
                 used. Name another Debian mirror: --mirror URL (or BINFMT_NIX_MIRROR), {qemu}"
            ),
            Self::Inconsistent { .. } => {
                format!("this is an error in binfmt-nix, please report it; {qemu}")
            }
            Self::Write { .. } => "check the free space and the permissions of the directory".to_owned(),
            Self::Process(_) => format!("run the command again; if that does not help, please report it, {qemu}"),
        }
    }

    /// Whether wrong bytes were received (exit code 5), rather than none (exit code 1).
    pub fn is_unverified(&self) -> bool {
        matches!(self, Self::Unverified { .. } | Self::Inconsistent { .. })
    }
}

impl Failure for DownloadError {
    fn hint(&self) -> Option<String> {
        Some(self.hint())
    }

    /// Returns a line for each server.
    fn details(&self) -> Vec<String> {
        match self {
            Self::Failed { tries, .. } | Self::Unverified { tries, .. } => {
                tries.iter().map(|FailedAttempt { url, reason }| format!("{url}: {reason}")).collect()
            }
            _ => Vec::new(),
        }
    }

    fn exit_code(&self) -> ExitCode {
        if self.is_unverified() { ExitCode::Unverified } else { ExitCode::Failed }
    }
}

impl From<DownloadError> for Error {
    fn from(error: DownloadError) -> Self {
        Self::other(error)
    }
}

/// Builds the error for a download that all mirrors failed to provide.
pub(crate) fn all_mirrors_failed(package: String, mirrored: bool, tries: Vec<FailedAttempt>) -> DownloadError {
    let tries = last_attempts(tries);
    if tries.is_empty() {
        DownloadError::NoMirror { package }
    } else if tries.iter().any(|t| t.reason.is_wrong_digest()) {
        DownloadError::Unverified { package, mirrored, tries }
    } else {
        DownloadError::Failed { package, mirrored, tries }
    }
}

/// Keeps one attempt for each URL: the last one, or the first one with wrong bytes.
fn last_attempts(tries: Vec<FailedAttempt>) -> Vec<FailedAttempt> {
    let mut each: Vec<FailedAttempt> = Vec::new();
    for FailedAttempt { url, reason } in tries {
        match each.iter_mut().find(|known| known.url == url) {
            Some(known) if known.reason.is_wrong_digest() => {}
            Some(known) => known.reason = reason,
            None => each.push(FailedAttempt { url, reason }),
        }
    }
    each
}

fn mirror_advice(mirrored: bool, tries: &[FailedAttempt], qemu: &str) -> String {
    let mut advice = Vec::new();
    if mirrored {
        advice.push("name another Debian mirror: --mirror URL (or BINFMT_NIX_MIRROR)");
    }
    let is_unreachable =
        |t: &FailedAttempt| matches!(t.reason, MirrorFailure::Unreachable(_) | MirrorFailure::Stalled(_));
    if tries.iter().any(is_unreachable) {
        advice.push(
            "set HTTPS_PROXY and HTTP_PROXY if this network needs a proxy, and SSL_CERT_FILE if it has its own certificate \
             authority",
        );
    }
    advice.push(qemu);
    advice.join(", ")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn lists_every_mirror_with_its_reason() {
        let tries = vec![
            FailedAttempt { url: "https://a.example/x.deb".to_owned(), reason: MirrorFailure::Status { code: 404 } },
            FailedAttempt {
                url: "https://b.example/x.deb".to_owned(),
                reason: MirrorFailure::Stalled(Duration::from_secs(30)),
            },
        ];
        let package = "x.deb".to_owned();
        let error = DownloadError::Failed { package, mirrored: true, tries };
        assert_eq!(error.to_string(), "cannot download x.deb");
        let details =
            ["https://a.example/x.deb: HTTP status 404 (not found)", "https://b.example/x.deb: no answer for 30 s"];
        assert_eq!(error.details(), details);
        for word in ["--mirror URL", "--qemu PATH", "HTTPS_PROXY"] {
            assert!(error.hint().contains(word), "{word}");
        }
        assert!(!error.is_unverified());
    }
}
