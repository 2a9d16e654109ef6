//! The latest QEMU that Debian offers, verified from Debian's own keys to the digest of a package.
//!
//! ```text
//! keys (compiled in) ─▶ InRelease ─ size, SHA-256 ─▶ Packages.xz ─ size, SHA-256 ─▶ qemu-user_….deb
//! ```
//!
//! Both suites of [`SUITES`] are always read, and the newer version is used. An attacker that withholds one of them
//! causes a failure, not an older offer. Lists of backports are valid for a week (`Valid-Until`). Debian signs the
//! lists of a stable release once for each point release, without an expiry, so an attacker can replay an old one. The
//! damage is limited: a replayed list can hide a version in the stable suite that is newer than the one in its
//! backports, or offer an older version if backports no longer has the package.
//!
//! Pure: [`find_latest`] requests files through a closure and gets them opened. A second closure parses them, because
//! their contents come from the network: [`answer_query`] does it in a confined worker ([`verify`]), and
//! [`find_latest`] checks the answers again.

pub mod cleartext;
pub mod date;
pub mod deb822;
pub mod error;
pub mod in_release;
pub mod keyring;
pub mod openpgp;
pub mod packages_index;
pub mod protocol;
pub mod verify;
pub mod version;
pub mod worker;

pub use cleartext::InvalidCleartext;
pub use date::Date;
pub use deb822::InvalidStanza;
pub use error::DebianError;
pub use in_release::{IndexDigest, InvalidRelease, SuiteRelease};
pub use keyring::{Keyring, SignatureError, SignaturesError, SigningKey};
pub use packages_index::{InvalidPackages, PoolPackage};
pub use version::{DebianVersion, InvalidDebianVersion};

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::qemu::binary;
use crate::sanitize::to_one_line;
use crate::sha256::Sha256;
use crate::ui::quantity::count;

/// Name of the package with the emulators.
pub const PACKAGE_NAME: &str = "qemu-user";

/// Maximum size of an `InRelease`: five times that of unstable, which is the longest.
pub const MAX_RELEASE_SIZE: u64 = 1 << 20;
/// Maximum size of a `Packages.xz`: six times that of the main archive.
pub const MAX_INDEX_SIZE: u64 = 64 << 20;
/// Time in seconds by which the clock may be behind Debian's: a day.
const CLOCK_SLACK: u64 = 86_400;

/// Suite of Debian's archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Suite {
    /// Name of the directory in `dists/`, and `Codename` of the list.
    pub name: &'static str,
    /// Whether each list of the suite must have a `Valid-Until`.
    pub expires: bool,
}

/// Suites with static emulators that get updates.
pub const SUITES: [Suite; 2] =
    [Suite { name: "trixie-backports", expires: true }, Suite { name: "trixie", expires: false }];

/// File to download from a mirror.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexFile {
    /// Path below the mirror's base.
    pub path: String,
    /// Path of the same file by name, if `path` contains its digest. It is for mirrors without `by-hash` directories.
    pub fallback_path: Option<String>,
    /// Maximum size in bytes, or the exact size if the digest is known.
    pub max_size: u64,
    /// Digest of the file, if it is known before the download. [`find_latest`] compares it again.
    pub sha256: Option<Sha256>,
}

/// Query to the worker that parses a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum IndexQuery {
    /// Query for the signer of an `InRelease` and its entry for the list of packages.
    Release {
        /// Debian's name for the architecture.
        architecture: String,
        /// Current time by the clock of this machine.
        now: Date,
    },
    /// Query for the package `qemu-user` in a `Packages.xz`.
    Package {
        /// Debian's name for the architecture.
        architecture: String,
    },
}

/// Answer of the worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum IndexResult {
    /// Contents of the signed list.
    Release(SuiteRelease),
    /// Package in the list, if there is one.
    Package(Option<PoolPackage>),
    /// Reason why the file is not verified or malformed.
    Refused(String),
}

