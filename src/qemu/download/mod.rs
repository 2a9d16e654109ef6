//! Downloads QEMUs: just the blocks that hold them, from the first mirror that has them.
//!
//! The order is fixed, and it is the point: a block's SHA-256 is compared with the catalogue's
//! before any decoder sees it, and a member's before it is called verified. So a mirror needs no
//! trust, and plain http will do. A mirror that fails or lies is left for the next one, which goes on
//! at the block where that one stopped.
//!
//! [`pull`] does the same for images of registries, whose digests lead from one piece to the next (`crate::qemu::oci`).
//!
//! Knows the catalogue and HTTP; not where QEMUs are kept, nor what they are for, nor that all this
//! runs in a process of its own ([`crate::sandbox`]), which has no file to write to.

pub mod apt_sources;
pub mod blocks;
pub mod cache;
pub mod confined;
pub mod error;
pub mod extract;
pub mod failure;
pub mod file;
pub mod http;
pub mod mirror;
pub mod mirrors;
pub mod netrc;
pub mod package;
pub mod progress;
pub mod protocol;
pub mod resume;
pub mod retry;
pub mod supervise;
pub mod supervise_file;
pub mod supervise_package;
pub mod url;
pub mod worker;

pub use apt_sources::mirrors_from_apt;
pub(crate) use error::all_mirrors_failed;
pub use error::{DownloadError, FailedAttempt};
pub use failure::MirrorFailure;
pub use file::{FileChunk, FileDownload, download_file};
pub use http::{HttpClient, RootCertificates};
pub use mirror::{BaseUrl, InvalidMirrorUrl, Mirror, order_mirrors};
pub use package::download_package;
pub use retry::{Attempt, MAX_ATTEMPTS, RetrySchedule};
pub use url::{FileUrl, InvalidFileUrl};

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::qemu::catalog::Member;

/// How the network may be used.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Network {
    /// The mirror that is asked first.
    pub mirror: Option<BaseUrl>,
    /// Nothing may be downloaded.
    pub offline: bool,
}

/// How often one mirror is asked again, after it moved at least one block and then broke.
pub(crate) const TRIES_PER_MIRROR: usize = 3;

/// What of the environment counts for a download: proxies, and whose certificates are trusted.
pub const PROXY_VARIABLES: &[&str] = &[
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "ALL_PROXY",
    "all_proxy",
    "NO_PROXY",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
];

/// How patient the client is, and which way it goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientOptions {
    /// How long a connection may take to be made.
    pub connect: Duration,
    /// How long nothing may come.
    pub stall: Duration,
    /// How long one request may take in all.
    pub whole: Duration,
    /// How many bytes a second must come on average, once `stall` is over.
    pub slowest: u64,
    /// How long is waited before those that may do better are asked again; four times that the time after.
    pub pause: Duration,
    /// Whether proxies are used.
    pub proxies: Proxies,
}

/// Which proxies are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Proxies {
    /// Those that `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` name.
    Environment,
    /// None.
    None,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(15),
            stall: Duration::from_secs(30),
            whole: Duration::from_secs(3600),
            slowest: 4 << 10,
            pause: Duration::from_millis(500),
            proxies: Proxies::Environment,
        }
    }
}

/// What happens meanwhile.
#[derive(Debug, Clone, Copy)]
pub enum DownloadEvent<'a> {
    /// A mirror is asked.
    Asking {
        /// Its number in the list.
        mirror: usize,
        /// For this URL (without a password).
        url: &'a str,
    },
    /// Bytes came. Both numbers are larger if the server ignores ranges; `bytes` goes back when
    /// another mirror is asked.
    Moved {
        /// How many of them are there now.
        bytes: u64,
        /// How many there will be.
        of: u64,
    },
    /// A mirror gave nothing, or not all.
    GaveUp {
        /// What it was asked for.
        url: &'a str,
        /// Why.
        reason: &'a MirrorFailure,
    },
    /// A member is complete, and has its digest.
    Verified {
        /// Which.
        member: &'a Member,
    },
}

/// A download that gave all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DownloadSummary {
    /// The URL that gave the last of it (without a password).
    pub url: String,
    /// How many bytes of bodies came, from all mirrors together.
    pub moved: u64,
}
