//! The tool on the real kernel, on trees of its own making.
//!
//! Since Linux 6.7 a user namespace has a binfmt_misc table of its own, so these tests need no root, change nothing of
//! the machine, and run side by side. Each starts this program again in new namespaces: see `common/world.rs`.
//!
//! | variable | meaning |
//! |---|---|
//! | `BINFMT_NIX_TEST_QEMU` | directory with static `qemu-TARGET` files |
//! | `BINFMT_NIX_TEST_CORPUS` | directory with `busybox-static-arm64/bin/busybox` |
//! | `BINFMT_NIX_TEST_DEB` | Debian's amd64 package of the pinned QEMU |
//! | `BINFMT_NIX_REQUIRE` | of `kernel`, `qemu`, `corpus`, `deb`, `users`: what must not be skipped |
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

#[path = "../common/mod.rs"]
mod common;
#[allow(dead_code, reason = "its other manners are for tests/download")]
#[path = "../download/server.rs"]
mod server;

mod boot;
mod brought;
mod brought_refused;
mod builder;
mod containers;
mod doctor;
mod doctor_boot;
mod doctor_interpreters;
mod doctor_kernel;
mod doctor_live;
mod doctor_messages;
mod doctor_nix;
mod emulators;
mod every_system;
mod explain_json;
mod explain_pid;
mod explain_says;
mod explained;
mod fileless;
mod forced;
mod from_urls;
mod full_disk;
mod hold;
mod hold_ends;
mod hold_tells;
mod host_copies;
mod hostile_places;
mod interrupted;
mod json;
mod killed;
mod leftovers;
mod main_job;
mod names;
mod nix_conf;
mod nix_copies;
mod nix_left_alone;
mod options;
mod other_hands;
mod permission;
mod read_only;
mod receipts;
mod rivals;
mod rootless;
mod rootless_refused;
mod status;
mod strange_machines;
mod strange_texts;
mod test_command;
mod test_liars;
mod two_at_once;
mod upgrade;
mod while_others_write;

use std::process::ExitCode;

pub(crate) use common::harness::{Test, tests};

const MODULES: &[&[Test]] = &[
    every_system::TESTS,
    boot::TESTS,
    brought::TESTS,
    brought_refused::TESTS,
    builder::TESTS,
    containers::TESTS,
    doctor::TESTS,
    doctor_boot::TESTS,
    doctor_interpreters::TESTS,
    doctor_kernel::TESTS,
    doctor_live::TESTS,
    doctor_messages::TESTS,
    doctor_nix::TESTS,
    emulators::TESTS,
    explain_json::TESTS,
    explain_pid::TESTS,
    explain_says::TESTS,
    explained::TESTS,
    fileless::TESTS,
    forced::TESTS,
    from_urls::TESTS,
    full_disk::TESTS,
    hold::TESTS,
    hold_ends::TESTS,
    hold_tells::TESTS,
    host_copies::TESTS,
    hostile_places::TESTS,
    interrupted::TESTS,
    json::TESTS,
    killed::TESTS,
    leftovers::TESTS,
    main_job::TESTS,
    names::TESTS,
    nix_conf::TESTS,
    nix_copies::TESTS,
    nix_left_alone::TESTS,
    options::TESTS,
    other_hands::TESTS,
    permission::TESTS,
    read_only::TESTS,
    receipts::TESTS,
    rivals::TESTS,
    rootless::TESTS,
    rootless_refused::TESTS,
    status::TESTS,
    strange_machines::TESTS,
    strange_texts::TESTS,
    test_command::TESTS,
    test_liars::TESTS,
    two_at_once::TESTS,
    upgrade::TESTS,
    while_others_write::TESTS,
];

fn main() -> ExitCode {
    common::harness::main(MODULES)
}
