//! The line that `/proc/sys/fs/binfmt_misc/register` accepts: `:name:type:offset:magic:mask:interpreter:flags`.
//!
//! Parsing follows `create_entry` and `scanarg` of the kernel's `fs/binfmt_misc.c` and `string_unescape` of its
//! `lib/string_helpers.c` step by step; `tests/kernel_oracle.rs` compares it with the running kernel.

use std::fmt::Write as _;

use crate::{EntryName, Flags, Pattern, Recognition, Rule, RuleError};

/// Length of the shortest line that the kernel parses.
pub const LINE_MIN: usize = 11;
/// Length of the longest line that the kernel accepts: `MAX_REGISTER_LENGTH`, since Linux 3.18.
pub const LINE_MAX: usize = 1920;

/// The kernel appends the delimiter eight times and then reads these bytes as flags, or as the final newline.
const NO_DELIMITER: &[u8] = b"TLDPOCF\n";

/// What the lines of a kernel may contain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Syntax {
    /// Linux 4.8 to 7.2: the flags P, O, C and F
    Linux4_8,
    /// Linux 7.3: also T, L and D. The path of an interpreter with C or L must be absolute, unless F holds its file. Type B
    /// is not read: its rules have no pattern.
    Linux7_3,
}

impl Syntax {
    /// The bytes that cannot separate fields.
    fn no_delimiter(self) -> &'static [u8] {
        match self {
            Self::Linux4_8 => NO_DELIMITER.strip_prefix(b"TLD").unwrap_or(NO_DELIMITER),
            Self::Linux7_3 => NO_DELIMITER,
        }
    }

    fn check(self, rule: &Rule) -> Result<(), RuleError> {
        let flags = rule.flags;
        let newer = [(flags.transparent, b'T'), (flags.loader, b'L'), (flags.disabled, b'D')];
        let newer = newer.into_iter().find_map(|(set, letter)| set.then_some(letter));
        let is_opened_late = (flags.loader || flags.credentials) && !flags.fix_binary;
        match (self, newer) {
            (Self::Linux4_8, Some(letter)) => Err(RuleError::Flag(letter)),
            (Self::Linux7_3, _) if is_opened_late && !rule.interpreter.starts_with(b"/") => Err(RuleError::Relative),
            _ => Ok(()),
        }
    }
}

impl Rule {
    /// Parses a line as Linux 7.3 does. Its meaning is the same for every kernel that accepts it.
    pub fn parse(line: &[u8]) -> Result<Self, RuleError> {
        Self::parse_as(line, Syntax::Linux7_3)
    }

    /// Parses a line as a kernel does: it accepts exactly the lines that the kernel accepts, with the same meaning, except
    /// those of type `B`.
    ///
    /// So the first byte, whatever it is, separates the fields; one newline may follow; a raw NUL byte cuts magic
    /// and mask off. Conditions of the machine are not checked: whether the name is in use, and, with flag
    /// `F`, whether the interpreter can be opened.
    pub fn parse_as(line: &[u8], syntax: Syntax) -> Result<Self, RuleError> {
        let (&delimiter, rest) = match line.split_first() {
            Some(first) if (LINE_MIN..=LINE_MAX).contains(&line.len()) => first,
            _ => return Err(RuleError::LineLength(line.len())),
        };
        let mut fields = LineFields { delimiter, rest };
        if syntax.no_delimiter().contains(&fields.delimiter) {
            return Err(RuleError::Delimiter(fields.delimiter));
        }
        let name = EntryName::new(fields.text("name")?)?;
        let recognition = match fields.kind()? {
            b'M' => Recognition::Magic(fields.pattern()?),
            b'E' => Recognition::Extension(fields.extension()?),
            _ => return Err(RuleError::Type),
        };
        let interpreter = fields.text("interpreter")?.to_vec();
        let flags = Flags::parse(fields.rest.strip_suffix(b"\n").unwrap_or(fields.rest))?;
        let rule = Self { name, recognition, interpreter, flags };
        syntax.check(&rule)?;
        rule.check_fields().map(|()| rule)
    }

    /// Returns the line for the kernel, without a newline.
    ///
    /// Magic and mask are written as `\xHH` throughout, which every reader of such lines understands. Only where
    /// that does not fit are bytes written as themselves, except those that would be read otherwise (NUL,
    /// backslash, the separator). The separator is a colon unless name or interpreter hold one.
    pub fn to_line(&self) -> Result<Vec<u8>, RuleError> {
        self.check_fields()?;
        self.flags.check()?;
        let delimiter = self.delimiter().ok_or(RuleError::NoDelimiter)?;
        let full = self.line_with(delimiter, escape_all);
        let line = if full.len() > LINE_MAX { self.line_with(delimiter, |b| escape_some(b, delimiter)) } else { full };
        if line.len() > LINE_MAX { Err(RuleError::LineLength(line.len())) } else { Ok(line) }
    }

