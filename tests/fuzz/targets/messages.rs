//! An error message, or a whole log, that the user passes to `doctor`.
#![no_main]

use binfmt_nix::diagnose::doctor::Snapshot;
use binfmt_nix::diagnose::doctor::messages::{explain_message, find_messages};
use binfmt_nix::diagnose::doctor::report::DoctorReport;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let snapshot = Snapshot::default();
    let found = find_messages(&String::from_utf8_lossy(bytes));
    let meanings: Vec<_> = found.iter().map(|found| explain_message(found, &snapshot, &[])).collect();
    assert!(meanings.iter().all(|meaning| !meaning.means.is_empty() && !meaning.here.is_empty()));
    let lines = DoctorReport::from_messages(&snapshot, meanings).to_lines();
    // Lines that the user copies are never wrapped.
    assert!(lines.iter().all(|line| line.chars().count() <= 80 || line.starts_with("    ")), "{lines:?}");
});
