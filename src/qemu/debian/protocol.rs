//! The messages of the worker that verifies a list of Debian's. Pure.
//!
//! The worker has the list on its standard input and the question in its arguments. After the handshake
//! ([`crate::sandbox::session`]) it answers with one [`Verdict`].

use serde::{Deserialize, Serialize};

use crate::qemu::debian::IndexResult;

/// What the child says that verifies a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum VerifyMessage {
    /// What it read.
    Read(IndexResult),
}
