//! Requests for a release of QEMU. Pure.

use std::fmt;
use std::str::FromStr;

use crate::qemu::binary::QemuVersion;

/// Requested release, `10.0.13`, or series of releases, `10.0` or `10`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VersionRequest {
    major: u32,
    minor: Option<u32>,
    patch: Option<u32>,
}

/// Text that is not a release.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a version of QEMU: 10.0.13 is one, and 10.0 means the newest 10.0.x")]
pub struct InvalidVersionRequest(String);

impl VersionRequest {
    /// Whether this release satisfies the request.
    pub fn is_met_by(&self, version: QemuVersion) -> bool {
        let QemuVersion(major, minor, patch) = version;
        self.major == major
            && self.minor.is_none_or(|requested| requested == minor)
            && self.patch.is_none_or(|requested| requested == patch)
    }
}

impl FromStr for VersionRequest {
    type Err = InvalidVersionRequest;

    fn from_str(text: &str) -> Result<Self, InvalidVersionRequest> {
        let number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok())?;
        let numbers: Option<Vec<u32>> = text.split('.').map(number).collect();
        match numbers.as_deref() {
            Some(&[major]) => Ok(Self { major, minor: None, patch: None }),
            Some(&[major, minor]) => Ok(Self { major, minor: Some(minor), patch: None }),
            Some(&[major, minor, patch]) => Ok(Self { major, minor: Some(minor), patch: Some(patch) }),
            _ => Err(InvalidVersionRequest(text.to_owned())),
        }
    }
}

impl fmt::Display for VersionRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.major)?;
        let rest = [self.minor, self.patch];
        rest.into_iter().flatten().try_for_each(|number| write!(f, ".{number}"))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn missing_numbers_match_any_number() {
        let meets = |request: &str, version| request.parse::<VersionRequest>().unwrap().is_met_by(version);
        let old = QemuVersion(7, 2, 22);
        assert!(meets("7", old) && meets("7.2", old) && meets("7.2.22", old));
        assert!(!meets("7.2.2", old) && !meets("7.22", old) && !meets("72", old) && !meets("7.20", old));
        assert!(
            meets("10.0", QemuVersion(10, 0, 13))
                && !meets("10.0", QemuVersion(10, 1, 0))
                && !meets("10.0.1", QemuVersion(10, 0, 13))
        );
    }

    #[test]
    fn a_request_is_printed_as_it_was_parsed() {
        for text in ["7", "7.2", "10.0.13"] {
            assert_eq!(text.parse::<VersionRequest>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", ".", "7.", ".2", "v7.2", "7.2.22.1", "+7", "-1", "7 ", "latest", "99999999999", "7..2", "٣"] {
            let error = text.parse::<VersionRequest>().unwrap_err().to_string();
            assert!(error.contains("is not a version of QEMU"), "{error}");
        }
    }
}
