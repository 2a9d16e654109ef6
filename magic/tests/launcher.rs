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

/// The exit status of `build --check` with another compiler than the one that made the images.
const OTHER_COMPILER: i32 = 77;
/// The exit status of `build --check` without a target of rustup.
const NO_TARGET: i32 = 78;

#[test]
fn the_images_are_made_from_their_source() {
    let build = Path::new(env!("CARGO_MANIFEST_DIR")).join("launcher/build");
    let output = Command::new(&build).arg("--check").output().unwrap_or_else(|error| panic!("{build:?}: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    match output.status.code() {
        Some(0) => {}
        Some(OTHER_COMPILER) => common::skip("launcher", errors.trim()),
        Some(NO_TARGET) => common::skip("targets", errors.trim()),
        code => panic!("{code:?}: {errors}"),
    }
}
