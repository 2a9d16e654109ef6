//! Whose word a digest is.

use serde::{Deserialize, Serialize};

/// Whose word it is that these are the right bytes. Every byte is compared with its digest, whoever vouches for it: this
/// says where the digest itself is from. Ordered, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Vouched {
    /// This project had the bytes, compared them with the publisher's signed index, and made the digests itself.
    HashedHere,
    /// Nobody here had the bytes. The digest is the one that unrelated projects demand whenever they download them.
    Others,
    /// Nobody here had the bytes. The digest is the publisher's own word, from its source code.
    Publisher,
}
