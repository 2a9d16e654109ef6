//! Passwords for mirrors, as others keep them: netrc(5), and apt's dialect of it. Pure.
//!
//! A line says `machine HOST login NAME password WORD`. apt_auth.conf(5) allows `[http://]HOST[:PORT][/PATH]` for the host, and
//! sends a password over plain http only where the line says `http://`; so do we, whichever file it is from. The word
//! `default`, which would give a password to whoever is asked, is not followed.

/// Who somebody is to a machine.
#[derive(Clone, PartialEq, Eq)]
pub struct NetrcLogin {
    /// Over plain http too.
    plain: bool,
    /// Its name, and its port if that counts.
    authority: String,
    /// What the path begins with.
    path: String,
    name: String,
    password: String,
}

impl std::fmt::Debug for NetrcLogin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").field("authority", &self.authority).finish_non_exhaustive()
    }
}

/// The logins of a file, in its order. What is none is passed over.
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

/// The URL with the first login that is for it; none if there is none, or the URL has one already.
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
            && path.starts_with(&login.path)
    };
    let NetrcLogin { name, password, .. } = logins.iter().find(is_for)?;
    Some(format!("{scheme}://{}:{}@{rest}", percent_encode(name), percent_encode(password)))
}

/// Words are separated by white space. A word that begins with `#` begins a comment.
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

    /// A macro ends with an empty line.
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

/// What may stand before the `@` of a URL as it is (RFC 3986 §3.2.1); the rest by its bytes' numbers.
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
        machine nobody.example\n\
        default login anonymous password all@the.world\n";

    fn asked(url: &str) -> Option<String> {
        add_login(url, &parse_netrc(FILE))
    }

    #[test]
    fn a_machine_gets_its_own_login() {
        assert_eq!(asked("https://deb.example/debian").as_deref(), Some("https://joe:s3cret@deb.example/debian"));
        assert_eq!(asked("https://DEB.example:444/x").as_deref(), Some("https://joe:s3cret@DEB.example:444/x"));
        let private = "https://jane:p%40ss%3Aw%2Frd@files.example:8443/private/q.tar.gz";
        assert_eq!(asked("https://files.example:8443/private/q.tar.gz").as_deref(), Some(private));
        assert_eq!(asked("http://plain.example/x").as_deref(), Some("http://a:b@plain.example/x"));
        assert_eq!(asked("https://plain.example").as_deref(), Some("https://a:b@plain.example"));
    }

    #[test]
    fn nobody_else_gets_one() {
        for url in [
            "http://deb.example/debian",
            "https://deb.example.org/",
            "https://xdeb.example/",
            "https://files.example/private/x",
            "https://files.example:8443/public",
            "https://evil.example/",
            "https://nobody.example/",
            "https://elsewhere.example/",
            "https://me:own@deb.example/debian",
            "deb.example",
        ] {
            assert_eq!(asked(url), None, "{url}");
        }
    }

    #[test]
    fn odd_files_do_no_harm() {
        for text in ["", "machine", "machine x login", "login x", "password", "macdef", "machine x password y", "\0#"] {
            assert!(parse_netrc(text).is_empty() || add_login("https://x/", &parse_netrc(text)).is_none(), "{text}");
        }
        assert!(!format!("{:?}", parse_netrc(FILE)).contains("s3cret"));
    }
}