/// Package that Debian offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageOffer {
    /// Path below the mirror's base: `pool/…`.
    pub path: String,
    /// Size in bytes.
    pub size: u64,
    /// Digest of the package.
    pub sha256: Sha256,
    /// Debian's version of the package.
    pub version: DebianVersion,
    /// Release of QEMU that the package contains.
    pub qemu: binary::QemuVersion,
    /// Name of the suite.
    pub suite: &'static str,
    /// Date of the suite's list.
    pub date: Date,
    /// Expiry of the suite's list, if it has one.
    pub valid_until: Option<Date>,
    /// Fingerprint of the certificate that signed the suite's list.
    pub key: String,
}

/// Returns the newest `qemu-user` that Debian offers for a host machine (`uname -m`).
///
/// `keys` are Debian's. `get` downloads and opens a file, and `read` answers a query about it; if either fails, so does
/// the function.
pub fn find_latest(
    host_machine: &str,
    now: Date,
    keys: &Keyring,
    get: &mut dyn FnMut(&IndexFile) -> Result<File>,
    read: &mut dyn FnMut(&IndexQuery, File) -> Result<IndexResult>,
) -> Result<PackageOffer> {
    let architecture = match host_machine {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => {
            return Err(Error::Unsupported {
                what: format!("binfmt-nix knows no qemu-user package of Debian for {other} machines"),
                hint: "name a static QEMU that runs on this machine: --qemu PATH".into(),
            });
        }
    };
    let mut best: Option<PackageOffer> = None;
    for suite in SUITES {
        let offer = find_in_suite(suite, architecture, now, keys, get, read)?;
        if let Some(offer) = offer
            && best.as_ref().is_none_or(|best| offer.version > best.version)
        {
            best = Some(offer);
        }
    }
    let suites = SUITES.map(|suite| suite.name).join(" nor in ");
    Ok(best.ok_or(DebianError::NoOffer { architecture: architecture.to_owned(), suites })?)
}

/// Returns the package that one suite offers, or `None` if its verified list has no such package.
fn find_in_suite(
    suite: Suite,
    architecture: &str,
    now: Date,
    keys: &Keyring,
    get: &mut dyn FnMut(&IndexFile) -> Result<File>,
    read: &mut dyn FnMut(&IndexQuery, File) -> Result<IndexResult>,
) -> Result<Option<PackageOffer>> {
    let directory = format!("dists/{}", suite.name);
    let release_file = IndexFile {
        path: format!("{directory}/InRelease"),
        fallback_path: None,
        max_size: MAX_RELEASE_SIZE,
        sha256: None,
    };
    let refused =
        |file: &IndexFile, why: String| DebianError::Unverified { what: file.path.clone(), why: to_one_line(&why) };
    let query = IndexQuery::Release { architecture: architecture.to_owned(), now };
    let release = match read(&query, fetch_checked(&release_file, get)?)? {
        IndexResult::Release(release) => release,
        IndexResult::Refused(why) => return Err(refused(&release_file, why).into()),
        IndexResult::Package(_) => return Err(unexpected_result()),
    };
    check_release(&release, suite, &release_file.path, now, keys)?;
    let IndexDigest { size, sha256 } = release.index;
    let by_name = format!("{directory}/{}", in_release::index_path(architecture));
    let by_hash = by_name.strip_suffix("Packages.xz").map(|prefix| format!("{prefix}by-hash/SHA256/{sha256}"));
    let (path, fallback_path) = match by_hash.filter(|_| release.by_hash) {
        Some(by_hash) => (by_hash, Some(by_name)),
        None => (by_name, None),
    };
    let index_file = IndexFile { path, fallback_path, max_size: size, sha256: Some(sha256) };
    let query = IndexQuery::Package { architecture: architecture.to_owned() };
    let package = match read(&query, fetch_checked(&index_file, get)?)? {
        IndexResult::Package(Some(package)) => package,
        IndexResult::Package(None) => return Ok(None),
        IndexResult::Refused(why) => return Err(refused(&index_file, why).into()),
        IndexResult::Release(_) => return Err(unexpected_result()),
    };
    let version = package.checked_version(architecture).map_err(|why| refused(&index_file, why.to_string()))?;
    let no_release = || refused(&index_file, format!("{version} is not the version of a QEMU release"));
    let qemu = version.qemu_version().ok_or_else(no_release)?;
    let PoolPackage { path, size, sha256, .. } = package;
    let SuiteRelease { date, valid_until, key, .. } = release;
    Ok(Some(PackageOffer { path, size, sha256, version, qemu, suite: suite.name, date, valid_until, key }))
}

