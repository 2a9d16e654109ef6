//! Messages between the tool and its worker that pulls an image. Pure.
//!
//! The worker reads one [`PullJob`] as JSON from its standard input, which then ends. After the handshake
//! ([`crate::sandbox::session`]) it writes frames of [`PullMessage`] and bytes.

use serde::{Deserialize, Serialize};

use crate::qemu::download::ClientOptions;
use crate::qemu::oci::error::RegistryFailure;
use crate::qemu::oci::{Credentials, ImageReference, Platform};

/// Job of the worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PullJob {
    /// Process id of the worker's parent.
    pub parent: u32,
    /// Reference of the image.
    pub image: ImageReference,
    /// Platform whose variant of the image is pulled.
    pub platform: Platform,
    /// Credentials for the image's registry, and for no other server.
    pub credentials: Credentials,
    /// Options of the HTTP client.
    pub options: ClientOptions,
    /// Certificates (PEM) that are trusted in addition to the system's.
    pub extra_roots: String,
}

/// Message of the worker. The order is fixed: for each index and manifest [`PullMessage::Document`] and its bytes; then
/// the bytes of the layers, base first, whose lengths both sides know; then one of the last three messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum PullMessage {
    /// Beginning of an index or manifest.
    Document {
        /// Size in bytes.
        size: u64,
    },
    /// End of a complete pull.
    Done {
        /// Number of bytes in all response bodies.
        moved: u64,
    },
    /// Failure to fetch or verify the next document or layer.
    Failed(RegistryFailure),
    /// Failure to set up the HTTP client.
    NoClient(String),
}
