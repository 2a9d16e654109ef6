//! Messages between this program and its download worker. Pure.
//!
//! The worker reads one [`DownloadRequest`], as JSON, and then its standard input ends. After the handshake
//! ([`crate::sandbox::session`]) it answers with frames of [`DownloadMessage`]s and bytes.

use serde::{Deserialize, Serialize};

use crate::qemu::download::{ClientOptions, FileDownload, FileUrl, Mirror, MirrorFailure};
use crate::sha256::Sha256;

/// Job of the worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DownloadRequest {
    /// Process ID of the parent.
    pub parent: u32,
    /// Package or file to download.
    pub what: DownloadTask,
    /// Time limits and proxies.
    pub options: ClientOptions,
    /// Certificates (PEM) that are trusted besides the system's.
    pub extra_roots: String,
}

/// Package or file to download.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum DownloadTask {
    /// Members of a package of the embedded catalogue.
    Members {
        /// digest of the package
        package: Sha256,
        /// QEMU's names of the members
        targets: Vec<String>,
        /// mirrors, in the order in which they are tried
        mirrors: Vec<Mirror>,
    },
    /// A whole file.
    File {
        /// properties of the file
        wanted: FileDownload,
        /// URLs of the file, in the order in which they are tried
        urls: Vec<FileUrl>,
    },
}

/// Message of the worker. The order is fixed. For each mirror the worker sends [`DownloadMessage::Asking`] and then bytes. In
/// a package, the bytes of each member are followed by [`DownloadMessage::Verified`]. The last message is one of the last
/// four. No message names a member, because both sides count them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum DownloadMessage {
    /// A request is sent to a mirror.
    Asking {
        /// Index of the mirror in the list of the job.
        mirror: usize,
    },
    /// Bytes were received from the current mirror.
    Moved {
        /// Number of bytes so far.
        bytes: u64,
        /// Expected number of bytes.
        of: u64,
    },
    /// The current mirror failed before it provided all bytes.
    GaveUp(MirrorFailure),
    /// The current member is complete, and the worker has verified its digest.
    Verified,
    /// The whole download is complete.
    Fetched {
        /// Number of received bytes of HTTP bodies, over all mirrors.
        moved: u64,
    },
    /// All mirrors failed.
    Failed,
    /// The HTTP client could not be set up.
    NoClient(String),
    /// The content of the pinned bytes differs from the catalogue.
    Inconsistent(String),
}
