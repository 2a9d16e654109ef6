//! The process that downloads: that it can do nothing else, ends when it should, and is believed in nothing.
//!
//! This program plays all parts: the harness, the confined process, the honest child of the tool and dishonest ones.
//! What needs a second user is skipped without root, or fails if `BINFMT_NIX_REQUIRE` names `users`; what needs
//! Landlock and seccomp is for `kernel`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a harness of its own, which talks to itself")]
#![expect(clippy::disallowed_methods, reason = "a test reaches its machine directly")]
#![expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod attempts;
mod bundles;
mod elsewhere;
mod frames;
mod hostile;
mod needs;
mod network;
mod old_kernel;
#[path = "../common/plays.rs"]
mod plays;
mod process;
mod rights;
mod same;
#[path = "../download/server.rs"]
#[allow(dead_code, reason = "the downloads' own tests need more of it")]
mod server;
mod unpacked;
mod verified;

use std::env;
use std::process::ExitCode;

use binfmt_nix::fetcher;
use binfmt_nix::host::INTERNAL;
use plays::{Test, skip, tests};

const MODULES: &[&[Test]] = &[
    bundles::TESTS,
    elsewhere::TESTS,
    frames::TESTS,
    hostile::TESTS,
    network::TESTS,
    old_kernel::TESTS,
    process::TESTS,
    rights::TESTS,
    same::TESTS,
    unpacked::TESTS,
    verified::TESTS,
];

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        [INTERNAL, fetcher::COMMAND] => hostile::child(),
        [INTERNAL, fetcher::UNPACK, parent, targets @ ..] => unpacked::child(parent, targets),
        [INTERNAL, fetcher::VERIFY, parent, question] => verified::child(parent, question),
        [rights::ROLE, how, place] => rights::child(how, place),
        [old_kernel::ROLE, words @ ..] => old_kernel::child(words),
        _ => plays::harness(MODULES),
    }
}
