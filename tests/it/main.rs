//! The integration tests: one program, whose folders mirror the rooms of `src/`.
//!
//! A `#[sandboxed]` test runs the tool on the real kernel, in namespaces of its own. Since Linux 6.7 a user namespace
//! has its own binfmt_misc table, so these tests need no root, change nothing on the machine, and run side by side:
//! see `support/sandbox.rs`. A `#[test]` runs in a thread of this program.
//!
//! The program has other roles, too: it starts itself again as the confined workers of the tool, both as workers that
//! obey the protocol and as workers that violate it.
//!
//! | variable | meaning |
//! |---|---|
//! | `BINFMT_NIX_TEST_QEMU` | directory with static `qemu-TARGET` files |
//! | `BINFMT_NIX_TEST_CORPUS` | directory with `busybox-static-arm64/bin/busybox` |
//! | `BINFMT_NIX_TEST_PROGRAMS` | directory with programs of Debian that are not installed |
//! | `BINFMT_NIX_TEST_RUNTIMES` | directory that `tests/fetch-runtimes` filled |
//! | `BINFMT_NIX_TEST_TOOLCHAIN` | directory that `tests/fetch-toolchain` filled |
//! | `BINFMT_NIX_TEST_SAMPLES` | directory that `tests/fetch-samples` filled |
//! | `BINFMT_NIX_TEST_TOOL` | the tool that is tested, other than the one of this build, which has failpoints |
//! | `BINFMT_NIX_TEST_DEB` | Debian's amd64 package of the pinned QEMU |
//! | `BINFMT_NIX_REQUIRE` | of `kernel`, `qemu`, `corpus`, `deb`, `programs`, `runtimes`, `toolchain`, `users`, `registry`, `gpg`, `dpkg`: the
//! requirements that must not be skipped |
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a harness of its own, which talks to itself")]
#![expect(clippy::disallowed_methods, reason = "a test reaches its machine directly")]
#![expect(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

#[macro_use]
extern crate binfmt_nix_test_macros;

mod support;

mod advisories;
mod dependencies;

mod accelerate;
mod binfmt;
mod cli;
mod crash;
mod diagnose;
mod host;
mod nix;
mod qemu;
mod register;
mod sandbox;

use binfmt_nix::qemu::archive::unpack;
use binfmt_nix::qemu::debian::verify;
use binfmt_nix::qemu::oci::pull_client;
use binfmt_nix::qemu::version_query;
use std::env;
use std::process::ExitCode;

use binfmt_nix::host::INTERNAL;

use crate::qemu::{archive, debian, download, oci};
use crate::sandbox::{hostile_workers, old_kernel, rights};

fn main() -> ExitCode {
    // A role may have any arguments.
    let words: Vec<String> = env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        [INTERNAL, binfmt_nix::qemu::download::confined::DOWNLOAD_COMMAND] => hostile_workers::child(),
        [INTERNAL, unpack::UNPACK_COMMAND, parent, targets @ ..] => archive::worker::child(parent, targets),
        [INTERNAL, verify::VERIFY_COMMAND, parent, question] => debian::worker::child(parent, question),
        [INTERNAL, pull_client::PULL_COMMAND | unpack::UNPACK_LAYERS_COMMAND, ..] => oci::command(),
        [oci::tool::ROLE, image, machine, dir, targets @ ..] => oci::tool::role(image, machine, dir, targets),
        [INTERNAL, binfmt_nix::accelerate::prove::worker::PROVE_COMMAND, stage] => accelerate::child(stage, "/"),
        [INTERNAL, binfmt_nix::accelerate::prove::worker::PROVE_COMMAND, stage, dir] => accelerate::child(stage, dir),
        [INTERNAL, version_query::VERSION_COMMAND, parent] => become_program(parent),
        [rights::ROLE, how, place] => rights::child(how, place),
        [old_kernel::ROLE, words @ ..] => old_kernel::child(words),
        [old_kernel::WITHOUT_EXCHANGE, program, words @ ..] => old_kernel::child_without_exchange(program, words),
        [download::environment::ROLE] => download::environment::child(),
        _ => support::harness::main(),
    }
}

/// The role of the worker that becomes an emulator.
fn become_program(parent: &str) -> ExitCode {
    version_query::run_worker(parent.parse().unwrap()).map_or(ExitCode::FAILURE, |_| ExitCode::SUCCESS)
}
