//! Mirrors that deliver other bytes than the pinned ones: none of these bytes is ever reported as verified.

use std::sync::Arc;

use binfmt_nix::qemu::catalog::Package;

use super::fault_table;
use super::fetch;
use crate::support::package::{Deb, program};
use crate::support::rng::Noise;
use crate::support::server::{Manner, Server};

#[test]
fn a_flipped_bit_of_the_body_is_refused() {
    let deb = Deb::new();
    let bits = deb.package.blocks[..2].iter().map(|block| block.length * 8).sum();
    let mut noise = Noise::new(1);
    for round in 0..256 {
        // The first bit, the last bit, and 254 random bits between them.
        let bit = [0, bits - 1].get(round).copied().unwrap_or_else(|| noise.below(bits));
        let server = Server::start(&deb.bytes, Manner::Flip(bit, true));
        let outcome = fetch(&deb.package, &["aarch64"], &[server.mirror()]);
        assert!(outcome.unverified(), "bit {bit}: {:?}", outcome.result);
        assert!(outcome.complaint().contains("SHA-256"));
    }
    fault_table::line("downloads with one flipped bit", 256);
}

#[test]
fn a_flipped_bit_of_the_header_never_yields_a_wrong_file() {
    let deb = Deb::new();
    let mut noise = Noise::new(2);
    for _ in 0..128 {
        let server = Server::start(&deb.bytes, Manner::Flip(noise.below(90 * 8), false));
        let outcome = fetch(&deb.package, &["aarch64"], &[server.mirror()]);
        match outcome.result {
            Ok(_) => assert!(outcome.files["aarch64"] == program("aarch64", 100_000)),
            Err(_) => assert!(outcome.verified.is_empty()),
        }
    }
    fault_table::line("responses with one flipped bit in the header", 128);
}

#[test]
fn a_mirror_with_wrong_bytes_is_not_retried() {
    let deb = Deb::new();
    let liar = Server::start(&deb.bytes, Manner::Flip(4_000, true));
    let good = Server::start(&deb.bytes, Manner::Ranges);
    let outcome = fetch(&deb.package, &["aarch64"], &[liar.mirror(), good.mirror()]);
    outcome.result.unwrap();
    assert!(outcome.files["aarch64"] == program("aarch64", 100_000));
    assert_eq!(liar.requests().len(), 1, "a liar is not asked again");
}

#[test]
fn wrong_bytes_decide_the_error_among_other_failures() {
    let deb = Deb::new();
    let lost = Server::start(&deb.bytes, Manner::Status(404, "X: y".to_owned()));
    let liar = Server::start(&deb.bytes, Manner::Flip(4_000, true));
    let lost_too = Server::start(&deb.bytes, Manner::Status(404, "X: y".to_owned()));
    let outcome = fetch(&deb.package, &["aarch64"], &[lost.mirror(), liar.mirror(), lost_too.mirror()]);
    assert!(outcome.unverified());
    let complaint = outcome.complaint();
    assert_eq!(complaint.matches("HTTP status 404").count(), 2, "{complaint}");
    assert_eq!(complaint.matches("SHA-256").count(), 1, "{complaint}");
}

#[test]
fn an_endless_wrong_file_is_refused_at_its_first_block() {
    let deb = Deb::new();
    let server = Server::start(&Arc::new(vec![0]), Manner::Endless);
    let outcome = fetch(&deb.package, &["riscv64"], &[server.mirror()]);
    assert!(outcome.unverified(), "{:?}", outcome.result);
    assert!(server.was_closed());
}

#[test]
fn members_before_a_wrong_block_stay_verified() {
    let deb = Deb::new();
    let first: u64 = deb.package.blocks[..2].iter().map(|block| block.length).sum();
    let server = Server::start(&deb.bytes, Manner::Flip(first * 8 + 99, true));
    let outcome = fetch(&deb.package, &["aarch64", "arm", "riscv64"], &[server.mirror()]);
    assert!(outcome.unverified());
    assert_eq!(outcome.verified, ["aarch64", "arm"]);
    assert!(outcome.files["aarch64"] == program("aarch64", 100_000));
}

/// Downloads with a wrong catalogue and returns the message. The transferred bytes are the pinned ones, and the unpacked
/// contents differ from the catalogue.
fn with_wrong_catalogue(break_it: impl FnOnce(&mut Package)) -> String {
    let deb = Deb::new();
    let mut package = deb.package.clone();
    break_it(&mut package);
    let server = Server::start(&deb.bytes, Manner::Ranges);
    let outcome = fetch(&package, &["aarch64"], &[server.mirror()]);
    assert!(outcome.unverified());
    outcome.complaint()
}

#[test]
fn a_wrong_catalogue_is_reported() {
    let wrong = with_wrong_catalogue(|p| p.members[0].sha256 = p.sha256);
    assert!(wrong.contains("it has the SHA-256"), "{wrong}");
    let moved = with_wrong_catalogue(|p| p.members[0].offset += 1);
    assert!(moved.contains("it has the SHA-256"), "{moved}");
    // The first block is shorter than the catalogue says.
    let longer = with_wrong_catalogue(|p| {
        p.blocks[0].unpacked_length += 1;
        p.blocks[1].unpacked_offset += 1;
    });
    assert!(longer.contains("cannot decode") || longer.contains("too early"), "{longer}");
}
