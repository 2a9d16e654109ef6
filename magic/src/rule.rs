//! A rule: which programs the kernel starts with which interpreter.

use std::fmt;

use crate::line::printable;
use crate::{Flags, LINE_MAX, LINE_MIN, Pattern, WINDOW};

/// The longest name of an entry: it becomes a file's name (`NAME_MAX`; 256 gave ENAMETOOLONG on Linux 6.18).
pub const NAME_MAX: usize = 255;

/// The fields of a line for `/proc/sys/fs/binfmt_misc/register`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rule {
    /// Name of its file below `/proc/sys/fs/binfmt_misc`
    pub name: EntryName,
    /// How its programs are recognised.
    pub recognition: Recognition,
    /// The path of the interpreter.
    pub interpreter: Vec<u8>,
    /// How the interpreter is started.
    pub flags: Flags,
}

impl Rule {
    /// Whether the kernel would match a file that begins with `head`
    ///
    /// A rule by extension does not depend on the content, so the answer is `false`.
    pub fn matches(&self, head: &[u8]) -> bool {
        self.pattern().is_some_and(|pattern| pattern.matches(head))
    }

    /// Whether the kernel would match the file at `path`, which begins with `head`
    ///
    /// `path` is the file's as it was given to execve(2), or as the interpreter before it was named: what follows its
    /// last dot is compared (`search_binfmt_handler`), slashes included, so a dot in a directory's name hides nothing.
    pub fn matches_file(&self, path: &[u8], head: &[u8]) -> bool {
        match &self.recognition {
            Recognition::Magic(pattern) => pattern.matches(head),
            Recognition::Extension(suffix) => extension(path) == Some(suffix),
        }
    }

    /// Returns the pattern, if programs are recognised by their content.
    pub fn pattern(&self) -> Option<&Pattern> {
        match &self.recognition {
            Recognition::Magic(pattern) => Some(pattern),
            Recognition::Extension(_) => None,
        }
    }

    /// Checks the public fields as the kernel does.
    pub(crate) fn check_fields(&self) -> Result<(), RuleError> {
        if self.interpreter.is_empty() || self.interpreter.contains(&0) {
            return Err(RuleError::Interpreter);
        }
        match &self.recognition {
            Recognition::Extension(suffix) if suffix.is_empty() || suffix.iter().any(|b| b"/\0".contains(b)) => {
                Err(RuleError::Extension)
            }
            _ => Ok(()),
        }
    }
}

/// Returns the text after the last dot of a path, as the kernel sees it.
pub fn extension(path: &[u8]) -> Option<&[u8]> {
    let dot = path.iter().rposition(|&byte| byte == b'.')?;
    path.get(dot..)?.strip_prefix(b".")
}

/// The two types of rules that every kernel knows: `M` and `E`. [`BpfHandler`](crate::BpfHandler) describes entries of type `B`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Recognition {
    /// By the first bytes of the file
    Magic(Pattern),
    /// By the text after the last dot of the path, compared byte by byte
    Extension(Vec<u8>),
}

/// The name of an entry.
///
/// The kernel requires it to be non-empty, no longer than [`NAME_MAX`], without `/` and NUL, and neither `.` nor `..`;
/// `register` and `status` are its own files, so these names are always in use (EEXIST). Nothing else is rejected,
/// neither there nor here: colons, blanks, newlines and bytes that are not UTF-8 are kept as they are.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntryName(Vec<u8>);

impl EntryName {
    /// Checks a name as the kernel does.
    pub fn new(name: impl Into<Vec<u8>>) -> Result<Self, RuleError> {
        let name = name.into();
        let why = match name.as_slice() {
            b"" => "it is empty",
            b"." | b".." | b"register" | b"status" => "that file is always there",
            name if name.iter().any(|byte| b"/\0".contains(byte)) => "it cannot be a file's name",
            name if name.len() > NAME_MAX => "it is longer than 255 bytes",
            _ => return Ok(Self(name)),
        };
        Err(RuleError::Name { name: printable(&name), why })
    }

    /// Returns the bytes of the name.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the name as text, unless it is not UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }
}

/// For messages: bytes that cannot be shown are escaped as `\xHH`.
impl fmt::Display for EntryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&printable(&self.0))
    }
}

impl AsRef<[u8]> for EntryName {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl TryFrom<&str> for EntryName {
    type Error = RuleError;

