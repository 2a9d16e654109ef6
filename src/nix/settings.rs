//! Parses the files of Nix's configuration line by line. Pure: the caller passes a function that reads files.
//!
//! The format is that of Nix 2.36, `libutil/configuration.cc`. `#` starts a comment anywhere. Lines are split on white
//! space, and the second word is `=`. A line takes effect when it is read, so later lines take precedence. `extra-NAME`
//! appends to NAME, unless a setting has that very name, as `extra-platforms` does. The lines of `include FILE` and
//! `!include FILE` are read in place.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The variable whose lines Nix reads after all files. Its name stands for the path of a file.
pub const VARIABLE: &str = "NIX_CONFIG";

/// The maximum number of files that are read; no real configuration has so many.
const MAX_FILES: usize = 64;

/// The maximum number of setting lines that are kept; no real configuration has so many.
const MAX_LINES: usize = 50_000;

/// One `name = value` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingLine {
    /// The file that contains the line.
    pub file: PathBuf,
    /// The line number in that file, from 1.
    pub number: usize,
    /// The name of the setting, as it is spelled.
    pub name: String,
    /// The words of the value.
    pub words: Vec<String>,
    /// Whether a comment follows a word without white space: the `#` was meant to be part of the word.
    pub is_truncated: bool,
}

/// A line with which Nix refuses to start at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaultyLine {
    /// The file that contains the line.
    pub file: PathBuf,
    /// The line number in that file, from 1.
    pub number: usize,
    /// The text of the line, without its comment.
    pub text: String,
    /// What is wrong with the line.
    pub fault: LineFault,
}

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LineFault {
    /// The line has a name and a value, but no blanks around its `=`.
    NoBlanks,
    /// The line is neither a setting nor an include.
    NotASetting,
    /// The line includes this file, which could not be read. `!include` would ignore that.
    Unread(PathBuf),
    /// The line includes a file that includes this one.
    Recursive,
}

/// All setting lines in the order in which Nix reads them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// The lines.
    pub lines: Vec<SettingLine>,
    /// The files that were read.
    pub files: Vec<PathBuf>,
    /// The lines that Nix rejects, in order. Nix reports the first one only.
    pub faults: Vec<FaultyLine>,
}

impl Settings {
    /// Reads a file and all files that it includes.
    pub fn read_files(file: &Path, open: &dyn Fn(&Path) -> Option<String>) -> Self {
        let mut settings = Self::default();
        settings.add_file(file, open);
        settings
    }

    /// Reads a file, and all files that it includes, after those that were read before. Returns whether it was read.
    pub fn add_file(&mut self, file: &Path, open: &dyn Fn(&Path) -> Option<String>) -> bool {
        if self.files.len() >= MAX_FILES || self.files.iter().any(|known| known == file) {
            return true;
        }
        let Some(text) = open(file) else { return false };
        self.files.push(file.to_owned());
        self.add_text(file, &text, open, &mut vec![file.to_owned()]);
        true
    }

    /// Adds the lines of a text. `file` is its path, or the name of the variable that has the text. `above` are the files
    /// that are being read: one of them cannot be included.
    pub fn add_text(
        &mut self,
        file: &Path,
        text: &str,
        open: &dyn Fn(&Path) -> Option<String>,
        above: &mut Vec<PathBuf>,
    ) {
        for (number, text) in (1..).zip(text.lines()) {
            if self.lines.len().max(self.faults.len()) >= MAX_LINES {
                return;
            }
            let (code, comment) = text.split_once('#').map_or((text, false), |(code, _)| (code, true));
            let mut words = code.split_whitespace();
            let fault = match (words.next(), words.next(), words.next()) {
                (None, ..) => None,
                (Some(verb @ ("include" | "!include")), Some(target), None) => {
                    let dir = file.parent().unwrap_or(Path::new("/"));
                    self.include(&dir.join(target), verb == "include", open, above)
                }
                (Some("include" | "!include"), ..) => Some(LineFault::NotASetting),
                (Some(name), Some("="), first) => {
                    self.lines.push(SettingLine {
                        file: file.to_owned(),
                        number,
                        name: name.to_owned(),
                        words: first.into_iter().chain(words).map(str::to_owned).collect(),
                        is_truncated: comment && !code.ends_with(char::is_whitespace),
                    });
                    None
                }
                _ => Some(fault_of(code)),
            };
            let faulty_line = |fault| FaultyLine { file: file.to_owned(), number, text: code.to_owned(), fault };
            self.faults.extend(fault.map(faulty_line));
        }
    }

    fn include(
        &mut self,
        file: &Path,
        must_exist: bool,
        open: &dyn Fn(&Path) -> Option<String>,
        above: &mut Vec<PathBuf>,
    ) -> Option<LineFault> {
        if above.iter().any(|known| known == file) {
            return Some(LineFault::Recursive);
        }
        // A file that several files include is read once here. Nix reads it again.
        if self.files.len() >= MAX_FILES || self.files.iter().any(|known| known == file) {
            return None;
        }
        let Some(text) = open(file) else { return must_exist.then(|| LineFault::Unread(file.to_owned())) };
        self.files.push(file.to_owned());
        above.push(file.to_owned());
        self.add_text(file, &text, open, above);
        above.pop();
        None
    }

