//! Which QEMU Debian offers today: from a signature by Debian's own keys, link by link, to the digest of a package.
//!
//! ```text
//! keys (compiled in) ─▶ InRelease ─ size, SHA-256 ─▶ Packages.xz ─ size, SHA-256 ─▶ qemu-user_….deb
//! ```
//!
//! Both suites of [`SUITES`] are asked, always, and the newer version is taken: who can withhold one of them makes it
//! fail, not offer something older. Backports' lists are for a week (`Valid-Until`); Debian signs those of a stable
//! release once for each of its points, without an end, so that an old one of these can be played again. It could hide
//! what is newer in the stable suite than in its backports, or offer something older were the package gone from there;
//! no more.
//!
//! Pure: [`latest`] says what it wants, and is given open files. Reading them is left to its caller too, for what is in
//! them comes from the network: [`answer`] does it, in a process that has no rights (see `fetcher`), and what that says
//! is looked at again.

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

/// The package that has the emulators.
pub const PACKAGE_NAME: &str = "qemu-user";

/// Five times what unstable's has, which is the longest.
pub const MAX_RELEASE_SIZE: u64 = 1 << 20;
/// Six times what the main archive's has.
pub const MAX_INDEX_SIZE: u64 = 64 << 20;
/// So far a clock may be behind Debian's, in seconds: a day.
const CLOCK_SLACK: u64 = 86_400;

/// A part of the archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Suite {
    /// Its directory in `dists/`, and the `Codename` of its list.
    pub name: &'static str,
    /// Whether each of its lists says until when it is valid.
    pub expires: bool,
}

/// Where Debian has static emulators that are kept up.
pub const SUITES: [Suite; 2] =
    [Suite { name: "trixie-backports", expires: true }, Suite { name: "trixie", expires: false }];

/// A file that is to be had from a mirror.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexFile {
    /// Its path below the mirror's base.
    pub path: String,
    /// The same file by its name, where `path` has its digest: for mirrors that do not keep them so.
    pub fallback_path: Option<String>,
    /// More bytes than these are no use. Where the digest is known, it has exactly so many.
    pub max_size: u64,
    /// Its digest, where that is known before. Whether the bytes have it is looked at again.
    pub sha256: Option<Sha256>,
}

/// What is to be read in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum IndexQuery {
    /// In an `InRelease`: who signed it, and what it says of the list of packages.
    Release {
        /// Debian's name of the machine
        architecture: String,
        /// what this machine's clock shows
        now: Date,
    },
    /// In a `Packages.xz`: where `qemu-user` is.
    Package {
        /// Debian's name of the machine
        architecture: String,
    },
}

/// What is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum IndexResult {
    /// What the signed list says.
    Release(SuiteRelease),
    /// The package, if it is there.
    Package(Option<PoolPackage>),
    /// It is nothing that is believed.
    Refused(String),
}

/// A package that Debian offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageOffer {
    /// Where it is below the mirror's base: `pool/…`.
    pub path: String,
    /// How many bytes it has.
    pub size: u64,
    /// Its digest.
    pub sha256: Sha256,
    /// Debian's version.
    pub version: DebianVersion,
    /// The release of QEMU that it is made from.
    pub qemu: binary::QemuVersion,
    /// The suite that has it.
    pub suite: &'static str,
    /// When that suite's list was made.
    pub date: Date,
    /// Until when the list is valid, where it says so.
    pub valid_until: Option<Date>,
    /// The fingerprint of the certificate whose signature was found good.
    pub key: String,
}

/// Which `qemu-user` Debian offers for a host machine (`uname -m`). `keys` are Debian's. `get` gives the files that
/// are wanted, and `read` what is in them; an error of either is the end.
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
                what: format!("there is no qemu-user of Debian's for {other} machines that is known here"),
                hint: "bring a static QEMU of your own: --qemu PATH".into(),
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

