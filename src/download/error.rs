//! Why a download failed, for people: every mirror with its own reason, and what would help.

use std::fmt;
use std::io;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};

use super::PullError;
use crate::digest::Sha256;
use crate::text::one_line;

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
    #[error("cannot download {package}{}", Listed(tries))]
    Failed {
        /// The file name of the package.
        package: String,
        /// Every mirror that was asked, in order.
        tries: Vec<Try>,
    },
    /// No mirror gave the bytes, and at least one gave others.
    #[error("refused unverified bytes instead of {package}{}", Listed(tries))]
    Unverified {
        /// The file name of the package.
        package: String,
        /// Every mirror that was asked, in order.
        tries: Vec<Try>,
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
    #[error("cannot write qemu-{target}")]
    Write {
        /// QEMU's name of the guest.
        target: String,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// An image could not be pulled.
    #[error(transparent)]
    Pull(#[from] Box<PullError>),
    /// The process that downloads could not do it.
    #[error("the process that downloads {0}")]
    Process(String),
}

/// A mirror that was asked in vain.
#[derive(Debug)]
pub struct Try {
    /// The URL that was asked for, without passwords.
    pub url: String,
    /// Why it gave nothing.
    pub reason: Reason,
}

/// Why a mirror gave nothing. Texts that come from servers hold printable characters only, and are
/// made so again when they come from the process that downloads.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Reason {
    /// No connection: name, route, TLS, proxy.
    #[error("{0}")]
    Unreachable(#[serde(deserialize_with = "only_printable")] String),
    /// Nothing came for this long.
    #[error("no answer for {} s", .0.as_secs_f32())]
    Stalled(Duration),
    /// Bytes came, but so few that waiting is no use.
    #[error("too slow: {bytes} bytes in {} s", took.as_secs())]
    Slow {
        /// How many.
        bytes: u64,
        /// In which time.
        took: Duration,
    },
    /// The connection broke.
    #[error("{0}")]
    Broken(#[serde(deserialize_with = "only_printable")] String),
    /// The body ended before what was asked for.
    #[error("ended after {got} of {wanted} bytes")]
    Truncated {
        /// How far it came.
        got: u64,
        /// How far it should have come.
        wanted: u64,
    },
    /// Another HTTP status than 200 or 206.
    #[error("HTTP status {code}{}", meaning(*code))]
    Status {
        /// Which.
        code: u16,
    },
    /// A redirect that is not followed.
    #[error("{0}")]
    Redirect(#[serde(deserialize_with = "only_printable")] String),
    /// 206 with other bytes than were asked for.
    #[error("asked for bytes {wanted}, got {got}")]
    Range {
        /// As `Content-Range` should be.
        #[serde(deserialize_with = "only_printable")]
        wanted: String,
        /// As it was.
        #[serde(deserialize_with = "only_printable")]
        got: String,
    },
    /// A file of another length.
    #[error("has {got} bytes instead of {wanted}: it is another file, or a page of some proxy")]
    Size {
        /// Its length.
        got: u64,
        /// The package's.
        wanted: u64,
    },
    /// The body is in a coding that was not asked for.
    #[error("sends it in the coding {0}, which was not asked for")]
    Encoded(#[serde(deserialize_with = "only_printable")] String),
    /// The bytes are not the pinned ones.
    #[error("bytes {first}-{last} have the SHA-256 {got}, not {wanted}")]
    Digest {
        /// The first byte of the block.
        first: u64,
        /// The last byte of the block.
        last: u64,
        /// The digest of what came.
        got: Sha256,
        /// The pinned one.
        wanted: Sha256,
    },
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
            Self::Failed { tries, .. } => format!("{}, {qemu}", advice(tries)),
            Self::Unverified { .. } => format!(
                "the mirror, or a proxy before it, does not give Debian's file; nothing of it was \
                 used. Name another Debian mirror: --mirror URL (or BINFMT_NIX_MIRROR), {qemu}"
            ),
            Self::Inconsistent { .. } => {
                format!("this is an error in binfmt-nix, please report it; {qemu}")
            }
            Self::Pull(error) => error.hint(),
            Self::Write { .. } => "check the space left and the rights there".to_owned(),
            Self::Process(_) => format!("run it again; if that does not help, please report it, {qemu}"),
        }
    }

    /// Whether bytes came that are not the pinned ones (exit code 5), rather than none (1).
    pub fn is_unverified(&self) -> bool {
        match self {
            Self::Pull(error) => error.is_unverified(),
            error => matches!(error, Self::Unverified { .. } | Self::Inconsistent { .. }),
        }
    }
}

impl Reason {
    /// Whether the mirror gave bytes that are not the pinned ones.
    pub fn is_lie(&self) -> bool {
        matches!(self, Self::Digest { .. })
    }

    /// Whether the same mirror may do better the next time.
    pub(super) fn is_passing(&self) -> bool {
        matches!(self, Self::Stalled(_) | Self::Broken(_) | Self::Truncated { .. })
    }
}

/// What all mirrors together came to.
pub(crate) fn failure(package: String, tries: Vec<Try>) -> DownloadError {
    if tries.is_empty() {
        DownloadError::NoMirror { package }
    } else if tries.iter().any(|t| t.reason.is_lie()) {
        DownloadError::Unverified { package, tries }
    } else {
        DownloadError::Failed { package, tries }
    }
}

fn advice(tries: &[Try]) -> String {
    let mut advice = "name another Debian mirror: --mirror URL (or BINFMT_NIX_MIRROR)".to_owned();
    let unreached = |t: &Try| matches!(t.reason, Reason::Unreachable(_) | Reason::Stalled(_));
    if tries.iter().any(unreached) {
        advice += ", set HTTPS_PROXY and HTTP_PROXY if this network needs a proxy, SSL_CERT_FILE if \
                   it has a certificate authority of its own";
    }
    advice
}

fn meaning(status: u16) -> &'static str {
    match status {
        300..=399 => " (a redirect that is not followed)",
        401 => " (it wants a password)",
        403 => " (forbidden)",
        404 | 410 => " (it does not have this version)",
        407 => " (the proxy wants a password)",
        416 => " (it has a shorter file)",
        429 => " (too many requests)",
        500..=599 => " (its own fault)",
        _ => "",
    }
}

/// One line for each mirror.
struct Listed<'a>(&'a [Try]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|Try { url, reason }| write!(f, "\n  {url}: {reason}"))
    }
}

/// For texts that another process says are printable already: those that are stay as they are.
pub(super) fn only_printable<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    Ok(one_line(&String::deserialize(from)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mirror_and_reason_is_listed() {
        let tries = vec![
            Try { url: "https://a.example/x.deb".to_owned(), reason: Reason::Status { code: 404 } },
            Try { url: "https://b.example/x.deb".to_owned(), reason: Reason::Stalled(Duration::from_secs(30)) },
        ];
        let package = "x.deb".to_owned();
        let error = DownloadError::Failed { package, tries };
        let expected = "cannot download x.deb\n  \
            https://a.example/x.deb: HTTP status 404 (it does not have this version)\n  \
            https://b.example/x.deb: no answer for 30 s";
        assert_eq!(error.to_string(), expected);
        for word in ["--mirror URL", "--qemu PATH", "HTTPS_PROXY"] {
            assert!(error.hint().contains(word), "{word}");
        }
        assert!(!error.is_unverified());
    }
}