    /// Returns the lines that determine the value of a list: the last line that sets it, and the lines that append to
    /// it afterwards. The first value is whether such a line exists, and so replaces the default.
    pub fn effective_lines(&self, names: &[&str]) -> (bool, Vec<&SettingLine>) {
        let is_setting = |line: &&SettingLine| names.contains(&line.name.as_str());
        let is_appending =
            |line: &SettingLine| line.name.strip_prefix("extra-").is_some_and(|name| names.contains(&name));
        let last = self.lines.iter().rposition(|line| is_setting(&line));
        let rest = self.lines.iter().skip(last.unwrap_or(0));
        (last.is_some(), rest.filter(|line| is_setting(line) || is_appending(line)).collect())
    }

    /// Returns the value of a list as Nix computes it.
    pub fn effective_list(&self, names: &[&str], default: &[&str]) -> Vec<String> {
        let (is_replaced, lines) = self.effective_lines(names);
        let default = default.iter().filter(|_| !is_replaced).map(|word| (*word).to_owned());
        let mut seen = BTreeSet::new();
        let words = default.chain(lines.into_iter().flat_map(|line| line.words.iter().cloned()));
        words.filter(|word| seen.insert(word.clone())).collect()
    }

    /// Returns the last value of a setting that is one word.
    pub fn last_word(&self, names: &[&str]) -> Option<&str> {
        let line = self.lines.iter().rfind(|line| names.contains(&line.name.as_str()))?;
        line.words.first().map(String::as_str)
    }
}

/// Returns the fault of a line without a word `=` in the second place.
fn fault_of(code: &str) -> LineFault {
    let is_name =
        |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    match code.split_once('=') {
        Some((name, _)) if is_name(name.trim()) => LineFault::NoBlanks,
        _ => LineFault::NotASetting,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Measured with Nix 2.8.0 and 2.34.8: these lines are rejected, and no others.
    #[test]
    fn lines_that_nix_rejects_are_found() {
        let faults = |text: &str| {
            let faults = read(text).faults.into_iter();
            faults.map(|line| (line.number, line.text, line.fault)).collect::<Vec<_>>()
        };
        for text in ["", "# foo\n", "\r\n \t\n", "foo = \n", "!include /nowhere\n", "a = = b\n", "a = b # c\n"] {
            assert_eq!(faults(text), [], "{text:?}");
        }
        for text in ["foo", "foo bar", "include", "include a b", "!include a b", "= b", "foo bar = baz", "a b=c"] {
            assert_eq!(faults(text), [(1, text.to_owned(), LineFault::NotASetting)]);
        }
        for text in ["foo=bar", "foo =bar", "foo= bar", "foo="] {
            assert_eq!(faults(&format!("\n{text}#x")), [(2, text.to_owned(), LineFault::NoBlanks)]);
        }
        let unread = LineFault::Unread("/etc/nix/x.conf".into());
        assert_eq!(faults("a = b\ninclude x.conf\n"), [(2, "include x.conf".to_owned(), unread)]);
        assert_eq!(faults("include nix.conf"), [(1, "include nix.conf".to_owned(), LineFault::Recursive)]);
        let (own, twice) = ("!include nix.conf".to_owned(), "include own.conf\ninclude own.conf");
        assert_eq!(faults(twice), [(2, own, LineFault::Recursive)], "two includes of one file are not a circle");
    }

    fn read(text: &str) -> Settings {
        Settings::read_files(Path::new("/etc/nix/nix.conf"), &|path| match path.to_str() {
            Some("/etc/nix/nix.conf") => Some(text.to_owned()),
            Some("/etc/nix/own.conf") => Some("extra-extra-platforms = c\n!include nix.conf\n".into()),
            _ => None,
        })
    }

    #[test]
    fn later_lines_take_precedence_and_extra_appends() {
        let platforms = |text: &str| read(text).effective_list(&["extra-platforms"], &["i686-linux"]).join(" ");
        assert_eq!(platforms(""), "i686-linux");
        assert_eq!(platforms("extra-platforms = a b\n"), "a b");
        assert_eq!(platforms("extra-extra-platforms = a\r\nextra-extra-platforms = b"), "i686-linux a b");
        assert_eq!(platforms("extra-extra-platforms = a\nextra-platforms = b"), "b");
        assert_eq!(platforms("!include own.conf\ninclude /nowhere\nextra-extra-platforms = a # b"), "i686-linux c a");
        assert_eq!(platforms("extra-platforms ="), "");
    }

    #[test]
    fn a_word_that_a_comment_truncates_is_detected() {
        let is_truncated = |text: &str| read(text).lines.first().is_some_and(|line| line.is_truncated);
        assert!(is_truncated("sandbox-paths = /a#b/c"));
        assert!(!is_truncated("sandbox-paths = /a # b") && !is_truncated("sandbox-paths = /a"));
    }
}
