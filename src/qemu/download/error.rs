//! Why a download failed, for people: every mirror with its own reason, and what would help.

use std::fmt;
use std::io;

use super::MirrorFailure;
use crate::error::{Error, ExitCode, Failure};

/// A download that gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// No mirror was named.
    #[error("cannot download {package}: no mirror to ask")]
    NoMirror {
        /// The file name of the package.
        package: String,
    },
    /// The HTTP client could not be set up.
    #[error("cannot set up downloads: {0}")]
    Client(String),
    /// No mirror gave the bytes.
    #[error("cannot download {package}{}", AttemptList(tries))]
    Failed {
        /// The file name of the package.
        package: String,
        /// Whether it is Debian's, which has more mirrors.
        mirrored: bool,
        /// Everybody who was asked, in order.
        tries: Vec<FailedAttempt>,
    },
    /// No mirror gave the bytes, and at least one gave others.
    #[error("refused unverified bytes instead of {package}{}", AttemptList(tries))]
    Unverified {
        /// The file name of the package.
        package: String,
        /// Whether it is Debian's, which has more mirrors.
        mirrored: bool,
        /// Everybody who was asked, in order.
        tries: Vec<FailedAttempt>,
    },
    /// The bytes are the pinned ones, but what is in them is not what the catalogue says.
    #[error("the catalogue does not agree with its own package: qemu-{target}: {why}")]
    Inconsistent {
        /// QEMU's name of the guest.
        target: String,
        /// What does not agree.
        why: String,
    },
    /// What was downloaded could not be written.
    #[error("cannot write {what}: {source}")]
    Write {
        /// The name of the file.
        what: String,
        /// The system's reason.
        source: io::Error,
    },
    /// The process that downloads could not do it.
    #[error("the process that downloads {0}")]
    Process(String),
}

/// A mirror that was asked in vain.
#[derive(Debug)]
pub struct FailedAttempt {
    /// The URL that was asked for, without passwords.
    pub url: String,
    /// Why it gave nothing.
    pub reason: MirrorFailure,
}

impl DownloadError {
    /// What a person can do about it.
    pub fn hint(&self) -> String {
        let qemu = "or bring a static QEMU of your own: --qemu PATH";
        match self {
            Self::NoMirror { .. } => {
                format!("name a Debian mirror: --mirror URL (or BINFMT_NIX_MIRROR), {qemu}")
            }
            Self::Client(_) => format!("check SSL_CERT_FILE, NIX_SSL_CERT_FILE and the proxy variables, {qemu}"),
            Self::Failed { mirrored, tries, .. } => mirror_advice(*mirrored, tries, qemu),
            Self::Unverified { mirrored: false, .. } => {
                "the server, or a proxy before it, has another file than the digest names; nothing of it was used. Ask its \
                 publisher for the digest of today"
                    .to_owned()
            }
            Self::Unverified { .. } => format!(
                "the mirror, or a proxy before it, does not give Debian's file; nothing of it was \
                 used. Name another Debian mirror: --mirror URL (or BINFMT_NIX_MIRROR), {qemu}"
            ),
            Self::Inconsistent { .. } => {
                format!("this is an error in binfmt-nix, please report it; {qemu}")
            }
            Self::Write { .. } => "check the space left and the rights there".to_owned(),
            Self::Process(_) => format!("run it again; if that does not help, please report it, {qemu}"),
        }
    }

    /// Whether bytes came that are not the pinned ones (exit code 5), rather than none (1).
    pub fn is_unverified(&self) -> bool {
        matches!(self, Self::Unverified { .. } | Self::Inconsistent { .. })
    }
}

impl Failure for DownloadError {
    fn hint(&self) -> Option<String> {
        Some(self.hint())
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

/// What all mirrors together came to.
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

/// The last reason of each, but a lie before any other.
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
            "set HTTPS_PROXY and HTTP_PROXY if this network needs a proxy, SSL_CERT_FILE if it has a certificate authority \
             of its own",
        );
    }
    advice.push(qemu);
    advice.join(", ")
}

/// One line for each mirror.
struct AttemptList<'a>(&'a [FailedAttempt]);

impl fmt::Display for AttemptList<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|FailedAttempt { url, reason }| write!(f, "\n  {url}: {reason}"))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn every_mirror_and_reason_is_listed() {
        let tries = vec![
            FailedAttempt { url: "https://a.example/x.deb".to_owned(), reason: MirrorFailure::Status { code: 404 } },
            FailedAttempt {
                url: "https://b.example/x.deb".to_owned(),
                reason: MirrorFailure::Stalled(Duration::from_secs(30)),
            },
        ];
        let package = "x.deb".to_owned();
        let error = DownloadError::Failed { package, mirrored: true, tries };
        let expected = "cannot download x.deb\n  \
            https://a.example/x.deb: HTTP status 404 (it is not there)\n  \
            https://b.example/x.deb: no answer for 30 s";
        assert_eq!(error.to_string(), expected);
        for word in ["--mirror URL", "--qemu PATH", "HTTPS_PROXY"] {
            assert!(error.hint().contains(word), "{word}");
        }
        assert!(!error.is_unverified());
    }
}
