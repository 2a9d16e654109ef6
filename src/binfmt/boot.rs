//! Boot rules: the `binfmt.d` files from which entries are registered again after a reboot.
//!
//! systemd-binfmt reads these files (binfmt.d(5)), and so does OpenRC's `binfmt` service. The files of all directories
//! are sorted by name. A name in an earlier directory hides the same name in later directories. For each rule in that
//! order, the reader deletes the entry of that name and adds it again, so of two rules with one name the later one
//! stays. The names of our own files begin with `zz-`, so that they come late. Files named `zzz…` still override them,
//! and so does a manual `systemd-binfmt FILE` until the next restart.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use binfmt_magic::Rule;

use crate::error::Result;
use crate::host::Host;
use crate::paths::BINFMT_D;

/// The directories, highest precedence first (binfmt.d(5)).
const DIRS: [&str; 4] = [BINFMT_D, "/run/binfmt.d", "/usr/local/lib/binfmt.d", "/usr/lib/binfmt.d"];

/// The directory in which Debian's update-binfmts records its entries.
const UPDATE_BINFMTS: &str = "/var/lib/binfmts";

/// Returns the content of our own file for a rule.
///
/// The comment is part of the format: [`parse_own_file`] compares it.
pub fn boot_file_text(rule: &Rule) -> Result<Vec<u8>> {
    let mut text = b"# Written by binfmt-nix; goes with `binfmt-nix unregister`.\n".to_vec();
    text.extend_from_slice(&rule.to_line()?);
    text.push(b'\n');
    Ok(text)
}

/// Returns the rule of a file, if every byte of the file is as [`boot_file_text`] writes it.
pub fn parse_own_file(content: &[u8]) -> Option<Rule> {
    let rule = parse_binfmt_d(&String::from_utf8_lossy(content)).next()?;
    boot_file_text(&rule).is_ok_and(|text| text == content).then_some(rule)
}

/// The rules that the machine registers at boot.
#[derive(Debug, Clone, Default)]
pub struct Boot {
    rules: Vec<(PathBuf, Rule)>,
    /// Whether a program that reads binfmt.d at boot is installed.
    pub has_reader: bool,
}

impl Boot {
    /// Returns all rules, each with its file, in the order in which they are registered.
    pub fn rules(&self) -> &[(PathBuf, Rule)] {
        &self.rules
    }

    /// Creates the boot rules of a machine that registers `rules`.
    pub fn from_rules(rules: Vec<(PathBuf, Rule)>, has_reader: bool) -> Self {
        Self { rules, has_reader }
    }

    /// Returns the file that registers an entry of this name with this interpreter.
    pub fn file_registering(&self, name: &[u8], interpreter: &[u8]) -> Option<&Path> {
        self.rules
            .iter()
            .rfind(|(_, rule)| rule.name.as_bytes() == name)
            .filter(|(_, rule)| rule.interpreter == interpreter)
            .map(|(path, _)| path.as_path())
    }
}

/// Reads the boot rules of binfmt.d and of update-binfmts.
pub fn read_boot_rules(host: &Host) -> Result<Boot> {
    let mut files: BTreeMap<OsString, PathBuf> = BTreeMap::new();
    for dir in DIRS.map(Path::new) {
        for name in host.list_dir(dir)? {
            if Path::new(&name).extension().is_some_and(|ext| ext == "conf") {
                let path = dir.join(&name);
                files.entry(name).or_insert(path);
            }
        }
    }
    let mut rules = Vec::new();
    for path in files.into_values() {
        let text = host.read_lossy(&path).unwrap_or_default();
        rules.extend(parse_binfmt_d(&text).map(|rule| (path.clone(), rule)));
    }
    rules.extend(read_update_binfmts(host)?);
    let readers = [
        "/usr/lib/systemd/systemd-binfmt",
        "/lib/systemd/systemd-binfmt",
        "/run/current-system/systemd/lib/systemd/systemd-binfmt",
        "/etc/init.d/binfmt",
    ];
    Ok(Boot { rules, has_reader: readers.iter().any(|path| host.exists(Path::new(path))) })
}

/// Parses the rules in a file of binfmt.d. Lines that start with `#` or `;` are comments (systemd
/// `src/binfmt/binfmt.c`).
pub fn parse_binfmt_d(text: &str) -> impl Iterator<Item = Rule> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.starts_with(['#', ';']))
        .filter_map(|line| Rule::parse(line.as_bytes()).ok())
}

/// Reads Debian's administrative files: one value a line, in the order package, type, offset, magic, mask, interpreter,
/// … (update-binfmts(8)). The name of the entry is that of the file.
fn read_update_binfmts(host: &Host) -> Result<Vec<(PathBuf, Rule)>> {
    let dir = Path::new(UPDATE_BINFMTS);
    let mut rules = Vec::new();
    for name in host.list_dir(dir)? {
        let path = dir.join(&name);
        let Some(text) = host.read_lossy(&path) else { continue };
        let values: Vec<&str> = text.lines().collect();
        if let ["magic", offset, magic, mask, interpreter, ..] = values.get(1..).unwrap_or_default() {
            let line = format!(":{}:M:{offset}:{magic}:{mask}:{interpreter}:", name.to_string_lossy());
            rules.extend(Rule::parse(line.as_bytes()).map(|rule| (path, rule)));
        }
    }
    Ok(rules)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_rules_and_skips_comments() {
        let text = "# :a:M::x::/a:\n; b\n\n:qemu-x:E::x::/bin/x:F\n";
        let names: Vec<_> = parse_binfmt_d(text).map(|rule| rule.name.as_bytes().to_vec()).collect();
        assert_eq!(names, [b"qemu-x".to_vec()]);
    }
}
