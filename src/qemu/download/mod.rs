//! Downloads of emulators: of a package only the blocks that contain them, from the first mirror that provides them.
//!
//! The order of the checks is fixed. The SHA-256 of a block is compared with the catalogue before a decoder reads the block,
//! and the SHA-256 of a member is compared before the member is reported as verified. So mirrors need not be trusted, and
//! plain http is sufficient. If a mirror fails or sends wrong bytes, the next mirror continues at the block where it stopped.
//!
//! The code that speaks HTTP ([`package`], [`mod@file`], [`blocks`], [`extract`], [`http`], [`names`]) runs in a confined worker
//! ([`worker`], [`crate::sandbox`]) that cannot open any file. The parent ([`confined`]) starts the worker and validates its
//! messages ([`supervise_package`], [`supervise_file`]). [`progress`] and [`resume`] write the verified bytes to files and print the progress.
//! Images in registries are downloaded by [`crate::qemu::oci`].

pub mod apt_sources;
pub mod attempts;
pub mod blocks;
pub mod cache;
pub mod confined;
pub mod error;
pub mod extract;
pub mod failure;
pub mod file;
pub mod http;
pub mod machine_config;
pub mod mirror;
pub mod names;
pub mod netrc;
pub mod package;
pub mod progress;
pub mod protocol;
pub mod resume;
pub mod retry;
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

/// Permitted use of the network.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Network {
    /// Mirror that is tried first.
    pub mirror: Option<BaseUrl>,
    /// Whether downloads are forbidden.
    pub offline: bool,
}

/// Most tries at one mirror within one attempt. A try is repeated after a transient failure if it made progress.
pub(crate) const TRIES_PER_MIRROR: usize = 3;

/// Environment variable with a file of the certificate authorities that are trusted instead of the system's.
pub const CERT_FILE_VARIABLE: &str = "SSL_CERT_FILE";

/// Environment variable with a directory of such files.
pub const CERT_DIR_VARIABLE: &str = "SSL_CERT_DIR";

/// Environment variables that a download uses: proxies and trusted certificates.
pub const PROXY_VARIABLES: &[&str] = &[
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "ALL_PROXY",
    "all_proxy",
    "NO_PROXY",
    "no_proxy",
    CERT_FILE_VARIABLE,
    CERT_DIR_VARIABLE,
];

/// Time limits and proxies of the HTTP client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientOptions {
    /// Time limit for a connection.
    pub connect: Duration,
    /// Longest time without any byte.
    pub stall: Duration,
    /// Time in which a server has to send `least` bytes.
    pub window: Duration,
    /// Fewest bytes of a body in each `window`.
    pub least: u64,
    /// Time limit for one attempt: all requests to one mirror, or one document or layer of a registry.
    pub whole: Duration,
    /// Pause before mirrors with a transient failure are tried again; the second pause is four times as long.
    pub pause: Duration,
    /// Proxies that are used.
    pub proxies: Proxies,
}

/// Choice of proxies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Proxies {
    /// Proxies that `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` name.
    Environment,
    /// No proxy.
    None,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(15),
            stall: Duration::from_secs(30),
            window: Duration::from_secs(60),
            least: 512 << 10,
            whole: Duration::from_secs(1800),
            pause: Duration::from_millis(500),
            proxies: Proxies::Environment,
        }
    }
}

/// Progress of a download.
#[derive(Debug, Clone, Copy)]
pub enum DownloadEvent<'a> {
    /// A request is sent to a mirror.
    Asking {
        /// Index of the mirror in the list.
        mirror: usize,
        /// Requested URL, without a password.
        url: &'a str,
    },
    /// Bytes were received. Both numbers are larger if the server ignores ranges. `bytes` can become smaller when
    /// another mirror is tried.
    Moved {
        /// Number of bytes so far.
        bytes: u64,
        /// Expected number of bytes.
        of: u64,
    },
    /// A mirror failed before it provided all bytes.
    GaveUp {
        /// Requested URL, without a password.
        url: &'a str,
        /// Reason of the failure.
        reason: &'a MirrorFailure,
    },
    /// A member is complete, and its digest is verified.
    Verified {
        /// Member that is complete.
        member: &'a Member,
    },
}

/// Summary of a successful download.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DownloadSummary {
    /// URL that provided the last bytes, without a password.
    pub url: String,
    /// Number of received bytes of HTTP bodies, over all mirrors.
    pub moved: u64,
}
