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
mod real;
mod real_closed;
mod registry;
mod server;
mod tls;
mod tokens;
mod tool;

use std::any::Any;
use std::process::ExitCode;
use std::{env, panic};

use binfmt_nix::{cli::Cli, cmd, fetcher, ui::Ui};
use clap::Parser as _;
use libtest_mimic::{Arguments, Completion, Failed, Trial};

/// A test's name and what it does.
type Test = (&'static str, fn());

/// Lists the tests of a module.
macro_rules! tests {
    ($($name:ident)*) => {
        pub(crate) const TESTS: &[crate::Test] = &[$((concat!(module_path!(), "::", stringify!($name)), $name)),*];
    };
}
pub(crate) use tests;

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

/// Why a test cannot be done here.
struct Skip(&'static str, String);

/// Ends the test that is running: something of the machine's is missing. If BINFMT_NIX_REQUIRE names `what`, it fails.
fn skip(what: &'static str, why: impl Into<String>) -> ! {
    panic::resume_unwind(Box::new(Skip(what, why.into())))
}

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        [fetcher::PULL | fetcher::UNPACK_LAYERS, ..] => command(),
        [tool::ROLE, image, machine, dir, targets @ ..] => tool::role(image, machine, dir, targets),
        _ => harness(),
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

fn harness() -> ExitCode {
    let all = MODULES.iter().copied().flatten().copied();
    let trials = all.map(|(name, test)| Trial::ignorable_test(name.trim_start_matches("oci::"), move || run(test)));
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}

fn run(test: fn()) -> Result<Completion, Failed> {
    let Err(payload) = panic::catch_unwind(test) else {
        return Ok(Completion::Completed);
    };
    match payload.downcast::<Skip>() {
        Ok(skip) => {
            let Skip(what, why) = *skip;
            let required = env::var("BINFMT_NIX_REQUIRE").unwrap_or_default();
            if required.split([' ', ',']).any(|word| word == what) {
                return Err(format!("{what} is required, but {why}").into());
            }
            Ok(Completion::ignored_with(why))
        }
        Err(payload) => Err(said(&*payload).into()),
    }
}

fn said(payload: &dyn Any) -> String {
    let text = payload.downcast_ref::<String>().cloned();
    text.or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_else(|| "panicked".into())
}
