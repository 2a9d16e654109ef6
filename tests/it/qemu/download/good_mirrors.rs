//! Mirrors that have the package.

use binfmt_nix::qemu::download::Mirror;

use super::{Outcome, fetch};
use crate::support::package::{Deb, MEMBERS, program};
use crate::support::server::{Manner, Server};

fn assert_good(outcome: &Outcome, targets: &[&str]) {
    assert_eq!(outcome.verified, targets, "{:?}", outcome.result);
    outcome.result.as_ref().unwrap();
    assert_eq!(outcome.files.len(), targets.len());
    for (target, length) in MEMBERS {
        if let Some(file) = outcome.files.get(target) {
            assert!(*file == program(target, length), "{target}");
        }
    }
}

#[test]
fn one_range_request_moves_the_needed_blocks() {
    let deb = Deb::new();
    let server = Server::start(&deb.bytes, Manner::Ranges);
    let outcome = fetch(&deb.package, &["aarch64"], &[server.mirror()]);
    assert_good(&outcome, &["aarch64"]);
    let (first, second) = (&deb.package.blocks[0], &deb.package.blocks[1]);
    let path = "GET /debian/pool/main/q/qemu/qemu-user_10.0.13%2Bds-0%2Bdeb13u1_amd64.deb HTTP/1.1";
    let request = format!("{path} Some(({}, {}))", first.offset, second.end() - 1);
    assert_eq!(server.requests(), [request]);
    let moved = outcome.result.unwrap().moved;
    assert_eq!(moved, first.length + second.length);
    assert_eq!(outcome.moved, (moved, moved));
    assert!(server.sent() < moved + 500);
}

#[test]
fn guests_that_share_a_block_fetch_it_once() {
    let deb = Deb::new();
    let server = Server::start(&deb.bytes, Manner::Ranges);
    let outcome = fetch(&deb.package, &["arm", "aarch64"], &[server.mirror()]);
    assert_good(&outcome, &["aarch64", "arm"]);
    let moved: u64 = deb.package.blocks[..2].iter().map(|block| block.length).sum();
    assert_eq!(outcome.result.unwrap().moved, moved);
}

#[test]
fn a_gap_makes_two_requests() {
    let deb = Deb::new();
    let mut package = deb.package.clone();
    // The last 100 bytes of riscv64, in the last block, become a guest of their own.
    let riscv64 = package.members.pop().unwrap();
    let tail = &program("riscv64", 150_000)[149_900..];
    package.members.push(binfmt_nix::qemu::catalog::Member {
        target: "tail".to_owned(),
        offset: riscv64.end() - 100,
        size: 100,
        sha256: binfmt_nix::sha256::Sha256::of_bytes(tail),
    });
    let server = Server::start(&deb.bytes, Manner::Ranges);
    let outcome = fetch(&package, &["arm", "tail"], &[server.mirror()]);
    outcome.result.unwrap();
    assert_eq!(outcome.files["tail"], tail);
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn a_server_without_ranges_is_read_to_the_last_needed_block_and_closed() {
    let deb = Deb::new();
    let mut package = deb.package.clone();
    package.size += 64 << 20;
    let server = Server::start(&deb.bytes, Manner::Whole(package.size));
    let outcome = fetch(&package, &["arm"], &[server.mirror()]);
    assert_good(&outcome, &["arm"]);
    let end = package.blocks[1].end();
    assert_eq!(outcome.moved, (end, end));
    assert_eq!(outcome.result.unwrap().moved, end);
    assert!(server.was_closed());
    assert!(server.sent() < 32 << 20, "{} bytes", server.sent());
}

#[test]
fn an_endless_body_is_closed_after_the_last_block() {
    let deb = Deb::new();
    let server = Server::start(&deb.bytes, Manner::Endless);
    let targets = ["aarch64", "arm", "riscv64"];
    assert_good(&fetch(&deb.package, &targets, &[server.mirror()]), &targets);
    assert!(server.was_closed());
}

#[test]
fn an_unknown_total_size_is_accepted() {
    let deb = Deb::new();
    let block = &deb.package.blocks[..2];
    let range = format!("bytes {}-{}/*", block[0].offset, block[1].end() - 1);
    let server = Server::start(&deb.bytes, Manner::Says(Some(range.leak())));
    assert_good(&fetch(&deb.package, &["aarch64"], &[server.mirror()]), &["aarch64"]);
}

#[test]
fn a_redirect_to_another_server_is_followed_with_its_range() {
    let deb = Deb::new();
    let behind = Server::start(&deb.bytes, Manner::Ranges);
    let location = format!("Location: http://{}/elsewhere.deb", behind.address);
    for code in [301, 302, 303, 307, 308] {
        let front = Server::start(&deb.bytes, Manner::Status(code, location.clone()));
        assert_good(&fetch(&deb.package, &["arm"], &[front.mirror()]), &["arm"]);
    }
    assert!(behind.requests().iter().all(|r| r.starts_with("GET /elsewhere.deb") && r.contains("Some(")));
}

#[test]
fn snapshot_urls_contain_the_sha1() {
    let deb = Deb::new();
    let server = Server::start(&deb.bytes, Manner::Ranges);
    let mirror = Mirror::BySha1(server.url().parse().unwrap());
    assert_good(&fetch(&deb.package, &["arm"], &[mirror]), &["arm"]);
    let path = format!("GET /debian/{} ", deb.package.sha1);
    assert!(server.requests()[0].starts_with(&path));
}

#[test]
fn the_next_mirror_resumes_a_broken_download() {
    let deb = Deb::new();
    let first_block = usize::try_from(deb.package.blocks[0].length).unwrap();
    let broken = Server::start(&deb.bytes, Manner::Cut(first_block + 10));
    let lost = Server::start(&deb.bytes, Manner::Status(404, "X: y".to_owned()));
    let good = Server::start(&deb.bytes, Manner::Ranges);
    let mirrors = [lost.mirror(), broken.mirror(), good.mirror()];
    let outcome = fetch(&deb.package, &["riscv64", "aarch64"], &mirrors);
    assert_good(&outcome, &["aarch64", "riscv64"]);
    assert_eq!(broken.requests().len(), 3, "it moved a block each time");
    let fourth = format!("Some(({}, ", deb.package.blocks[3].offset);
    assert!(good.requests()[0].contains(&fourth), "{:?}", good.requests());
    assert!(outcome.result.unwrap().url.starts_with(&good.url()));
}

#[test]
fn the_password_of_a_mirror_is_never_printed() {
    let deb = Deb::new();
    let server = Server::start(&deb.bytes, Manner::Ranges);
    let url = format!("http://me:secret@{}/debian", server.address);
    let outcome = fetch(&deb.package, &["arm"], &[Mirror::Archive(url.parse().unwrap())]);
    assert!(!format!("{outcome:?}").contains("secret"));
    assert_good(&outcome, &["arm"]);
}
