//! Foreign text that the tool prints on a terminal.
#![no_main]

use binfmt_nix::sanitize::secrets::{hide_logins, hide_secrets_of_word};
use binfmt_nix::sanitize::{bytes_of, escape_line, sanitize_json, shell_quote, text_of_bytes, to_one_line};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let harmful = |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let line = escape_line(text);
    assert!(!line.contains(harmful) && !shell_quote(text).contains(harmful));
    assert_eq!(escape_line(&line), line);
    assert_eq!(bytes_of(&text_of_bytes(text.as_bytes())), text.as_bytes());
    assert!(!to_one_line(text).contains(harmful) && to_one_line(text).chars().count() <= 201);
    let hidden = hide_logins(text);
    assert_eq!(hide_logins(&hidden), hidden);
    let _ = hide_secrets_of_word(text);
    let json = sanitize_json(&serde_json::to_string(text).expect("a string is JSON"));
    assert!(!json.contains(harmful));
    assert_eq!(serde_json::from_str::<String>(&json).ok().as_deref(), Some(text));
});
