//! Versions of Debian packages and their order: deb-version(7). Pure.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use crate::qemu::binary;

/// Maximum length. A version is part of a file name, so real ones are not longer.
const MAX_LENGTH: usize = 200;

/// Version, `[epoch:]upstream[-revision]`. The order is that of dpkg: `1.0` and `1.00` are equal.
#[derive(Debug, Clone)]
pub struct DebianVersion {
    text: String,
    epoch: u32,
    /// Range of `upstream` in the text.
    upstream: (usize, usize),
}

/// Text that is not a version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an invalid version")]
pub struct InvalidDebianVersion;

impl DebianVersion {
    fn upstream(&self) -> &str {
        self.text.get(self.upstream.0..self.upstream.1).unwrap_or_default()
    }

    fn revision(&self) -> &str {
        self.text.get(self.upstream.1.saturating_add(1)..).unwrap_or_default()
    }

    /// Returns the release of QEMU in a version of Debian's package `qemu`: for `1:10.0.13+ds-0+deb13u1` it is 10.0.13.
    /// Returns `None` for release candidates (`~rc1`).
    pub fn qemu_version(&self) -> Option<binary::QemuVersion> {
        let upstream = self.upstream();
        let numbers = upstream.split('+').next().unwrap_or_default();
        let is_plain =
            numbers.split('.').all(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()));
        if is_plain && numbers.split('.').count() <= 3 { binary::QemuVersion::parse(numbers) } else { None }
    }
}

impl FromStr for DebianVersion {
    type Err = InvalidDebianVersion;

    /// Parses a version. It is stricter than dpkg: versions for which dpkg prints a warning are refused.
    fn from_str(text: &str) -> Result<Self, InvalidDebianVersion> {
        let (epoch, begin) = match text.find(':') {
            None => (0, 0),
            Some(colon) => {
                let digits = text.get(..colon).unwrap_or_default();
                // dpkg stores the epoch in an int (lib/dpkg/parsehelp.c, parseversion).
                let epoch = digits.parse().ok().filter(|epoch| i32::try_from(*epoch).is_ok());
                let has_only_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
                (epoch.filter(|_| has_only_digits).ok_or(InvalidDebianVersion)?, colon.saturating_add(1))
            }
        };
        let end = text.rfind('-').filter(|hyphen| *hyphen >= begin).unwrap_or(text.len());
        let version = Self { text: text.to_owned(), epoch, upstream: (begin, end) };
        let (upstream, revision) = (version.upstream(), version.revision());
        let consists_of = |part: &str, more: &str| part.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c));
        let is_valid = text.len() <= MAX_LENGTH
            && upstream.starts_with(|c: char| c.is_ascii_digit())
            && consists_of(upstream, if begin == 0 { ".+-~" } else { ".+-~:" })
            && consists_of(revision, ".+~")
            && (end == text.len() || !revision.is_empty());
        if is_valid { Ok(version) } else { Err(InvalidDebianVersion) }
    }
}

impl fmt::Display for DebianVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for DebianVersion {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for DebianVersion {}

impl PartialOrd for DebianVersion {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for DebianVersion {
    fn cmp(&self, other: &Self) -> Ordering {
        let upstream = || compare_parts(self.upstream(), other.upstream());
        let revision = || compare_parts(self.revision(), other.revision());
        self.epoch.cmp(&other.epoch).then_with(upstream).then_with(revision)
    }
}

/// Compares alternating runs of other characters and digits. A missing revision equals `0`, because a missing number
/// equals 0.
fn compare_parts(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    while !a.is_empty() || !b.is_empty() {
        let order = compare_letters(take_run(&mut a, false), take_run(&mut b, false))
            .then_with(|| compare_numbers(take_run(&mut a, true), take_run(&mut b, true)));
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}

/// Removes a run of digits, or of other characters, from the front.
fn take_run<'a>(text: &mut &'a [u8], digits: bool) -> &'a [u8] {
    let end = text.iter().position(|byte| byte.is_ascii_digit() != digits).unwrap_or(text.len());
    let (front, rest) = text.split_at_checked(end).unwrap_or((text, &[]));
    *text = rest;
    front
}

/// Compares runs without digits. A tilde sorts before the end of the run, the end before letters, and letters before
/// all other characters.
fn compare_letters(a: &[u8], b: &[u8]) -> Ordering {
    let weight = |byte: Option<&u8>| match byte {
        None => (1, 0),
        Some(b'~') => (0, 0),
        Some(byte) if byte.is_ascii_alphabetic() => (2, *byte),
        Some(byte) => (3, *byte),
    };
    let weights = |text: &[u8]| (0..=a.len().max(b.len())).map(|at| weight(text.get(at))).collect::<Vec<_>>();
    weights(a).cmp(&weights(b))
}

fn compare_numbers(a: &[u8], b: &[u8]) -> Ordering {
    let strip_zeros = |digits: &[u8]| digits.iter().copied().skip_while(|digit| *digit == b'0').collect::<Vec<_>>();
    let (a, b) = (strip_zeros(a), strip_zeros(b));
    a.len().cmp(&b.len()).then_with(|| a.cmp(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> DebianVersion {
        text.parse().unwrap_or_else(|_| panic!("{text}"))
    }

    #[test]
    fn the_order_follows_the_manual() {
        let rising =
            ["1.0~~", "1.0~~a", "1.0~", "1.0", "1.0-1~bpo13+1", "1.0-1", "1.0a", "1.0+ds-1", "1.2", "1.10", "1:0.1"];
        for pair in rising.windows(2) {
            assert!(version(pair[0]) < version(pair[1]), "{pair:?}");
        }
        for (a, b) in [("1.0", "1.00"), ("0:1.0", "1.0"), ("1.0", "1.0-0"), ("1.-1", "1.0-1")] {
            assert_eq!(version(a), version(b));
        }
        assert!(version("1:11.1.3+ds-1~bpo13+1") > version("1:10.0.13+ds-0+deb13u1"));
    }

    #[test]
    fn invalid_versions_are_refused() {
        for text in
            ["", "a", "1:", ":1", "-1", "1-", "1.0-", "1.0_1", "1 ", "+1:1", "4294967296:1", "2147483648:1", "a:1"]
        {
            assert!(text.parse::<DebianVersion>().is_err(), "{text}");
        }
        assert!("1".repeat(201).parse::<DebianVersion>().is_err());
    }

    #[test]
    fn the_release_of_qemu_is_found() {
        let release = |text| version(text).qemu_version().map(|version| version.to_string());
        assert_eq!(release("1:10.0.13+ds-0+deb13u1").as_deref(), Some("10.0.13"));
        assert_eq!(release("1:11.1.3+ds-1~bpo13+1").as_deref(), Some("11.1.3"));
        assert_eq!(release("1:11.1.3+dfsg+ds-1").as_deref(), Some("11.1.3"));
        assert_eq!(release("1:11.2-1").as_deref(), Some("11.2.0"));
        for none in ["1:11.2.0~rc1+ds-1", "1:11-1", "1:11.2.3.4-1", "1:11.x-1", "1:11..2-1"] {
            assert_eq!(release(none), None, "{none}");
        }
    }
}
