//! The messages between this program and its worker that pulls an image. Pure.
//!
//! The worker is given one [`PullJob`], as JSON, and then its standard input ends. After the handshake
//! ([`crate::sandbox::session`]) it answers with frames of [`Pulling`] and bytes.

use serde::{Deserialize, Serialize};

use crate::qemu::download::ClientOptions;
use crate::qemu::oci::error::RegistryFailure;
use crate::qemu::oci::{Credentials, ImageReference, Platform};

/// What the child is to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PullJob {
    /// Whose child it is.
    pub parent: u32,
    /// What is pulled.
    pub image: ImageReference,
    /// For which machine.
    pub platform: Platform,
    /// Who we are there, and nowhere else.
    pub credentials: Credentials,
    /// How.
    pub options: ClientOptions,
    /// Certificates (PEM) that are trusted besides the system's.
    pub extra_roots: String,
}

/// What the child says that pulls an image. The order is fixed: for each index and manifest [`Pulling::Document`] and
/// its bytes; the layers' bytes, base first, of lengths that both sides know; and one of the
/// last three.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum PullMessage {
    /// An index or manifest begins.
    Document {
        /// how many bytes it has
        size: u64,
    },
    /// All is there.
    Done {
        /// how many bytes of bodies came
        moved: u64,
    },
    /// What comes next could not be had.
    Failed(RegistryFailure),
    /// The HTTP client could not be set up.
    NoClient(String),
}
