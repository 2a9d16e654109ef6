//! Properties of the functions that sanitize text for terminals and for JSON.

use binfmt_nix::sanitize::secrets::hide_logins;
use binfmt_nix::sanitize::{bytes_of, escape_line, sanitize_json, shell_quote, text_of_bytes, to_one_line};
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

fn harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

proptest! {
    #![proptest_config(config(1024))]

    #[test]
    fn every_text_becomes_one_line(text in texts(PIECES)) {
        let line = escape_line(&text);
        prop_assert!(!line.contains(harmful), "{:?}", line);
        prop_assert_eq!(escape_line(&line), line);
        prop_assert!(!to_one_line(&text).contains(harmful) && to_one_line(&text).chars().count() <= 201);
        prop_assert!(!shell_quote(&text).contains(harmful));
        let hidden = hide_logins(&text);
        prop_assert_eq!(&hide_logins(&hidden), &hidden);
    }

    #[test]
    fn bytes_become_text_and_bytes_again(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        prop_assert_eq!(bytes_of(&text_of_bytes(&bytes)), bytes);
    }

    #[test]
    fn harmless_text_is_kept(text in "[ -~äöüßéñ日本語αβγ–—“”…]{0,200}") {
        prop_assert_eq!(escape_line(&text), text);
    }

    #[test]
    fn json_is_escaped_and_keeps_its_meaning(texts in prop::collection::vec(texts(PIECES), 0..4)) {
        let json = sanitize_json(&serde_json::to_string_pretty(&texts).unwrap());
        prop_assert!(!json.contains(|c| harmful(c) && c != '\n'));
        prop_assert_eq!(serde_json::from_str::<Vec<String>>(&json).unwrap(), texts);
    }
}
