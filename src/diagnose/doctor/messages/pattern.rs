//! The language of the patterns of messages. Pure.
//!
//! A pattern is the message in lower case. In it stand:
//!
//! | | |
//! |---|---|
//! | `…` | anything, up to [`REACH`] bytes |
//! | `<wanted>`, `<host>` | the name of a system: the one that is needed, and that of the machine |
//! | `<features>`, `<available>` | Nix's system features: those that are needed, and those of the machine |
//! | `<file>`, `<drv>`, `<machine>`, `<name>`, `<line>` | a path, a derivation, a store's URI, a name, a line of a file |
//! | `<:errors>` | one of the words in [`WORDS`] |
//!
//! A pattern that begins or ends with a letter or digit matches whole words only.

use crate::diagnose::doctor::messages::text::MessageText;

/// The maximum distance between two parts of a message, in bytes: other messages of a log are not parts of it.
const REACH: usize = 400;

/// The role of a piece of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// The system that is needed.
    Wanted,
    /// The system of the machine that prints the message.
    Host,
    /// The features that are needed.
    Features,
    /// The features of the machine that prints the message.
    Available,
    /// A path.
    File,
    /// A derivation.
    Derivation,
    /// The URI of a store on another machine.
    Machine,
    /// The name of a setting or an entry.
    Name,
    /// A line of a file.
    Line,
}

/// Names of lists of words that many patterns have.
const WORDS: &[(&str, &[&str])] = &[
    // What is written to the kernel's register file: by echo in a shell, by tee, by the installers.
    (
        "register",
        &[
            "binfmt_misc/register",
            "echo: write error",
            "printf: write error",
            "cat: write error",
            "sh: write error",
            "failed to add binary format",
        ],
    ),
    ("lists", &["will be built:", "would be built:", "building '/nix/store/"]),
];

/// The pieces of a message, by their role.
#[derive(Debug, Clone, Default)]
pub(super) struct Captures {
    pieces: Vec<(Role, String)>,
    /// The position of the message in the text.
    pub(super) start: usize,
    /// The end of the message in the text.
    pub(super) end: usize,
}

impl Captures {
    pub(super) fn get(&self, role: Role) -> Option<&str> {
        self.pieces.iter().find(|(known, _)| *known == role).map(|(_, piece)| piece.as_str())
    }
}

/// Returns every place at which the pattern matches, from the beginning of the text.
pub(super) fn find_all<'a>(pattern: &'a str, text: &'a MessageText) -> impl Iterator<Item = Captures> + 'a {
    let parts = parse(pattern);
    let mut from = 0;
    std::iter::from_fn(move || {
        let captures = find_from(&parts, text, from)?;
        from = captures.end.max(captures.start.saturating_add(1));
        Some(captures)
    })
}

/// A part of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part<'a> {
    Text(&'a str),
    OneOf(&'static [&'static str]),
    Piece(Role),
    Gap,
}

/// Parses a pattern. A name in brackets that is not known is text; a test finds it.
fn parse(pattern: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut rest = pattern;
    while let Some((at, part, length)) = next_special(rest) {
        let (text, tail) = rest.split_at(at);
        if !text.is_empty() {
            parts.push(Part::Text(text));
        }
        parts.push(part);
        rest = tail.get(length..).unwrap_or_default();
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest));
    }
    parts
}

/// Finds the first gap or bracket: its position, its meaning, and its length.
fn next_special(pattern: &str) -> Option<(usize, Part<'static>, usize)> {
    pattern.char_indices().find_map(|(at, c)| match c {
        '…' => Some((at, Part::Gap, c.len_utf8())),
        '<' => {
            let (name, _) = pattern.get(at.saturating_add(1)..)?.split_once('>')?;
            Some((at, special(name)?, name.len().saturating_add(2)))
        }
        _ => None,
    })
}

fn special(name: &str) -> Option<Part<'static>> {
    if let Some(name) = name.strip_prefix(':') {
        return WORDS.iter().find(|(known, _)| *known == name).map(|(_, words)| Part::OneOf(words));
    }
    Some(Part::Piece(match name {
        "wanted" => Role::Wanted,
        "host" => Role::Host,
        "features" => Role::Features,
        "available" => Role::Available,
        "file" => Role::File,
        "drv" => Role::Derivation,
        "machine" => Role::Machine,
        "name" => Role::Name,
        "line" => Role::Line,
        _ => return None,
    }))
}

