//! Which release somebody asks for. Pure.

use std::fmt;
use std::str::FromStr;

use crate::qemu::binary::QemuVersion;

/// A release, `10.0.13`, or a line of releases: `10.0`, `10`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VersionRequest {
    major: u32,
    minor: Option<u32>,
    patch: Option<u32>,
}

/// A text that names no release.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no version of QEMU: 10.0.13 is one, and 10.0 means the newest 10.0.x")]
pub struct InvalidVersionRequest(String);

impl VersionRequest {
    /// Whether this release is meant.
    pub fn is_met_by(&self, version: QemuVersion) -> bool {
        let QemuVersion(major, minor, patch) = version;
        self.major == major
            && self.minor.is_none_or(|release| release == minor)
            && self.patch.is_none_or(|release| release == patch)
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
    fn numbers_that_are_not_said_may_be_any() {
        let is = |wanted: &str, version| wanted.parse::<VersionRequest>().unwrap().is_met_by(version);
        let old = QemuVersion(7, 2, 22);
        assert!(is("7", old) && is("7.2", old) && is("7.2.22", old));
        assert!(!is("7.2.2", old) && !is("7.22", old) && !is("72", old) && !is("7.20", old));
        assert!(
            is("10.0", QemuVersion(10, 0, 13))
                && !is("10.0", QemuVersion(10, 1, 0))
                && !is("10.0.1", QemuVersion(10, 0, 13))
        );
    }

    #[test]
    fn it_is_shown_as_it_was_read() {
        for text in ["7", "7.2", "10.0.13"] {
            assert_eq!(text.parse::<VersionRequest>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_version_is_told() {
        for text in ["", ".", "7.", ".2", "v7.2", "7.2.22.1", "+7", "-1", "7 ", "latest", "99999999999", "7..2", "٣"] {
            let error = text.parse::<VersionRequest>().unwrap_err().to_string();
            assert!(error.contains("no version of QEMU"), "{error}");
        }
    }
}
