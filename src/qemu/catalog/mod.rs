//! The catalogue: which bytes of which Debian package hold which static QEMU.
//!
//! Debian's `qemu-user` is a `.deb` of some 70 MB: an `ar` archive (deb(5)) whose `data.tar.xz` is
//! one xz stream of independent blocks of about 4 MB. A guest's QEMU lies in one or two of them.
//! The catalogue names every block and every member with its place, length and SHA-256, so that
//! a download moves only the blocks it needs and no decoder sees a byte that is not pinned.
//!
//! Its data, `catalog.json`, is made by [`generate`] from the real packages (hidden command
//! `binfmt-nix gen catalog`). Their digests are those of Debian's signed `Packages` files.
//!
//! Release archives of other publishers, which are pinned as a whole, are in [`Archives`].
//!
//! Pure: knows nothing of networks, files, or where a QEMU is put.

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

/// The version of the catalogue's own format that this program reads and writes.
pub const VERSION: u32 = 2;

/// The 12 bytes that begin an xz stream whose blocks end in a CRC64: magic, flags `00 04`, CRC32
/// of the flags (The .xz File Format 1.2.1, §2.1.1). Put before any one block of such a stream,
/// they make it a stream of its own.
pub const STREAM_HEADER: [u8; 12] = *b"\xFD7zXZ\0\0\x04\xE6\xD6\xB4\x46";

/// All packages that we know: for each host, one of each release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalog {
    /// The format's version, [`VERSION`].
    pub version: u32,
    /// The packages; no two for the same host and release. The first one of a host is the default.
    pub packages: Vec<Package>,
}

/// One Debian package: the QEMUs for one host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// The machine that these QEMUs run on, as `uname -m` says it: `x86_64`, `aarch64`.
    pub host: String,
    /// QEMU's own version, as its programs answer: `10.0.13`.
    pub qemu_version: String,
    /// Where a Debian mirror has it, below its base URL: `pool/main/q/qemu/….deb`.
    pub path: String,
    /// The length of the `.deb`.
    pub size: u64,
    /// Who says that the digests are right: for a package, who made the catalogue of its bytes.
    pub vouched: DigestOrigin,
    /// The digest of the `.deb`, as in Debian's signed index.
    pub sha256: Sha256,
    /// The SHA-1 of the `.deb`, by which snapshot.debian.org names it: 40 hexadecimal digits. A name, never a proof.
    pub sha1: String,
    /// Where `data.tar.xz` lies in the `.deb`.
    pub data: Span,
    /// The blocks of `data.tar.xz`, in order, without gaps in what they unpack to.
    pub blocks: Vec<Block>,
    /// The QEMUs in it, in the order of the tar archive.
    pub members: Vec<Member>,
}

/// A stretch of the `.deb`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Span {
    /// Its first byte.
    pub offset: u64,
    /// How many bytes it has.
    pub length: u64,
}

/// One xz block, its padding and check included.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Block {
    /// Its first byte in the `.deb`.
    pub offset: u64,
    /// How many bytes it has in the `.deb`.
    pub length: u64,
    /// Where in the unpacked tar archive its content begins.
    pub unpacked_offset: u64,
    /// How long its content is.
    pub unpacked_length: u64,
    /// The digest of its `length` bytes.
    pub sha256: Sha256,
}

/// One QEMU in the tar archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// QEMU's name of the guest: `aarch64` for `/usr/bin/qemu-aarch64`.
    pub target: String,
    /// Its first byte in the unpacked tar archive.
    pub offset: u64,
    /// How many bytes the file has.
    pub size: u64,
    /// The file's digest.
    pub sha256: Sha256,
}

impl Catalog {
    /// The catalogue that this program was built with, read once.
    pub fn embedded() -> Result<&'static Self, CatalogError> {
        static READ: OnceLock<Catalog> = OnceLock::new();
        match READ.get() {
            Some(catalog) => Ok(catalog),
            None => Self::from_json(include_str!("catalog.json")).map(|catalog| READ.get_or_init(|| catalog)),
        }
    }

    /// Reads a catalogue and checks that it is consistent.
    pub fn from_json(text: &str) -> Result<Self, CatalogError> {
        let catalog: Self = serde_json::from_str(text).map_err(CatalogError::Json)?;
        validate::check_catalog(&catalog)?;
        Ok(catalog)
    }

    /// Writes the catalogue with one line for each block and member, so that a change of the pinned
    /// packages can be read as a diff.
    pub fn to_json(&self) -> Result<String, CatalogError> {
        let json = serde_json::to_string(self).map_err(CatalogError::Json)?;
        let mut lines = json.replace("[{", "[\n{").replace("},{", "},\n{");
        lines.push('\n');
        Ok(lines)
    }

    /// The package with the QEMUs that run on this machine (`uname -m`): the default one.
    pub fn package_for(&self, host: &str) -> Option<&Package> {
        self.packages_for(host).next()
    }

    /// The package for this machine of the release that somebody asks for; of several, the newest.
    pub fn package_of_version(&self, host: &str, wanted: &VersionRequest) -> Result<&Package, CatalogError> {
        let matching = self
            .packages_for(host)
            .filter(|package| package.parsed_version().is_some_and(|version| wanted.is_met_by(version)));
        matching.max_by_key(|package| package.parsed_version()).ok_or_else(|| CatalogError::NoSuchVersion {
            wanted: *wanted,
            host: host.to_owned(),
            known: self.packages_for(host).map(|package| package.qemu_version.clone()).collect(),
        })
    }

    /// All packages for this machine, the default one first.
    pub fn packages_for(&self, host: &str) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(move |package| package.host == host)
    }
}

impl Package {
    /// The QEMU for this guest, by QEMU's name of it.
    pub fn find_member(&self, target: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.target == target)
    }

    /// QEMU's own version, as a number. Of a package that was checked, there is one.
    pub fn parsed_version(&self) -> Option<QemuVersion> {
        QemuVersion::parse(&self.qemu_version)
    }

    /// The package's file name, for people.
    pub fn file_name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// Which blocks hold these guests' QEMUs, and where in them.
    pub fn plan_blocks(&self, targets: &[&str]) -> Result<BlockPlan<'_>, CatalogError> {
        BlockPlan::new(self, targets)
    }
}

impl Span {
    /// The byte after its last one.
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(self.length)
    }
}

impl Block {
    /// The byte after its last one, in the `.deb`.
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(self.length)
    }

    /// Its last byte itself, in the `.deb`.
    pub fn last(&self) -> u64 {
        self.end().saturating_sub(1)
    }

    /// The byte after its content's last one, in the unpacked tar archive.
    pub fn unpacked_end(&self) -> u64 {
        self.unpacked_offset.saturating_add(self.unpacked_length)
    }
}

impl Member {
    /// The byte after its last one, in the unpacked tar archive.
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(self.size)
    }
}

/// Whose word it is that these are the right bytes. Every byte is compared with its digest, whoever vouches for it: this
/// says where the digest itself is from. Ordered, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DigestOrigin {
    /// This project had the bytes, compared them with the publisher's signed index, and made the digests itself.
    HashedHere,
    /// Nobody here had the bytes. The digest is the one that unrelated projects demand whenever they download them.
    Others,
    /// Nobody here had the bytes. The digest is the publisher's own word, from its source code.
    Publisher,
}
