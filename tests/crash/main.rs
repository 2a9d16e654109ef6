//! Faults at every single change that the tool makes to a machine, on the real kernel: see `src/host/failpoint.rs`.
//!
//! The tool is built with the feature `failpoints` here, and told by a variable at which change it is to be killed, or
//! which is to fail. Worlds, trees and skips are those of `tests/kernel`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a harness of its own, which talks to itself")]
#![expect(clippy::disallowed_methods, reason = "a test reaches its machine directly")]
#![expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

#[allow(dead_code, unused_imports, reason = "what tests/kernel needs, and more than is needed here")]
#[path = "../common/mod.rs"]
mod common;

mod failing;
mod fault;
mod killed;

use std::process::ExitCode;

pub(crate) use common::harness::{Test, tests};

fn main() -> ExitCode {
    common::harness::main(&[killed::TESTS, failing::TESTS])
}
