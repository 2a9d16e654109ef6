//! Untrusted text made safe for a terminal and for readers, and shell quoting. Pure.
//!
//! A line that this tool prints is one line, whatever text is in it: [`escape_line`] shows line ends, control characters
//! and direction marks as escapes (`\n`, `\x1b`, `\u{202e}`). The room `ui` applies it to every line, so no caller can
//! forget it. Bytes become text by [`text_of`], which loses none of them.

pub mod command;
pub mod secrets;

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// Shows every character that would end the line, control a terminal or hide, as an escape. Escaping a text again
/// changes nothing, because a backslash stays as it is.
pub fn escape_line(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut line, c| {
        push_escaped(&mut line, c);
        line
    })
}

/// Like [`escape_line`], but gives at most 200 characters: for texts of servers and other programs.
pub fn to_one_line(text: &str) -> String {
    const MAX_LENGTH: usize = 200;
    let mut shown = String::new();
    let mut length: usize = 0;
    for c in text.chars() {
        let before = shown.len();
        push_escaped(&mut shown, c);
        length = length.saturating_add(shown.get(before..).unwrap_or_default().chars().count());
        if length > MAX_LENGTH {
            shown.truncate(before);
            shown.push('…');
            break;
        }
    }
    shown
}

fn push_escaped(line: &mut String, c: char) {
    // Writing to a String does not fail.
    match c {
        c if is_printable(c) => line.push(c),
        '\n' => line.push_str(r"\n"),
        '\r' => line.push_str(r"\r"),
        '\t' => line.push_str(r"\t"),
        '\0'..='\u{ff}' => drop(write!(line, r"\x{:02x}", u32::from(c))),
        c => drop(write!(line, r"\u{{{:x}}}", u32::from(c))),
    }
}

/// Mark of a text that stands for bytes that are not UTF-8.
const BYTES_MARK: &str = "bytes:";

/// Returns bytes of another program or of the kernel as text, without loss. UTF-8 stays as it is. Other bytes give
/// `bytes:`, and after it `\xNN` for each byte that is not UTF-8, and `\\` for a backslash. A text that begins with
/// `bytes:` itself is written in this form, too.
pub fn text_of(bytes: impl AsRef<OsStr>) -> String {
    let bytes = bytes.as_ref().as_bytes();
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.starts_with(BYTES_MARK) => return text.to_owned(),
        _ => {}
    }
    let mut text = BYTES_MARK.to_owned();
    for chunk in bytes.utf8_chunks() {
        text.push_str(&chunk.valid().replace('\\', r"\\"));
        for byte in chunk.invalid() {
            // Writing to a String does not fail.
            let _ = write!(text, r"\x{byte:02x}");
        }
    }
    text
}

/// Returns bytes as text, see [`text_of`].
pub fn text_of_bytes(bytes: &[u8]) -> String {
    text_of(OsStr::from_bytes(bytes))
}

