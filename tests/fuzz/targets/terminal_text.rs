//! Foreign text that the tool prints on a terminal.
#![no_main]

use binfmt_nix::sanitize::{remove_controls, sanitize_json, to_one_line};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let harmful = |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let cleaned = remove_controls(text);
    assert!(!cleaned.contains(|c| harmful(c) && c != '\n' && c != '\t'));
    assert_eq!(cleaned.chars().count(), text.chars().count());
    assert_eq!(remove_controls(&cleaned), cleaned);
    assert!(!to_one_line(text).contains(harmful) && to_one_line(text).chars().count() <= 201);
    let json = sanitize_json(&serde_json::to_string(text).expect("a string is JSON"));
    assert!(!json.contains(harmful));
    assert_eq!(serde_json::from_str::<String>(&json).ok().as_deref(), Some(text));
});
