//! Failures of one mirror, and whether the mirror may succeed at the next attempt.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};

use crate::sanitize::to_one_line;
use crate::sha256::Sha256;
use crate::ui::quantity::count;

/// Why a mirror failed. Texts from servers contain printable characters only. They are sanitized again when they come from
/// the worker.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum MirrorFailure {
    /// No connection: the name, the route, TLS or a proxy failed.
    #[error("{0}")]
    Unreachable(#[serde(deserialize_with = "only_printable")] String),
    /// No byte was received for this long.
    #[error("no answer for {} s", .0.as_secs_f32())]
    Stalled(Duration),
    /// The transfer was slower than the lowest accepted speed.
    #[error("too slow: {} in {} s", count(*bytes, "byte"), took.as_secs())]
    Slow {
        /// Number of received bytes.
        bytes: u64,
        /// Elapsed time.
        took: Duration,
    },
    /// The connection broke.
    #[error("{0}")]
    Broken(#[serde(deserialize_with = "only_printable")] String),
    /// The body ended before the last requested byte.
    #[error("ended after {got} of {}", count(*wanted, "byte"))]
    Truncated {
        /// Number of bytes that are there.
        got: u64,
        /// Number of bytes that should be there.
        wanted: u64,
    },
    /// An HTTP status other than 200 or 206.
    #[error("HTTP status {code}{}", status_meaning(*code))]
    Status {
        /// HTTP status.
        code: u16,
    },
    /// The server is too busy.
    #[error("HTTP status {code}{}", busy_text(*code, *after))]
    Busy {
        /// HTTP status: 429 or 503.
        code: u16,
        /// Value of `Retry-After` in seconds.
        after: Option<u64>,
    },
    /// A redirect that is not followed.
    #[error("{0}")]
    Redirect(#[serde(deserialize_with = "only_printable")] String),
    /// Status 206 with a range that was not requested.
    #[error("asked for {wanted}, got {got}")]
    Range {
        /// Expected `Content-Range`.
        #[serde(deserialize_with = "only_printable")]
        wanted: String,
        /// Received `Content-Range`.
        #[serde(deserialize_with = "only_printable")]
        got: String,
    },
    /// A file of another length.
    #[error("has {} instead of {wanted}: it is another file, or a page of a proxy", count(*got, "byte"))]
    Size {
        /// Received length.
        got: u64,
        /// Expected length.
        wanted: u64,
    },
    /// A file that is longer than the limit.
    #[error("has more than {}, which is the limit", count(*most, "byte"))]
    Large {
        /// Limit in bytes.
        most: u64,
    },
    /// The body has a content coding that was not requested.
    #[error("sends the file in the coding {0}, which was not requested")]
    Encoded(#[serde(deserialize_with = "only_printable")] String),
    /// The bytes are not the pinned ones.
    #[error("bytes {first}-{last} have the SHA-256 {got}, not {wanted}")]
    Digest {
        /// Offset of the first byte of the block.
        first: u64,
        /// Offset of the last byte of the block.
        last: u64,
        /// Digest of the received bytes.
        got: Sha256,
        /// Pinned digest.
        wanted: Sha256,
    },
}

impl MirrorFailure {
    /// Whether the mirror sent bytes other than the pinned ones.
    pub fn is_wrong_digest(&self) -> bool {
        matches!(self, Self::Digest { .. })
    }

    /// Whether the same mirror may succeed at the next attempt.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Stalled(_) | Self::Broken(_) | Self::Truncated { .. } | Self::Busy { .. } => true,
            // 501 (not implemented) and 505 (HTTP version not supported) are permanent.
            Self::Status { code } => matches!(code, 408 | 500 | 502..=504),
            _ => false,
        }
    }

    /// Returns the time for which the server requests no further attempt.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Busy { after, .. } => after.map(Duration::from_secs),
            _ => None,
        }
    }
}

fn status_meaning(status: u16) -> &'static str {
    match status {
        300..=399 => " (a redirect that is not followed)",
        401 => " (a password is needed; it can be in ~/.netrc)",
        403 => " (forbidden)",
        404 | 410 => " (not found)",
        407 => " (the proxy needs a password)",
        416 => " (the server has a shorter file)",
        500..=599 => " (an error of the server)",
        _ => "",
    }
}

fn busy_text(code: u16, after: Option<u64>) -> String {
    let retry = after.map(|seconds| format!(", retry after {seconds} s")).unwrap_or_default();
    match code {
        429 => format!(" (too many requests{retry})"),
        _ => format!(" (the server is too busy{retry})"),
    }
}

/// Deserializes a text from another process, and replaces characters that are not printable.
pub(crate) fn only_printable<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    Ok(to_one_line(&String::deserialize(from)?))
}
