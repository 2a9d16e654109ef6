//! Parses the files of Nix's configuration line by line. Pure: the caller passes a function that reads files.
//!
//! The format is that of Nix 2.36, `libutil/configuration.cc`. `#` starts a comment anywhere. Lines are split on white
//! space, and the second word is `=`. A line takes effect when it is read, so later lines take precedence. `extra-NAME`
//! appends to NAME, unless a setting has that very name, as `extra-platforms` does. The lines of `include FILE` and
//! `!include FILE` are read in place.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

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

/// All setting lines in the order in which Nix reads them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// The lines.
    pub lines: Vec<SettingLine>,
    /// The files that were read.
    pub files: Vec<PathBuf>,
}

impl Settings {
    /// Reads a file and all files that it includes.
    pub fn read_files(file: &Path, open: &dyn Fn(&Path) -> Option<String>) -> Self {
        let mut settings = Self::default();
        settings.add_file(file, open);
        settings
    }

    fn add_file(&mut self, file: &Path, open: &dyn Fn(&Path) -> Option<String>) {
        // A file that includes itself is an error in Nix. This parser reads it once.
        if self.files.len() >= MAX_FILES || self.files.iter().any(|known| known == file) {
            return;
        }
        let Some(text) = open(file) else { return };
        self.files.push(file.to_owned());
        for (number, text) in (1..).zip(text.lines()) {
            if self.lines.len() >= MAX_LINES {
                return;
            }
            let (code, comment) = text.split_once('#').map_or((text, false), |(code, _)| (code, true));
            let mut words = code.split_whitespace();
            match (words.next(), words.next(), words.next()) {
                (Some("include" | "!include"), Some(target), None) => {
                    let dir = file.parent().unwrap_or(Path::new("/"));
                    self.add_file(&dir.join(target), open);
                }
                (Some(name), Some("="), first) => self.lines.push(SettingLine {
                    file: file.to_owned(),
                    number,
                    name: name.to_owned(),
                    words: first.into_iter().chain(words).map(str::to_owned).collect(),
                    is_truncated: comment && !code.ends_with(char::is_whitespace),
                }),
                _ => {}
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;

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
