//! What can be wrong with a catalogue, as errors.

use super::{VERSION, VersionRequest};
use crate::error::{Error, ExitCode, Failure};

/// A catalogue that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// It is not JSON, or not of this form.
    #[error("cannot read the catalogue of packages")]
    Json(#[source] serde_json::Error),
    /// It is of a version that this program does not know.
    #[error("the catalogue has version {found}, this program reads version {VERSION}")]
    Version {
        /// The version it says it has.
        found: u32,
    },
    /// A value in it can't be right.
    #[error("the catalogue is wrong about {package}: {why}")]
    Invalid {
        /// The path of the package.
        package: String,
        /// What is wrong.
        why: InvalidEntry,
    },
    /// A guest was asked for that the package does not hold.
    #[error("{package} holds no qemu-{target}")]
    NoSuchMember {
        /// QEMU's name of the guest.
        target: String,
        /// The file name of the package.
        package: String,
    },
    /// A release was asked for that no package is of.
    #[error("no QEMU {wanted} is known for {host} hosts; {}", list_known(known))]
    NoSuchVersion {
        /// What was asked for.
        wanted: VersionRequest,
        /// The machine.
        host: String,
        /// The releases there are, the default one first.
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

/// What is wrong with one package or archive.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEntry {
    /// A package is listed twice.
    #[error("a second package of QEMU {} for the host {}", version.escape_debug(), host.escape_debug())]
    Second {
        /// The machine.
        host: String,
        /// The release.
        version: String,
    },
    /// Something that has to be unique is not.
    #[error("{0} is there twice")]
    Twice(String),
    /// The host cannot be an answer of `uname -m`.
    #[error("the host is not a machine's name")]
    Host,
    /// The release is not three numbers.
    #[error("QEMU's version is not one")]
    Version,
    /// The digests of a package come from elsewhere.
    #[error("blocks have digests only if they were hashed here")]
    NotHashedHere,
    /// The SHA-1 is not 40 digits.
    #[error("the SHA-1 is not one")]
    Sha1,
    /// The package is too large.
    #[error("{0} bytes are more than any such package has")]
    PackageSize(u64),
    /// `data.tar.xz` is not within the package.
    #[error("data.tar.xz goes beyond the end")]
    DataBeyondEnd,
    /// The path would leave the mirror's directory.
    #[error("the path is not one below a mirror's pool/")]
    Path,
    /// A block cannot be there.
    #[error("block {number} {why}")]
    Block {
        /// Its place in the list.
        number: usize,
        /// What is wrong with it.
        why: InvalidBlock,
    },
    /// A member cannot be there.
    #[error("qemu-{target} {why}")]
    Member {
        /// QEMU's name of the guest.
        target: String,
        /// What is wrong with it.
        why: InvalidMember,
    },
    /// The name of a guest cannot be part of a file name.
    #[error("{0:?} is not a guest's name")]
    TargetName(String),
    /// The publisher of an archive is not `OWNER/REPOSITORY`.
    #[error("the publisher is not a repository")]
    Publisher,
    /// The archive is empty or too large.
    #[error("it has no such size")]
    ArchiveSize,
    /// The prefix of the programs cannot be that of QEMU.
    #[error("the programs' names do not begin as QEMU's do")]
    Prefix,
    /// The archive has no program.
    #[error("it has no guest")]
    NoTarget,
    /// The table of architectures does not have the guest.
    #[error("{0:?} is no guest that we know")]
    UnknownTarget(String),
    /// The URL has a port, a user, a query, or another scheme.
    #[error("the URL is not a plain https one")]
    Url,
    /// The file's name has no known ending.
    #[error("the file's name is not one of an archive")]
    FileName,
}

/// What is wrong with a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBlock {
    /// It is empty or too large.
    #[error("has {0} bytes")]
    Length(u64),
    /// It unpacks to nothing or too much.
    #[error("unpacks to {0} bytes")]
    Unpacked(u64),
    /// It begins before the end of the one before.
    #[error("overlaps what is before it")]
    Overlap,
    /// It ends behind `data.tar.xz`.
    #[error("goes beyond data.tar.xz")]
    BeyondData,
    /// Its content does not follow that of the one before.
    #[error("does not unpack to where the one before it ends")]
    Gap,
}

/// What is wrong with a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMember {
    /// It has no bytes.
    #[error("is empty")]
    Empty,
    /// It begins before the end of the one before.
    #[error("overlaps what is before it")]
    Overlap,
    /// It ends behind the last block.
    #[error("goes beyond the last block")]
    BeyondBlocks,
}
