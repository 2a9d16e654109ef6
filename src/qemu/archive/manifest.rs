//! What a bundle of ours says of itself.

use serde::{Deserialize, Serialize};

use crate::sha256::Sha256;

/// The bundle's first member.
pub(super) const FILE_NAME: &str = "MANIFEST.json";
/// More than the manifest of all systems has.
pub(super) const MAX_SIZE: u64 = 64 << 10;

/// `MANIFEST.json`, a contract: fields are added, not changed, within one version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Manifest {
    /// Of this format: 1.
    pub version: u32,
    /// The machine that the emulators run on, as `uname -m` says it.
    pub host: String,
    /// Their release.
    pub qemu: String,
    /// The other members.
    pub files: Vec<ManifestFile>,
}

/// One emulator in a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ManifestFile {
    /// QEMU's name of the guest.
    pub target: String,
    /// The member's name.
    pub name: String,
    /// How many bytes it has.
    pub size: u64,
    /// Their digest.
    pub sha256: Sha256,
}

/// The text of a manifest cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum InvalidManifest {
    /// It is not JSON of this shape.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// It is of another version.
    #[error("it has version {0}, this binfmt-nix knows version {known}", known = Manifest::VERSION)]
    Version(u32),
}

impl Manifest {
    /// The version that this program reads and writes.
    pub const VERSION: u32 = 1;

    /// Reads it, and forgets what it lists besides these targets.
    pub(super) fn parse(text: &[u8], targets: &[&str]) -> Result<Self, InvalidManifest> {
        let mut manifest: Self = serde_json::from_slice(text)?;
        if manifest.version != Self::VERSION {
            return Err(InvalidManifest::Version(manifest.version));
        }
        manifest.files.retain(|listed| targets.contains(&listed.target.as_str()));
        Ok(manifest)
    }

    /// What it says of one emulator.
    pub fn find_file(&self, target: &str) -> Option<&ManifestFile> {
        self.files.iter().find(|listed| listed.target == target)
    }
}
