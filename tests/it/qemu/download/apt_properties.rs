//! apt's sources: only web URLs are read from arbitrary files, and every well-formed source is found.

use binfmt_nix::qemu::download::mirrors_from_apt;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::support::config;
use crate::support::texts::texts;

const PIECES: &[&str] = &[
    "deb",
    "deb-src",
    " ",
    "\t",
    "[",
    "]",
    "signed-by=/usr/share/keyrings/debian-archive-keyring.gpg",
    "http://a.example/debian",
    "https://u:p@b.example/debian/",
    "mirror+file:/etc/apt/list",
    "mirror+file:///list",
    "file:///x",
    "cdrom:[Debian]/",
    "sid",
    "main",
    "bookworm-security",
    "Types:",
    "URIs:",
    "Suites:",
    "Components:",
    "Signed-By:",
    "Enabled: no",
    "#",
    "priority:1",
    "type:deb",
];

fn found(files: &[(&str, &str)], list: &str) -> Vec<String> {
    let mirrors = mirrors_from_apt(files, &mut |path| {
        assert!(path.starts_with('/') && !path.starts_with("//"));
        Some(list.to_owned())
    });
    mirrors.iter().map(ToString::to_string).collect()
}

/// A stanza in one of the spellings that apt accepts.
fn stanza(uri: &str, enabled: bool, style: u8, end: &str) -> String {
    let case = |name: &str| if style & 1 == 0 { name.to_owned() } else { name.to_ascii_uppercase() };
    let mut lines = vec![format!("{}: deb", case("Types")), "# http://comment.example/debian".to_owned()];
    if style & 2 == 0 {
        lines.push(format!("{}: {uri}", case("URIs")));
    } else {
        lines.extend([format!("{}:", case("URIs")), format!("\t{uri}")]);
    }
    lines.extend([format!("{}: sid", case("Suites")), format!("{}:  contrib main", case("Components"))]);
    if !enabled {
        lines.insert(usize::from(style % 4), format!("{}: no", case("Enabled")));
    }
    lines.push(String::new());
    lines.join(end) + end
}

proptest! {
    #![proptest_config(config(512))]

    #[test]
    fn only_web_urls_are_returned(one in texts(PIECES), many in texts(PIECES), list in texts(PIECES)) {
        let found = found(&[("sources.list", &one), ("debian.sources", &many), ("odd.save", &one)], &list);
        for url in &found {
            prop_assert!(url.starts_with("http://") || url.starts_with("https://"), "{url}");
            prop_assert!(url.chars().all(|c| c.is_ascii_graphic()) && !url.contains("p@b"), "{url}");
        }
    }

    #[test]
    fn well_formed_stanzas_are_found(
        stanzas in vec(("[a-z]{1,8}", any::<bool>(), any::<u8>()), 0..6),
        end in prop::sample::select(vec!["\n", "\r\n"]),
        gap in 0..3_usize,
    ) {
        let uri = |host: &str| format!("https://{host}.example/debian");
        let text: String = stanzas
            .iter()
            .map(|(host, enabled, style)| stanza(&uri(host), *enabled, *style, end) + &end.repeat(gap))
            .collect();
        let mut expected: Vec<String> = Vec::new();
        for (host, ..) in stanzas.iter().filter(|(_, enabled, _)| *enabled) {
            if !expected.contains(&uri(host)) {
                expected.push(uri(host));
            }
        }
        prop_assert_eq!(found(&[("debian.sources", &text)], ""), expected);
    }

    #[test]
    fn mirror_lists_are_used_in_order_of_priority(mirrors in vec(("[a-z]{1,6}", prop::option::of(0..9_u32)), 0..6)) {
        let uri = |i: usize, host: &str| format!("https://{host}{i}.example/debian");
        let line = |(i, (host, priority)): (usize, &(String, Option<u32>))| {
            let priority = priority.map(|priority| format!("\tpriority:{priority}")).unwrap_or_default();
            format!("{}{priority}\ttype:deb\n", uri(i, host))
        };
        let list: String = mirrors.iter().enumerate().map(line).collect();
        let mut expected: Vec<(u32, String)> = mirrors
            .iter()
            .enumerate()
            .map(|(i, (host, priority))| (priority.unwrap_or(u32::MAX), uri(i, host)))
            .collect();
        expected.sort_by_key(|(priority, _)| *priority);
        let expected: Vec<String> = expected.into_iter().map(|(_, uri)| uri).collect();
        prop_assert_eq!(found(&[("sources.list", "deb mirror+file:/list sid main\n")], &list), expected);
    }
}
