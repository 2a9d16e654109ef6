//! Versions of Debian packages, and which of two is the newer one: deb-version(7). Pure.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use crate::qemu::binary;

/// Longer ones there are not: a file name has a version in it.
const MAX_LENGTH: usize = 200;

/// A version, `[epoch:]upstream[-revision]`. Ordered as dpkg orders them: `1.0` and `1.00` are equal.
#[derive(Debug, Clone)]
pub struct DebianVersion {
    text: String,
    epoch: u32,
    /// Where `upstream` begins and ends in the text.
    upstream: (usize, usize),
}

/// The text is no version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no version of a Debian package")]
pub struct InvalidDebianVersion;

impl DebianVersion {
    fn upstream(&self) -> &str {
        self.text.get(self.upstream.0..self.upstream.1).unwrap_or_default()
    }

    fn revision(&self) -> &str {
        self.text.get(self.upstream.1.saturating_add(1)..).unwrap_or_default()
    }

    /// The release of QEMU that a version of Debian's package `qemu` is made from: `1:10.0.13+ds-0+deb13u1` is 10.0.13.
    /// Candidates (`~rc1`) are none.
    pub fn qemu_version(&self) -> Option<binary::QemuVersion> {
        let upstream = self.upstream();
        let numbers = upstream.split('+').next().unwrap_or_default();
        let plain = numbers.split('.').all(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()));
        if plain && numbers.split('.').count() <= 3 { binary::QemuVersion::parse(numbers) } else { None }
    }
}

impl FromStr for DebianVersion {
    type Err = InvalidDebianVersion;

    /// Stricter than dpkg in one thing: what dpkg warns of is no version.
    fn from_str(text: &str) -> Result<Self, InvalidDebianVersion> {
        let (epoch, begin) = match text.find(':') {
            None => (0, 0),
            Some(colon) => {
                let digits = text.get(..colon).unwrap_or_default();
                // dpkg has it in an int (lib/dpkg/parsehelp.c, parseversion).
                let epoch = digits.parse().ok().filter(|epoch| i32::try_from(*epoch).is_ok());
                let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
                (epoch.filter(|_| plain).ok_or(InvalidDebianVersion)?, colon.saturating_add(1))
            }
        };
        let end = text.rfind('-').filter(|hyphen| *hyphen >= begin).unwrap_or(text.len());
        let version = Self { text: text.to_owned(), epoch, upstream: (begin, end) };
        let (upstream, revision) = (version.upstream(), version.revision());
        let of = |part: &str, more: &str| part.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c));
        let sound = text.len() <= MAX_LENGTH
            && upstream.starts_with(|c: char| c.is_ascii_digit())
            && of(upstream, if begin == 0 { ".+-~" } else { ".+-~:" })
            && of(revision, ".+~")
            && (end == text.len() || !revision.is_empty());
        if sound { Ok(version) } else { Err(InvalidDebianVersion) }
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

/// Pieces without digits and numbers take turns. No revision is one of `0`, as no number is 0.
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

/// Cuts digits, or what is none, from the front.
fn take_run<'a>(text: &mut &'a [u8], digits: bool) -> &'a [u8] {
    let end = text.iter().position(|byte| byte.is_ascii_digit() != digits).unwrap_or(text.len());
    let (front, rest) = text.split_at_checked(end).unwrap_or((text, &[]));
    *text = rest;
    front
}

/// A tilde comes before the end, the end before letters, letters before all else.
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
    let plain = |digits: &[u8]| digits.iter().copied().skip_while(|digit| *digit == b'0').collect::<Vec<_>>();
    let (a, b) = (plain(a), plain(b));
    a.len().cmp(&b.len()).then_with(|| a.cmp(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> DebianVersion {
        text.parse().unwrap_or_else(|_| panic!("{text}"))
    }

    #[test]
    fn they_are_ordered_as_the_manual_says() {
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
    fn others_are_none() {
        for text in
            ["", "a", "1:", ":1", "-1", "1-", "1.0-", "1.0_1", "1 ", "+1:1", "4294967296:1", "2147483648:1", "a:1"]
        {
            assert!(text.parse::<DebianVersion>().is_err(), "{text}");
        }
        assert!("1".repeat(201).parse::<DebianVersion>().is_err());
    }

    #[test]
    fn the_release_of_qemu_is_in_them() {
        let of = |text| version(text).qemu_version().map(|version| version.to_string());
        assert_eq!(of("1:10.0.13+ds-0+deb13u1").as_deref(), Some("10.0.13"));
        assert_eq!(of("1:11.1.3+ds-1~bpo13+1").as_deref(), Some("11.1.3"));
        assert_eq!(of("1:11.1.3+dfsg+ds-1").as_deref(), Some("11.1.3"));
        assert_eq!(of("1:11.2-1").as_deref(), Some("11.2.0"));
        for none in ["1:11.2.0~rc1+ds-1", "1:11-1", "1:11.2.3.4-1", "1:11.x-1", "1:11..2-1"] {
            assert_eq!(of(none), None, "{none}");
        }
    }
}
