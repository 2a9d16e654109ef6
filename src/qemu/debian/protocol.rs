//! Messages of the worker that verifies a list of Debian's archive. Pure.
//!
//! The worker has the list on its standard input and the query in its arguments. After the handshake
//! ([`crate::sandbox::session`]) it writes one [`VerifyMessage`].

use serde::{Deserialize, Serialize};

use crate::qemu::debian::IndexResult;

/// Message of the worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum VerifyMessage {
    /// Answer to the query.
    Read(IndexResult),
}
