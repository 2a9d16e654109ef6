//! The signed list of a suite's files: `InRelease` (wiki.debian.org/DebianRepository/Format). Pure.

use serde::{Deserialize, Serialize};

use super::cleartext::Cleartext;
use super::keys::Keys;
use super::stanza::{Line, once};
use super::{Date, LARGEST_INDEX, LARGEST_RELEASE};
use crate::digest::Sha256;

/// A file that is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listed {
    /// How many bytes it has.
    pub size: u64,
    /// Its digest.
    pub sha256: Sha256,
}

/// What a signed list says of its suite.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// Which suite it is, by the name that does not change.
    pub codename: String,
    /// When it was made.
    pub date: Date,
    /// When it is to be believed no more, where it says so.
    pub valid_until: Option<Date>,
    /// Whether its files can be had by their digest.
    pub by_hash: bool,
    /// The list of packages, as xz.
    pub index: Listed,
    /// The fingerprint of the certificate whose signature was found good.
    pub key: String,
}

/// Where the list of an architecture's packages is, below the suite's directory.
pub(super) fn index(architecture: &str) -> String {
    format!("main/binary-{architecture}/Packages.xz")
}

impl Release {
    /// Reads a file, if one of these keys signed it. Whether it is in time, and the suite that was wanted, is not asked
    /// here.
    pub fn read(file: &[u8], architecture: &str, keys: &Keys, now: Date) -> Result<Self, String> {
        if file.len() as u64 > LARGEST_RELEASE {
            return Err(format!("it has more than {LARGEST_RELEASE} bytes"));
        }
        let signed = Cleartext::read(file)?;
        let key = keys.signer(&signed.signatures, &signed.signed(), now)?;
        Self::parse(&signed.text, &index(architecture), key)
    }

    fn parse(text: &str, wanted: &str, key: String) -> Result<Self, String> {
        let (mut codename, mut date, mut until, mut by_hash, mut list, mut index) =
            (None, None, None, None, None, None);
        let mut listing = false;
        for line in text.split('\n') {
            match Line::of(line)? {
                Line::End => return Err("it has more than one part".to_owned()),
                Line::More(entry) if listing => {
                    if let Some(listed) = entry_of(entry, wanted)? {
                        once(&mut index, wanted, listed)?;
                    }
                }
                Line::More(_) => {}
                Line::Field(name, value) => {
                    listing = name.eq_ignore_ascii_case("SHA256");
                    match name.to_ascii_lowercase().as_str() {
                        "codename" => once(&mut codename, name, value.to_owned())?,
                        "date" => once(&mut date, name, moment(value)?)?,
                        "valid-until" => once(&mut until, name, moment(value)?)?,
                        "acquire-by-hash" => once(&mut by_hash, name, value == "yes")?,
                        "sha256" => once(&mut list, name, ())?,
                        _ => {}
                    }
                }
            }
        }
        Ok(Self {
            codename: codename.ok_or("it does not say which suite it is (Codename)")?,
            date: date.ok_or("it does not say when it was made (Date)")?,
            valid_until: until,
            by_hash: by_hash.unwrap_or(false),
            index: index.ok_or_else(|| format!("it has no SHA-256 of {wanted}"))?,
            key,
        })
    }
}

fn moment(value: &str) -> Result<Date, String> {
    Date::parse(value).ok_or_else(|| "it has a date that is none".to_owned())
}

/// What a line says of this file: digest, size, path.
fn entry_of(entry: &str, wanted: &str) -> Result<Option<Listed>, String> {
    let words: Vec<_> = entry.split_whitespace().collect();
    let [sha256, size, path] = *words.as_slice() else {
        return Err("it has a line in its SHA256 that is none".to_owned());
    };
    if path != wanted {
        return Ok(None);
    }
    let listed = (|| Some(Listed { size: digits(size)?, sha256: sha256.parse().ok()? }))();
    let listed = listed.ok_or_else(|| format!("it has no size or digest for {wanted}"))?;
    if listed.size == 0 || listed.size > LARGEST_INDEX {
        return Err(format!("its {wanted} has {} bytes", listed.size));
    }
    Ok(Some(listed))
}

/// A number, and nothing but its digits.
pub(super) fn digits(text: &str) -> Option<u64> {
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}
