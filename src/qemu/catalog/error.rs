//! Errors of the catalogue: their texts and exit codes.

use super::{VERSION, VersionRequest};
use crate::error::{Error, ExitCode, Failure};
use crate::ui::quantity::count;

/// Unusable catalogue, or request that the catalogue cannot satisfy.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// Text that is not JSON of the expected shape.
    #[error("cannot read the catalogue of packages")]
    Json(#[source] serde_json::Error),
    /// Catalogue of an unsupported version.
    #[error("the catalogue has version {found}, this program reads version {VERSION}")]
    Version {
        /// Version of the catalogue.
        found: u32,
    },
    /// Invalid value in the catalogue.
    #[error("the catalogue is wrong about {package}: {why}")]
    Invalid {
        /// Path of the package.
        package: String,
        /// Reason.
        why: InvalidEntry,
    },
    /// Request for a guest that the package does not have.
    #[error("{package} has no qemu-{target}")]
    NoSuchMember {
        /// QEMU's name of the guest.
        target: String,
        /// File name of the package.
        package: String,
    },
    /// Request for a release that no package has.
    #[error("no QEMU {request} is known for {host} hosts; {}", list_known(known))]
    NoSuchVersion {
        /// Requested release.
        request: VersionRequest,
        /// Host machine.
        host: String,
        /// Known releases, the default one first.
        known: Vec<String>,
    },
}

impl Failure for CatalogError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::NoSuchVersion { .. } => ExitCode::Usage,
            Self::Json(_) | Self::Version { .. } | Self::Invalid { .. } | Self::NoSuchMember { .. } => ExitCode::Failed,
        }
    }
}

impl From<CatalogError> for Error {
    fn from(error: CatalogError) -> Self {
        Self::other(error)
    }
}

fn list_known(known: &[String]) -> String {
    if known.is_empty() { "none is".to_owned() } else { format!("known are {}", known.join(", ")) }
}

/// Reason why an entry for a package or archive is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEntry {
    /// Two packages of the same release for the same host.
    #[error("a second package of QEMU {} for the host {}", version.escape_debug(), host.escape_debug())]
    Second {
        /// Host machine.
        host: String,
        /// Release of QEMU.
        version: String,
    },
    /// Duplicate of a value that must be unique.
    #[error("{0} is listed twice")]
    Duplicate(String),
    /// Host that `uname -m` cannot print.
    #[error("the host is not a machine's name")]
    Host,
    /// Release that is not three numbers.
    #[error("the version of QEMU is not three numbers")]
    Version,
    /// Package with digests of another origin.
    #[error("the origin of a package's digests must be hashed-here")]
    NotHashedHere,
    /// SHA-1 that is not 40 digits.
    #[error("the SHA-1 does not have 40 digits")]
    Sha1,
    /// Package that is too large.
    #[error("it has {}, more than such a package", count(*.0, "byte"))]
    PackageSize(u64),
    /// `data.tar.xz` that is not within the package.
    #[error("data.tar.xz extends beyond the end")]
    DataBeyondEnd,
    /// Path that would lead out of the mirror's pool.
    #[error("the path is not one below a mirror's pool/")]
    Path,
    /// Invalid block.
    #[error("block {number} {why}")]
    Block {
        /// Index in the list of blocks.
        number: usize,
        /// Reason.
        why: InvalidBlock,
    },
    /// Invalid member.
    #[error("qemu-{target} {why}")]
    Member {
        /// QEMU's name of the guest.
        target: String,
        /// Reason.
        why: InvalidMember,
    },
    /// Name of a guest that cannot be part of a file name.
    #[error("{0:?} is not a guest's name")]
    TargetName(String),
    /// Publisher of an archive that is not `OWNER/REPOSITORY`.
    #[error("the publisher is not a repository")]
    Publisher,
    /// Archive with a size of 0, or one that is too large.
    #[error("the size is 0 or too large")]
    ArchiveSize,
    /// Prefix of the programs that does not begin with `qemu-`.
    #[error("the names of the programs do not begin with qemu-")]
    Prefix,
    /// Archive without programs.
    #[error("it has no guest")]
    NoTarget,
    /// Guest that is not in the table of systems.
    #[error("{0:?} is not a known guest")]
    UnknownTarget(String),
    /// URL with a port, a user, a query, or another scheme.
    #[error("the URL is not a plain https one")]
    Url,
    /// File name with an unknown extension.
    #[error("the file's name is not one of an archive")]
    FileName,
}

/// Reason why a block is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBlock {
    /// Length of 0, or one that is too large.
    #[error("has {}", count(*.0, "byte"))]
    Length(u64),
    /// Decompressed length of 0, or one that is too large.
    #[error("unpacks to {}", count(*.0, "byte"))]
    Unpacked(u64),
    /// Overlap with the previous block.
    #[error("overlaps the previous one")]
    Overlap,
    /// End after the end of `data.tar.xz`.
    #[error("extends beyond data.tar.xz")]
    BeyondData,
    /// Content that does not start at the end of the previous block's content.
    #[error("does not continue the content of the previous one")]
    Gap,
}

/// Reason why a member is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMember {
    /// Size of 0.
    #[error("is empty")]
    Empty,
    /// Overlap with the previous member.
    #[error("overlaps the previous one")]
    Overlap,
    /// End after the end of the last block.
    #[error("extends beyond the last block")]
    BeyondBlocks,
}
