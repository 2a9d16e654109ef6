//! The output of `doctor`: text at 80 columns for people, and a JSON document for programs.

use std::fmt::Write as _;

use serde::Serialize;

use super::messages::Advice;
use super::{Finding, Snapshot, Urgency};

/// The result of `doctor`. Fields are added, not changed, within one `version`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct DoctorReport {
    /// The version of this format: 1.
    pub version: u32,
    /// The number of checks that were run.
    pub checks: usize,
    /// The parts of the machine that were examined, in one line.
    pub looked_at: String,
    /// The findings, the most urgent first; if there is any, the exit status is 3.
    pub findings: Vec<Finding>,
    /// The checks that found something before `--fix` and find nothing now.
    pub fixed: Vec<&'static str>,
    /// The explanations of the messages in the given text.
    pub meanings: Vec<Advice>,
}

impl DoctorReport {
    /// Creates the report of these findings.
    pub fn new(snapshot: &Snapshot, findings: Vec<Finding>) -> Self {
        Self {
            version: 1,
            checks: super::all_checks().count(),
            looked_at: describe_scope(snapshot),
            findings,
            fixed: Vec::new(),
            meanings: Vec::new(),
        }
    }

    /// Creates the report of a text with known messages; their causes are in the meanings.
    pub fn from_messages(snapshot: &Snapshot, meanings: Vec<Advice>) -> Self {
        Self { meanings, ..Self::new(snapshot, Vec::new()) }
    }

    /// Whether nothing was found.
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty() && self.meanings.is_empty()
    }

    /// Returns the report as text for people.
    pub fn to_text(&self) -> String {
        if !self.meanings.is_empty() {
            return self.meanings.iter().map(Advice::to_text).collect::<Vec<_>>().join("\n");
        }
        let mut text = String::new();
        for id in &self.fixed {
            let _ = writeln!(text, "repaired: {id}");
        }
        if self.findings.is_empty() {
            let _ = write!(text, "{}", wrap_text(&format!("nothing is wrong: {}", self.looked_at), 0));
            return text;
        }
        for finding in &self.findings {
            text.push_str(&finding.to_text());
            text.push('\n');
        }
        let fixable = self.findings.iter().filter(|finding| finding.occurrence.fix.is_some()).count();
        let number = self.findings.len();
        let s = if number == 1 { "" } else { "s" };
        let _ = write!(text, "{number} finding{s} in {} checks", self.checks);
        if fixable > 0 {
            let _ = write!(text, "; binfmt-nix doctor --fix repairs {fixable}");
        }
        text
    }
}

impl Advice {
    fn to_text(&self) -> String {
        let mut text = wrap_text(&format!("{}, by {}: {}", self.id, self.by, self.means), 2);
        text.push('\n');
        for line in &self.here {
            let _ = writeln!(text, "{}", indent_text(&wrap_text(&format!("here: {line}"), 6), 2));
        }
        for line in &self.repair {
            let _ = writeln!(text, "    {line}");
        }
        text
    }
}

impl Finding {
    fn to_text(&self) -> String {
        let systems = self.occurrence.systems.join(" ");
        let suffix = if systems.is_empty() { String::new() } else { format!(" [{systems}]") };
        let what = wrap_text(&format!("{}: {}{suffix}: {}", self.urgency.as_str(), self.id, self.occurrence.what), 2);
        let mut text = format!("{what}\n{}\n", indent_text(&wrap_text(&self.occurrence.why, 0), 2));
        for line in &self.occurrence.repair {
            // A command to copy is never broken into lines.
            let _ = writeln!(text, "    {line}");
        }
        text
    }
}

impl Urgency {
    fn as_str(self) -> &'static str {
        match self {
            Self::Danger => "danger",
            Self::Broken => "broken",
            Self::Fragile => "fragile",
            Self::Risk => "risk",
        }
    }
}

fn describe_scope(snapshot: &Snapshot) -> String {
    let entries = snapshot.table.entries().len();
    let systems = snapshot.emulated_systems().count();
    let table = match snapshot.table {
        crate::binfmt::table::Table::Mounted { .. } => {
            let s = if systems == 1 { "" } else { "s" };
            format!("{entries} entries of the kernel's table ({systems} system{s}, a program of each was run)")
        }
        crate::binfmt::table::Table::NotMounted => "the kernel's table (not mounted; nothing needs it)".to_owned(),
        crate::binfmt::table::Table::Offline => "no kernel (a tree below --root has none)".to_owned(),
    };
    let nix = match &snapshot.nix {
        Some(nix) if nix.has_daemon && !snapshot.shell.is_root => {
            "Nix's settings (only root can see whether its daemon has read them)"
        }
        Some(_) => "Nix's settings",
        None => "no Nix",
    };
    format!("examined {table}, their interpreters, {} boot rules, {nix}", snapshot.boot.rules().len())
}

/// The maximum width of a line of text.
const WIDTH: usize = 80;

/// Wraps a text at blanks; lines after the first are indented by `hang`.
pub fn wrap_text(text: &str, hang: usize) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    // A block that is indented afterwards is indented by two.
    let width = WIDTH.saturating_sub(2);
    for word in text.split_whitespace() {
        let longer = line.chars().count().saturating_add(1).saturating_add(word.chars().count());
        if line.trim().is_empty() {
            line.push_str(word);
        } else if longer <= width {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(std::mem::replace(&mut line, format!("{}{word}", " ".repeat(hang))));
        }
    }
    lines.push(line);
    lines.join("\n")
}

/// Indents every line.
pub fn indent_text(text: &str, by: usize) -> String {
    text.lines().map(|line| format!("{}{line}", " ".repeat(by))).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_fit_a_terminal() {
        let text = "word ".repeat(60);
        assert!(indent_text(&wrap_text(&text, 2), 2).lines().all(|line| line.len() <= WIDTH));
        assert_eq!(wrap_text("a b", 2), "a b");
        let long = "x".repeat(200);
        assert_eq!(wrap_text(&format!("a {long} b"), 2), format!("a\n  {long}\n  b"));
    }

    #[test]
    fn the_report_of_a_healthy_machine_is_one_line() {
        let snapshot = Snapshot::default();
        let text = DoctorReport::new(&snapshot, Vec::new()).to_text();
        assert!(text.starts_with("nothing is wrong: examined 0 entries"), "{text}");
    }
}
