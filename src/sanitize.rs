//! Untrusted text made safe for a terminal and for readers, and shell quoting. Pure.

/// Replacement of each character that is not printed.
const REPLACEMENT: char = '\u{fffd}';

/// Replaces every character that a terminal must not get. Line ends and tabs are kept.
pub fn remove_controls(text: &str) -> String {
    text.chars().map(|c| if is_printable(c) || matches!(c, '\n' | '\t') { c } else { REPLACEMENT }).collect()
}

/// Like [`remove_controls`], but gives one line of at most 200 characters.
pub fn to_one_line(text: &str) -> String {
    const MAX_LENGTH: usize = 200;
    let mut shown: String =
        text.chars().take(MAX_LENGTH).map(|c| if is_printable(c) { c } else { REPLACEMENT }).collect();
    if text.chars().nth(MAX_LENGTH).is_some() {
        shown.push('…');
    }
    shown
}

/// Escapes every character that is not printable. The JSON has the same meaning.
pub fn sanitize_json(json: &str) -> String {
    use std::fmt::Write as _;
    json.chars().fold(String::with_capacity(json.len()), |mut out, c| {
        if is_printable(c) || c == '\n' {
            out.push(c);
        } else {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        }
        out
    })
}

/// Whether a character may be printed. Control characters can control a terminal, some characters change the direction
/// of text, and invisible characters can hide in names.
pub fn is_printable(c: char) -> bool {
    !c.is_control() && !is_invisible(c) && !is_format_mark(c)
}

/// Whether a character is a line or paragraph separator, or only marks up other text (Unicode 16, general category Cf).
fn is_format_mark(c: char) -> bool {
    matches!(c, '\u{600}'..='\u{605}' | '\u{2028}' | '\u{2029}' | '\u{fff9}'..='\u{fffb}')
}

/// Whether a character is not drawn: `Default_Ignorable_Code_Point` (Unicode 16, `DerivedCoreProperties.txt`). The
/// characters that control the direction of text are among them.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// Quotes a word for a shell, for commands that users copy.
pub fn shell_quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_control_the_terminal_or_hide_characters() {
        assert_eq!(remove_controls("a\x1b[2Jb\n\t\u{9b}\x7f"), "a\u{fffd}[2Jb\n\t\u{fffd}\u{fffd}");
        assert_eq!(remove_controls("a\u{202e}b\u{200b}c\u{feff}\u{e0041}"), "a\u{fffd}b\u{fffd}c\u{fffd}\u{fffd}");
        assert_eq!(remove_controls("naïve — Ärger 日本"), "naïve — Ärger 日本");
    }

    #[test]
    fn text_of_servers_becomes_one_short_line() {
        assert_eq!(to_one_line("a\x1b[2Jb\r\n\u{202e}"), "a\u{fffd}[2Jb\u{fffd}\u{fffd}\u{fffd}");
        assert_eq!(to_one_line(&"x".repeat(1000)).chars().count(), 201);
    }

    #[test]
    fn escaped_json_keeps_its_meaning() {
        let text = "a\x1b\x7f\u{9b}\u{202e}\u{e0041}é\n";
        let json = serde_json::to_string(text).unwrap_or_default();
        let cleaned = sanitize_json(&json);
        assert!(cleaned.chars().all(is_printable), "{cleaned:?}");
        assert_eq!(serde_json::from_str::<String>(&cleaned).ok().as_deref(), Some(text));
    }

    #[test]
    fn quotes_what_a_shell_would_change() {
        assert_eq!(shell_quote("/usr/bin/x-1.0"), "/usr/bin/x-1.0");
        assert_eq!(shell_quote("a b"), "'a b'");
        assert_eq!(shell_quote("it's"), r"'it'\''s'");
        assert_eq!(shell_quote(""), "''");
    }
}
