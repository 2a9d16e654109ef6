//! Parser of `Packages`, the list of a suite's packages, which finds `qemu-user`. Pure.

use std::io::{self, BufRead, BufReader, Read};

use lzma_rust2::XzReader;
use serde::{Deserialize, Serialize};

use super::version::InvalidDebianVersion;
use super::{DebianVersion, PACKAGE_NAME};
use crate::qemu::debian::deb822::{InvalidStanza, StanzaLine, set_once};
use crate::qemu::debian::in_release::parse_digits;
use crate::sha256::Sha256;
use crate::ui::quantity::count;

/// Maximum size of a decompressed list: ten times that of Debian's.
const MAX_UNPACKED: u64 = 512 << 20;
/// Maximum length of a line: ten times the longest known one. `Provides` of some packages is long.
const MAX_LINE: u64 = 1 << 20;
/// Memory limit of the xz decoder, more than any preset needs (xz(1), `-9`: 65 MiB).
const DECODER_KIB: u32 = 128 << 10;
/// Maximum size of the package: seven times its real size.
const MAX_PACKAGE: u64 = 512 << 20;
/// Maximum length of a path: a quarter of PATH_MAX, which does not apply to URLs.
const MAX_PATH: usize = 1024;

/// Package of the pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoolPackage {
    /// Path below the mirror's base: `pool/…`.
    pub path: String,
    /// Size in bytes.
    pub size: u64,
    /// Digest of the package.
    pub sha256: Sha256,
    /// Debian's version of the package.
    pub version: String,
}

