//! URLs of single files, and their form for people. Pure.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::mirror::write_without_password;

/// An `http` or `https` URL of a file, without a fragment.
///
/// The JSON form is complete. The form for people has neither the password nor the query, which may contain a secret too.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct FileUrl(pub(super) String);

/// A text that is not the URL of a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not the URL of a file: it must begin with https:// or http://, and name one")]
pub struct InvalidFileUrl;

impl FileUrl {
    /// Returns the name of the server, with the port if the URL has one.
    pub fn authority(&self) -> &str {
        let (_, rest) = self.0.split_once("://").unwrap_or(("", &self.0));
        let authority = rest.split('/').next().unwrap_or_default();
        authority.rsplit('@').next().unwrap_or_default()
    }
}

impl FromStr for FileUrl {
    type Err = InvalidFileUrl;

    fn from_str(text: &str) -> Result<Self, InvalidFileUrl> {
        let (scheme, rest) = text.trim().split_once("://").ok_or(InvalidFileUrl)?;
        let scheme = scheme.to_ascii_lowercase();
        let plain = |c: char| c.is_ascii_graphic() && !"#\"<>\\^`{|}".contains(c);
        let (authority, path) = rest.split_once('/').ok_or(InvalidFileUrl)?;
        let host = authority.rsplit('@').next().unwrap_or_default();
        let ok =
            matches!(&*scheme, "http" | "https") && !host.is_empty() && !authority.contains('?') && !path.is_empty();
        if ok && rest.chars().all(plain) { Ok(Self(format!("{scheme}://{rest}"))) } else { Err(InvalidFileUrl) }
    }
}

impl TryFrom<String> for FileUrl {
    type Error = InvalidFileUrl;

    fn try_from(text: String) -> Result<Self, InvalidFileUrl> {
        text.parse()
    }
}

impl From<FileUrl> for String {
    fn from(url: FileUrl) -> Self {
        url.0
    }
}

impl fmt::Display for FileUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (shown, query) = self.0.split_once('?').map_or((self.0.as_str(), ""), |(shown, _)| (shown, "?…"));
        write_without_password(shown, f)?;
        f.write_str(query)
    }
}

impl fmt::Debug for FileUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn secrets_are_used_but_not_shown() {
        let url: FileUrl = "HTTPS://me:se@cret@host.example:8/a/b.tar.gz?token=x@y/z".parse().unwrap();
        assert_eq!(url.to_string(), "https://host.example:8/a/b.tar.gz?…");
        assert_eq!(url.authority(), "host.example:8");
        assert_eq!(String::from(url), "https://me:se@cret@host.example:8/a/b.tar.gz?token=x@y/z");
    }

    #[test]
    fn rejects_texts_that_are_not_file_urls() {
        for text in [
            "",
            "x.tar",
            "file:///x",
            "https://",
            "https://h",
            "https://h/",
            "https:///x",
            "https://h?q/x",
            "https://u:p?w@h/x",
            "http://h/a b",
            "http://h/#x",
        ] {
            assert_eq!(text.parse::<FileUrl>(), Err(InvalidFileUrl), "{text}");
        }
    }
}
