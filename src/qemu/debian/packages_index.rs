//! The list of packages: which `qemu-user` a suite has. Pure.

use std::io::{self, BufRead, BufReader, Read};

use lzma_rust2::XzReader;
use serde::{Deserialize, Serialize};

use super::version::InvalidDebianVersion;
use super::{DebianVersion, PACKAGE_NAME};
use crate::qemu::debian::deb822::{InvalidStanza, StanzaLine, set_once};
use crate::qemu::debian::in_release::parse_digits;
use crate::sha256::Sha256;

/// Ten times what Debian's unpack to.
const MAX_UNPACKED: u64 = 512 << 20;
/// Ten times the longest line that there is; `Provides` of some packages is long.
const MAX_LINE: u64 = 1 << 20;
/// More than any preset of xz needs for decoding (xz(1), `-9`: 65 MiB).
const DECODER_KIB: u32 = 128 << 10;
/// Seven times what the package has.
const MAX_PACKAGE: u64 = 512 << 20;
/// As PATH_MAX is not for URLs, a quarter of it.
const MAX_PATH: usize = 1024;

/// A package of the pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoolPackage {
    /// Where it is below the mirror's base: `pool/…`.
    pub path: String,
    /// How many bytes it has.
    pub size: u64,
    /// Its digest.
    pub sha256: Sha256,
    /// Debian's version.
    pub version: String,
}

/// A file is not a list of packages that can be believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPackages {
    /// It cannot be read or unpacked.
    #[error("it cannot be read: {0}")]
    Read(String),
    /// A line has no end.
    #[error("it ends within a line, or has one of more than {MAX_LINE} bytes")]
    Line,
    /// It is too long.
    #[error("it unpacks to {MAX_UNPACKED} bytes or more")]
    Long,
    /// It is not a control file.
    #[error(transparent)]
    Stanza(#[from] InvalidStanza),
    /// One of the fields that are read goes on in the next line.
    #[error("it has a field of more lines than one, which has one")]
    Lines,
    /// The package lacks a field.
    #[error("its {PACKAGE_NAME} has no {0}")]
    NoField(&'static str),
    /// The version of the package is not one.
    #[error("its {PACKAGE_NAME} has {0}")]
    Version(#[from] InvalidDebianVersion),
    /// The package is not in the pool.
    #[error("its {PACKAGE_NAME} lies where no package does")]
    Path,
    /// The package is empty or too large.
    #[error("its {PACKAGE_NAME} has {0} bytes")]
    Size(u64),
}

impl PoolPackage {
    /// The newest `qemu-user` in a list that is packed by xz; nothing if it has none.
    pub fn find_packed(xz: impl Read, architecture: &str) -> Result<Option<Self>, InvalidPackages> {
        let unpacked = XzReader::new_mem_limit(BufReader::with_capacity(128 << 10, xz), true, DECODER_KIB);
        Self::find(BufReader::with_capacity(64 << 10, unpacked), architecture)
    }

    /// The same in a list as it is. It is read line by line, to its end, where a checksum is.
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

    /// Its version, if all is as it can be: whoever reads the list is not believed more than the list.
    pub fn checked_version(&self, architecture: &str) -> Result<DebianVersion, InvalidPackages> {
        let version = self.version.parse()?;
        let file = self.path.rsplit('/').next().unwrap_or_default();
        let plain = |c: char| c.is_ascii_alphanumeric() || "._+~-".contains(c);
        let sound = self.path.len() <= MAX_PATH
            && self.path.starts_with("pool/")
            && self
                .path
                .split('/')
                .all(|part| part.starts_with(|c: char| c.is_ascii_alphanumeric()) && part.chars().all(plain))
            && file.starts_with("qemu-user_")
            && file.ends_with(&format!("_{architecture}.deb"));
        if !sound {
            return Err(InvalidPackages::Path);
        }
        if self.size == 0 || self.size > MAX_PACKAGE {
            return Err(InvalidPackages::Size(self.size));
        }
        Ok(version)
    }
}

/// Several versions may be listed while one takes the place of the other.
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

/// What is wanted of a stanza.
#[derive(Debug, Default)]
struct PackageStanza {
    /// Its first field, in all lists.
    package: Option<String>,
    architecture: Option<String>,
    version: Option<String>,
    path: Option<String>,
    size: Option<String>,
    sha256: Option<String>,
    /// The field before is one of these.
    is_match: bool,
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
        self.is_match = place.is_some();
        place.map_or(Ok(()), |(name, place)| set_once(place, name, value.to_owned()))
    }

    fn reject_continuation(&self) -> Result<(), InvalidPackages> {
        if self.is_match { Err(InvalidPackages::Lines) } else { Ok(()) }
    }

    fn into_package(self, architecture: &str) -> Result<Option<PoolPackage>, InvalidPackages> {
        if self.package.as_deref() != Some(PACKAGE_NAME) || self.architecture.as_deref() != Some(architecture) {
            return Ok(None);
        }
        let lacks = InvalidPackages::NoField;
        let size = self.size.as_deref().and_then(parse_digits);
        let sha256 = self.sha256.and_then(|sha256| sha256.parse().ok());
        Ok(Some(PoolPackage {
            path: self.path.ok_or_else(|| lacks("Filename"))?,
            size: size.ok_or_else(|| lacks("Size"))?,
            sha256: sha256.ok_or_else(|| lacks("SHA256"))?,
            version: self.version.ok_or_else(|| lacks("Version"))?,
        }))
    }
}
