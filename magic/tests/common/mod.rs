//! What a test needs from the machine, and what happens where that is missing.

use std::path::PathBuf;

#[allow(dead_code, reason = "not every test that includes this file needs a directory")]
/// The directory that an environment variable names.
///
/// Without it the test is skipped and prints the reason, unless `BINFMT_NIX_REQUIRE` (words) demands `what`: then it fails.
pub(crate) fn directory(variable: &str, what: &str) -> Option<PathBuf> {
    let directory = std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
    if directory.is_none() {
        skip(what, &format!("{variable} is not set"));
    }
    directory
}

/// Says that a test is skipped and why, or fails it.
pub(crate) fn skip(what: &str, why: &str) {
    let required = std::env::var("BINFMT_NIX_REQUIRE").unwrap_or_default();
    assert!(!required.split([' ', ',']).any(|word| word == what), "{what} is required, but {why}");
    eprintln!("skipped: {why}");
}
