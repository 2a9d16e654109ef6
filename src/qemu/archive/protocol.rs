//! The messages of the worker that unpacks an archive. Pure.
//!
//! The worker has the archive on its standard input and its job in its arguments. After the handshake
//! ([`crate::sandbox::session`]) it answers with frames of [`Found`] and bytes.

use serde::{Deserialize, Serialize};

use crate::qemu::archive::Manifest;

/// What the child says that unpacks an archive. The order is fixed: perhaps [`Found::Manifest`]; for each emulator [`Found::Begin`], its bytes, [`Found::End`]; and one of the last two.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum UnpackMessage {
    /// What the archive says of itself.
    Manifest(Manifest),
    /// An emulator begins.
    Begin {
        /// whose programs it runs
        target: String,
        /// how many bytes it has
        size: u64,
    },
    /// It is complete.
    End,
    /// There are no more of them.
    Done,
    /// The archive is broken, or one that is not taken.
    Refused(String),
}
