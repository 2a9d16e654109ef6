//! Text from elsewhere, made fit for a terminal and for the eyes of a person. Pure.

/// Stands for each character that is not shown.
const REPLACEMENT: char = '\u{fffd}';

/// The text as a terminal may get it; line ends and tabs are ours and stay.
pub fn remove_controls(text: &str) -> String {
    text.chars().map(|c| if is_printable(c) || matches!(c, '\n' | '\t') { c } else { REPLACEMENT }).collect()
}

/// The same as one line that is not endless.
pub fn to_one_line(text: &str) -> String {
    const LONGEST: usize = 200;
    let mut shown: String = text.chars().take(LONGEST).map(|c| if is_printable(c) { c } else { REPLACEMENT }).collect();
    if text.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    shown
}

/// JSON that means the same, its strings without a character that is not shown.
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

/// Control characters could steer a terminal, others turn the direction of text, and what can't be seen hides in names.
pub fn is_printable(c: char) -> bool {
    !c.is_control() && !is_invisible(c) && !is_bidi_control(c)
}

/// Line and paragraph separator, and the characters that only mark up other text (Unicode 16, general category Cf).
fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{600}'..='\u{605}' | '\u{2028}' | '\u{2029}' | '\u{fff9}'..='\u{fffb}')
}

/// `Default_Ignorable_Code_Point` (Unicode 16, `DerivedCoreProperties.txt`): nothing is drawn for them. The characters
/// of direction are among them.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// A word as a shell reads it back: for lines that people copy.
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
    fn a_name_cannot_steer_the_terminal_nor_hide_in_it() {
        assert_eq!(remove_controls("a\x1b[2Jb\n\t\u{9b}\x7f"), "a\u{fffd}[2Jb\n\t\u{fffd}\u{fffd}");
        assert_eq!(remove_controls("a\u{202e}b\u{200b}c\u{feff}\u{e0041}"), "a\u{fffd}b\u{fffd}c\u{fffd}\u{fffd}");
        assert_eq!(remove_controls("naïve — Ärger 日本"), "naïve — Ärger 日本");
    }

    #[test]
    fn what_servers_say_is_one_short_line() {
        assert_eq!(to_one_line("a\x1b[2Jb\r\n\u{202e}"), "a\u{fffd}[2Jb\u{fffd}\u{fffd}\u{fffd}");
        assert_eq!(to_one_line(&"x".repeat(1000)).chars().count(), 201);
    }

    #[test]
    fn json_is_escaped_and_means_the_same() {
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
