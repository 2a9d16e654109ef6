//! Why one mirror gave nothing, and whether it may do better the next time.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};

use crate::sanitize::to_one_line;
use crate::sha256::Sha256;

/// Why a mirror gave nothing. Texts that come from servers hold printable characters only, and are
/// made so again when they come from the process that downloads.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum MirrorFailure {
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
    #[error("HTTP status {code}{}", status_meaning(*code))]
    Status {
        /// Which.
        code: u16,
    },
    /// The server is too busy, for so many seconds if it says so.
    #[error("HTTP status {code}{}", busy_text(*code, *after))]
    Busy {
        /// 429 or 503.
        code: u16,
        /// What `Retry-After` says.
        after: Option<u64>,
    },
    /// A redirect that is not followed.
    #[error("{0}")]
    Redirect(#[serde(deserialize_with = "only_printable")] String),
    /// 206 with other bytes than were asked for.
    #[error("asked for {wanted}, got {got}")]
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
    /// A file that is longer than any that is taken.
    #[error("has more than {most} bytes, the most that is taken")]
    Large {
        /// How many that are.
        most: u64,
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

impl MirrorFailure {
    /// Whether the mirror gave bytes that are not the pinned ones.
    pub fn is_wrong_digest(&self) -> bool {
        matches!(self, Self::Digest { .. })
    }

    /// Whether the same mirror may do better the next time.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Stalled(_) | Self::Broken(_) | Self::Truncated { .. } | Self::Busy { .. } => true,
            // Not 501 (not implemented), nor 505 (no such HTTP): they stay.
            Self::Status { code } => matches!(code, 408 | 500 | 502..=504),
            _ => false,
        }
    }

    /// How long the mirror asks to be left alone.
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
        401 => " (it wants a password; ~/.netrc may hold one)",
        403 => " (forbidden)",
        404 | 410 => " (it is not there)",
        407 => " (the proxy wants a password)",
        416 => " (it has a shorter file)",
        500..=599 => " (its own fault)",
        _ => "",
    }
}

fn busy_text(code: u16, after: Option<u64>) -> String {
    let asks = after.map(|seconds| format!(", for {seconds} s as it says")).unwrap_or_default();
    match code {
        429 => format!(" (too many requests{asks})"),
        _ => format!(" (it is too busy{asks})"),
    }
}

/// For texts that another process says are printable already: those that are stay as they are.
pub(crate) fn only_printable<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    Ok(to_one_line(&String::deserialize(from)?))
}