/// What one suite offers; nothing if its verified list has no such package.
fn find_in_suite(
    suite: Suite,
    architecture: &str,
    now: Date,
    keys: &Keyring,
    get: &mut dyn FnMut(&IndexFile) -> Result<File>,
    read: &mut dyn FnMut(&IndexQuery, File) -> Result<IndexResult>,
) -> Result<Option<PackageOffer>> {
    let directory = format!("dists/{}", suite.name);
    let wanted = IndexFile {
        path: format!("{directory}/InRelease"),
        fallback_path: None,
        max_size: MAX_RELEASE_SIZE,
        sha256: None,
    };
    let refused =
        |wanted: &IndexFile, why: String| DebianError::Unverified { what: wanted.path.clone(), why: to_one_line(&why) };
    let query = IndexQuery::Release { architecture: architecture.to_owned(), now };
    let release = match read(&query, fetch_checked(&wanted, get)?)? {
        IndexResult::Release(release) => release,
        IndexResult::Refused(why) => return Err(refused(&wanted, why).into()),
        IndexResult::Package(_) => return Err(unexpected_result()),
    };
    check_release(&release, suite, &wanted.path, now, keys)?;
    let IndexDigest { size, sha256 } = release.index;
    let named = format!("{directory}/{}", in_release::index_path(architecture));
    let hashed = named.strip_suffix("Packages.xz").map(|there| format!("{there}by-hash/SHA256/{sha256}"));
    let (path, otherwise) = match hashed.filter(|_| release.by_hash) {
        Some(hashed) => (hashed, Some(named)),
        None => (named, None),
    };
    let wanted = IndexFile { path, fallback_path: otherwise, max_size: size, sha256: Some(sha256) };
    let query = IndexQuery::Package { architecture: architecture.to_owned() };
    let package = match read(&query, fetch_checked(&wanted, get)?)? {
        IndexResult::Package(Some(package)) => package,
        IndexResult::Package(None) => return Ok(None),
        IndexResult::Refused(why) => return Err(refused(&wanted, why).into()),
        IndexResult::Release(_) => return Err(unexpected_result()),
    };
    let version = package.checked_version(architecture).map_err(|why| refused(&wanted, why.to_string()))?;
    let qemu = version.qemu_version().ok_or_else(|| refused(&wanted, format!("{version} is no release of QEMU")))?;
    let PoolPackage { path, size, sha256, .. } = package;
    let SuiteRelease { date, valid_until, key, .. } = release;
    Ok(Some(PackageOffer { path, size, sha256, version, qemu, suite: suite.name, date, valid_until, key }))
}

fn unexpected_result() -> Error {
    DebianError::Process("answered what it was not asked".to_owned()).into()
}

/// The file, at its beginning, if it is as long as it may be and has its digest.
fn fetch_checked(wanted: &IndexFile, get: &mut dyn FnMut(&IndexFile) -> Result<File>) -> Result<File> {
    let broken = |e| Error::io("read what was downloaded of", Path::new(&wanted.path), e);
    let mut file = get(wanted)?;
    let size = file.seek(SeekFrom::End(0)).map_err(broken)?;
    if size == 0 || size > wanted.max_size || (wanted.sha256.is_some() && size != wanted.max_size) {
        let bound = if wanted.sha256.is_some() { "instead of" } else { "and may have" };
        let why = format!("it has {size} bytes, {bound} {}", wanted.max_size);
        return Err(DebianError::Unverified { what: wanted.path.clone(), why }.into());
    }
    file.rewind().map_err(broken)?;
    if let Some(digest) = wanted.sha256 {
        let is = Sha256::of_reader(&mut file).map_err(broken)?;
        if is != digest {
            return Err(Error::Digest { what: wanted.path.clone(), actual: is, expected: digest });
        }
        file.rewind().map_err(broken)?;
    }
    Ok(file)
}

/// Whether a signed list is the one that was wanted, and of today. Those of other suites are signed by the same keys.
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
        format!("its list of packages has {} bytes", release.index.size)
    } else if !keys.list_keys().iter().any(|(_, certificate, _)| *certificate == release.key) {
        "it is signed by a key that is none of Debian's".to_owned()
    } else {
        return match until {
            Some(until) if until <= now => Err(DebianError::Expired { what, until, made, now }),
            _ if made.0 > now.0.saturating_add(CLOCK_SLACK) => Err(DebianError::Future { what, made, now }),
            _ => Ok(()),
        };
    };
    Err(DebianError::Unverified { what, why })
}

/// Reads a file: for the process that has no rights.
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
