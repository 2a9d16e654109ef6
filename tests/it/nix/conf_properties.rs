//! nix.conf: our line comes and goes, and everything of the user's stays to the byte.

use binfmt_nix::nix::conf::{INCLUDE, OWN, exclude, include, includes};
use proptest::prelude::*;

use crate::support::config;
use crate::support::texts::files;

const PIECES: &[&str] = &[
    "!include ",
    "include",
    "binfmt-nix.conf",
    "/etc/nix/binfmt-nix.conf",
    "other.conf",
    INCLUDE,
    "# ",
    "#",
    " ",
    "\t",
    "sandbox = true",
    "extra-platforms =",
    "aarch64-linux",
    "\\",
];

/// The lines that are not ours, as they are.
fn others(text: &[u8]) -> Vec<&[u8]> {
    let lines = text.split_inclusive(|byte| *byte == b'\n').filter(|line| !includes(line, OWN));
    lines.map(|line| line.strip_suffix(b"\n").unwrap_or(line)).filter(|line| !line.is_empty()).collect()
}

proptest! {
    #![proptest_config(config(512))]

    #[test]
    fn what_was_included_is_excluded_to_the_byte(text in files(PIECES)) {
        let after = include(&text);
        prop_assert!(after.text.starts_with(&text));
        prop_assert!(includes(&after.text, OWN));
        let back = exclude(&after.text, after.newline_added);
        prop_assert!(!includes(&back, OWN));
        prop_assert_eq!(others(&back), others(&text));
        if !includes(&text, OWN) {
            prop_assert_eq!(back, text);
        }
    }

    #[test]
    fn nothing_is_taken_that_is_not_ours(text in files(PIECES), newline_added: bool) {
        let after = exclude(&text, newline_added);
        prop_assert_eq!(others(&after), others(&text));
        prop_assert_eq!(&exclude(&after, false), &after);
        if !includes(&text, OWN) {
            prop_assert_eq!(after, text);
        }
    }

    /// Other people's lines come before and behind ours, and are still there when ours goes.
    #[test]
    fn later_edits_stay(before in files(PIECES), later in files(PIECES)) {
        prop_assume!(!includes(&before, OWN) && !includes(&later, OWN));
        let included = include(&before);
        let edited = [included.text.as_slice(), &later].concat();
        let back = exclude(&edited, included.newline_added);
        if later.is_empty() {
            prop_assert_eq!(back, before);
        } else {
            let line_end: &[u8] = if included.newline_added { b"\n" } else { b"" };
            prop_assert_eq!(back, [before.as_slice(), line_end, &later].concat());
        }
    }
}
