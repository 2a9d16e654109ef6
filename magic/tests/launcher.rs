//! The images of the launcher are those that its source makes.
#![allow(
    clippy::disallowed_methods,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a test reaches the machine directly"
)]

mod common;

use std::path::Path;
use std::process::Command;

/// The exit status of `build --check` with another compiler than the one that made the images, or without a target.
const NOT_COMPARED: i32 = 77;

#[test]
fn the_images_are_made_from_their_source() {
    let build = Path::new(env!("CARGO_MANIFEST_DIR")).join("launcher/build");
    let output = Command::new(&build).arg("--check").output().unwrap_or_else(|error| panic!("{build:?}: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    match output.status.code() {
        Some(0) => {}
        Some(NOT_COMPARED) => common::skip("launcher", errors.trim()),
        code => panic!("{code:?}: {errors}"),
    }
}
