//! Images of registries: real ones (Debian's docker-registry, on loopback, into which buildah pushes) and hostile ones.
//!
//! This program plays all parts: the harness, the tool, and its two children, which are honest. A real registry is
//! for `registry` in BINFMT_NIX_REQUIRE.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a harness of its own, which talks to itself")]
#![expect(clippy::disallowed_methods, reason = "a test reaches its machine directly")]
#![expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod broken;
mod closed;
mod confined;
mod frames;
mod image;
mod layers;
#[path = "../common/ledger.rs"]
#[allow(dead_code, reason = "other tests need more of it")]
mod ledger;
mod lies;
#[path = "../common/plays.rs"]
mod plays;
mod real;
mod real_closed;
mod registry;
mod server;
mod tls;
mod tokens;
mod tool;

use std::env;
use std::process::ExitCode;

use binfmt_nix::{cli::Cli, cmd, fetcher, host::INTERNAL, ui::Ui};
use clap::Parser as _;
use plays::{Test, skip, tests};

const MODULES: &[&[Test]] = &[
    broken::TESTS,
    closed::TESTS,
    confined::TESTS,
    frames::TESTS,
    layers::TESTS,
    lies::TESTS,
    real::TESTS,
    real_closed::TESTS,
    tls::TESTS,
    tokens::TESTS,
];

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        [INTERNAL, fetcher::PULL | fetcher::UNPACK_LAYERS, ..] => command(),
        [tool::ROLE, image, machine, dir, targets @ ..] => tool::role(image, machine, dir, targets),
        _ => plays::harness(MODULES),
    }
}

/// As the tool itself does what its command line says.
fn command() -> ExitCode {
    let cli = Cli::parse();
    let done = cmd::run(&cli, &Ui::new(false));
    done.map_or_else(
        |error| {
            eprintln!("{error}");
            ExitCode::FAILURE
        },
        |_| ExitCode::SUCCESS,
    )
}
