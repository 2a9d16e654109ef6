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
mod process;
mod rights;
mod same;
#[path = "../download/server.rs"]
#[allow(dead_code, reason = "the downloads' own tests need more of it")]
mod server;
mod unpacked;
mod verified;

use std::any::Any;
use std::env;
use std::panic;
use std::process::ExitCode;

use binfmt_nix::fetcher;
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
        [fetcher::COMMAND] => hostile::child(),
        [fetcher::UNPACK, parent, targets @ ..] => unpacked::child(parent, targets),
        [fetcher::VERIFY, parent, question] => verified::child(parent, question),
        [rights::ROLE, how, place] => rights::child(how, place),
        [old_kernel::ROLE, words @ ..] => old_kernel::child(words),
        _ => harness(),
    }
}

fn harness() -> ExitCode {
    let all = MODULES.iter().copied().flatten().copied();
    let trials = all.map(|(name, test)| {
        let name = name.trim_start_matches("confined::");
        Trial::ignorable_test(name, move || run(test))
    });
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
