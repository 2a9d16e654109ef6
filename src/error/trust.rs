//! Why a file or directory is not trusted.

use std::path::PathBuf;

/// Why a file or directory is not to be trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Distrust {
    /// Its owner is neither root nor who runs us.
    #[error("{path} belongs to user {uid}, who could change it")]
    Owner {
        /// the file or directory
        path: PathBuf,
        /// its owner
        uid: u32,
    },
    /// Mode bits let others in.
    #[error("{path} may be written by others (mode {mode:04o})")]
    Writable {
        /// the file or directory
        path: PathBuf,
        /// its permission bits
        mode: u32,
    },
}
