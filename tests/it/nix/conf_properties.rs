//! Properties of the edits of nix.conf: our line is added and removed, and every byte of the user's lines is kept.

use binfmt_nix::nix::conf::{INCLUDE_LINE, OWN_FILE_NAME, add_include, has_include, remove_include};
use proptest::prelude::*;

use crate::support::config;
use crate::support::texts::files;

const PIECES: &[&str] = &[
    "!include ",
    "include",
    "binfmt-nix.conf",
    "/etc/nix/binfmt-nix.conf",
    "other.conf",
    INCLUDE_LINE,
    "# ",
    "#",
    " ",
    "\t",
    "sandbox = true",
    "extra-platforms =",
    "aarch64-linux",
    "\\",
];

/// The lines that are not ours, unchanged.
fn other_lines(text: &[u8]) -> Vec<&[u8]> {
    let lines = text.split_inclusive(|byte| *byte == b'\n').filter(|line| !has_include(line, OWN_FILE_NAME));
    lines.map(|line| line.strip_suffix(b"\n").unwrap_or(line)).filter(|line| !line.is_empty()).collect()
}

proptest! {
    #![proptest_config(config(512))]

    #[test]
    fn removing_the_include_restores_every_byte(text in files(PIECES)) {
        let after = add_include(&text);
        prop_assert!(after.text.starts_with(&text));
        prop_assert!(has_include(&after.text, OWN_FILE_NAME));
        let back = remove_include(&after.text, after.newline_added);
        prop_assert!(!has_include(&back, OWN_FILE_NAME));
        prop_assert_eq!(other_lines(&back), other_lines(&text));
        if !has_include(&text, OWN_FILE_NAME) {
            prop_assert_eq!(back, text);
        }
    }

    #[test]
    fn removing_the_include_keeps_other_lines(text in files(PIECES), newline_added: bool) {
        let after = remove_include(&text, newline_added);
        prop_assert_eq!(other_lines(&after), other_lines(&text));
        prop_assert_eq!(&remove_include(&after, false), &after);
        if !has_include(&text, OWN_FILE_NAME) {
            prop_assert_eq!(after, text);
        }
    }

    /// Lines of the user before and after ours are kept when ours is removed.
    #[test]
    fn removing_the_include_keeps_later_edits(before in files(PIECES), later in files(PIECES)) {
        prop_assume!(!has_include(&before, OWN_FILE_NAME) && !has_include(&later, OWN_FILE_NAME));
        let included = add_include(&before);
        let edited = [included.text.as_slice(), &later].concat();
        let back = remove_include(&edited, included.newline_added);
        if later.is_empty() {
            prop_assert_eq!(back, before);
        } else {
            let line_end: &[u8] = if included.newline_added { b"\n" } else { b"" };
            prop_assert_eq!(back, [before.as_slice(), line_end, &later].concat());
        }
    }
}