fn find_from(parts: &[Part<'_>], text: &MessageText, from: usize) -> Option<Captures> {
    // A piece at the beginning is found backwards from the text after it.
    let (first, rest) = match parts {
        [Part::Piece(role), rest @ ..] => (Some(*role), rest),
        _ => (None, parts),
    };
    // Without the words in its middle the pattern cannot match anywhere.
    if !rest.iter().all(|part| find_words(*part, text, from).is_some()) {
        return None;
    }
    let (anchor, tail) = rest.split_first()?;
    let mut from = from;
    while let Some((start, end)) = find_words(*anchor, text, from) {
        from = start.saturating_add(1);
        while !text.text.is_char_boundary(from) {
            from = from.saturating_add(1);
        }
        let mut captures = Captures { start, end, ..Captures::default() };
        if let Some(role) = first {
            let piece = piece_before(role, &text.text, start);
            if piece.is_empty() {
                continue;
            }
            captures.start = start.saturating_sub(piece.len());
            captures.pieces.push((role, piece.to_owned()));
        } else if !is_word_start(&text.text, start) {
            continue;
        }
        if match_tail(tail, text, &mut captures) {
            return Some(captures);
        }
    }
    None
}

/// Finds the next occurrence of a part that is text: its start and end. A gap or a piece can be anywhere.
fn find_words(part: Part<'_>, text: &MessageText, from: usize) -> Option<(usize, usize)> {
    find_words_within(part, text, from, usize::MAX)
}

/// As [`find_words`], at most so many bytes after the position.
fn find_words_within(part: Part<'_>, text: &MessageText, from: usize, reach: usize) -> Option<(usize, usize)> {
    let find =
        |words: &str| text.find_within(words, from, reach).map(|start| (start, start.saturating_add(words.len())));
    match part {
        Part::Text(words) => find(words),
        Part::OneOf(list) => list.iter().filter_map(|words| find(words)).min(),
        Part::Gap | Part::Piece(_) => Some((from, from)),
    }
}

/// Matches the parts after the first text, and extends the captures.
fn match_tail(parts: &[Part<'_>], text: &MessageText, captures: &mut Captures) -> bool {
    let mut rest = parts;
    loop {
        rest = match rest {
            [] => return is_word_end(&text.text, captures.end),
            [Part::Gap] => return true,
            [Part::Gap, next, tail @ ..] => {
                let Some((_, end)) = find_words_within(*next, text, captures.end, REACH) else { return false };
                captures.end = end;
                tail
            }
            [Part::Piece(role)] => {
                let piece = piece_after(*role, text.text.get(captures.end..).unwrap_or_default());
                captures.end = captures.end.saturating_add(piece.len());
                captures.pieces.push((*role, piece.to_owned()));
                return !piece.is_empty();
            }
            [Part::Piece(role), next, tail @ ..] => {
                let Some((start, end)) = find_words_within(*next, text, captures.end, REACH) else { return false };
                let Some(piece) = text.text.get(captures.end..start) else { return false };
                let is_quoted = text.before(captures.end, 1) == "'";
                if !role.accepts(piece) || (!is_quoted && role.is_word() && piece.contains(' ')) {
                    return false;
                }
                captures.pieces.push((*role, piece.to_owned()));
                captures.end = end;
                tail
            }
            [words, tail @ ..] => {
                let Some((_, end)) = find_words_within(*words, text, captures.end, 0) else { return false };
                captures.end = end;
                tail
            }
        };
    }
}

impl Role {
    /// Whether a piece of a text may have this role.
    fn accepts(self, piece: &str) -> bool {
        match self {
            Self::Wanted | Self::Host => !piece.is_empty() && piece.len() <= 40 && piece.chars().all(is_system_char),
            Self::Features | Self::Available => !piece.contains(['{', '}', '\'']),
            Self::File | Self::Derivation | Self::Machine | Self::Name => !piece.is_empty() && !piece.contains('\''),
            // A line of a file can have quotes.
            Self::Line => true,
        }
    }

    /// Whether a piece without quotes around it has no blanks.
    fn is_word(self) -> bool {
        matches!(self, Self::File | Self::Derivation | Self::Machine | Self::Name)
    }

    fn may_have(self, c: char) -> bool {
        match self {
            Self::Wanted | Self::Host => is_system_char(c),
            _ => !c.is_whitespace() && c != '\'' && c != ':',
        }
    }
}

fn is_system_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_/.-".contains(c)
}

/// Returns the word, or the words in quotes, that end at a position. A path may have blanks. "" if there is none.
fn piece_before(role: Role, text: &str, end: usize) -> &str {
    let before = text.get(..end).unwrap_or_default();
    if let Some(quoted) = before.strip_suffix('\'') {
        let piece = quoted.rsplit('\'').next().unwrap_or_default();
        return if piece.len() <= REACH && role.accepts(piece) { piece } else { "" };
    }
    if role != Role::File {
        return word_before(role, before);
    }
    // A shell prints the number of the line between the name of the file and the error.
    let number = word_before(role, before);
    let head = before.strip_suffix(number).unwrap_or_default();
    let is_number = !number.is_empty() && number.chars().all(|c| c.is_ascii_digit());
    if let Some(head) = head.trim_end_matches("line ").strip_suffix(": ").filter(|_| is_number) {
        return Some(file_before(head)).filter(|file| !is_shell(file)).unwrap_or_default();
    }
    // At its beginning, a message has the program that prints it, as perror(3) does.
    let is_first = head.is_empty() && text.get(end..).is_some_and(|after| after.starts_with(':'));
    let file = file_before(before);
    if is_first && !file.contains('/') { "" } else { file }
}

/// Returns the name of a file at the end of a text, which may have blanks. Another word of a sentence is not a file.
fn file_before(before: &str) -> &str {
    const NOT_FILES: [&str; 7] = ["error", "exec", "execve", "execvp", "failed", "fatal", "interpreter"];
    let word = word_before(Role::File, before);
    let sentence = before.rsplit(": ").next().unwrap_or_default();
    let begins_path = |text: &str| ["/", "./", "../", "~/"].iter().any(|start| text.starts_with(start));
    if begins_path(sentence) && !begins_path(word) && sentence.len() <= REACH && Role::File.accepts(sentence) {
        return sentence;
    }
    let is_name = sentence == word && !NOT_FILES.contains(&word.to_ascii_lowercase().as_str());
    if word.contains('/') || is_name { word } else { "" }
}

fn is_shell(name: &str) -> bool {
    ["ash", "bash", "dash", "ksh", "mksh", "sh", "zsh"].contains(&name.trim_start_matches('-'))
}

fn word_before(role: Role, before: &str) -> &str {
    let length: usize = before.chars().rev().take_while(|c| role.may_have(*c)).map(char::len_utf8).sum();
    before.get(before.len().saturating_sub(length)..).unwrap_or_default()
}

/// Returns the word at the beginning of a text, without quotes and final dots.
fn piece_after(role: Role, text: &str) -> &str {
    let text = text.trim_start_matches([' ', '\'']);
    let end = text.find(|c| !role.may_have(c)).unwrap_or(text.len());
    text.get(..end).unwrap_or_default().trim_end_matches(['.', ',', ';', ')', ']', '}'])
}

fn is_word_start(text: &str, start: usize) -> bool {
    let before = text.get(..start).and_then(|before| before.chars().next_back());
    let first = text.get(start..).and_then(|rest| rest.chars().next());
    !(before.is_some_and(char::is_alphanumeric) && first.is_some_and(char::is_alphanumeric))
}

fn is_word_end(text: &str, end: usize) -> bool {
    let last = text.get(..end).and_then(|before| before.chars().next_back());
    let after = text.get(end..).and_then(|rest| rest.chars().next());
    !(last.is_some_and(|c| c.is_ascii_alphanumeric()) && after.is_some_and(|c| c.is_ascii_alphanumeric()))
}

/// Whether every bracket of a pattern is known, and it is in lower case.
#[cfg(test)]
pub(super) fn is_well_formed(pattern: &str) -> bool {
    let parts = parse(pattern);
    let text_is_plain = parts.iter().all(|part| match part {
        Part::Text(text) => !text.contains(['<', '>', '"', '‘', '’', '\n']) && *text == text.to_lowercase(),
        _ => true,
    });
    let begins = !matches!(parts.as_slice(), [] | [Part::Gap, ..] | [Part::Piece(_), Part::Gap | Part::Piece(_), ..]);
    text_is_plain && begins && !pattern.contains("  ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pieces of the first match, or that there is none.
    fn pieces(pattern: &str, text: &str) -> Vec<String> {
        let text = MessageText::new(text);
        let no_match = || vec!["no match".to_owned()];
        let pieces = |captures: Captures| captures.pieces.into_iter().map(|(_, piece)| piece).collect();
        find_all(pattern, &text).next().map_or_else(no_match, pieces)
    }

    #[test]
    fn captures_the_pieces_of_a_message() {
        let refused = "a '<wanted>' with features {<features>} is required … i am a '<host>'";
        let said = "error: A 'armv7l-linux' with features {gccarch-armv7-a} is required to build '/x', but I am a 'X'";
        assert_eq!(pieces(refused, said), ["armv7l-linux", "gccarch-armv7-a", "X"]);
        assert_eq!(pieces("<file>: elf: not found", "sh: 1: ./Hello: ELF: not found"), ["./Hello"]);
        assert_eq!(pieces("<file>: syntax", "./a: 1: syntax"), ["./a"]);
        assert_eq!(pieces("<file>: syntax", "sh: ./a: line 22: syntax"), ["./a"]);
        assert_eq!(pieces("<file>: exec", "env: './a b': exec"), ["./a b"]);
        assert_eq!(pieces("error: <file>", "exec format error: './hello'"), ["./hello"]);
        assert_eq!(pieces("<file>: exec", "-bash: /opt/my prog: exec"), ["/opt/my prog"]);
        assert_eq!(pieces("<file>: exec", "/bin/sh: 1: ./a b: exec"), ["./a b"]);
        assert_eq!(pieces("<file>: exec", "sudo: unable to execute ./a: exec"), ["./a"]);
        assert_eq!(pieces("<file>: <name>: bad", "sh: ./a b: /no/python: bad"), ["./a b", "/no/python"]);
        assert_eq!(pieces("<file>: exec", "xargs: hello: exec"), ["hello"]);
        assert_eq!(pieces("<:register>… file exists", "bash: echo: write error: File exists"), [""; 0]);
    }

    #[test]
    fn words_that_are_not_files_are_not_captured() {
        let of_programs =
            ["zsh: exec", "zsh:1: exec", "execve: exec", "Error: exec", "sh: 3: exec", "-bash: line 3: exec"];
        let of_sentences =
            ["a: write error: exec", "run failed: exec", "cannot run x: exec", "Caused by: exec", "a: error: exec"];
        for text in of_programs.iter().chain(&of_sentences) {
            assert_eq!(pieces("<file>: exec", text), ["no match"], "{text}");
        }
    }

    #[test]
    fn matches_whole_words_near_each_other() {
        let matches = |pattern: &str, text: &str| pieces(pattern, text) != ["no match"];
        assert!(matches("errno 8", "[Errno 8]"));
        assert!(!matches("errno 8", "[Errno 81]") && !matches("rno 8", "errno 8"));
        let far = format!("a {} b", "x ".repeat(REACH));
        assert!(!matches("a…b", &far) && matches("a…b", "a x b"));
        assert!(matches("a '<wanted>' is", "a 'x y' is, a 'z' is"), "the second place matches");
    }

    #[test]
    fn finds_every_place() {
        let text = MessageText::new("a 'x' is, a 'y' is");
        let names: Vec<String> = find_all("a '<wanted>' is", &text)
            .map(|captures| captures.get(Role::Wanted).unwrap_or_default().to_owned())
            .collect();
        assert_eq!(names, ["x", "y"]);
    }
}
