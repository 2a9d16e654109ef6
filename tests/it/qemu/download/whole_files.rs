//! Whole files: downloaded from the first URL that delivers them, resumed after a failure, never mixed from two servers,
//! never longer than the limit.

use std::sync::Arc;

use binfmt_nix::qemu::download::{
    DownloadError, DownloadEvent, DownloadSummary, FileChunk, FileDownload, FileUrl, HttpClient, RootCertificates,
    download_file,
};
use binfmt_nix::sha256::Sha256;

use super::{fault_table, options_for, patient, whole_text};
use crate::support::rng::Noise;
use crate::support::server::{Manner, Server};

const LENGTH: usize = 90_000;

fn content() -> Arc<Vec<u8>> {
    let mut noise = Noise::new(7);
    Arc::new((0..LENGTH).map(|_| noise.next().to_le_bytes()[0]).collect())
}

fn pinned(bytes: &[u8]) -> FileDownload {
    let sha256 = Some(Sha256::of_bytes(bytes));
    FileDownload { name: "qemu.tar.gz".into(), size: None, most: 1 << 20, sha256, mirrored: false, there: 0 }
}

fn url(server: &Server) -> FileUrl {
    format!("http://{}/x/qemu.tar.gz?token=secret", server.address).parse().unwrap()
}

/// Downloads a file of which the bytes `there` exist already. Returns the result and all bytes that were kept.
fn get(wanted: &FileDownload, urls: &[FileUrl], there: &[u8]) -> (Result<DownloadSummary, DownloadError>, Vec<u8>) {
    let client = HttpClient::new(&patient(), RootCertificates::load_system()).unwrap();
    let mut kept = there.to_vec();
    let mut keep = |part: FileChunk<'_>| {
        match part {
            FileChunk::Bytes(bytes) => kept.extend_from_slice(bytes),
            FileChunk::Restart => kept.clear(),
        }
        Ok(())
    };
    let mut tell = |event: DownloadEvent<'_>| {
        if let DownloadEvent::Asking { url, .. } | DownloadEvent::GaveUp { url, .. } = event {
            assert!(!url.contains("secret"), "{url}");
        }
    };
    let got = download_file(wanted, urls, &client, &mut keep, &mut tell);
    (got, kept)
}

#[test]
fn a_file_is_downloaded_unchanged() {
    let content = content();
    for manner in [Manner::Ranges, Manner::Whole(LENGTH as u64)] {
        let server = Server::start(&content, manner);
        for wanted in [pinned(&content), FileDownload { sha256: None, ..pinned(&content) }] {
            let (got, kept) = get(&wanted, &[url(&server)], b"");
            assert_eq!(got.unwrap().moved, LENGTH as u64);
            assert!(kept == *content);
        }
    }
}

#[test]
fn bytes_on_disk_are_not_downloaded_again() {
    let content = content();
    for there in [1, 50_000, LENGTH - 1] {
        let server = Server::start(&content, Manner::Ranges);
        let wanted = FileDownload { there: there as u64, ..pinned(&content) };
        let (got, kept) = get(&wanted, &[url(&server)], &content[..there]);
        assert_eq!(got.unwrap().moved, (LENGTH - there) as u64);
        assert!(kept == *content);
    }
    // A server without ranges sends the whole file, and the bytes that exist already are skipped.
    let server = Server::start(&content, Manner::Whole(LENGTH as u64));
    let (got, kept) = get(&FileDownload { there: 50_000, ..pinned(&content) }, &[url(&server)], &content[..50_000]);
    assert_eq!(got.unwrap().moved, LENGTH as u64);
    assert!(kept == *content);
    // The whole file existed already.
    let server = Server::start(&content, Manner::Status(416, format!("Content-Range: bytes */{LENGTH}")));
    let (got, kept) = get(&FileDownload { there: LENGTH as u64, ..pinned(&content) }, &[url(&server)], &content);
    assert_eq!(got.unwrap().moved, 0);
    assert!(kept == *content);
}

#[test]
fn a_broken_download_is_resumed_at_any_byte() {
    let content = content();
    let mut noise = Noise::new(3);
    for round in 0..64 {
        let at = [0, 1, LENGTH - 1]
            .get(round)
            .copied()
            .unwrap_or_else(|| 1 + usize::try_from(noise.below(LENGTH as u64 - 1)).unwrap());
        let broken = Server::start(&content, Manner::Cut(at));
        let good = Server::start(&content, Manner::Ranges);
        let (got, kept) = get(&pinned(&content), &[url(&broken), url(&good)], b"");
        let moved = got.unwrap().moved;
        assert!(kept == *content, "broken at {at}");
        assert_eq!(moved, LENGTH as u64, "broken at {at}: each byte is moved once");
    }
    fault_table::line("whole files whose connection broke", 64);
}

