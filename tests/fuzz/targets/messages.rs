//! An error message, or a whole log, that somebody brings to `doctor`.
#![no_main]

use binfmt_nix::diagnose::doctor::messages::{meaning, recognise};
use binfmt_nix::diagnose::doctor::Seen;
use binfmt_nix::diagnose::doctor::report::Report;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let seen = Seen::default();
    let found = recognise(&String::from_utf8_lossy(bytes));
    let meanings: Vec<_> = found.iter().map(|found| meaning(found, &seen, &[])).collect();
    assert!(meanings.iter().all(|meaning| !meaning.means.is_empty() && !meaning.here.is_empty()));
    let text = Report::of_text(&seen, meanings).text();
    // What is to be copied is never broken.
    assert!(text.lines().all(|line| line.chars().count() <= 80 || line.starts_with("    ")), "{text}");
});
