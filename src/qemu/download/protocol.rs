//! The messages between this program and its worker that downloads. Pure.
//!
//! The worker is given one [`Job`], as JSON, and then its standard input ends. After the handshake
//! ([`crate::sandbox::session`]) it answers with frames of [`Word`]s and bytes.

use serde::{Deserialize, Serialize};

use crate::qemu::download::{ClientOptions, FileDownload, FileUrl, Mirror, MirrorFailure};
use crate::sha256::Sha256;

/// What the child is to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DownloadRequest {
    /// Whose child it is.
    pub parent: u32,
    /// What is to be downloaded.
    pub what: DownloadTask,
    /// How.
    pub options: ClientOptions,
    /// Certificates (PEM) that are trusted besides the system's.
    pub extra_roots: String,
}

/// What is to be downloaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum DownloadTask {
    /// Members of a package of the embedded catalogue.
    Members {
        /// the digest of the package
        package: Sha256,
        /// which of its members
        targets: Vec<String>,
        /// who is asked for them
        mirrors: Vec<Mirror>,
    },
    /// A file, whole.
    File {
        /// which
        wanted: FileDownload,
        /// who is asked for it
        urls: Vec<FileUrl>,
    },
}

/// What the child says. The order is fixed: for each mirror, [`Word::Asking`], then bytes, of a package each member's
/// followed by [`Word::Verified`]; and one of the last four. Which member is meant is never said: both sides count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum DownloadMessage {
    /// A mirror is asked.
    Asking {
        /// Its number in the list that the worker was given.
        mirror: usize,
    },
    /// Bytes came from it.
    Moved {
        /// How many there are now.
        bytes: u64,
        /// How many there will be.
        of: u64,
    },
    /// It gave nothing, or not all.
    GaveUp(MirrorFailure),
    /// The member is complete and has its digest, as the child sees it.
    Verified,
    /// All members are.
    Fetched {
        /// How many bytes came, from all mirrors together.
        moved: u64,
    },
    /// All mirrors gave up.
    Failed,
    /// The HTTP client could not be set up.
    NoClient(String),
    /// The pinned bytes are not what the catalogue says they are.
    Inconsistent(String),
}
