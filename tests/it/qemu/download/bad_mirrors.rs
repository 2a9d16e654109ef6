//! Mirrors that do not give the package: each has its own message, none is waited for too long.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use binfmt_nix::qemu::download::Mirror;

use super::{fault_table, fetch, fetch_as, impatient};
use crate::support::package::Deb;
use crate::support::server::{Manner, Server};

/// Asks a mirror of this manner for a guest; what the error says of it.
fn complaint(manner: Manner) -> String {
    let deb = Deb::new();
    let server = Server::start(&deb.bytes, manner);
    let begin = Instant::now();
    let outcome = fetch_as(&deb.package, &["aarch64"], &[server.mirror()], &impatient());
    assert!(begin.elapsed() < Duration::from_secs(15), "{:?}", begin.elapsed());
    let complaint = outcome.complaint();
    assert!(!outcome.unverified(), "{complaint}");
    assert!(complaint.contains(&server.address), "the mirror is named: {complaint}");
    let hint = outcome.result.unwrap_err().hint();
    assert!(hint.contains("--mirror URL") && hint.contains("--qemu PATH"), "{hint}");
    complaint
}

fn assert_says(manner: Manner, words: &str) {
    let complaint = complaint(manner);
    assert!(complaint.contains(words), "{complaint}");
}

#[test]
fn without_the_package() {
    let answers = [
        (404, "404 (not found)"),
        (403, "403 (forbidden)"),
        (416, "416"),
        (500, "500"),
        (503, "503"),
        (204, "204"),
        (304, "304"),
        (401, "401"),
    ];
    for (code, words) in answers {
        assert_says(Manner::Status(code, "X: y".to_owned()), words);
    }
    fault_table::line("mirrors without the package, or with an error status", answers.len());
}

#[test]
fn that_stop_in_the_middle() {
    assert!(!complaint(Manner::Cut(0)).is_empty());
    assert!(!complaint(Manner::Cut(20_000)).is_empty());
}

#[test]
fn that_give_another_range() {
    let ranges = ["bytes 0-9/10", "bytes 3192-9999/*", "bytes */0", "non\u{202e}sense"];
    for range in ranges {
        assert_says(Manner::Says(Some(range)), "asked for bytes");
    }
    assert!(!complaint(Manner::Says(Some("\u{202e}"))).contains('\u{202e}'));
    assert!(!complaint(Manner::Says(Some("\x1b[2J"))).contains('\x1b'));
    assert_says(Manner::Says(None), "no Content-Range");
    fault_table::line("mirrors that deliver another range, or describe it wrongly", ranges.len() + 3);
}

#[test]
fn that_have_another_file() {
    assert_says(Manner::Whole(12_345), "has 12345 bytes instead of");
    assert_says(Manner::With("Content-Encoding: gzip\r\n"), "coding gzip");
}

#[test]
fn that_redirect_badly() {
    let to = |url: &str| Manner::Status(302, format!("Location: {url}"));
    for url in ["file:///etc/passwd", "ftp://host.example/x"] {
        let complaint = complaint(to(url));
        assert!(complaint.contains("is not followed"), "{complaint}");
    }
    assert_says(to("/again"), "more than 5 redirects");
    // Not to be followed, so this is no package either.
    assert_says(Manner::Status(302, "X: y".to_owned()), "302");
    fault_table::line("mirrors with a redirect that must not be followed", 4);
}

#[test]
fn that_never_answer() {
    assert_says(Manner::Silent, "no answer for 0.6 s");
    assert_says(Manner::HeadOnly, "no answer for 0.6 s");
    fault_table::line("mirrors that never answer", 2);
}

#[test]
fn that_drip() {
    assert_says(Manner::Drip, "too slow");
}

#[test]
fn whose_headers_never_end() {
    assert!(!complaint(Manner::Headers).is_empty());
}

#[test]
fn that_are_not_there() {
    let deb = Deb::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let gone = |base: String| Mirror::Archive(base.parse().unwrap());
    let mirrors = [gone(format!("http://{address}/debian")), gone("http://no-such-host.invalid/debian".to_owned())];
    let outcome = fetch(&deb.package, &["arm"], &mirrors);
    let complaint = outcome.complaint();
    assert!(complaint.contains("refused"), "{complaint}");
    assert!(complaint.contains("no-such-host.invalid"), "{complaint}");
    assert!(outcome.result.unwrap_err().hint().contains("HTTPS_PROXY"));
}

#[test]
fn none_at_all() {
    let deb = Deb::new();
    let outcome = fetch(&deb.package, &["arm"], &[]);
    assert!(outcome.complaint().contains("no mirror is known"));
}
