//! Parser of apt's sources: the mirrors of Debian's main archive for which apt is configured. Pure.
//!
//! It reads both forms of sources.list(5), deb822 (`*.sources`) and one-line (`*.list`), and the lists that `mirror+file:`
//! URIs name (apt-transport-mirror(1)). An entry counts only if it certainly is Debian's main archive. Other archives do not
//! have Debian's `pool/main/q/qemu/`, so they must not receive requests. Security archives have a separate pool.

use super::mirror::BaseUrl;

use crate::sorted;

/// Lists the mirrors in these sources, in order and without duplicates.
///
/// `files` are the names and texts of the files in `/etc/apt/sources.list*`. `read` returns the text of a mirror list by
/// its path.
pub fn mirrors_from_apt(files: &[(&str, &str)], read: &mut dyn FnMut(&str) -> Option<String>) -> Vec<BaseUrl> {
    let mut mirrors: Vec<BaseUrl> = Vec::new();
    let mut add = |uri: &str| {
        if let Ok(base) = uri.parse()
            && !uri.contains("debian-security")
            && !mirrors.contains(&base)
        {
            mirrors.push(base);
        }
    };
    for (name, text) in files {
        for uri in archive_uris(name, text) {
            match uri.strip_prefix("mirror+file:") {
                Some(path) => {
                    read(&collapse_slashes(path)).iter().flat_map(|list| parse_mirror_list(list)).for_each(&mut add);
                }
                None => add(&uri),
            }
        }
    }
    mirrors
}

/// One entry of a sources file.
#[derive(Debug, Default)]
struct AptSource {
    binary: bool,
    enabled: bool,
    uris: Vec<String>,
    suites: Vec<String>,
    components: Vec<String>,
    signed_by: Option<String>,
}

fn archive_uris(name: &str, text: &str) -> Vec<String> {
    let sources: Vec<AptSource> = match name.rsplit_once('.') {
        Some((_, "sources")) => parse_deb822(text),
        Some((_, "list")) => text.lines().filter_map(parse_one_line).collect(),
        _ => Vec::new(),
    };
    sources.into_iter().filter(AptSource::is_main_archive).flat_map(|source| source.uris).collect()
}

impl AptSource {
    fn is_main_archive(&self) -> bool {
        let is_security = |suite: &String| suite.ends_with("-security") || suite.contains('/');
        let is_debian_key = |key: &String| {
            let file = key.rsplit('/').next().unwrap_or_default();
            file.starts_with("debian-archive-")
        };
        self.binary
            && self.enabled
            && self.components.iter().any(|component| component == "main")
            && self.suites.iter().any(|suite| !is_security(suite))
            && self.signed_by.as_ref().is_none_or(is_debian_key)
    }
}

fn parse_deb822(text: &str) -> Vec<AptSource> {
    let mut sources = Vec::new();
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in text.lines().chain([""]) {
        if line.starts_with('#') {
            // A comment may also stand inside a stanza (deb822(5)).
        } else if line.trim().is_empty() {
            sources.push(parse_stanza(&fields));
            fields.clear();
        } else if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = fields.last_mut() {
                value.push(' ');
                value.push_str(line.trim());
            }
        } else if let Some((name, value)) = line.split_once(':') {
            fields.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    sources
}

fn parse_stanza(fields: &[(String, String)]) -> AptSource {
    let mut source = AptSource { enabled: true, ..AptSource::default() };
    for (name, value) in fields {
        match name.as_str() {
            "types" => source.binary = split_words(value).any(|word| word == "deb"),
            "enabled" => source.enabled = !is_false(value),
            "uris" => source.uris = split_words(value).map(str::to_owned).collect(),
            "suites" => source.suites = split_words(value).map(str::to_owned).collect(),
            "components" => source.components = split_words(value).map(str::to_owned).collect(),
            "signed-by" => source.signed_by = Some(value.clone()),
            _ => (),
        }
    }
    source
}

/// Parses a line of the form `deb [ option=value … ] uri suite component…`.
fn parse_one_line(line: &str) -> Option<AptSource> {
    let line = line.split('#').next()?.trim();
    let rest = line.strip_prefix("deb")?;
    let rest = rest.strip_prefix([' ', '\t'])?.trim_start();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(inside) => inside.split_once(']')?,
        None => ("", rest),
    };
    let signed_by = split_words(options).find_map(|option| option.strip_prefix("signed-by="));
    let mut words = split_words(rest).map(str::to_owned);
    Some(AptSource {
        binary: true,
        enabled: true,
        uris: vec![words.next()?],
        suites: vec![words.next()?],
        components: words.collect(),
        signed_by: signed_by.map(str::to_owned),
    })
}

