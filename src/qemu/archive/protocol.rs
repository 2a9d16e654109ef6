//! Messages of the worker that unpacks an archive. Pure.
//!
//! The worker has the archive on its standard input and its job in its arguments. After the handshake
//! ([`crate::sandbox::session`]) it writes frames of [`UnpackMessage`] and bytes.

use serde::{Deserialize, Serialize};

use crate::qemu::archive::Manifest;

/// Message of the worker. The order is fixed: an optional [`UnpackMessage::Manifest`]; for each emulator
/// [`UnpackMessage::Begin`], its bytes, [`UnpackMessage::End`]; then one of the last two messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum UnpackMessage {
    /// Manifest of a bundle.
    Manifest(Manifest),
    /// Beginning of an emulator.
    Begin {
        /// QEMU's name of the guest.
        target: String,
        /// Size in bytes.
        size: u64,
    },
    /// End of the emulator.
    End,
    /// End of the archive.
    Done,
    /// Reason why the archive is malformed or unsupported.
    Refused(String),
}
