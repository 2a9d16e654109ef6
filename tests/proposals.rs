//! Every command that the tool can propose is executed by a test: `tests/proposals.txt` says where.
//!
//! The commands are collected from the sources, so that a new one fails until a test executes it. Those of `tests/it`
//! are reported when they are executed: see `tests/it/support/proposals.rs`, which compares both directions. The others
//! are in scripts, and this test finds them there.

#![expect(clippy::disallowed_methods, reason = "tests read the sources")]
#![expect(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Functions whose argument is a command, or a part of one.
const CALLS: [&str; 13] = [
    "as_root",
    "as_user",
    "append_setting",
    "command::tool",
    "line_as_root",
    "query_command",
    "read_command",
    "register_anew",
    "tool_as_root",
    "tool_command",
    "with_repair",
    "repairs().register",
    "repairs.register",
];

/// What may stand between the call and the literal.
const WRAPPINGS: [&str; 8] = ["&", "[", "format!(", "format_args!(", "arch,", "context.arch,", "self.arch,", "vec!["];

/// Programs of commands in other texts.
const PROGRAMS: [&str; 47] = [
    "apparmor_parser",
    "apt-get",
    "binfmt-nix",
    "chcon",
    "chmod",
    "chown",
    "chroot",
    "cp",
    "df",
    "docker",
    "echo",
    "env",
    "fuser",
    "grep",
    "kill",
    "ln",
    "ls",
    "mkdir",
    "mmdebstrap",
    "modprobe",
    "mount",
    "mv",
    "nix",
    "nix-build",
    "nix-store",
    "pkill",
    "podman",
    "printf",
    "QEMU_LD_PREFIX=",
    "QEMU_RESERVED_VA=",
    "rc-update",
    "reboot",
    "restorecon",
    "rm",
    "sed",
    "semanage",
    "setsebool",
    "sh",
    "sudo",
    "sysctl",
    "systemctl",
    "tee",
    "tr",
    "ulimit",
    "umount",
    "unset",
    "update-binfmts",
];

/// What may precede a command in a text.
const INTRODUCTIONS: [&str; 9] = ["", ": ", "`", "sudo ", "or: ", "&& ", "| ", "# ", "; "];

struct Proposal<'a> {
    template: &'a str,
    place: &'a str,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn listed(text: &str) -> Vec<Proposal<'_>> {
    let lines = text.lines().filter(|line| !line.starts_with("//") && !line.is_empty());
    let proposals = lines.map(|line| line.split_once(" <= ").unwrap_or_else(|| panic!("no place: {line}")));
    proposals.map(|(place, template)| Proposal { template, place }).collect()
}

#[test]
fn every_proposed_command_is_listed() {
    let text = fs::read_to_string(root().join("tests/proposals.txt")).unwrap();
    let listed: BTreeSet<String> = listed(&text).iter().map(|proposal| proposal.template.to_owned()).collect();
    let proposed: BTreeSet<String> = files(&root().join("src")).iter().flat_map(|file| proposals_of(file)).collect();
    let new: Vec<_> = proposed.difference(&listed).collect();
    let gone: Vec<_> = listed.difference(&proposed).collect();
    assert!(proposed.len() > 100, "{proposed:#?}");
    assert!(new.is_empty() && gone.is_empty(), "tests/proposals.txt: new: {new:#?}, gone: {gone:#?}");
}

/// The places are `it`, `form` and `words`, or a file and a text in it, after a colon.
#[test]
fn every_script_that_executes_a_command_contains_it() {
    let text = fs::read_to_string(root().join("tests/proposals.txt")).unwrap();
    let missing: Vec<_> = listed(&text)
        .into_iter()
        .filter(|proposal| !["it", "form", "words"].contains(&proposal.place))
        .filter(|proposal| {
            let Some((file, needle)) = proposal.place.split_once(": ") else { return true };
            !fs::read_to_string(root().join(file)).is_ok_and(|script| script.contains(needle))
        })
        .map(|proposal| format!("{}: {}", proposal.place, proposal.template))
        .collect();
    assert!(missing.is_empty(), "{missing:#?}");
}

fn proposals_of(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap();
    let code = text.split_once("#[cfg(test)]\nmod tests").map_or(text.as_str(), |(code, _)| code);
    let literals = literals_of(code).into_iter();
    literals.filter(|(before, literal)| is_argument(before) || has_command(literal)).map(|(_, text)| text).collect()
}

/// Whether the literal is the argument of a function that makes a command.
fn is_argument(before: &str) -> bool {
    let mut before = before.trim_end();
    while let Some(rest) = WRAPPINGS.iter().find_map(|wrapping| before.strip_suffix(wrapping)) {
        before = rest.trim_end();
    }
    before.strip_suffix('(').is_some_and(|call| CALLS.iter().any(|name| call.ends_with(name)))
}

/// Whether the literal has a command with at least one argument.
fn has_command(literal: &str) -> bool {
    literal.contains(" -- COMMAND")
        || INTRODUCTIONS.iter().any(|words| {
            let ends = literal.match_indices(words).map(|(at, found)| at.saturating_add(found.len()));
            ends.filter(|at| !words.is_empty() || *at == 0).any(|at| {
                let command = literal.get(at..).unwrap_or_default();
                PROGRAMS.iter().any(|name| {
                    command.strip_prefix(name).is_some_and(|rest| name.ends_with('=') || rest.starts_with(' '))
                })
            })
        })
}

/// The string literals of a source, each with the code before it. Comments have none.
fn literals_of(code: &str) -> Vec<(&str, String)> {
    let mut literals = Vec::new();
    let mut at = 0;
    while let Some(rest) = code.get(at..).filter(|rest| !rest.is_empty()) {
        let step = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("'\"'") || rest.starts_with("b'\"'") {
            rest.find("\"'").unwrap_or(0).saturating_add(2)
        } else if let Some(raw) = rest.strip_prefix("r\"") {
            let length = raw.find('"').unwrap_or(raw.len());
            literals.push((before(code, at), raw.get(..length).unwrap_or_default().to_owned()));
            length.saturating_add(3)
        } else if let Some(raw) = rest.strip_prefix("r#\"") {
            let length = raw.find("\"#").unwrap_or(raw.len());
            literals.push((before(code, at), raw.get(..length).unwrap_or_default().to_owned()));
            length.saturating_add(5)
        } else if let Some(text) = rest.strip_prefix('"') {
            let length = length_of(text);
            literals.push((before(code, at), on_one_line(text.get(..length).unwrap_or_default())));
            length.saturating_add(2)
        } else {
            rest.chars().next().map_or(1, char::len_utf8)
        };
        at = at.saturating_add(step);
    }
    literals
}

fn before(code: &str, at: usize) -> &str {
    code.get(..at).unwrap_or_default()
}

/// The length of a literal, up to its closing quote.
fn length_of(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at,
            _ => {}
        }
    }
    text.len()
}

/// Joins the lines of a literal, as the compiler does.
fn on_one_line(text: &str) -> String {
    let mut lines = text.split("\\\n");
    let first = lines.next().unwrap_or_default().to_owned();
    lines.fold(first, |joined, line| joined + line.trim_start())
}

/// The sources below a directory, without tests and without the texts of the help.
fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let is_code = |path: &PathBuf| !["generated", "tests.rs", "reports.rs"].iter().any(|name| path.ends_with(name));
    entries
        .filter(is_code)
        .flat_map(|entry| if entry.is_dir() { files(&entry) } else { vec![entry] })
        .filter(|entry| entry.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}