    fn try_from(name: &str) -> Result<Self, RuleError> {
        Self::new(name)
    }
}

/// Why bytes are not a valid rule, line or entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RuleError {
    /// The line's length is out of bounds.
    #[error("a rule takes {LINE_MIN} to {LINE_MAX} bytes, not {0}")]
    LineLength(usize),
    /// The kernel would read the first byte, which separates the fields, as part of what follows.
    #[error("{:?} cannot separate the fields of a rule", char::from(*.0))]
    Delimiter(u8),
    /// Every byte is used in the name or the interpreter.
    #[error("no byte is left to separate the fields of the rule")]
    NoDelimiter,
    /// The line ends, or holds a NUL byte, before this field is closed.
    #[error("the {0} of the rule is not closed by the separator")]
    Unterminated(&'static str),
    /// The name is not valid for an entry.
    #[error("{name:?} cannot name an entry: {why}")]
    Name {
        /// The name, printable.
        name: String,
        /// The reason.
        why: &'static str,
    },
    /// Neither `M` nor `E`.
    #[error("a rule is of type M or E")]
    Type,
    /// Not a decimal number, or negative, or too large.
    #[error("the offset {0:?} is not a decimal number from 0 to 255")]
    Offset(String),
    /// `\x` is followed by something else than two hexadecimal digits.
    #[error(r"the {0} of the rule has a \x without two hexadecimal digits")]
    Escape(&'static str),
    /// There is nothing to compare.
    #[error("the magic of the rule is empty")]
    EmptyMagic,
    /// Magic and mask differ in length.
    #[error("the magic of the rule has {magic} bytes, its mask {mask}")]
    MaskLength {
        /// Bytes of magic.
        magic: usize,
        /// Bytes of mask.
        mask: usize,
    },
    /// The magic does not lie within the first bytes of the file.
    #[error("{size} bytes at offset {offset} are not within the first {WINDOW} bytes of a file")]
    Window {
        /// Where the magic lies.
        offset: usize,
        /// How long it is.
        size: usize,
    },
    /// The extension is empty or cannot be part of a file's name.
    #[error("the extension of the rule is empty or holds a slash or NUL byte")]
    Extension,
    /// The interpreter is empty or cannot be a path.
    #[error("the interpreter of the rule is empty or holds a NUL byte")]
    Interpreter,
    /// A letter that is not a flag of that kernel, or other text after the flags.
    #[error("{:?} is not one of the flags P, O, C and F{}", char::from(*.0), newer_flag(*.0))]
    Flag(u8),
    /// Flags that exclude each other.
    #[error("flag {0}")]
    FlagPair(&'static str),
    /// The kernel would look for the interpreter in the directory of the caller.
    #[error("with flag C or L and without F the path of the interpreter must be absolute")]
    Relative,
    /// Not the text that the kernel shows for an entry.
    #[error("the text of the entry has no proper {0:?} line")]
    EntryText(&'static str),
}

fn newer_flag(letter: u8) -> &'static str {
    if b"TLD".contains(&letter) { "; Linux 7.3 has it" } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_kernels() {
        for good in ["a", "qemu-aarch64", "two words", "a:b", "line\nbreak", "..."] {
            assert_eq!(EntryName::new(good).unwrap().as_str(), Some(good));
        }
        assert_eq!(EntryName::new(vec![0xff]).unwrap().to_string(), r"\xff");
        for bad in ["", ".", "..", "a/b", "a\0b", "register", "status", &"a".repeat(256)] {
            assert!(EntryName::new(bad).is_err(), "{bad:?}");
        }
        assert!(EntryName::new("a".repeat(255)).is_ok());
    }

    #[test]
    fn an_extension_is_what_follows_the_last_dot() {
        for (path, after) in
            [("a.b", Some("b")), ("/x.y/z", Some("y/z")), ("a.", Some("")), ("a", None), ("..", Some(""))]
        {
            assert_eq!(extension(path.as_bytes()), after.map(str::as_bytes), "{path}");
        }
        let rule = Rule::parse(b":a:E::exe::/i:").unwrap();
        assert!(
            rule.matches_file(b"./x.exe", b"")
                && !rule.matches_file(b"./x.EXE", b"")
                && !rule.matches_file(b"exe", b"exe")
        );
    }

    #[test]
    fn messages_are_sentences() {
        let error = EntryName::new("a/b").unwrap_err().to_string();
        assert_eq!(error, "\"a/b\" cannot name an entry: it cannot be a file's name");
        assert_eq!(RuleError::Flag(b'f').to_string(), "'f' is not one of the flags P, O, C and F");
        assert_eq!(RuleError::LineLength(3).to_string(), "a rule takes 11 to 1920 bytes, not 3");
    }
}