/// Returns the bytes that a text of [`text_of`] stands for.
pub fn bytes_of(text: &str) -> Vec<u8> {
    let Some(mut rest) = text.strip_prefix(BYTES_MARK) else { return text.as_bytes().to_vec() };
    let mut bytes = Vec::with_capacity(rest.len());
    while let Some((plain, escape)) = rest.split_once('\\') {
        bytes.extend_from_slice(plain.as_bytes());
        let digits = escape.strip_prefix('x').and_then(|digits| digits.get(..2));
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.unwrap_or(b'\\'));
        let length = if byte.is_some() { 3 } else { usize::from(escape.starts_with('\\')) };
        rest = escape.get(length..).unwrap_or_default();
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

/// Paths and other names of the system as text.
pub trait AsText {
    /// Returns the name as text, without loss, see [`text_of`].
    fn as_text(&self) -> String;
}

impl AsText for Path {
    fn as_text(&self) -> String {
        text_of(self)
    }
}

impl AsText for OsStr {
    fn as_text(&self) -> String {
        text_of(self)
    }
}

/// Escapes every character that is not printable. The JSON has the same meaning.
pub fn sanitize_json(json: &str) -> String {
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

/// Quotes a word for a shell, for commands that users copy. The word may be a text of [`text_of`]. Characters that
/// are not printed, and bytes that are not UTF-8, need the form `$'…'` of bash, zsh and POSIX.1-2024 (2.2.4,
/// "Dollar-Single-Quotes").
pub fn shell_quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-=:,+@%".contains(c);
    let bytes = bytes_of(word);
    match std::str::from_utf8(&bytes) {
        Ok(word) if !word.is_empty() && word.chars().all(plain) => word.to_owned(),
        Ok(word) if word.chars().all(is_printable) => format!("'{}'", word.replace('\'', r"'\''")),
        _ => format!("$'{}'", bytes.utf8_chunks().map(|chunk| dollar_quote(&chunk)).collect::<String>()),
    }
}

/// Writes a part of a word for `$'…'`. Octal escapes end after three digits, hexadecimal ones do not end in each shell.
fn dollar_quote(chunk: &std::str::Utf8Chunk<'_>) -> String {
    let octal = |bytes: &[u8]| {
        bytes.iter().fold(String::new(), |mut text, byte| {
            // Writing to a String does not fail.
            let _ = write!(text, r"\{byte:03o}");
            text
        })
    };
    let shown = |c: char| match c {
        '\\' => r"\\".to_owned(),
        '\'' => r"\'".to_owned(),
        '\n' => r"\n".to_owned(),
        '\t' => r"\t".to_owned(),
        c if is_printable(c) => c.to_string(),
        c => octal(c.encode_utf8(&mut [0; 4]).as_bytes()),
    };
    chunk.valid().chars().map(shown).chain([octal(chunk.invalid())]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_shows_what_would_control_the_terminal_or_hide() {
        assert_eq!(escape_line("a\x1b[2Jb\n\r\t\u{9b}\x7f"), r"a\x1b[2Jb\n\r\t\x9b\x7f");
        assert_eq!(
            escape_line("a\u{202e}b\u{200b}c\u{feff}\u{e0041}\u{2028}"),
            r"a\u{202e}b\u{200b}c\u{feff}\u{e0041}\u{2028}"
        );
        assert_eq!(escape_line(r"naïve — Ärger 日本 C:\new"), r"naïve — Ärger 日本 C:\new");
    }

    #[test]
    fn text_of_servers_becomes_one_short_line() {
        assert_eq!(to_one_line("a\x1b[2Jb\r\n\u{202e}"), r"a\x1b[2Jb\r\n\u{202e}");
        assert_eq!(to_one_line(&"x".repeat(1000)).chars().count(), 201);
        let escapes = to_one_line(&"\x1b".repeat(1000));
        assert_eq!((escapes.chars().count(), to_one_line(&escapes)), (201, escapes.clone()));
    }

    #[test]
    fn bytes_become_text_without_loss() {
        for (bytes, text) in [
            (&b"/a b\n"[..], "/a b\n"),
            (b"C:\\new", "C:\\new"),
            (b"/a\xff\\x", r"bytes:/a\xff\\x"),
            (b"\xe2\x82", r"bytes:\xe2\x82"),
            (b"bytes:\\xff", r"bytes:bytes:\\xff"),
        ] {
            assert_eq!(text_of_bytes(bytes), text);
            assert_eq!(bytes_of(text), bytes);
        }
        for malformed in [r"bytes:\", r"bytes:\x", r"bytes:\xg0", r"bytes:\xé", "bytes:\\é"] {
            assert!(!bytes_of(malformed).is_empty());
        }
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
        assert_eq!(shell_quote("it's\n\x1b1\\"), r"$'it\'s\n\0331\\'");
        assert_eq!(shell_quote(&text_of_bytes(b"/a\xff b")), r"$'/a\377 b'");
        assert_eq!(shell_quote(&text_of_bytes(b"bytes:x")), "bytes:x");
    }
}
