//! Parser of `InRelease`, the signed list of a suite's files (wiki.debian.org/DebianRepository/Format). Pure.

use serde::{Deserialize, Serialize};

use super::cleartext::{InvalidCleartext, SignedText};
use super::{Date, MAX_INDEX_SIZE, MAX_RELEASE_SIZE};
use crate::qemu::debian::deb822::{InvalidStanza, StanzaLine, set_once};
use crate::qemu::debian::keyring::{Keyring, SignaturesError};
use crate::sha256::Sha256;
use crate::ui::quantity::count;

/// Size and digest of a listed file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IndexDigest {
    /// Size in bytes.
    pub size: u64,
    /// Digest of the file.
    pub sha256: Sha256,
}

/// Verified contents of the signed list of a suite.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SuiteRelease {
    /// Permanent name of the suite.
    pub codename: String,
    /// Date of the list.
    pub date: Date,
    /// Expiry of the list, if it has one.
    pub valid_until: Option<Date>,
    /// Whether the mirror has the files by their digest.
    pub by_hash: bool,
    /// Size and digest of the list of packages in its xz form.
    pub index: IndexDigest,
    /// Fingerprint of the certificate that signed the list.
    pub key: String,
}

/// File that is not a signed list of a suite's files.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRelease {
    /// File that is too long.
    #[error("it has more than {MAX_RELEASE_SIZE} bytes")]
    Long,
    /// File that is not one signed text.
    #[error(transparent)]
    Cleartext(#[from] InvalidCleartext),
    /// Missing valid signature of a trusted key.
    #[error(transparent)]
    Signature(#[from] SignaturesError),
    /// Text that is not a control file.
    #[error(transparent)]
    Stanza(#[from] InvalidStanza),
    /// Empty line in the text.
    #[error("it has more than one part")]
    Parts,
    /// Missing `Codename`.
    #[error("it does not name its suite (Codename)")]
    NoCodename,
    /// Missing `Date`.
    #[error("it has no date (Date)")]
    NoDate,
    /// Date that cannot be parsed.
    #[error("it has a malformed date")]
    Date,
    /// Missing digest of the list of packages.
    #[error("it has no SHA-256 of {0}")]
    NotListed(String),
    /// Line of `SHA256` that is not digest, size, and path.
    #[error("it has a malformed line in its SHA256")]
    Listing,
    /// Size or digest of the list of packages that cannot be parsed.
    #[error("it has no size or digest for {0}")]
    NoSize(String),
    /// Size of the list of packages that is 0 or too large.
    #[error("its {path} has {}", count(*size, "byte"))]
    Size {
        /// Path below the suite's directory.
        path: String,
        /// Listed size in bytes.
        size: u64,
    },
}

/// Returns the path of the list of an architecture's packages, below the suite's directory.
pub(super) fn index_path(architecture: &str) -> String {
    format!("main/binary-{architecture}/Packages.xz")
}

impl SuiteRelease {
    /// Parses a file after it has verified that one of these keys signed it. The caller must check the expiry and the
    /// suite.
    pub fn verify_and_parse(
        file: &[u8],
        architecture: &str,
        keys: &Keyring,
        now: Date,
    ) -> Result<Self, InvalidRelease> {
        if file.len() as u64 > MAX_RELEASE_SIZE {
            return Err(InvalidRelease::Long);
        }
        let signed = SignedText::parse(file)?;
        let key = keys.verify_any(&signed.signatures, &signed.signed_bytes(), now)?;
        Self::parse(&signed.text, &index_path(architecture), key)
    }

    fn parse(text: &str, index_path: &str, key: String) -> Result<Self, InvalidRelease> {
        let (mut codename, mut date, mut until, mut by_hash, mut list, mut index) =
            (None, None, None, None, None, None);
        let mut listing = false;
        for line in text.split('\n') {
            match StanzaLine::parse(line)? {
                StanzaLine::End => return Err(InvalidRelease::Parts),
                StanzaLine::Continuation(entry) if listing => {
                    if let Some(listed) = parse_entry(entry, index_path)? {
                        set_once(&mut index, index_path, listed)?;
                    }
                }
                StanzaLine::Continuation(_) => {}
                StanzaLine::Field(name, value) => {
                    listing = name.eq_ignore_ascii_case("SHA256");
                    match name.to_ascii_lowercase().as_str() {
                        "codename" => set_once(&mut codename, name, value.to_owned())?,
                        "date" => set_once(&mut date, name, parse_date(value)?)?,
                        "valid-until" => set_once(&mut until, name, parse_date(value)?)?,
                        "acquire-by-hash" => set_once(&mut by_hash, name, value == "yes")?,
                        "sha256" => set_once(&mut list, name, ())?,
                        _ => {}
                    }
                }
            }
        }
        Ok(Self {
            codename: codename.ok_or(InvalidRelease::NoCodename)?,
            date: date.ok_or(InvalidRelease::NoDate)?,
            valid_until: until,
            by_hash: by_hash.unwrap_or(false),
            index: index.ok_or_else(|| InvalidRelease::NotListed(index_path.to_owned()))?,
            key,
        })
    }
}

fn parse_date(value: &str) -> Result<Date, InvalidRelease> {
    Date::parse(value).ok_or(InvalidRelease::Date)
}

/// Parses a line of digest, size, and path. Returns `None` if it is for another file than `index_path`.
fn parse_entry(entry: &str, index_path: &str) -> Result<Option<IndexDigest>, InvalidRelease> {
    let words: Vec<_> = entry.split_whitespace().collect();
    let [sha256, size, path] = *words.as_slice() else {
        return Err(InvalidRelease::Listing);
    };
    if path != index_path {
        return Ok(None);
    }
    let listed = (|| Some(IndexDigest { size: parse_digits(size)?, sha256: sha256.parse().ok()? }))();
    let listed = listed.ok_or_else(|| InvalidRelease::NoSize(index_path.to_owned()))?;
    if listed.size == 0 || listed.size > MAX_INDEX_SIZE {
        return Err(InvalidRelease::Size { path: index_path.to_owned(), size: listed.size });
    }
    Ok(Some(listed))
}

/// Parses a number that consists of digits only.
pub(super) fn parse_digits(text: &str) -> Option<u64> {
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}
