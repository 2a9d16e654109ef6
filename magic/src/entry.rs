//! The text that a file below `/proc/sys/fs/binfmt_misc` shows for its entry.

use std::fmt::Write as _;

use crate::{EntryName, Flags, Pattern, Recognition, Rule, RuleError};

/// A registered rule, and whether it is in force.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// Whether the entry is enabled: the last value written to its file was `1`, or none was written
    pub enabled: bool,
    /// The registered rule
    pub rule: Rule,
}

impl Entry {
    /// Parses the text as `entry_status` of the kernel's `fs/binfmt_misc.c` writes it.
    ///
    /// An interpreter's path may hold newlines, so the search for the `flags:` line begins at the end. (An extension
    /// may hold newlines too. One that contains a whole `flags:` line could be read in two ways; the last one is
    /// taken.)
    pub fn parse(name: impl AsRef<[u8]>, text: &[u8]) -> Result<Self, RuleError> {
        let name = EntryName::new(name.as_ref())?;
        let (enabled, rest) = match (text.strip_prefix(b"enabled\n"), text.strip_prefix(b"disabled\n")) {
            (Some(rest), _) => (true, rest),
            (_, Some(rest)) => (false, rest),
            _ => return Err(RuleError::EntryText("enabled")),
        };
        let rest = rest.strip_prefix(b"interpreter ").ok_or(RuleError::EntryText("interpreter"))?;
        let (interpreter, rest) = split_last(rest, b"\nflags: ").ok_or(RuleError::EntryText("flags"))?;
        let (flags, rest) = split_line(rest).ok_or(RuleError::EntryText("flags"))?;
        let rule = Rule {
            name,
            recognition: parse_recognition(rest)?,
            interpreter: interpreter.to_vec(),
            flags: Flags::parse(flags)?,
        };
        rule.check_fields().map(|()| Self { enabled, rule })
    }

    /// Returns the text that the kernel would show, byte by byte.
    pub fn to_text(&self) -> Vec<u8> {
        let mut text: Vec<u8> = if self.enabled { "enabled" } else { "disabled" }.into();
        text.extend(b"\ninterpreter ");
        text.extend(&self.rule.interpreter);
        text.extend(format!("\nflags: {}\n", self.rule.flags.normalised()).into_bytes());
        match &self.rule.recognition {
            Recognition::Magic(pattern) => {
                text.extend(format!("offset {}\nmagic {}\n", pattern.offset(), hex(pattern.magic())).into_bytes());
                if let Some(mask) = pattern.mask() {
                    text.extend(format!("mask {}\n", hex(mask)).into_bytes());
                }
            }
            Recognition::Extension(suffix) => {
                text.extend(b"extension .");
                text.extend(suffix);
                text.push(b'\n');
            }
        }
        text
    }
}

fn parse_recognition(text: &[u8]) -> Result<Recognition, RuleError> {
    if let Some(suffix) = text.strip_prefix(b"extension .") {
        let suffix = suffix.strip_suffix(b"\n").ok_or(RuleError::EntryText("extension"))?;
        return Ok(Recognition::Extension(suffix.to_vec()));
    }
    let (offset, rest) = parse_labelled_line(text, "offset")?;
    let offset = std::str::from_utf8(offset).ok().and_then(|offset| offset.parse().ok());
    let (magic, rest) = parse_labelled_line(rest, "magic")?;
    let mask = match rest {
        [] => None,
        rest => match parse_labelled_line(rest, "mask")? {
            (mask, []) => Some(parse_hex(mask).ok_or(RuleError::EntryText("mask"))?),
            _ => return Err(RuleError::EntryText("mask")),
        },
    };
    let magic = parse_hex(magic).ok_or(RuleError::EntryText("magic"))?;
    Pattern::new(offset.ok_or(RuleError::EntryText("offset"))?, magic, mask).map(Recognition::Magic)
}

/// The value of a line that must begin with `label`, and what follows the line.
fn parse_labelled_line<'a>(text: &'a [u8], label: &'static str) -> Result<(&'a [u8], &'a [u8]), RuleError> {
    let value = text.strip_prefix(label.as_bytes()).and_then(|rest| rest.strip_prefix(b" "));
    value.and_then(split_line).ok_or(RuleError::EntryText(label))
}

fn split_line(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut parts = text.splitn(2, |&byte| byte == b'\n');
    Some((parts.next()?, parts.next()?))
}

fn split_last<'a>(text: &'a [u8], separator: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = text.windows(separator.len()).rposition(|window| window == separator)?;
    let (before, rest) = text.split_at_checked(at)?;
    Some((before, rest.strip_prefix(separator)?))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

fn parse_hex(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, odd) = text.as_chunks::<2>();
    let bytes = pairs.iter().map(|[high, low]| Some(digit(high)? << 4 | digit(low)?));
    if odd.is_empty() { bytes.collect() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "enabled\ninterpreter /usr/bin/qemu-arm\nflags: POCF\noffset 0\nmagic 7f454c46\nmask fffffffe\n";

    #[test]
    fn an_entry_is_read_and_printed() {
        let entry = Entry::parse("qemu-arm", TEXT.as_bytes()).unwrap();
        assert!(entry.enabled);
        assert_eq!(entry.rule.pattern().unwrap().mask(), Some([0xff, 0xff, 0xff, 0xfe].as_slice()));
        assert_eq!(entry.to_text(), TEXT.as_bytes());
    }

    #[test]
    fn an_extension_is_read() {
        let text = b"disabled\ninterpreter /bin/dos\nflags: \nextension .exe\n";
        let entry = Entry::parse("dos", text).unwrap();
        assert_eq!(entry.rule.recognition, Recognition::Extension(b"exe".to_vec()));
        assert!(!entry.enabled && entry.to_text() == text);
    }

    #[test]
    fn a_newline_in_the_interpreter_is_no_end() {
        let text = TEXT.replace("qemu-arm", "odd\nflags: F\nname");
        let entry = Entry::parse("odd", text.as_bytes()).unwrap();
        assert_eq!(entry.rule.interpreter, b"/usr/bin/odd\nflags: F\nname");
    }

    #[test]
    fn other_texts_are_refused() {
        for (from, to, field) in [
            ("enabled", "Enabled", "enabled"),
            ("interpreter", "interp", "interpreter"),
            ("flags: ", "flags ", "flags"),
            ("offset 0", "offset x", "offset"),
            ("7f454c46", "7f454c4", "magic"),
            ("fffffffe\n", "fffffffe\n\n", "mask"),
        ] {
            let text = TEXT.replacen(from, to, 1);
            assert_eq!(Entry::parse("a", text.as_bytes()), Err(RuleError::EntryText(field)), "{text}");
        }
    }
}
