//! JSON documents of the commands that only read or download: `fetch`, `cache`, `nix-conf`.
//!
//! The JSON form is a contract. Within one `version`, fields are added but never changed.

use serde::Serialize;

use crate::nix::machines::BuildMachine;
use crate::qemu::archive::Manifest;
use crate::sha256::Sha256;

/// Result of `fetch`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct BundleReport {
    /// Version of this format: 1.
    pub version: u32,
    /// Path of the archive.
    pub file: String,
    /// Digest of the archive.
    pub sha256: Sha256,
    /// Contents of the archive.
    pub manifest: Manifest,
}

/// Result of `cache` and `cache prune`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CacheReport {
    /// Version of this format: 1.
    pub version: u32,
    /// Directory of the cache.
    pub dir: String,
    /// Total size of all files in bytes.
    pub bytes: u64,
    /// Whether the files were removed.
    pub removed: bool,
    /// Files of the cache.
    pub files: Vec<CacheFileReport>,
}

/// File of the cache.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CacheFileReport {
    /// Digest of the download that the file came from.
    pub sha256: Sha256,
    /// Name of the file: `qemu-TARGET`, or `download` for the downloaded bytes themselves, which may be incomplete.
    pub file: String,
    /// Size in bytes.
    pub bytes: u64,
    /// Time of the last write, in seconds since 1970; null if unknown.
    pub written: Option<u64>,
}

/// Result of `nix-conf`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct NixLines {
    /// Version of this format: 1.
    pub version: u32,
    /// Lines for nix.conf.
    pub lines: Vec<String>,
}

/// Result of `nix-conf --builder`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct NixMachines {
    /// Version of this format: 1.
    pub version: u32,
    /// Lines for the machines file of other hosts.
    pub machines: Vec<BuildMachine>,
}
