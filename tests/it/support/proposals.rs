//! Commands that the tool proposes and tests execute, compared with `tests/proposals.txt` in both directions: an executed
//! command has to be in the list, and after a run of all tests each command that the list has for `it` was executed.

use std::collections::BTreeSet;
use std::sync::{LazyLock, Mutex};
use std::{env, fs};

/// Start of a line by which a sandbox reports an executed command to its harness.
const MARK: &str = "executed\t";

/// The templates of the list that tests of this program execute.
static TEMPLATES: LazyLock<Vec<&str>> = LazyLock::new(|| {
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/proposals.txt")).unwrap();
    let lines = text.leak().lines();
    lines.filter_map(|line| line.split_once(" <= ")).filter(|(place, _)| *place == "it").map(|(_, text)| text).collect()
});

/// The templates of the commands that were executed.
static EXECUTED: Mutex<BTreeSet<&str>> = Mutex::new(BTreeSet::new());

/// Reports that proposed commands were executed, one in each line.
#[track_caller]
pub(crate) fn report_executed(lines: &str) {
    let commands = lines.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    if env::var_os("BINFMT_NIX_TEST_ROLE").is_some() {
        commands.for_each(|line| println!("{MARK}{line}"));
    } else {
        commands.for_each(|line| note(line).unwrap_or_else(|why| panic!("{why}")));
    }
}

/// Notes the commands that the output of a test reports. Returns why one of them is not a proposal that is known.
pub(crate) fn note_reported(stdout: &str) -> Vec<String> {
    stdout.lines().filter_map(|line| note(line.strip_prefix(MARK)?).err()).collect()
}

fn note(line: &str) -> Result<(), String> {
    let matching: Vec<&str> = TEMPLATES.iter().copied().filter(|template| matches(template, line)).collect();
    let is_known = !matching.is_empty();
    EXECUTED.lock().unwrap().extend(matching);
    if is_known {
        Ok(())
    } else {
        Err(format!("tests/proposals.txt has no `it` for the command that was executed: {line}"))
    }
}

/// Returns what the list has for `it`, and no test executed.
pub(crate) fn unexecuted() -> Vec<&'static str> {
    let executed = EXECUTED.lock().unwrap();
    TEMPLATES.iter().copied().filter(|template| !executed.contains(template)).collect()
}

/// Words in commands that stand for a value.
const WORDS: [&str; 9] =
    ["/path/to/its/root", "./program", "COMMAND", "SYSTEM", "PROGRAM", "IMAGE", "FILE", "NAME", "DIR"];

/// Whether a line is a command of the template: all of it, what follows a colon, or what is between backticks.
fn matches(template: &str, line: &str) -> bool {
    let mut text = template.replace("\\\\", "\\").replace("\\\"", "\"");
    for word in WORDS {
        text = text.replace(word, "{}");
    }
    let after_colons = text.match_indices(": ").map(|(at, colon)| &text[at + colon.len()..]);
    let quoted = text.split('`').skip(1).step_by(2);
    let commands = std::iter::once(text.as_str()).chain(after_colons).chain(quoted);
    let commands = commands.map(|command| command.split("   # ").next().unwrap_or_default().trim_end());
    commands.filter(|command| command.len() > 3).any(|command| has_pieces(command.trim_start_matches("# "), line))
}

/// Whether a line contains the pieces of a command between its placeholders, in order.
fn has_pieces(command: &str, line: &str) -> bool {
    let mut rest = line;
    let pieces = command.split('{').enumerate().map(|(at, part)| match part.split_once('}') {
        Some((_, piece)) if at > 0 => piece,
        _ => part,
    });
    pieces.into_iter().all(|piece| match rest.find(piece) {
        Some(at) => {
            rest = &rest[at + piece.len()..];
            true
        }
        None => false,
    })
}