/// File that is not a usable list of packages.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPackages {
    /// File that cannot be read or decompressed.
    #[error("it cannot be read: {0}")]
    Read(String),
    /// Line without an end.
    #[error("it ends within a line, or has one of more than {MAX_LINE} bytes")]
    Line,
    /// Decompressed list that is too long.
    #[error("it unpacks to {MAX_UNPACKED} bytes or more")]
    Long,
    /// File that is not a control file.
    #[error(transparent)]
    Stanza(#[from] InvalidStanza),
    /// Single-line field with more than one line.
    #[error("it has a field with several lines where one is allowed")]
    Lines,
    /// Missing field of the package.
    #[error("its {PACKAGE_NAME} has no {0}")]
    NoField(&'static str),
    /// Version of the package that cannot be parsed.
    #[error("its {PACKAGE_NAME} has {0}")]
    Version(#[from] InvalidDebianVersion),
    /// Path of the package that is not in the pool.
    #[error("the path of its {PACKAGE_NAME} is not one of a package")]
    Path,
    /// Size of the package that is 0 or too large.
    #[error("its {PACKAGE_NAME} has {}", count(*.0, "byte"))]
    Size(u64),
}

impl PoolPackage {
    /// Returns the newest `qemu-user` in a list that is compressed by xz, or `None` if the list has none.
    pub fn find_packed(xz: impl Read, architecture: &str) -> Result<Option<Self>, InvalidPackages> {
        let unpacked = XzReader::new_mem_limit(BufReader::with_capacity(128 << 10, xz), true, DECODER_KIB);
        Self::find(BufReader::with_capacity(64 << 10, unpacked), architecture)
    }

    /// Returns the newest `qemu-user` in a list that is not compressed. The list is read line by line to its end,
    /// because the checksum of a compressed one is there.
    pub fn find(list: impl BufRead, architecture: &str) -> Result<Option<Self>, InvalidPackages> {
        let broken = |e: io::Error| InvalidPackages::Read(e.to_string());
        let mut list = list.take(MAX_UNPACKED);
        let (mut best, mut stanza, mut line) = (None, PackageStanza::default(), Vec::new());
        loop {
            line.clear();
            let length = list.by_ref().take(MAX_LINE).read_until(b'\n', &mut line).map_err(broken)?;
            if length == 0 {
                break;
            }
            let Some(text) = line.strip_suffix(b"\n") else {
                return Err(InvalidPackages::Line);
            };
            match StanzaLine::parse(&String::from_utf8_lossy(text))? {
                StanzaLine::End => keep_newer(&mut best, std::mem::take(&mut stanza), architecture)?,
                StanzaLine::Field(name, value) => stanza.set_field(name, value)?,
                StanzaLine::Continuation(_) => stanza.reject_continuation()?,
            }
        }
        if list.limit() == 0 {
            return Err(InvalidPackages::Long);
        }
        keep_newer(&mut best, stanza, architecture)?;
        Ok(best.map(|(_, package)| package))
    }

    /// Validates all fields and returns the version. The parent calls this, too, because it does not trust the worker
    /// that parsed the list.
    pub fn checked_version(&self, architecture: &str) -> Result<DebianVersion, InvalidPackages> {
        let version = self.version.parse()?;
        let file = self.path.rsplit('/').next().unwrap_or_default();
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || "._+~-".contains(c);
        let is_valid = self.path.len() <= MAX_PATH
            && self.path.starts_with("pool/")
            && self
                .path
                .split('/')
                .all(|part| part.starts_with(|c: char| c.is_ascii_alphanumeric()) && part.chars().all(is_allowed))
            && file.starts_with("qemu-user_")
            && file.ends_with(&format!("_{architecture}.deb"));
        if !is_valid {
            return Err(InvalidPackages::Path);
        }
        if self.size == 0 || self.size > MAX_PACKAGE {
            return Err(InvalidPackages::Size(self.size));
        }
        Ok(version)
    }
}

/// Keeps the newer package. A list may have several versions while a newer one replaces an older one.
fn keep_newer(
    best: &mut Option<(DebianVersion, PoolPackage)>,
    stanza: PackageStanza,
    architecture: &str,
) -> Result<(), InvalidPackages> {
    if let Some(package) = stanza.into_package(architecture)? {
        let version = package.checked_version(architecture)?;
        if best.as_ref().is_none_or(|(known, _)| version > *known) {
            *best = Some((version, package));
        }
    }
    Ok(())
}

/// Fields of a stanza that are used.
#[derive(Debug, Default)]
struct PackageStanza {
    /// Name of the package, which is the first field in all lists.
    package: Option<String>,
    architecture: Option<String>,
    version: Option<String>,
    path: Option<String>,
    size: Option<String>,
    sha256: Option<String>,
    /// Whether the last field is one of these.
    is_used: bool,
}

impl PackageStanza {
    fn set_field(&mut self, name: &str, value: &str) -> Result<(), InvalidStanza> {
        let places = [
            ("Package", &mut self.package),
            ("Architecture", &mut self.architecture),
            ("Version", &mut self.version),
            ("Filename", &mut self.path),
            ("Size", &mut self.size),
            ("SHA256", &mut self.sha256),
        ];
        let place = places.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        self.is_used = place.is_some();
        place.map_or(Ok(()), |(name, place)| set_once(place, name, value.to_owned()))
    }

    fn reject_continuation(&self) -> Result<(), InvalidPackages> {
        if self.is_used { Err(InvalidPackages::Lines) } else { Ok(()) }
    }

    fn into_package(self, architecture: &str) -> Result<Option<PoolPackage>, InvalidPackages> {
        if self.package.as_deref() != Some(PACKAGE_NAME) || self.architecture.as_deref() != Some(architecture) {
            return Ok(None);
        }
        let missing = InvalidPackages::NoField;
        let size = self.size.as_deref().and_then(parse_digits);
        let sha256 = self.sha256.and_then(|sha256| sha256.parse().ok());
        Ok(Some(PoolPackage {
            path: self.path.ok_or_else(|| missing("Filename"))?,
            size: size.ok_or_else(|| missing("Size"))?,
            sha256: sha256.ok_or_else(|| missing("SHA256"))?,
            version: self.version.ok_or_else(|| missing("Version"))?,
        }))
    }
}
