//! The text of a message in one form: no colours, plain quotes, single blanks, English words of the C library. Pure.
//!
//! Every program prints the same messages in its own way: Nix with colours and, since 2.34, with `"` around paths; a
//! terminal breaks long lines; a shell speaks the language of its user. Patterns are compared with this form only.

use crate::diagnose::doctor::messages::translations::TRANSLATIONS;

/// A text in one form, and in lower case (ASCII letters only, so that positions in both are the same).
#[derive(Debug)]
pub(super) struct MessageText {
    /// The text with its own upper and lower case, for what is quoted from it.
    pub(super) text: String,
    lower: String,
    grams: Grams,
}

impl MessageText {
    pub(super) fn new(raw: &str) -> Self {
        let mut text = flatten(raw);
        let mut lower = text.to_ascii_lowercase();
        let mut grams = Grams::of(&lower);
        for (english, translated) in TRANSLATIONS {
            for foreign in *translated {
                if grams.may_have(&foreign.to_ascii_lowercase()) && text.contains(foreign) {
                    text = text.replace(foreign, english);
                    lower = text.to_ascii_lowercase();
                    grams = Grams::of(&lower);
                }
            }
        }
        Self { text, lower, grams }
    }

    /// Returns the position of the next occurrence of a text in lower case, at most `reach` bytes after `from`.
    pub(super) fn find_within(&self, needle: &str, from: usize, reach: usize) -> Option<usize> {
        if !self.grams.may_have(needle) {
            return None;
        }
        let mut end = from.saturating_add(reach).saturating_add(needle.len()).min(self.lower.len());
        while !self.lower.is_char_boundary(end) {
            end = end.saturating_add(1);
        }
        let start = self.lower.get(from..end)?.find(needle)?;
        (start <= reach).then(|| start.saturating_add(from))
    }

    /// Returns the text before a position, at most so many bytes.
    pub(super) fn before(&self, end: usize, length: usize) -> &str {
        let mut start = end.saturating_sub(length);
        while !self.text.is_char_boundary(start) {
            start = start.saturating_add(1);
        }
        self.text.get(start..end).unwrap_or_default()
    }

    /// Whether the text has these words, in lower case.
    pub(super) fn contains(&self, needle: &str) -> bool {
        self.find_within(needle, 0, usize::MAX).is_some()
    }
}

/// Brings a text into one form.
fn flatten(raw: &str) -> String {
    let mut flat = String::with_capacity(raw.len());
    let mut chars = raw.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => skip_escape_sequence(&mut chars),
            '‘' | '’' | '‚' | '“' | '”' | '„' | '`' | '"' => flat.push('\''),
            // Chinese and Japanese messages have a wide colon, French ones a blank before it.
            '：' => push_colon(&mut flat, " "),
            ':' => push_colon(&mut flat, ""),
            _ if c.is_whitespace() && flat.ends_with(' ') => {}
            _ if c.is_whitespace() => flat.push(' '),
            // A shell that reads a program as text prints its bytes.
            _ if c.is_control() => {}
            _ => flat.push(c),
        }
    }
    flat
}

fn push_colon(flat: &mut String, after: &str) {
    if flat.ends_with(' ') {
        flat.pop();
    }
    flat.push(':');
    flat.push_str(after);
}

/// Skips the rest of an escape sequence of a terminal (ECMA-48, 5.4 and 5.6): CSI up to its final byte, OSC up to BEL or
/// ST, else one character.
fn skip_escape_sequence(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    match chars.next() {
        Some('[') => {
            // A sequence that was cut off does not hide the rest of the text.
            while chars.peek().is_some_and(|c| matches!(c, '\u{20}'..='\u{3f}')) {
                chars.next();
            }
            chars.next_if(|c| matches!(c, '\u{40}'..='\u{7e}'));
        }
        Some(']') => {
            while chars.next_if(|c| !matches!(c, '\u{7}' | '\u{1b}' | '\n')).is_some() {}
            chars.next_if(|c| *c == '\u{7}');
        }
        _ => {}
    }
}

/// The groups of three bytes that a text has. A log may be long, and the patterns are many: most of them are excluded
/// without a search.
struct Grams(Vec<u64>);

/// The number of bits of the hash of a group.
const GRAM_BITS: u32 = 18;

impl Grams {
    fn of(text: &str) -> Self {
        let mut grams = Self(vec![0; 1 << (GRAM_BITS - 6)]);
        for gram in text.as_bytes().windows(3) {
            let (word, bit) = Self::place(gram);
            if let Some(word) = grams.0.get_mut(word) {
                *word |= bit;
            }
        }
        grams
    }

    /// Whether the text may have these words; `false` is certain.
    fn may_have(&self, needle: &str) -> bool {
        needle.as_bytes().windows(3).all(|gram| {
            let (word, bit) = Self::place(gram);
            self.0.get(word).is_some_and(|word| word & bit != 0)
        })
    }

    fn place(gram: &[u8]) -> (usize, u64) {
        let number = gram.iter().fold(0_u32, |number, byte| number << 8 | u32::from(*byte));
        let hash = number.wrapping_mul(0x9e37_79b1) >> (32 - GRAM_BITS);
        (usize::try_from(hash >> 6).unwrap_or_default(), 1 << (hash & 63))
    }
}

impl std::fmt::Debug for Grams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Grams")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_print_a_message_has_one_form() {
        let form = |raw: &str| MessageText::new(raw).text;
        let plain = "error: a 'aarch64-linux' is required";
        assert_eq!(form(plain), plain);
        assert_eq!(form("\x1b[31;1merror:\x1b[0m a '\x1b[35;1maarch64-linux\x1b[0m'\n       is  required"), plain);
        assert_eq!(form("error: a ‘aarch64-linux’ is required"), plain);
        assert_eq!(form("error: a \"aarch64-linux\"\u{a0}is\trequired"), plain);
        assert_eq!(form("\x1b]8;;http://x\x07a\x1b[0"), "a");
        assert_eq!(form("x: 1: \x7fELF\x02\x01\x01 : not found"), "x: 1: ELF: not found");
    }

    #[test]
    fn the_words_of_the_c_library_and_of_bash_are_english() {
        let form = |raw: &str| MessageText::new(raw).text;
        let english = "./x: cannot execute binary file: Exec format error";
        assert_eq!(form("./x : impossible d'exécuter le fichier binaire : Erreur de format pour exec()"), english);
        assert_eq!(form("./x: 无法执行二进制文件：可执行文件格式错误"), english);
    }

    #[test]
    fn an_absent_word_is_not_searched() {
        let text = MessageText::new("Exec format error");
        assert!(text.contains("format error") && text.contains("ex") && !text.contains("format errors"));
        assert_eq!(text.find_within("format", 0, 5), Some(5));
        assert_eq!(text.find_within("format", 0, 4), None);
        assert_eq!(text.before(11, 6), "format");
    }
}
