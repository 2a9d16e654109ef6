//! Mirrors of Debian's packages: their order, and the URL of a package at each. Pure.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::FileUrl;
use super::netrc::has_dot_segment;
use crate::qemu::catalog::Package;

/// Debian mirror of kernel.org: fast, but without superseded versions.
const KERNEL_ORG: &str = "https://mirrors.kernel.org/debian";
/// Debian's archive of everything that Debian ever published, by SHA-1: permanent, but slow.
const SNAPSHOT: &str = "https://snapshot.debian.org/file";

/// A server that may have the package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mirror {
    /// A mirror of Debian's archive: the URL of the directory with `dists/` and `pool/`.
    Archive(BaseUrl),
    /// A server that names files by their SHA-1, as snapshot.debian.org/file/ does.
    BySha1(BaseUrl),
}

/// An `http` or `https` URL without a slash at its end, query or fragment.
///
/// Plain `http` is accepted, because each byte is verified with a pinned digest. The JSON form contains the password; the form
/// for people does not.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct BaseUrl(String);

/// A text that is not the URL of a mirror.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not the URL of a mirror: it must be like {KERNEL_ORG}")]
pub struct InvalidMirrorUrl;

/// Lists all mirrors in the order in which they are tried: the one that the user named, those of apt, and two public ones.
pub fn order_mirrors(named: Option<BaseUrl>, apt: Vec<BaseUrl>) -> Vec<Mirror> {
    let public = BaseUrl(KERNEL_ORG.to_owned());
    let mut mirrors: Vec<Mirror> = Vec::new();
    for base in named.into_iter().chain(apt).chain([public]) {
        let mirror = Mirror::Archive(base);
        if !mirrors.contains(&mirror) {
            mirrors.push(mirror);
        }
    }
    mirrors.push(Mirror::BySha1(BaseUrl(SNAPSHOT.to_owned())));
    mirrors
}

impl Mirror {
    /// Returns the URL of the package at this mirror.
    pub(super) fn package_url(&self, package: &Package) -> String {
        match self {
            // Some servers read `+` as a space; apt escapes it too (apt-pkg/contrib/strutl.cc).
            Self::Archive(base) => format!("{}/{}", base.0, package.path.replace('+', "%2B")),
            Self::BySha1(base) => format!("{}/{}", base.0, package.sha1),
        }
    }

    /// Returns the URL of a file in Debian's archive, by its path there. Returns none if the path leads out of the archive: a
    /// password for the mirror may hold for the archive only.
    pub fn file_url(&self, path: &str) -> Option<FileUrl> {
        match self {
            Self::Archive(base) if !has_dot_segment(path) => {
                format!("{}/{}", base.0, path.replace('+', "%2B")).parse().ok()
            }
            Self::Archive(_) | Self::BySha1(_) => None,
        }
    }

    /// Replaces the URL of the mirror.
    #[must_use]
    pub fn map_base_url(self, change: impl FnOnce(BaseUrl) -> BaseUrl) -> Self {
        match self {
            Self::Archive(base) => Self::Archive(change(base)),
            Self::BySha1(base) => Self::BySha1(change(base)),
        }
    }

    /// Returns the URL of the package for people: without a password, and with the path as Debian writes it.
    pub fn display_url(&self, package: &Package) -> String {
        match self {
            Self::Archive(base) => format!("{base}/{}", package.path),
            Self::BySha1(base) => format!("{base}/{}", package.sha1),
        }
    }
}

impl FromStr for BaseUrl {
    type Err = InvalidMirrorUrl;

    fn from_str(text: &str) -> Result<Self, InvalidMirrorUrl> {
        let text = text.trim().trim_end_matches('/');
        let (scheme, rest) = text.split_once("://").ok_or(InvalidMirrorUrl)?;
        let scheme = scheme.to_ascii_lowercase();
        let plain = |c: char| c.is_ascii_graphic() && !"?#\"<>\\^`{|}".contains(c);
        let host = rest.split('/').next().unwrap_or_default();
        let host = host.rsplit('@').next().unwrap_or_default();
        if matches!(&*scheme, "http" | "https") && !host.is_empty() && rest.chars().all(plain) {
            Ok(Self(format!("{scheme}://{rest}")))
        } else {
            Err(InvalidMirrorUrl)
        }
    }
}

impl TryFrom<String> for BaseUrl {
    type Error = InvalidMirrorUrl;

    fn try_from(text: String) -> Result<Self, InvalidMirrorUrl> {
        text.parse()
    }
}

impl From<BaseUrl> for String {
    fn from(url: BaseUrl) -> Self {
        url.0
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_without_password(&self.0, f)
    }
}

/// Writes a URL without user name and password.
pub(super) fn write_without_password(url: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit('@').next().unwrap_or(authority);
    write!(f, "{scheme}://{host}{path}")
}

impl fmt::Debug for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::qemu::catalog::Catalog;

    fn base(text: &str) -> BaseUrl {
        text.parse().unwrap()
    }

    #[test]
    fn mirrors_are_ordered_user_apt_public_permanent() {
        let apt = vec![base("http://apt.example/debian"), base(KERNEL_ORG)];
        let mirrors = order_mirrors(Some(base("https://me.example/d/")), apt);
        let catalog = Catalog::embedded().unwrap();
        let urls: Vec<String> = mirrors.iter().map(|m| m.package_url(&catalog.packages[0])).collect();
        let file = "pool/main/q/qemu/qemu-user_10.0.13%2Bds-0%2Bdeb13u1_amd64.deb";
        let expected = [
            format!("https://me.example/d/{file}"),
            format!("http://apt.example/debian/{file}"),
            format!("{KERNEL_ORG}/{file}"),
            format!("{SNAPSHOT}/dec1373851d29f91642c197f4a339d0d2ad25ed0"),
        ];
        assert_eq!(urls, expected);
    }

    #[test]
    fn passwords_are_used_but_not_shown() {
        let mirror = base("HTTPS://user:p@ss@host.example:8080/debian");
        assert_eq!(mirror.to_string(), "https://host.example:8080/debian");
        assert!(!format!("{mirror:?}").contains("ss@"));
        let catalog = Catalog::embedded().unwrap();
        let url = Mirror::Archive(mirror).package_url(&catalog.packages[0]);
        assert!(url.starts_with("https://user:p@ss@host.example:8080/debian/pool/"));
    }

    #[test]
    fn rejects_texts_that_are_not_mirror_urls() {
        for text in [
            "",
            "host.example/debian",
            "file:///debian",
            "ftp://host.example/debian",
            "http://",
            "http:///debian",
            "http://user@/debian",
            "https://host.example/a b",
            "https://host.example/?q",
            "https://host.example/\u{e9}",
        ] {
            assert_eq!(text.parse::<BaseUrl>(), Err(InvalidMirrorUrl), "{text}");
        }
    }
}