#[test]
fn a_flipped_bit_is_refused_and_the_next_server_is_tried() {
    let content = content();
    let mut noise = Noise::new(4);
    for _ in 0..64 {
        let bit = noise.below(LENGTH as u64 * 8);
        let liar = Server::start(&content, Manner::Flip(bit, true));
        let (got, kept) = get(&pinned(&content), &[url(&liar)], b"");
        assert!(got.is_err_and(|error| error.is_unverified()), "bit {bit}");
        assert!(kept.is_empty(), "what was refused is forgotten");
        let good = Server::start(&content, Manner::Ranges);
        let (got, kept) = get(&pinned(&content), &[url(&liar), url(&good)], b"");
        got.unwrap();
        assert!(kept == *content, "bit {bit}");
    }
    fault_table::line("whole files with one flipped bit", 128);
}

#[test]
fn bytes_of_two_servers_are_never_mixed_without_a_digest() {
    let content = content();
    let other = Arc::new(vec![9; LENGTH]);
    let broken = Server::start(&other, Manner::Cut(40_000));
    let good = Server::start(&content, Manner::Ranges);
    let wanted = FileDownload { sha256: None, ..pinned(&content) };
    let (got, kept) = get(&wanted, &[url(&broken), url(&good)], b"");
    got.unwrap();
    assert!(kept == *content);
}

/// Downloads from a server of this manner and returns the message of the error.
fn complaint(manner: Manner, wanted: &FileDownload) -> String {
    let client = HttpClient::new(&options_for(&manner), RootCertificates::load_system()).unwrap();
    let server = Server::start(&content(), manner);
    let error = download_file(wanted, &[url(&server)], &client, &mut |_| Ok(()), &mut |_| {}).unwrap_err();
    assert!(!error.is_unverified(), "{error}");
    let complaint = whole_text(&error);
    assert!(complaint.contains(&server.address) && !complaint.contains("secret"), "{complaint}");
    complaint
}

#[test]
fn each_wrong_answer_has_its_own_message() {
    let wanted = pinned(&content());
    let sized = FileDownload { size: Some(80_000), ..wanted.clone() };
    let small = FileDownload { most: 80_000, ..wanted.clone() };
    let status = |code, header: &str| Manner::Status(code, header.to_owned());
    let later = FileDownload { there: 100, ..wanted.clone() };
    for (manner, wanted, words) in [
        (status(404, "X: y"), &wanted, "404"),
        (status(416, "X: y"), &wanted, "416"),
        (status(429, "Retry-After: 61"), &wanted, "429 (too many requests, retry after 61 s)"),
        (status(429, "Retry-After: 0"), &wanted, "429 (too many requests, retry after 0 s)"),
        (status(429, "Retry-After: tomorrow"), &wanted, "429 (too many requests)"),
        (status(503, "X: y"), &wanted, "503 (the server is too busy)"),
        (status(302, "Location: ftp://there.invalid/"), &wanted, "redirects to ftp:"),
        (Manner::Ranges, &sized, "has 90000 bytes instead of 80000"),
        (Manner::Ranges, &small, "more than 80000 bytes"),
        (Manner::Endless, &wanted, "more than 1048576 bytes"),
        (Manner::Whole(2 << 20), &wanted, "more than 1048576 bytes"),
        (Manner::Silent, &wanted, "no answer"),
        (Manner::HeadOnly, &later, "no answer"),
        (Manner::With("Content-Encoding: gzip\r\n"), &later, "coding gzip"),
        (Manner::Says(Some("bytes 7-89999/90000")), &later, "asked for bytes 100-"),
        (Manner::Says(None), &later, "no Content-Range"),
        (status(416, "Content-Range: bytes */99"), &later, "416"),
    ] {
        let complaint = complaint(manner, wanted);
        assert!(complaint.contains(words), "{words}: {complaint}");
    }
    fault_table::line("servers that deliver another file, or never end", 17);
}

#[test]
fn busy_servers_are_retried_and_missing_files_are_not() {
    let wanted = pinned(&content());
    let asked = |manner| {
        let server = Server::start(&content(), manner);
        let (got, _) = get(&wanted, &[url(&server)], b"");
        assert!(got.is_err());
        server.requests().len()
    };
    assert_eq!(asked(Manner::Status(404, "X: y".into())), 1);
    assert_eq!(asked(Manner::Status(429, "Retry-After: 0".into())), 3);
    assert_eq!(asked(Manner::Status(500, "X: y".into())), 3);
    assert_eq!(asked(Manner::Status(429, "Retry-After: 3600".into())), 1);
}