    fn line_with(&self, delimiter: u8, escape: impl Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
        let (kind, offset, magic, mask) = match &self.recognition {
            Recognition::Magic(pattern) => {
                let mask = pattern.mask().map(&escape).unwrap_or_default();
                ("M", pattern.offset().to_string(), escape(pattern.magic()), mask)
            }
            Recognition::Extension(suffix) => ("E", String::new(), suffix.clone(), Vec::new()),
        };
        let flags = self.flags.to_string();
        let fields: [&[u8]; 8] = [
            b"",
            self.name.as_bytes(),
            kind.as_bytes(),
            offset.as_bytes(),
            &magic,
            &mask,
            &self.interpreter,
            flags.as_bytes(),
        ];
        fields.join(&delimiter)
    }

    /// A colon; or else a byte that occurs nowhere, printable if there is one.
    fn delimiter(&self) -> Option<u8> {
        // Of the later ones, digits and letters could be read as parts of an escape or an offset, and a line of
        // /etc/binfmt.d that begins with `#` or `;` is a comment.
        let all = b":,|!%&=+~^@$?*".iter().copied().chain(1..=0x1f).chain(0x7f..=0xff);
        all.filter(|byte| !NO_DELIMITER.contains(byte)).find(|byte| {
            let suffix: &[u8] = if let Recognition::Extension(suffix) = &self.recognition { suffix } else { b"" };
            ![self.name.as_bytes(), &self.interpreter, suffix].iter().any(|field| field.contains(byte))
        })
    }
}

/// The rest of a line.
struct LineFields<'a> {
    delimiter: u8,
    rest: &'a [u8],
}

