//! A digest as a type: its bytes, and its hexadecimal text. Pure.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::Digest as _;

/// The result of a hash function of `N` bytes; its text is lower-case hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest<const N: usize>(pub [u8; N]);

/// A SHA-256 digest (FIPS 180-4): what every byte that we use is pinned by.
pub type Sha256 = Digest<32>;

/// A SHA-1 digest: the key by which snapshot.debian.org names a file. Never proof of anything.
pub type Sha1 = Digest<20>;

impl Sha256 {
    /// The digest of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha2::Sha256::digest(bytes).into())
    }
}

impl<const N: usize> fmt::Display for Digest<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl<const N: usize> fmt::Debug for Digest<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not the hexadecimal form of a digest of this length.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a digest of {} hexadecimal digits", bytes * 2)]
pub struct NotADigest {
    bytes: usize,
}

impl<const N: usize> FromStr for Digest<N> {
    type Err = NotADigest;

    fn from_str(text: &str) -> Result<Self, NotADigest> {
        let wrong = NotADigest { bytes: N };
        let digits = text.as_bytes();
        if digits.len() != 2 * N {
            return Err(wrong);
        }
        let mut digest = [0; N];
        for (byte, pair) in digest.iter_mut().zip(digits.chunks_exact(2)) {
            let (Some(high), Some(low)) = (nibble(pair[0]), nibble(pair[1])) else {
                return Err(wrong);
            };
            *byte = high << 4 | low;
        }
        Ok(Self(digest))
    }
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

impl<const N: usize> Serialize for Digest<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, const N: usize> Deserialize<'de> for Digest<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn the_digest_of_nothing_prints_and_parses() {
        assert_eq!(Sha256::of(b"").to_string(), EMPTY);
        assert_eq!(EMPTY.parse(), Ok(Sha256::of(b"")));
        assert_eq!(EMPTY.to_uppercase().parse(), Ok(Sha256::of(b"")));
    }

    #[test]
    fn other_text_is_refused() {
        let long = format!("{EMPTY}0");
        let multibyte = "é".repeat(32);
        for text in ["", &EMPTY[1..], &long, &EMPTY.replace('e', "g"), &multibyte] {
            assert!(text.parse::<Sha256>().is_err(), "{text}");
        }
        let message = "".parse::<Sha1>().map_err(|e| e.to_string());
        assert_eq!(message, Err("not a digest of 40 hexadecimal digits".to_owned()));
    }
}
