//! The manifest of a bundle, which lists its emulators.

use serde::{Deserialize, Serialize};

use crate::sha256::Sha256;

/// Name of the bundle's first member.
pub(super) const FILE_NAME: &str = "MANIFEST.json";
/// Maximum size of a manifest, larger than one for all systems.
pub(super) const MAX_SIZE: u64 = 64 << 10;

/// `MANIFEST.json`, a contract: fields are added, not changed, within one version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Manifest {
    /// Version of this format: 1.
    pub version: u32,
    /// Machine that the emulators run on, as `uname -m` prints it.
    pub host: String,
    /// Release of QEMU.
    pub qemu: String,
    /// The other members of the bundle.
    pub files: Vec<ManifestFile>,
}

/// Emulator in a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ManifestFile {
    /// QEMU's name of the guest.
    pub target: String,
    /// Name of the member.
    pub name: String,
    /// Size in bytes.
    pub size: u64,
    /// Digest of the member.
    pub sha256: Sha256,
}

/// Text that is not a usable manifest.
#[derive(Debug, thiserror::Error)]
pub(super) enum InvalidManifest {
    /// Text that is not JSON of the expected shape.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// Manifest of another version.
    #[error("it has version {0}, this binfmt-nix supports version {supported}", supported = Manifest::VERSION)]
    Version(u32),
}

impl Manifest {
    /// Version that this program reads and writes.
    pub const VERSION: u32 = 1;

    /// Parses a manifest and keeps only the entries for these targets.
    pub(super) fn parse(text: &[u8], targets: &[&str]) -> Result<Self, InvalidManifest> {
        let mut manifest: Self = serde_json::from_slice(text)?;
        if manifest.version != Self::VERSION {
            return Err(InvalidManifest::Version(manifest.version));
        }
        manifest.files.retain(|listed| targets.contains(&listed.target.as_str()));
        Ok(manifest)
    }

    /// Returns the entry for a target.
    pub fn find_file(&self, target: &str) -> Option<&ManifestFile> {
        self.files.iter().find(|listed| listed.target == target)
    }
}
