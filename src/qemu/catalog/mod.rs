//! The catalogue: a compiled-in list of the bytes of Debian packages that contain static QEMUs, with their digests.
//!
//! Debian's `qemu-user` is a `.deb` of some 70 MB: an `ar` archive (deb(5)) whose `data.tar.xz` is
//! one xz stream of independent blocks of about 4 MB. The QEMU for a guest is in one or two of them.
//! The catalogue lists every block and every member with its offset, length and SHA-256, so that
//! a download transfers only the required blocks and no decoder processes a byte that is not pinned.
//!
//! [`generate`] makes its data, `catalog.json`, from the real packages (hidden command
//! `binfmt-nix gen catalog`). The digests of the packages are those of Debian's signed `Packages` files.
//!
//! [`ArchiveCatalog`] lists release archives of other publishers, which are pinned as a whole.
//!
//! Pure: the catalogue does not depend on networks, files, or the location of installed QEMUs.

pub mod blocks;
pub mod error;
pub mod fallback_archives;
pub mod generate;
#[cfg(test)]
mod tests;
pub mod validate;
pub mod version_request;
pub mod version_scan;
pub mod xz_index;

pub use blocks::{BlockPlan, ByteRange, MemberSlice};
pub use error::{CatalogError, InvalidBlock, InvalidEntry, InvalidMember};
pub use fallback_archives::{ArchiveCatalog, PinnedArchive};
pub use version_request::{InvalidVersionRequest, VersionRequest};

use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use crate::qemu::binary::QemuVersion;
use crate::sha256::Sha256;

/// Version of the catalogue's format that this program reads and writes.
pub const VERSION: u32 = 2;

/// First 12 bytes of an xz stream whose blocks end with a CRC64: magic, flags `00 04`, CRC32
/// of the flags (The .xz File Format 1.2.1, §2.1.1). A single block of such a stream with these
/// bytes in front of it can be decoded as a stream.
pub const STREAM_HEADER: [u8; 12] = *b"\xFD7zXZ\0\0\x04\xE6\xD6\xB4\x46";

/// All known packages: for each host, one of each release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalog {
    /// Version of the format, [`VERSION`].
    pub version: u32,
    /// Packages. No two are for the same host and release. The first one of a host is the default.
    pub packages: Vec<Package>,
}

/// Debian package with the QEMUs for one host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// Machine that these QEMUs run on, as `uname -m` prints it: `x86_64`, `aarch64`.
    pub host: String,
    /// Version of QEMU, as its programs print it: `10.0.13`.
    pub qemu_version: String,
    /// Path on a Debian mirror, below its base URL: `pool/main/q/qemu/….deb`.
    pub path: String,
    /// Size of the `.deb` in bytes.
    pub size: u64,
    /// Origin of the digests; for a package it is always [`DigestOrigin::HashedHere`].
    pub vouched: DigestOrigin,
    /// Digest of the `.deb`, as in Debian's signed index.
    pub sha256: Sha256,
    /// SHA-1 of the `.deb` in 40 hexadecimal digits. It is only the name of the file at snapshot.debian.org and is
    /// never used for verification.
    pub sha1: String,
    /// Position of `data.tar.xz` in the `.deb`.
    pub data: Span,
    /// Blocks of `data.tar.xz`, in order. There are no gaps between their decompressed contents.
    pub blocks: Vec<Block>,
    /// QEMUs in the package, in the order of the tar archive.
    pub members: Vec<Member>,
}

/// Range of bytes of the `.deb`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Span {
    /// Offset of the first byte.
    pub offset: u64,
    /// Length in bytes.
    pub length: u64,
}

/// xz block, including its padding and checksum.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Block {
    /// Offset in the `.deb`.
    pub offset: u64,
    /// Length in the `.deb`, in bytes.
    pub length: u64,
    /// Offset of the block's content in the decompressed tar archive.
    pub unpacked_offset: u64,
    /// Length of the block's content in bytes.
    pub unpacked_length: u64,
    /// Digest of the compressed block, all `length` bytes.
    pub sha256: Sha256,
}

