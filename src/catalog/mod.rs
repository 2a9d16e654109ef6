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
//! Pure: knows nothing of networks, files, or where a QEMU is put.

pub(crate) mod ar;
mod elf;
pub mod generate;
mod invalid;
mod plan;
mod xz;

pub use invalid::CatalogError;
pub use plan::{Cut, Plan, Run};

use serde::{Deserialize, Serialize};

use crate::digest::Sha256;

/// The version of the catalogue's own format that this program reads and writes.
pub const VERSION: u32 = 1;

/// The 12 bytes that begin an xz stream whose blocks end in a CRC64: magic, flags `00 04`, CRC32
/// of the flags (The .xz File Format 1.2.1, §2.1.1). Put before any one block of such a stream,
/// they make it a stream of its own.
pub const STREAM_HEADER: [u8; 12] = *b"\xFD7zXZ\0\0\x04\xE6\xD6\xB4\x46";

/// All packages that we know, one for each host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalog {
    /// The format's version, [`VERSION`].
    pub version: u32,
    /// The packages; no two for the same host.
    pub packages: Vec<Package>,
}

/// One Debian package: the QEMUs for one host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// The machine that these QEMUs run on, as `uname -m` says it: `x86_64`, `aarch64`.
    pub host: String,
    /// QEMU's own version: `10.0.13`.
    pub qemu_version: String,
    /// Where a Debian mirror has it, below its base URL: `pool/main/q/qemu/….deb`.
    pub path: String,
    /// The length of the `.deb`.
    pub size: u64,
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
    /// The catalogue that this program was built with.
    pub fn embedded() -> Result<Self, CatalogError> {
        Self::from_json(include_str!("catalog.json"))
    }

    /// Reads a catalogue and checks that it is consistent.
    pub fn from_json(text: &str) -> Result<Self, CatalogError> {
        let catalog: Self = serde_json::from_str(text).map_err(CatalogError::Json)?;
        invalid::check(&catalog)?;
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

    /// The package with the QEMUs that run on this machine (`uname -m`).
    pub fn package_for(&self, host: &str) -> Option<&Package> {
        self.packages.iter().find(|package| package.host == host)
    }
}

impl Package {
    /// The QEMU for this guest, by QEMU's name of it.
    pub fn member(&self, target: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.target == target)
    }

    /// The package's file name, for people.
    pub fn file_name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// Which blocks hold these guests' QEMUs, and where in them.
    pub fn plan(&self, targets: &[&str]) -> Result<Plan<'_>, CatalogError> {
        Plan::new(self, targets)
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

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn the_embedded_catalogue_holds_33_guests_for_both_hosts() {
        let catalog = Catalog::embedded().unwrap();
        for host in ["x86_64", "aarch64"] {
            let package = catalog.package_for(host).unwrap();
            assert_eq!(package.members.len(), 33, "{host}");
            assert_eq!(package.qemu_version, "10.0.13");
        }
        assert_eq!(catalog.packages.len(), 2);
        assert!(catalog.package_for("riscv64").is_none());
    }

    #[test]
    fn it_holds_the_digests_of_debians_signed_index() {
        let catalog = Catalog::embedded().unwrap();
        let package = catalog.package_for("x86_64").unwrap();
        let pinned = "ca6ede739327a20ae5a3498230c8a3a9a072c586e131bc6bcc1201eb1725e336";
        assert_eq!(package.sha256.to_string(), pinned);
        assert_eq!(package.size, 71_089_852);
        let aarch64 = package.member("aarch64").unwrap();
        let pinned = "73cc2584f119f9e74c85c0a8549dbb6fd104ae3897a06a7500797f9e5b4d0943";
        assert_eq!(aarch64.sha256.to_string(), pinned);
        assert_eq!(aarch64.size, 16_661_520);
    }

    #[test]
    fn writing_it_again_gives_the_same_text() {
        let catalog = Catalog::embedded().unwrap();
        assert_eq!(catalog.to_json().unwrap(), include_str!("catalog.json"));
    }
}
