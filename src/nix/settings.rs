//! What the files of Nix's configuration say, line by line. Pure: whoever asks opens the files.
//!
//! Nix 2.36, `libutil/configuration.cc`: `#` starts a comment anywhere, words are split on white space, the second one
//! is `=`; a line takes effect when it is read, so later ones win; `extra-NAME` appends to NAME, unless a setting is
//! really called so, as `extra-platforms` is. `include FILE` and `!include FILE` are read in their place.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// More files than anybody's configuration has.
const MAX_FILES: usize = 64;

/// One `name = value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingLine {
    /// The file it is in.
    pub file: PathBuf,
    /// Its number there, from 1.
    pub number: usize,
    /// The setting, as it is spelled.
    pub name: String,
    /// The words of its value.
    pub words: Vec<String>,
    /// What stood before the comment did not end in white space: the `#` was meant to be part of a word.
    pub is_truncated: bool,
}

/// All lines in the order in which Nix reads them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// The lines.
    pub lines: Vec<SettingLine>,
    /// The files that they are from.
    pub files: Vec<PathBuf>,
}

impl Settings {
    /// Reads a file and all that it includes.
    pub fn read_files(file: &Path, open: &dyn Fn(&Path) -> Option<String>) -> Self {
        let mut settings = Self::default();
        settings.add_file(file, open);
        settings
    }

    fn add_file(&mut self, file: &Path, open: &dyn Fn(&Path) -> Option<String>) {
        // A file that includes itself is an error in Nix; here it is read once.
        if self.files.len() >= MAX_FILES || self.files.iter().any(|known| known == file) {
            return;
        }
        let Some(text) = open(file) else { return };
        self.files.push(file.to_owned());
        for (number, text) in (1..).zip(text.lines()) {
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

    /// The lines that have a say in a list: from the last that sets it on. `true`: that one replaces the default.
    pub fn effective_lines(&self, names: &[&str]) -> (bool, Vec<&SettingLine>) {
        let sets = |line: &&SettingLine| names.contains(&line.name.as_str());
        let appends = |line: &SettingLine| line.name.strip_prefix("extra-").is_some_and(|name| names.contains(&name));
        let last = self.lines.iter().rposition(|line| sets(&line));
        let from = self.lines.iter().skip(last.unwrap_or(0));
        (last.is_some(), from.filter(|line| sets(line) || appends(line)).collect())
    }

    /// A list as Nix would have it.
    pub fn effective_list(&self, names: &[&str], default: &[&str]) -> Vec<String> {
        let (replaced, lines) = self.effective_lines(names);
        let default = default.iter().filter(|_| !replaced).map(|word| (*word).to_owned());
        let mut seen = BTreeSet::new();
        let words = default.chain(lines.into_iter().flat_map(|line| line.words.iter().cloned()));
        words.filter(|word| seen.insert(word.clone())).collect()
    }

    /// The last value of a setting that is one word.
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
    fn later_lines_win_and_extra_appends() {
        let platforms = |text: &str| read(text).effective_list(&["extra-platforms"], &["i686-linux"]).join(" ");
        assert_eq!(platforms(""), "i686-linux");
        assert_eq!(platforms("extra-platforms = a b\n"), "a b");
        assert_eq!(platforms("extra-extra-platforms = a\r\nextra-extra-platforms = b"), "i686-linux a b");
        assert_eq!(platforms("extra-extra-platforms = a\nextra-platforms = b"), "b");
        assert_eq!(platforms("!include own.conf\ninclude /nowhere\nextra-extra-platforms = a # b"), "i686-linux c a");
        assert_eq!(platforms("extra-platforms ="), "");
    }

    #[test]
    fn a_comment_that_was_meant_as_a_path_is_seen() {
        let cut = |text: &str| read(text).lines.first().is_some_and(|line| line.is_truncated);
        assert!(cut("sandbox-paths = /a#b/c"));
        assert!(!cut("sandbox-paths = /a # b") && !cut("sandbox-paths = /a"));
    }
}