/// QEMU in the tar archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// QEMU's name of the guest: `aarch64` for `/usr/bin/qemu-aarch64`.
    pub target: String,
    /// Offset of the file in the decompressed tar archive.
    pub offset: u64,
    /// Size of the file in bytes.
    pub size: u64,
    /// Digest of the file.
    pub sha256: Sha256,
}

impl Catalog {
    /// Returns the catalogue that this program was built with. It is parsed once.
    pub fn embedded() -> Result<&'static Self, CatalogError> {
        static READ: OnceLock<Catalog> = OnceLock::new();
        match READ.get() {
            Some(catalog) => Ok(catalog),
            None => Self::from_json(include_str!("catalog.json")).map(|catalog| READ.get_or_init(|| catalog)),
        }
    }

    /// Parses a catalogue and checks that it is consistent.
    pub fn from_json(text: &str) -> Result<Self, CatalogError> {
        let catalog: Self = serde_json::from_str(text).map_err(CatalogError::Json)?;
        validate::check_catalog(&catalog)?;
        Ok(catalog)
    }

    /// Formats the catalogue with one line for each block and member, so that a change of the pinned
    /// packages gives a readable diff.
    pub fn to_json(&self) -> Result<String, CatalogError> {
        let json = serde_json::to_string(self).map_err(CatalogError::Json)?;
        let mut lines = json.replace("[{", "[\n{").replace("},{", "},\n{");
        lines.push('\n');
        Ok(lines)
    }

    /// Returns the default package with QEMUs that run on this machine (`uname -m`).
    pub fn package_for(&self, host: &str) -> Option<&Package> {
        self.packages_for(host).next()
    }

    /// Returns the package for this machine of the requested release, or the newest one if there are several.
    pub fn package_of_version(&self, host: &str, request: &VersionRequest) -> Result<&Package, CatalogError> {
        let matching = self
            .packages_for(host)
            .filter(|package| package.parsed_version().is_some_and(|version| request.is_met_by(version)));
        matching.max_by_key(|package| package.parsed_version()).ok_or_else(|| CatalogError::NoSuchVersion {
            request: *request,
            host: host.to_owned(),
            known: self.packages_for(host).map(|package| package.qemu_version.clone()).collect(),
        })
    }

    /// Returns all packages for this machine, the default one first.
    pub fn packages_for(&self, host: &str) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(move |package| package.host == host)
    }
}

impl Package {
    /// Returns the QEMU for a guest by QEMU's name of the guest.
    pub fn find_member(&self, target: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.target == target)
    }

    /// Returns the parsed version of QEMU. Every package of a validated catalogue has one.
    pub fn parsed_version(&self) -> Option<QemuVersion> {
        QemuVersion::parse(&self.qemu_version)
    }

    /// Returns the file name of the package, for messages.
    pub fn file_name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// Returns the blocks that contain the QEMUs for these guests, and the positions in the blocks.
    pub fn plan_blocks(&self, targets: &[&str]) -> Result<BlockPlan<'_>, CatalogError> {
        BlockPlan::new(self, targets)
    }
}

impl Span {
    /// Returns the offset after the last byte.
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(self.length)
    }
}

impl Block {
    /// Returns the offset after the last byte in the `.deb`.
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(self.length)
    }

    /// Returns the offset of the last byte in the `.deb`.
    pub fn last(&self) -> u64 {
        self.end().saturating_sub(1)
    }

    /// Returns the offset after the last byte of the content in the decompressed tar archive.
    pub fn unpacked_end(&self) -> u64 {
        self.unpacked_offset.saturating_add(self.unpacked_length)
    }
}

impl Member {
    /// Returns the offset after the last byte in the decompressed tar archive.
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(self.size)
    }
}

/// Origin of a digest, ordered from the most to the least trustworthy. Every byte is compared with its digest, whatever
/// the origin of the digest is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DigestOrigin {
    /// Digest that this project computed from the bytes, after it had compared them with the publisher's signed index.
    HashedHere,
    /// Digest of bytes that this project has not had. Unrelated projects require this digest when they download the
    /// file.
    #[serde(rename = "others")]
    OtherProjects,
    /// Digest of bytes that this project has not had. The publisher states this digest in its source code.
    Publisher,
}
