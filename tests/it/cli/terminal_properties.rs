//! Properties of the functions that sanitize text for terminals and for JSON.

use binfmt_nix::sanitize::{remove_controls, sanitize_json, to_one_line};
use proptest::prelude::*;

use crate::support::config;
use crate::support::texts::texts;

const PIECES: &[&str] = &[
    "\x1b[2J",
    "\x1b]0;title\x07",
    "\u{9b}31m",
    "\x7f",
    "\r",
    "\t",
    "\u{202e}",
    "\u{200b}",
    "\u{feff}",
    "\u{e0041}",
    "é日本",
];

const REPLACED: char = '\u{fffd}';

fn harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

proptest! {
    #![proptest_config(config(1024))]

    #[test]
    fn control_characters_are_replaced(text in texts(PIECES)) {
        let cleaned = remove_controls(&text);
        prop_assert!(!cleaned.contains(|c| harmful(c) && c != '\n' && c != '\t'), "{:?}", cleaned);
        prop_assert_eq!(cleaned.chars().count(), text.chars().count());
        let kept = text.chars().zip(cleaned.chars()).all(|(from, to)| from == to || to == REPLACED);
        prop_assert!(kept);
        prop_assert!(!to_one_line(&text).contains(harmful) && to_one_line(&text).chars().count() <= 201);
    }

    #[test]
    fn harmless_text_is_kept(text in "[ -~äöüßéñ日本語αβγ–—“”…\n\t]{0,200}") {
        prop_assert_eq!(remove_controls(&text), text);
    }

    #[test]
    fn json_is_escaped_and_keeps_its_meaning(texts in prop::collection::vec(texts(PIECES), 0..4)) {
        let json = sanitize_json(&serde_json::to_string_pretty(&texts).unwrap());
        prop_assert!(!json.contains(|c| harmful(c) && c != '\n'));
        prop_assert_eq!(serde_json::from_str::<Vec<String>>(&json).unwrap(), texts);
    }
}
