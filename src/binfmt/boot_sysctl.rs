//! Settings of sysctl that switch the kernel's table, or an entry, off at boot.
//!
//! `fs.binfmt_misc.status = 0` is written to `/proc/sys/fs/binfmt_misc/status`, and the table stays switched off when
//! systemd-binfmt registers its rules afterwards (measured with systemd-sysctl and systemd-binfmt 252).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use glob::{MatchOptions, Pattern};

use crate::error::Result;
use crate::host::Host;

/// Directories of settings, highest precedence first (sysctl.d(5)).
const DIRS: [&str; 5] =
    ["/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d", "/lib/sysctl.d"];
/// The file that procps reads last, and systemd only through a link in /etc/sysctl.d.
const OLD_FILE: &str = "/etc/sysctl.conf";

/// A line that switches the table or an entry off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SwitchOffLine {
    /// The file that contains the line.
    pub file: PathBuf,
    /// The line number in that file, from 1.
    pub number: usize,
    /// The name of the entry; `status` is the whole table.
    pub name: String,
    /// The line.
    pub text: String,
}

/// Finds the lines that decide about the table and about entries: of several lines for one name the last one counts.
/// `entries` are the names that patterns are compared with.
///
/// A key with `*`, `?` or `[` is for every file that it matches, but for those with a line of their own, before or after
/// it; the last pattern counts (sysctl.d(5); measured with systemd-sysctl 252).
pub(super) fn find_switch_off_lines(host: &Host, entries: &BTreeSet<String>) -> Result<Vec<SwitchOffLine>> {
    let mut decisive: BTreeMap<String, Option<SwitchOffLine>> = BTreeMap::new();
    let mut patterns: Vec<(Pattern, Option<SwitchOffLine>)> = Vec::new();
    let files = host.list_conf_files(DIRS)?.into_iter();
    let mut files: Vec<PathBuf> = files.map(|path| host.resolve_symlinks(&path).unwrap_or(path)).collect();
    if !files.iter().any(|file| file == Path::new(OLD_FILE)) {
        files.push(OLD_FILE.into());
    }
    for file in files {
        let text = host.read_lossy(&file).unwrap_or_default();
        for (number, line) in (1..).zip(text.lines()) {
            let Some((path, value)) = parse_line(line) else { continue };
            let is_off = ["0", "-1"].contains(&value);
            let text = line.trim().to_owned();
            let line = |name: &str| SwitchOffLine { file: file.clone(), number, name: name.to_owned(), text };
            if let Some(pattern) = parse_pattern(&path) {
                patterns.push((pattern, is_off.then(|| line(TABLE))));
            } else if let Some(name) = path.strip_prefix(DIR) {
                decisive.insert(name.to_owned(), is_off.then(|| line(name)));
            }
        }
    }
    for name in [TABLE].into_iter().chain(entries.iter().map(String::as_str)) {
        let path = format!("{DIR}{name}");
        let matching = patterns.iter().rfind(|(pattern, _)| pattern.matches_with(&path, WITHIN_NAMES));
        let Some((_, line)) = matching.filter(|_| !decisive.contains_key(name)) else { continue };
        // One line is reported once.
        let is_reported = decisive.get(TABLE).is_some_and(|table| table.is_some() && table == line);
        if !is_reported {
            let line = line.as_ref().map(|line| SwitchOffLine { name: name.to_owned(), ..line.clone() });
            decisive.insert(name.to_owned(), line);
        }
    }
    Ok(decisive.into_values().flatten().collect())
}

/// The file of the whole table.
const TABLE: &str = "status";
/// The directory of the table, as the path of a key.
const DIR: &str = "fs/binfmt_misc/";
/// Patterns of glob(3) match no separator.
const WITHIN_NAMES: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };

/// Reads the path of a key as a pattern, if it has the characters of one.
fn parse_pattern(path: &str) -> Option<Pattern> {
    Pattern::new(path).ok().filter(|_| path.contains(['*', '?', '[']))
}

/// Parses `fs.binfmt_misc.NAME = VALUE`, and `-fs.binfmt_misc.NAME`, which no pattern is for, into a path and a value.
/// The first separator of the key is the one that counts, `.` or `/`; the other one is then a character of a file's name
/// (sysctl.d(5)).
fn parse_line(line: &str) -> Option<(String, &str)> {
    let line = line.trim();
    if line.starts_with(['#', ';']) {
        return None;
    }
    let (key, value) = line.split_once('=').or_else(|| line.starts_with('-').then_some((line, "")))?;
    let key = key.trim().trim_start_matches('-').trim();
    let is_by_dots = key.find(['.', '/']).and_then(|at| key.get(at..)).is_some_and(|rest| rest.starts_with('.'));
    let swap = |c| match c {
        '.' => '/',
        '/' => '.',
        c => c,
    };
    Some((if is_by_dots { key.chars().map(swap).collect() } else { key.to_owned() }, value.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_with_both_separators() {
        for (line, expected) in [
            ("fs.binfmt_misc.status = 0", Some(("fs/binfmt_misc/status", "0"))),
            (" -fs/binfmt_misc/status=0 ", Some(("fs/binfmt_misc/status", "0"))),
            ("-fs.binfmt_misc.status", Some(("fs/binfmt_misc/status", ""))),
            ("fs.binfmt_misc.python3/11 = -1", Some(("fs/binfmt_misc/python3.11", "-1"))),
            ("fs/binfmt_misc/python3.11 = 1", Some(("fs/binfmt_misc/python3.11", "1"))),
            ("fs.file-max = 0", Some(("fs/file-max", "0"))),
            ("# fs.binfmt_misc.status = 0", None),
            ("fs.binfmt_misc.status", None),
        ] {
            let parsed = parse_line(line);
            assert_eq!(parsed.as_ref().map(|(path, value)| (path.as_str(), *value)), expected, "{line}");
        }
    }
}
