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

/// An entry of type `B`, which Linux 7.3 has with `CONFIG_BINFMT_MISC_BPF`: a BPF program decides which files it takes, and
/// which interpreter they get. There is no pattern to compare.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BpfHandler {
    /// Whether the entry is enabled
    pub enabled: bool,
    /// The name of the BPF program (`struct binfmt_misc_ops`)
    pub program: Vec<u8>,
    /// The interpreters that the program may choose, by name and path; empty if it names paths itself
    pub interpreters: Vec<(Vec<u8>, Vec<u8>)>,
}

impl BpfHandler {
    /// Parses the text as `bm_entry_show` of the kernel's `fs/binfmt_misc.c` writes it (read at Linux 7.3.4).
    pub fn parse(text: &[u8]) -> Result<Self, RuleError> {
        let fail = RuleError::EntryText("bpf");
        let mut lines = text.strip_suffix(b"\nflags: \n").ok_or(fail.clone())?.split(|byte| *byte == b'\n');
        let enabled = match lines.next() {
            Some(b"enabled") => true,
            Some(b"disabled") => false,
            _ => return Err(fail),
        };
        let program = lines.next().and_then(|line| line.strip_prefix(b"bpf ")).ok_or(fail.clone())?.to_vec();
        let mut interpreters: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        for line in lines {
            let pair = line.strip_prefix(b"bpf-interpreter ").and_then(|pair| {
                let (name, path) = pair.split_at_checked(pair.iter().position(|byte| *byte == b' ')?)?;
                Some((name.to_vec(), path.strip_prefix(b" ")?.to_vec()))
            });
            match (pair, interpreters.last_mut()) {
                (Some(pair), _) => interpreters.push(pair),
                // A line end in a path.
                (None, Some((_, path))) => path.extend([b"\n", line].concat()),
                (None, None) => return Err(fail),
            }
        }
        Ok(Self { enabled, program, interpreters })
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

    /// The texts of the kernel's `Documentation/admin-guide/binfmt-misc.rst` at Linux 7.3.4; Debian's kernel has no type B.
    #[test]
    fn an_entry_of_type_b_is_read() {
        let text = b"enabled\nbpf my_handler\nbpf-interpreter aarch64 /usr/bin/qemu-aarch64\nbpf-interpreter arm /a b\nc\nflags: \n";
        let handler = BpfHandler::parse(text).unwrap();
        assert!(handler.enabled && handler.program == b"my_handler");
        assert_eq!(handler.interpreters[0], (b"aarch64".to_vec(), b"/usr/bin/qemu-aarch64".to_vec()));
        assert_eq!(handler.interpreters[1], (b"arm".to_vec(), b"/a b\nc".to_vec()));
        let handler = BpfHandler::parse(b"disabled\nbpf x\nflags: \n").unwrap();
        assert!(!handler.enabled && handler.interpreters.is_empty());
        assert!(Entry::parse("a", text).is_err());
        for other in [TEXT.as_bytes(), b"", b"enabled\nbpf x\nflags: F\n", b"enabled\nbpf x\nmore\nflags: \n"] {
            assert!(BpfHandler::parse(other).is_err(), "{}", other.escape_ascii());
        }
    }

    #[test]
    fn flags_of_linux_7_3_are_read() {
        let text = "enabled\ninterpreter /i\nflags: OFT\nextension .x\n";
        let entry = Entry::parse("a", text.as_bytes()).unwrap();
        assert!(entry.rule.flags.transparent && entry.rule.flags.needs_linux_7_3());
        assert_eq!(entry.to_text(), text.as_bytes());
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
