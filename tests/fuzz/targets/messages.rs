//! An error message, or a whole log, that the user passes to `doctor`.
#![no_main]

use binfmt_nix::diagnose::doctor::Snapshot;
use binfmt_nix::diagnose::doctor::messages::Reading;
use binfmt_nix::diagnose::doctor::report::DoctorReport;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let snapshot = Snapshot::default();
    let meanings = Reading::of(&String::from_utf8_lossy(bytes)).explain(&snapshot, &[]);
    assert!(meanings.iter().all(|meaning| !meaning.means.is_empty()));
    let lines = DoctorReport::from_messages(&snapshot, meanings).to_lines();
    // Lines that the user copies are never wrapped.
    assert!(lines.iter().all(|line| line.chars().count() <= 80 || line.starts_with("    ")), "{lines:?}");
});
