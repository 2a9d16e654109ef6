//! The signed list of a suite's files: `InRelease` (wiki.debian.org/DebianRepository/Format). Pure.

use serde::{Deserialize, Serialize};

use super::cleartext::{InvalidCleartext, SignedText};
use super::{Date, MAX_INDEX_SIZE, MAX_RELEASE_SIZE};
use crate::qemu::debian::deb822::{InvalidStanza, StanzaLine, set_once};
use crate::qemu::debian::keyring::{Keyring, SignaturesError};
use crate::sha256::Sha256;

/// A file that is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IndexDigest {
    /// How many bytes it has.
    pub size: u64,
    /// Its digest.
    pub sha256: Sha256,
}

/// What a signed list says of its suite.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SuiteRelease {
    /// Which suite it is, by the name that does not change.
    pub codename: String,
    /// When it was made.
    pub date: Date,
    /// When it is to be believed no more, where it says so.
    pub valid_until: Option<Date>,
    /// Whether its files can be had by their digest.
    pub by_hash: bool,
    /// The list of packages, as xz.
    pub index: IndexDigest,
    /// The fingerprint of the certificate whose signature was found good.
    pub key: String,
}

/// A file is not a signed list of a suite's files.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRelease {
    /// It is too long.
    #[error("it has more than {MAX_RELEASE_SIZE} bytes")]
    Long,
    /// It is not one signed text.
    #[error(transparent)]
    Cleartext(#[from] InvalidCleartext),
    /// No trusted key signed it.
    #[error(transparent)]
    Signature(#[from] SignaturesError),
    /// The text is not a control file.
    #[error(transparent)]
    Stanza(#[from] InvalidStanza),
    /// The text has an empty line.
    #[error("it has more than one part")]
    Parts,
    /// `Codename` is missing.
    #[error("it does not say which suite it is (Codename)")]
    NoCodename,
    /// `Date` is missing.
    #[error("it does not say when it was made (Date)")]
    NoDate,
    /// A date cannot be read.
    #[error("it has a date that is none")]
    Date,
    /// The digest of the list of packages is missing.
    #[error("it has no SHA-256 of {0}")]
    NotListed(String),
    /// A line of `SHA256` is not digest, size, and path.
    #[error("it has a line in its SHA256 that is none")]
    Listing,
    /// The size or the digest of the list of packages cannot be read.
    #[error("it has no size or digest for {0}")]
    NoSize(String),
    /// The list of packages is empty or too long.
    #[error("its {path} has {size} bytes")]
    Size {
        /// where it is, below the suite's directory
        path: String,
        /// how many bytes are listed
        size: u64,
    },
}

/// Where the list of an architecture's packages is, below the suite's directory.
pub(super) fn index_path(architecture: &str) -> String {
    format!("main/binary-{architecture}/Packages.xz")
}

impl SuiteRelease {
    /// Reads a file, if one of these keys signed it. Whether it is in time, and the suite that was wanted, is not asked
    /// here.
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

    fn parse(text: &str, wanted: &str, key: String) -> Result<Self, InvalidRelease> {
        let (mut codename, mut date, mut until, mut by_hash, mut list, mut index) =
            (None, None, None, None, None, None);
        let mut listing = false;
        for line in text.split('\n') {
            match StanzaLine::parse(line)? {
                StanzaLine::End => return Err(InvalidRelease::Parts),
                StanzaLine::Continuation(entry) if listing => {
                    if let Some(listed) = parse_entry(entry, wanted)? {
                        set_once(&mut index, wanted, listed)?;
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
            index: index.ok_or_else(|| InvalidRelease::NotListed(wanted.to_owned()))?,
            key,
        })
    }
}

fn parse_date(value: &str) -> Result<Date, InvalidRelease> {
    Date::parse(value).ok_or(InvalidRelease::Date)
}

/// What a line says of this file: digest, size, path.
fn parse_entry(entry: &str, wanted: &str) -> Result<Option<IndexDigest>, InvalidRelease> {
    let words: Vec<_> = entry.split_whitespace().collect();
    let [sha256, size, path] = *words.as_slice() else {
        return Err(InvalidRelease::Listing);
    };
    if path != wanted {
        return Ok(None);
    }
    let listed = (|| Some(IndexDigest { size: parse_digits(size)?, sha256: sha256.parse().ok()? }))();
    let listed = listed.ok_or_else(|| InvalidRelease::NoSize(wanted.to_owned()))?;
    if listed.size == 0 || listed.size > MAX_INDEX_SIZE {
        return Err(InvalidRelease::Size { path: wanted.to_owned(), size: listed.size });
    }
    Ok(Some(listed))
}

/// A number, and nothing but its digits.
pub(super) fn parse_digits(text: &str) -> Option<u64> {
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}
