//! Mirrors that do not deliver the package: each failure has its own message and ends in bounded time.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use binfmt_nix::qemu::download::{ClientOptions, Mirror};

use super::{fault_table, fetch, fetch_as, options_for, patient};
use crate::support::package::Deb;
use crate::support::server::{Manner, Server};

/// Downloads a guest from a mirror of this manner and returns the message of the error.
fn complaint(manner: Manner) -> String {
    let deb = Deb::new();
    let options = options_for(&manner);
    let server = Server::start(&deb.bytes, manner);
    let begin = Instant::now();
    let outcome = fetch_as(&deb.package, &["aarch64"], &[server.mirror()], &options);
    // The limit of a patient client: no mirror here may keep the client waiting until then.
    assert!(begin.elapsed() < Duration::from_secs(300), "{:?}", begin.elapsed());
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
fn http_error_statuses_are_reported() {
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
fn a_truncated_body_is_an_error() {
    assert!(!complaint(Manner::Cut(0)).is_empty());
    assert!(!complaint(Manner::Cut(20_000)).is_empty());
}

#[test]
fn another_range_than_requested_is_refused() {
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
fn a_file_of_another_size_or_coding_is_refused() {
    assert_says(Manner::Whole(12_345), "has 12345 bytes instead of");
    assert_says(Manner::With("Content-Encoding: gzip\r\n"), "coding gzip");
}

#[test]
fn bad_redirects_are_refused() {
    let to = |url: &str| Manner::Status(302, format!("Location: {url}"));
    for url in ["file:///etc/passwd", "ftp://host.example/x"] {
        let complaint = complaint(to(url));
        assert!(complaint.contains("is not followed"), "{complaint}");
    }
    assert_says(to("/again"), "more than 5 redirects");
    // A redirect without a location is an error status.
    assert_says(Manner::Status(302, "X: y".to_owned()), "302");
    fault_table::line("mirrors with a redirect that must not be followed", 4);
}

#[test]
fn a_silent_mirror_times_out() {
    assert_says(Manner::Silent, "no answer for 0.6 s");
    assert_says(Manner::HeadOnly, "no answer for 0.6 s");
    fault_table::line("mirrors that never answer", 2);
}

#[test]
fn a_mirror_below_the_minimum_speed_is_given_up() {
    assert_says(Manner::Drip, "too slow");
    // A fast start does not excuse the rest.
    assert_says(Manner::Fade(3000), "too slow");
    fault_table::line("mirrors that send a byte now and then", 2);
}

/// Each byte comes soon enough, and the last one would come much later.
#[test]
fn an_attempt_has_a_time_limit() {
    let deb = Deb::new();
    let server = Server::start(&deb.bytes, Manner::Drip);
    let options = ClientOptions { whole: Duration::from_millis(300), ..patient() };
    let complaint = fetch_as(&deb.package, &["arm"], &[server.mirror()], &options).complaint();
    assert!(complaint.contains("too slow"), "{complaint}");
}

#[test]
fn endless_headers_are_refused() {
    assert!(!complaint(Manner::Headers).is_empty());
}

#[test]
fn unreachable_mirrors_are_reported() {
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
fn an_empty_list_of_mirrors_is_an_error() {
    let deb = Deb::new();
    let outcome = fetch(&deb.package, &["arm"], &[]);
    assert!(outcome.complaint().contains("no mirror is known"));
}
