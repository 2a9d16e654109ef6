//! User names, passwords and queries of URLs, removed from texts before they are printed.

use std::borrow::Cow;

/// Replacement of a user name with its password, and of a query.
const HIDDEN: &str = "***";

/// Removes user name and password from every URL in a text: what stands between `//` after a scheme and the last `@`
/// before the path.
pub fn hide_logins(text: &str) -> Cow<'_, str> {
    let mut shown = String::new();
    let mut rest = text;
    while let Some((before, after)) = split_at_authority(rest) {
        shown.push_str(before);
        let is_end = |c: char| c.is_whitespace() || "/?#\"'<>`".contains(c);
        let authority = after.get(..after.find(is_end).unwrap_or(after.len())).unwrap_or_default();
        rest = after;
        if let Some((_, host)) = authority.rsplit_once('@') {
            shown.push_str(HIDDEN);
            // The host and everything after it follow in the next round.
            rest = after.get(authority.len().saturating_sub(host.len()).saturating_sub(1)..).unwrap_or_default();
        }
    }
    if shown.is_empty() {
        return Cow::Borrowed(text);
    }
    shown.push_str(rest);
    Cow::Owned(shown)
}

/// Splits a text behind the first `scheme:/`, `scheme://`, and so on: some programs accept a wrong number of slashes.
fn split_at_authority(text: &str) -> Option<(&str, &str)> {
    let is_scheme = |before: &str| before.ends_with(|c: char| c.is_ascii_alphanumeric() || "+-.".contains(c));
    let colon = text.match_indices(":/").map(|(at, _)| at).find(|at| text.get(..*at).is_some_and(is_scheme))?;
    let slashes = text.get(colon..)?.trim_start_matches(':');
    let authority = slashes.trim_start_matches('/');
    text.split_at_checked(text.len().saturating_sub(authority.len()))
}

/// A word that a user gave as a URL, without what may be a secret.
pub fn hide_secrets_of_word(word: &str) -> String {
    find_secrets(word).into_iter().fold(word.to_owned(), |word, secret| secret.hide_in(&word))
}

/// A part of a word that must not be printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Secret {
    /// User name and password of a URL, with the `@` behind them
    Login(String),
    /// Query of a URL, with the `?` before it
    Query(String),
}

impl Secret {
    /// Hides the secret in a text, as it is, and as `{:?}` writes it.
    pub fn hide_in(&self, text: &str) -> String {
        let (secret, shown) = match self {
            Self::Login(login) => (login, format!("{HIDDEN}@")),
            Self::Query(query) => (query, format!("?{HIDDEN}")),
        };
        let quoted = format!("{secret:?}");
        let quoted = quoted.trim_matches('"');
        text.replace(secret, &shown).replace(quoted, &shown)
    }
}

/// Finds the secrets in a word that a user gave as a URL. The word need not be a valid URL, so everything up to the last
/// `@` counts as user name and password, unless a digest follows it, and everything after `?` as a secret.
pub fn find_secrets(word: &str) -> Vec<Secret> {
    let Some(url) = find_url(word) else { return Vec::new() };
    let rest = split_at_authority(url).map_or(url, |(_, rest)| rest);
    let is_login_end = |at: usize| {
        rest.get(at..).is_some_and(|after| !["@sha256:", "@sha512:"].iter().any(|digest| after.starts_with(digest)))
    };
    let end_of_login = rest.rmatch_indices('@').map(|(at, _)| at).find(|at| is_login_end(*at));
    let (login, rest) = match end_of_login.and_then(|at| rest.split_at_checked(at.saturating_add(1))) {
        Some((login, rest)) => (Some(login).filter(|login| *login != "@"), rest),
        None => (None, rest),
    };
    let query = rest.find('?').and_then(|at| rest.get(at..)).filter(|query| *query != "?");
    let login = login.map(|login| Secret::Login(login.to_owned()));
    login.into_iter().chain(query.map(|query| Secret::Query(query.to_owned()))).collect()
}

/// Whether a word may contain a user name, a password or another secret.
pub fn has_secret(word: &str) -> bool {
    !find_secrets(word).is_empty()
}

/// Returns the URL of a word that may have the form `--option=URL`. Returns none if the word does not look like a URL: it
/// has neither a scheme nor `user:password@` before the first slash.
fn find_url(word: &str) -> Option<&str> {
    let url = if word.starts_with('-') { word.split_once('=')?.1 } else { word };
    (split_at_authority(url).is_some() || looks_like_login(url)).then_some(url)
}

/// Whether a word begins with `user:password@`, as a URL without its scheme does.
pub fn looks_like_login(word: &str) -> bool {
    let before_path = word.split('/').next().unwrap_or_default();
    before_path.split_once(':').is_some_and(|(_, rest)| rest.contains('@') && !rest.starts_with("sha256"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins_in_texts_are_hidden() {
        for (text, shown) in [
            ("https://u:p@h/x and http://v@[::1]:8/y", "https://***@h/x and http://***@[::1]:8/y"),
            ("\"https://u:p@ss@h\": wrong", "\"https://***@h\": wrong"),
            ("https:/u:p@h/x, https:///u:p@h", "https:/***@h/x, https:///***@h"),
            ("socks5h://u:p@h:1", "socks5h://***@h:1"),
        ] {
            assert_eq!(hide_logins(text), shown);
        }
        for text in [
            "",
            "a@b c:/d",
            "oci://h.example/n:v1@sha256:00",
            "/tmp/a:b@c",
            "https://h/a@b",
            "here: /a@b",
            "unix:///run/x@y",
            "é://:/@",
        ] {
            assert_eq!(hide_logins(text), text);
        }
    }

    #[test]
    fn secrets_of_malformed_urls_are_hidden() {
        for (word, shown) in [
            ("https://u:p/w@h/x", "https://***@h/x"),
            ("https://u:p w@h/x", "https://***@h/x"),
            ("https://u:p?w@h/x", "https://***@h/x"),
            ("https:/u:p@h/x", "https:/***@h/x"),
            ("ftp://u:p@h/x?q", "ftp://***@h/x?***"),
            ("https://h/x?token=1", "https://h/x?***"),
            ("oci://u:p@h.example/n:v1@sha256:00", "oci://***@h.example/n:v1@sha256:00"),
            ("--from=oci://u:p@h.example/n", "--from=oci://***@h.example/n"),
            ("u:p@h/x", "***@h/x"),
            ("https://u:p@", "https://***@"),
        ] {
            assert_eq!(hide_secrets_of_word(word), shown);
            assert!(has_secret(word));
        }
        for word in ["", "-", "--json", "aarch64", "oci://h/n:v1@sha256:00", "./a:b@c", "/a@b", "n:sha256@x", "root@h"]
        {
            assert!(!has_secret(word), "{word}");
        }
    }
}
