//! Parser of passwords for mirrors, in the format of netrc(5) and in apt's dialect of it. Pure.
//!
//! A line has the form `machine HOST login NAME password WORD`. apt_auth.conf(5) allows `[http://]HOST[:PORT][/PATH]` for the
//! host, and sends a password over plain http only if the line contains `http://`. This module does the same for every file.
//! The word `default` would send a password to every server, so it is ignored.

/// User name and password for a machine.
#[derive(Clone, PartialEq, Eq)]
pub struct NetrcLogin {
    /// Whether the password may be sent over plain http too.
    plain: bool,
    /// Host name of the machine, with the port if the line has one.
    authority: String,
    /// Start of the path.
    path: String,
    name: String,
    password: String,
}

impl std::fmt::Debug for NetrcLogin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").field("authority", &self.authority).finish_non_exhaustive()
    }
}

/// Parses the logins of a file, in its order. Other words are ignored.
pub fn parse_netrc(text: &str) -> Vec<NetrcLogin> {
    let mut logins = Vec::new();
    let mut words = NetrcWords { lines: text.lines(), line: "" };
    let mut open: Option<NetrcLogin> = None;
    while let Some(word) = words.next_word() {
        match word {
            "machine" | "default" => {
                logins.extend(open.take().filter(|login| !login.name.is_empty()));
                open = if word == "machine" { words.next_word().map(new_login) } else { None };
            }
            "login" => set_word(open.as_mut().map(|open| &mut open.name), words.next_word()),
            "password" => set_word(open.as_mut().map(|open| &mut open.password), words.next_word()),
            "account" => drop(words.next_word()),
            "macdef" => words.skip_macro(),
            _ => {}
        }
    }
    logins.extend(open.filter(|login| !login.name.is_empty()));
    logins
}

/// Adds the first matching login to a URL. Returns none if no login matches, or if the URL already has one.
pub fn add_login(url: &str, logins: &[NetrcLogin]) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    if authority.contains('@') {
        return None;
    }
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    let is_for = |login: &&NetrcLogin| {
        let authority = if login.authority.contains(':') { authority } else { host };
        (scheme == "https" || login.plain)
            && login.authority.eq_ignore_ascii_case(authority)
            && (login.path.is_empty() || (path.starts_with(&login.path) && !has_dot_segment(path)))
    };
    let NetrcLogin { name, password, .. } = logins.iter().find(is_for)?;
    Some(format!("{scheme}://{}:{}@{rest}", percent_encode(name), percent_encode(password)))
}

/// Whether a path has a segment that means another directory, like `/private/../x`. The client removes such segments, also
/// if they are percent-encoded (URL Standard, "double-dot URL path segment"), so the path that it asks for need not begin
/// like the one that was given.
pub(super) fn has_dot_segment(path: &str) -> bool {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    path.split(['/', '\\']).any(|segment| matches!(&*segment.to_ascii_lowercase().replace("%2e", "."), "." | ".."))
}

/// Words of a netrc file. White space separates them. A word that begins with `#` starts a comment.
struct NetrcWords<'a> {
    lines: std::str::Lines<'a>,
    line: &'a str,
}

impl<'a> NetrcWords<'a> {
    fn next_word(&mut self) -> Option<&'a str> {
        loop {
            let line = self.line.trim_start();
            if line.is_empty() || line.starts_with('#') {
                self.line = self.lines.next()?;
                continue;
            }
            let (word, rest) = line.split_at(line.find(char::is_whitespace).unwrap_or(line.len()));
            self.line = rest;
            return Some(word);
        }
    }

    /// Skips a macro, which ends with an empty line.
    fn skip_macro(&mut self) {
        self.line = "";
        for line in self.lines.by_ref() {
            if line.trim().is_empty() {
                break;
            }
        }
    }
}

fn new_login(name: &str) -> NetrcLogin {
    let (plain, name) = match name.split_once("://") {
        Some((scheme, rest)) => (scheme == "http", rest),
        None => (false, name),
    };
    let (authority, path) = name.split_at(name.find('/').unwrap_or(name.len()));
    NetrcLogin {
        plain,
        authority: authority.to_owned(),
        path: path.to_owned(),
        name: String::new(),
        password: String::new(),
    }
}

fn set_word(target: Option<&mut String>, word: Option<&str>) {
    if let (Some(target), Some(word)) = (target, word) {
        word.clone_into(target);
    }
}

/// Encodes a text for the part before the `@` of a URL. Characters that may not stand there (RFC 3986 §3.2.1) are replaced by
/// their percent-encoded bytes.
fn percent_encode(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
        # a company's\n\
        machine deb.example login joe password s3cret\n\
        machine files.example:8443/private/\n  login jane\n  password p@ss:w/rd # not a comment of the password\n\
        macdef init\nmachine evil.example login x password y\n\n\
        machine http://plain.example login a password b\n\
        machine incomplete.example\n\
        default login anonymous password all@the.world\n";

    fn with_login(url: &str) -> Option<String> {
        add_login(url, &parse_netrc(FILE))
    }

    #[test]
    fn a_machine_gets_its_login() {
        assert_eq!(with_login("https://deb.example/debian").as_deref(), Some("https://joe:s3cret@deb.example/debian"));
        assert_eq!(with_login("https://DEB.example:444/x").as_deref(), Some("https://joe:s3cret@DEB.example:444/x"));
        let private = "https://jane:p%40ss%3Aw%2Frd@files.example:8443/private/q.tar.gz";
        assert_eq!(with_login("https://files.example:8443/private/q.tar.gz").as_deref(), Some(private));
        assert_eq!(with_login("http://plain.example/x").as_deref(), Some("http://a:b@plain.example/x"));
        assert_eq!(with_login("https://plain.example").as_deref(), Some("https://a:b@plain.example"));
    }

    #[test]
    fn other_urls_get_no_login() {
        for url in [
            "http://deb.example/debian",
            "https://deb.example.org/",
            "https://xdeb.example/",
            "https://files.example/private/x",
            "https://files.example:8443/public",
            "https://evil.example/",
            "https://incomplete.example/",
            "https://elsewhere.example/",
            "https://me:own@deb.example/debian",
            "https://files.example:8443/private/../x",
            "https://files.example:8443/private/a/%2E./%2e%2E/x",
            "https://files.example:8443/private/./x",
            "https://files.example:8443/private/..",
            "https://files.example:8443/private/..?a",
            "deb.example",
        ] {
            assert_eq!(with_login(url), None, "{url}");
        }
    }

    #[test]
    fn malformed_files_give_no_login() {
        for text in ["", "machine", "machine x login", "login x", "password", "macdef", "machine x password y", "\0#"] {
            assert!(parse_netrc(text).is_empty() || add_login("https://x/", &parse_netrc(text)).is_none(), "{text}");
        }
        assert!(!format!("{:?}", parse_netrc(FILE)).contains("s3cret"));
    }
}