impl<'a> LineFields<'a> {
    /// A field without escapes. It is a C string to the kernel: a NUL byte hides the delimiter behind it.
    fn text(&mut self, field: &'static str) -> Result<&'a [u8], RuleError> {
        let end = self.rest.iter().position(|&byte| byte == self.delimiter || byte == 0);
        self.cut(end.filter(|&end| self.rest.get(end) == Some(&self.delimiter)), field)
    }

    /// The type: one byte, even if it is the delimiter, and a delimiter.
    fn kind(&mut self) -> Result<u8, RuleError> {
        let kind = *self.rest.first().ok_or(RuleError::Type)?;
        self.cut(Some(1).filter(|_| self.rest.get(1) == Some(&self.delimiter)), "type")?;
        Ok(kind)
    }

    /// A field with escapes; a delimiter within an escape does not end it.
    fn escaped(&mut self, field: &'static str) -> Result<Vec<u8>, RuleError> {
        let mut behind = self.rest;
        loop {
            behind = match behind {
                [] => return Err(RuleError::Unterminated(field)),
                [byte, ..] if *byte == self.delimiter => break,
                [b'\\', b'x', high, low, behind @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => behind,
                [b'\\', b'x', ..] => return Err(RuleError::Escape(field)),
                [_, behind @ ..] => behind,
            };
        }
        self.cut(self.rest.len().checked_sub(behind.len()), field).map(unescape)
    }

    fn cut(&mut self, end: Option<usize>, field: &'static str) -> Result<&'a [u8], RuleError> {
        match end.and_then(|end| self.rest.split_at_checked(end)) {
            Some((found, [_delimiter, rest @ ..])) => {
                self.rest = rest;
                Ok(found)
            }
            _ => Err(RuleError::Unterminated(field)),
        }
    }

    fn pattern(&mut self) -> Result<Pattern, RuleError> {
        let offset = decimal(self.text("offset")?)?;
        let magic = self.escaped("magic")?;
        let mask = self.escaped("mask")?;
        Pattern::new(offset, magic, Some(mask).filter(|mask| !mask.is_empty()))
    }

    /// The kernel ignores the offset and the mask of such a rule.
    fn extension(&mut self) -> Result<Vec<u8>, RuleError> {
        self.text("offset")?;
        let suffix = self.text("extension")?;
        self.text("mask")?;
        Ok(suffix.to_vec())
    }
}

/// `kstrtoint(…, 10, …)`: a sign and a final newline are allowed; nothing at all is 0.
fn decimal(text: &[u8]) -> Result<usize, RuleError> {
    let digits = text.strip_suffix(b"\n").unwrap_or(text);
    let (negative, digits) = match digits {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, digits),
    };
    let number = match std::str::from_utf8(digits) {
        _ if text.is_empty() => Some(0),
        Ok(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse::<usize>().ok(),
        _ => None,
    };
    number.filter(|&number| !(negative && number > 0)).ok_or_else(|| RuleError::Offset(printable(text)))
}

/// `string_unescape_inplace(…, UNESCAPE_HEX)`: reads up to the first NUL byte; a backslash that does not begin
/// `\xHH` stands for itself together with the next byte, so `\\x41` is not the letter A.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut rest = field.split(|&byte| byte == 0).next().unwrap_or_default();
    let mut out = Vec::with_capacity(rest.len());
    loop {
        rest = match rest {
            [] => return out,
            [b'\\', b'x', high, low, rest @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                out.push(nibble(*high) << 4 | nibble(*low));
                rest
            }
            [b'\\', next, rest @ ..] => {
                out.extend([b'\\', *next]);
                rest
            }
            [byte, rest @ ..] => {
                out.push(*byte);
                rest
            }
        };
    }
}

/// The value of a hexadecimal digit.
fn nibble(digit: u8) -> u8 {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok()).unwrap_or_default()
}

fn escape_all(bytes: &[u8]) -> Vec<u8> {
    let mut out = String::with_capacity(bytes.len().saturating_mul(4));
    for byte in bytes {
        let _ = write!(out, r"\x{byte:02x}");
    }
    out.into_bytes()
}

fn escape_some(bytes: &[u8], delimiter: u8) -> Vec<u8> {
    let special = [0, b'\\', delimiter];
    bytes.iter().flat_map(|byte| if special.contains(byte) { escape_all(&[*byte]) } else { vec![*byte] }).collect()
}

/// Bytes for a message: as text where they are, else as `\xHH`.
pub(crate) fn printable(bytes: &[u8]) -> String {
    bytes.utf8_chunks().fold(String::new(), |mut out, chunk| {
        out.push_str(chunk.valid());
        chunk.invalid().iter().for_each(|byte| {
            let _ = write!(out, r"\x{byte:02x}");
        });
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn magic(line: &[u8]) -> Result<Vec<u8>, RuleError> {
        Rule::parse(line).map(|rule| rule.pattern().unwrap().magic().to_vec())
    }

    #[test]
    fn a_line_of_qemus_script_is_read() {
        let line = br":qemu-arm:M::\x7fELF\x01\x01:\xff\xff\xff\xff\xff\xff:/usr/bin/qemu-arm:F";
        let rule = Rule::parse(line).unwrap();
        assert_eq!(rule.name.as_str(), Some("qemu-arm"));
        assert_eq!(rule.pattern().unwrap().magic(), b"\x7fELF\x01\x01");
        assert_eq!(rule.interpreter, b"/usr/bin/qemu-arm");
        assert_eq!(rule.flags.to_string(), "F");
    }

    #[test]
    fn escapes_are_the_kernels() {
        assert_eq!(magic(br":a:M::\x41\xfF::i:"), Ok(vec![0x41, 0xff]));
        assert_eq!(magic(br":a:M::\\x41::i:"), Ok(br"\\x41".to_vec()));
        assert_eq!(magic(br":a:M::\n\101::i:"), Ok(br"\n\101".to_vec()));
        assert_eq!(magic(br":a:M::\x4::i:..."), Err(RuleError::Escape("magic")));
        assert_eq!(magic(b":a:M::ab\0cd::i:"), Ok(b"ab".to_vec()));
    }

    #[test]
    fn another_separator_is_taken_where_there_are_colons() {
        let rule = Rule::parse(b",a:b,M,,m,,/i:j,").unwrap();
        assert_eq!(rule.to_line().unwrap(), br",a:b,M,0,\x6d,,/i:j,");
    }

    #[test]
    fn lines_of_linux_7_3_are_refused_by_older_kernels() {
        for line in [":a:E::x::/i:T", ":a:E::x::/i:LF", ":a:E::x::/i:PD"] {
            let rule = Rule::parse(line.as_bytes()).unwrap();
            assert!(rule.flags.needs_linux_7_3());
            assert!(matches!(
                Rule::parse_as(line.as_bytes(), Syntax::Linux4_8),
                Err(RuleError::Flag(b'T' | b'L' | b'D'))
            ));
        }
        for (line, error) in [(":a:E::x::i:C", RuleError::Relative), ("TaTETTxTTiT", RuleError::Delimiter(b'T'))] {
            assert!(Rule::parse_as(line.as_bytes(), Syntax::Linux4_8).is_ok(), "{line}");
            assert_eq!(Rule::parse(line.as_bytes()), Err(error));
        }
        assert!(Rule::parse(b":a:E::x::i:CF").is_ok());
    }

    #[test]
    fn nul_is_always_escaped() {
        let pattern = Pattern::new(0, [0, 1], Some(vec![0xff, 0])).unwrap();
        let rule = Rule {
            name: EntryName::new("a").unwrap(),
            recognition: Recognition::Magic(pattern),
            interpreter: b"/i".to_vec(),
            flags: Flags::default(),
        };
        assert_eq!(rule.to_line().unwrap(), br":a:M:0:\x00\x01:\xff\x00:/i:");
        assert_eq!(Rule { interpreter: b"/i\0j".to_vec(), ..rule }.to_line(), Err(RuleError::Interpreter));
    }

    #[test]
    fn a_long_magic_is_written_as_itself() {
        let line = format!(":a:M::{}:{}:/i:", "m".repeat(256), "\\xff".repeat(256));
        let rule = Rule::parse(line.as_bytes()).unwrap();
        let printed = rule.to_line().unwrap();
        assert!(printed.len() < LINE_MAX);
        assert_eq!(Rule::parse(&printed), Ok(rule));
    }
}
