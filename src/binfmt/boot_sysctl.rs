//! Settings of sysctl that switch the kernel's table, or an entry, off at boot.
//!
//! `fs.binfmt_misc.status = 0` is written to `/proc/sys/fs/binfmt_misc/status`, and the table stays switched off when
//! systemd-binfmt registers its rules afterwards (measured with systemd-sysctl and systemd-binfmt 252).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

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

/// Finds the lines that decide: of several lines for one name the last one counts.
pub(super) fn find_switch_off_lines(host: &Host) -> Result<Vec<SwitchOffLine>> {
    let mut decisive: BTreeMap<String, Option<SwitchOffLine>> = BTreeMap::new();
    let files = host.list_conf_files(DIRS)?.into_iter();
    let mut files: Vec<PathBuf> = files.map(|path| host.resolve_symlinks(&path).unwrap_or(path)).collect();
    if !files.iter().any(|file| file == Path::new(OLD_FILE)) {
        files.push(OLD_FILE.into());
    }
    for file in files {
        let text = host.read_lossy(&file).unwrap_or_default();
        for (number, line) in (1..).zip(text.lines()) {
            let Some((name, value)) = parse_line(line) else { continue };
            let off = ["0", "-1"].contains(&value);
            let text = line.trim().to_owned();
            let line = off.then(|| SwitchOffLine { file: file.clone(), number, name: name.clone(), text });
            decisive.insert(name, line);
        }
    }
    Ok(decisive.into_values().flatten().collect())
}

/// Parses `fs.binfmt_misc.NAME = VALUE`. The first separator of the name is the one that counts, `.` or `/`; the other
/// one is then a character of a file's name (sysctl.d(5)).
fn parse_line(line: &str) -> Option<(String, &str)> {
    let line = line.trim();
    if line.starts_with(['#', ';']) {
        return None;
    }
    let (key, value) = line.split_once('=')?;
    let key = key.trim().trim_start_matches('-').trim();
    let is_by_dots = key.find(['.', '/']).and_then(|at| key.get(at..)).is_some_and(|rest| rest.starts_with('.'));
    let swap = |c| match c {
        '.' => '/',
        '/' => '.',
        c => c,
    };
    let path = if is_by_dots { key.chars().map(swap).collect() } else { key.to_owned() };
    Some((path.strip_prefix("fs/binfmt_misc/")?.to_owned(), value.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_with_both_separators() {
        for (line, expected) in [
            ("fs.binfmt_misc.status = 0", Some(("status", "0"))),
            (" -fs/binfmt_misc/status=0 ", Some(("status", "0"))),
            ("fs.binfmt_misc.python3/11 = -1", Some(("python3.11", "-1"))),
            ("fs/binfmt_misc/python3.11 = 1", Some(("python3.11", "1"))),
            ("# fs.binfmt_misc.status = 0", None),
            ("fs.file-max = 0", None),
            ("fs.binfmt_misc.status", None),
        ] {
            let parsed = parse_line(line);
            assert_eq!(parsed.as_ref().map(|(name, value)| (name.as_str(), *value)), expected, "{line}");
        }
    }
}