/// Parses a mirror list. Each line has a URI and then attributes after tabs. Mirrors with a lower `priority:` come first, and
/// mirrors without one come last.
fn parse_mirror_list(list: &str) -> Vec<&str> {
    let mut mirrors: Vec<(u32, &str)> = Vec::new();
    for line in list.lines().filter(|line| !line.starts_with('#')) {
        let mut words = split_words(line);
        let Some(uri) = words.next() else { continue };
        let attributes: Vec<&str> = words.collect();
        let value = |key| attributes.iter().filter_map(move |a| a.strip_prefix(key));
        let priority = value("priority:").find_map(|n| n.parse().ok());
        let types: Vec<&str> = value("type:").collect();
        if types.is_empty() || types.contains(&"deb") {
            mirrors.push((priority.unwrap_or(u32::MAX), uri));
        }
    }
    sorted::sort_by_key(&mut mirrors, |&(priority, _)| priority);
    mirrors.into_iter().map(|(_, uri)| uri).collect()
}

/// Collapses leading slashes: `//path`, `///path` and `/path` all mean `/path`.
fn collapse_slashes(path: &str) -> String {
    format!("/{}", path.trim_start_matches('/'))
}

/// Whether a value means no, as in apt's `StringToBool` (apt-pkg/contrib/strutl.cc).
fn is_false(value: &str) -> bool {
    let value = value.to_ascii_lowercase();
    matches!(&*value, "no" | "false" | "without" | "off" | "disable" | "0")
}

fn split_words(text: &str) -> impl Iterator<Item = &str> {
    text.split_whitespace()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mirrors_of(name: &str, text: &str) -> Vec<String> {
        let list = "# list\nhttp://slow.example/debian\tpriority:2\nhttps://quick.example/debian/\tpriority:1\ttype:deb\n\
                    http://src.example/debian\ttype:deb-src\nhttp://last.example/debian\n";
        let mut read = |path: &str| (path == "/etc/apt/mirrors.txt").then(|| list.to_owned());
        let mirrors = mirrors_from_apt(&[(name, text)], &mut read);
        mirrors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn reads_the_default_file_of_debian_12() {
        let text = "Types: deb\n# http://old.example/debian\nURIs: http://one.example/debian\n\
                    Suites: bookworm bookworm-updates\nComponents: main\n\
                    Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n\n\
                    Types: deb\nURIs: http://one.example/debian-security\n\
                    Suites: bookworm-security\nComponents: main\n";
        assert_eq!(mirrors_of("debian.sources", text), ["http://one.example/debian"]);
    }

    #[test]
    fn reads_every_form_of_deb822() {
        let text = "enabled: no\nTypes: deb\nURIs: http://off.example/debian\nSuites: sid\nComponents: main\n\n\n\
                    TYPES: deb-src\nURIs: http://src.example/debian\nSuites: sid\nComponents: main\n\n\
                    Types: deb-src deb\r\nURIs: http://a.example/debian/\r\n\thttps://b.example/debian\r\n\
                    Suites: sid\r\nComponents: contrib main\r\n\r\n\
                    Types: deb\nURIs: mirror+file:///etc/apt/mirrors.txt\nSuites: trixie\nComponents: main";
        let expected = [
            "http://a.example/debian",
            "https://b.example/debian",
            "https://quick.example/debian",
            "http://slow.example/debian",
            "http://last.example/debian",
        ];
        assert_eq!(mirrors_of("x.sources", text), expected);
    }

    #[test]
    fn reads_one_line_entries() {
        let text = "# deb http://comment.example/debian sid main\n\
                    deb-src http://src.example/debian sid main\n\
                    deb [ arch=amd64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg ] http://a.example/debian sid main # x\n\
                    deb\thttp://a.example/debian sid-updates main\n\
                    deb http://sec.example/debian-security stable-security main\n\
                    deb http://old.example/debian stretch/updates main\n\
                    deb cdrom:[Debian]/ sid main\n\
                    deb mirror+file:/etc/apt/none.txt sid main\n\
                    deb http://flat.example/debian ./\n\
                    deb [broken http://x.example/debian sid main\n";
        assert_eq!(mirrors_of("sources.list", text), ["http://a.example/debian"]);
    }

    #[test]
    fn ignores_archives_other_than_debian() {
        let key = "deb [signed-by=/etc/apt/keyrings/vendor.gpg] https://vendor.example/apt stable main\n";
        assert_eq!(mirrors_of("vendor.list", key), [""; 0]);
        let block = "Types: deb\nURIs: https://vendor.example/apt\nSuites: stable\nComponents: main\n\
                     Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mQINB\n";
        assert_eq!(mirrors_of("vendor.sources", block), [""; 0]);
        assert_eq!(mirrors_of("sources.list.save", key), [""; 0]);
    }
}