fn unexpected_result() -> Error {
    DebianError::Process("answered another query".to_owned()).into()
}

/// Downloads a file and compares its size and digest. The returned file is at its beginning.
fn fetch_checked(request: &IndexFile, get: &mut dyn FnMut(&IndexFile) -> Result<File>) -> Result<File> {
    let broken = |e| Error::io("read the downloaded", Path::new(&request.path), e);
    let mut file = get(request)?;
    let size = file.seek(SeekFrom::End(0)).map_err(broken)?;
    if size == 0 || size > request.max_size || (request.sha256.is_some() && size != request.max_size) {
        let bound = if request.sha256.is_some() { "instead of" } else { "and may have" };
        let why = format!("it has {}, {bound} {}", count(size, "byte"), request.max_size);
        return Err(DebianError::Unverified { what: request.path.clone(), why }.into());
    }
    file.rewind().map_err(broken)?;
    if let Some(wanted) = request.sha256 {
        let actual = Sha256::of_reader(&mut file).map_err(broken)?;
        if actual != wanted {
            return Err(Error::Digest { what: request.path.clone(), actual, expected: wanted });
        }
        file.rewind().map_err(broken)?;
    }
    Ok(file)
}

/// Checks that a signed list is the list of this suite and that it is up to date. The lists of other suites are signed
/// by the same keys.
fn check_release(
    release: &SuiteRelease,
    suite: Suite,
    what: &str,
    now: Date,
    keys: &Keyring,
) -> std::result::Result<(), DebianError> {
    let what = what.to_owned();
    let (made, until) = (release.date, release.valid_until);
    let why = if release.codename != suite.name {
        format!("it is the list of {}", to_one_line(&release.codename))
    } else if suite.expires && until.is_none() {
        "it does not say until when it is valid (Valid-Until)".to_owned()
    } else if release.index.size == 0 || release.index.size > MAX_INDEX_SIZE {
        format!("its list of packages has {}", count(release.index.size, "byte"))
    } else if !keys.list_keys().iter().any(|(_, certificate, _)| *certificate == release.key) {
        "it is signed by a key that is not one of Debian's".to_owned()
    } else {
        return match until {
            Some(until) if until <= now => Err(DebianError::Expired { what, until, made, now }),
            _ if made.0 > now.0.saturating_add(CLOCK_SLACK) => Err(DebianError::Future { what, made, now }),
            _ => Ok(()),
        };
    };
    Err(DebianError::Unverified { what, why })
}

/// Answers a query about a file. The confined worker calls this function.
pub fn answer_query(query: &IndexQuery, file: &mut impl Read, keys: &Keyring) -> IndexResult {
    match query {
        IndexQuery::Release { architecture, now } => {
            let mut bytes = Vec::new();
            let read = file.take(MAX_RELEASE_SIZE.saturating_add(1)).read_to_end(&mut bytes);
            if let Err(e) = read {
                return IndexResult::Refused(format!("it cannot be read: {e}"));
            }
            let release = SuiteRelease::verify_and_parse(&bytes, architecture, keys, *now);
            release.map_or_else(|why| IndexResult::Refused(why.to_string()), IndexResult::Release)
        }
        IndexQuery::Package { architecture } => {
            let package = PoolPackage::find_packed(file, architecture);
            package.map_or_else(|why| IndexResult::Refused(why.to_string()), IndexResult::Package)
        }
    }
}
