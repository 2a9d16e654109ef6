//! The output of `doctor`: text at 80 columns for people, and a JSON document for programs.

use binfmt_magic::Arch;
use serde::Serialize;

use super::messages::Advice;
use super::rules::NEVER_MATCHES;
use super::{Finding, Snapshot, Urgency};
use crate::binfmt::shell::ShellPlace;
use crate::binfmt::table::Table;
use crate::nix::env;
use crate::qemu::binary::QemuVersion;
use crate::qemu::obtain::choose::pinned_release;
use crate::sanitize::{command, escape_line};
use crate::sorted;
use crate::ui::quantity::count;

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
    /// What could not be examined, each with the reason. A finding about it is possible.
    pub not_examined: Vec<String>,
    /// Facts that are not findings.
    pub notes: Vec<ReportNote>,
    /// The findings, the most urgent first; if there is any, the exit status is 3.
    pub findings: Vec<Finding>,
    /// The checks that found something before `--fix` and find nothing now.
    pub fixed: Vec<&'static str>,
    /// The explanations of the messages in the given text.
    pub meanings: Vec<Advice>,
}

/// A fact that is not a finding, and a command that makes use of it.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ReportNote {
    /// The fact.
    pub text: String,
    /// The command.
    pub command: String,
}

impl DoctorReport {
    /// Creates the report of these findings.
    pub fn new(snapshot: &Snapshot, findings: Vec<Finding>) -> Self {
        let (noted, findings): (Vec<_>, Vec<_>) = findings.into_iter().partition(|finding| finding.occurrence.is_note);
        Self {
            version: 1,
            checks: super::all_checks().count(),
            looked_at: describe_scope(snapshot),
            not_examined: describe_gaps(snapshot),
            notes: describe_place(snapshot)
                .into_iter()
                .chain(describe_disabled(snapshot))
                .chain(describe_outdated(snapshot))
                .chain(describe_other_entries(snapshot, &noted))
                .collect(),
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
        self.findings.is_empty() && self.meanings.iter().all(Advice::needs_nothing)
    }

    /// Returns the report as lines for people.
    pub fn to_lines(&self) -> Vec<String> {
        let texts: Vec<_> = self.meanings.iter().map(Advice::to_lines).collect();
        let mut lines = texts.join(&String::new());
        if self.meanings.iter().any(Advice::is_known) {
            return lines;
        }
        lines.extend(self.fixed.iter().map(|id| format!("repaired: {id}")));
        let gaps = self.not_examined.iter().flat_map(|gap| wrap_text(&format!("not examined: {gap}"), 2));
        let gaps = gaps.chain(self.notes.iter().flat_map(ReportNote::to_lines));
        if self.findings.is_empty() {
            lines.extend(wrap_text(&format!("nothing is wrong: {}", self.looked_at), 0));
            lines.extend(gaps);
            return lines;
        }
        let mut findings = self.findings.as_slice();
        while let [finding, rest @ ..] = findings {
            lines.extend(finding.to_lines());
            let alike = rest.iter().take_while(|other| other.is_like(finding)).count();
            // A few are easier to read one by one, each with its own command.
            let (folded, rest) = rest.split_at(if alike > MAX_UNFOLDED { alike } else { 0 });
            lines.extend(describe_folded(finding, folded));
            lines.push(String::new());
            findings = rest;
        }
        let fixable = self.findings.iter().filter(|finding| finding.occurrence.fix.is_some()).count();
        let repairs = if fixable > 0 {
            format!("; {} repairs {fixable}", command::tool_as_root("doctor --fix"))
        } else {
            String::new()
        };
        lines.extend(gaps);
        lines.push(format!("{} in {}{repairs}", count(self.findings.len(), "finding"), count(self.checks, "check")));
        lines
    }
}

impl ReportNote {
    fn to_lines(&self) -> Vec<String> {
        let mut lines = wrap_text(&format!("note: {}:", self.text), 2);
        lines.extend(indent_lines(vec![self.command.clone()], 4));
        lines
    }
}

impl Advice {
    fn to_lines(&self) -> Vec<String> {
        let by = if self.by.is_empty() { String::new() } else { format!(", by {}", self.by) };
        let mut lines = wrap_text(&format!("{}{by}: {}", self.id, self.means), 2);
        for line in &self.here {
            lines.extend(indent_lines(wrap_text(&format!("here: {line}"), 6), 2));
        }
        lines.extend(indent_lines(self.repair.clone(), 4));
        lines
    }
}

impl Finding {
    /// Whether this is the same situation of another system.
    fn is_like(&self, other: &Self) -> bool {
        self.id == other.id && self.occurrence.why == other.occurrence.why
    }

    fn to_lines(&self) -> Vec<String> {
        let systems = self.occurrence.systems.join(" ");
        let suffix = if systems.is_empty() { String::new() } else { format!(" [{systems}]") };
        let mut lines =
            wrap_text(&format!("{}: {}{suffix}: {}", self.urgency.as_str(), self.id, self.occurrence.what), 2);
        lines.extend(indent_lines(wrap_text(&self.occurrence.why, 0), 2));
        // A command to copy is never broken into lines.
        lines.extend(indent_lines(self.occurrence.repair.clone(), 4));
        lines
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

/// The maximum number of findings of one kind that are printed in full after the first.
const MAX_UNFOLDED: usize = 2;

/// Describes findings of the same kind as the one before, with the same cause: by their systems if each has its own,
/// otherwise by what was found.
fn describe_folded(first: &Finding, folded: &[Finding]) -> Vec<String> {
    if folded.is_empty() {
        return Vec::new();
    }
    let systems = |finding: &Finding| finding.occurrence.systems.clone();
    let all: Vec<&str> = [first].into_iter().chain(folded).flat_map(systems).collect();
    let distinct = sorted::set(all.iter().copied());
    let have_own = distinct.len() == all.len() && folded.iter().all(|finding| !finding.occurrence.systems.is_empty());
    let listed = if have_own {
        format!(" [{}]", folded.iter().flat_map(systems).collect::<Vec<_>>().join(" "))
    } else {
        String::new()
    };
    let number = count(folded.len(), "more finding");
    let text = format!("the same: {number}{listed}; doctor --json has the command of each");
    let found = folded.iter().filter(|_| !have_own).flat_map(|finding| wrap_text(&finding.occurrence.what, 2));
    indent_lines(wrap_text(&text, 2), 2).chain(indent_lines(found.collect(), 4)).collect()
}

/// Describes entries of other tools that work as those tools made them: one note for each kind.
fn describe_other_entries(snapshot: &Snapshot, noted: &[Finding]) -> Vec<ReportNote> {
    let (never, unlisted): (Vec<_>, Vec<_>) = noted.iter().partition(|finding| finding.id == NEVER_MATCHES);
    let unlisted = note_systems(snapshot, &unlisted, |systems, which| {
        format!(
            "Nix is not configured for {systems}, whose entries other tools made, and refuses such builds. To configure \
             it{which}"
        )
    });
    let never = note_systems(snapshot, &never, |systems, which| {
        format!(
            "the rules of the entries that other tools made for {systems} match no program of those systems. To run \
             programs{which}"
        )
    });
    unlisted.into_iter().chain(never).collect()
}

fn note_systems(
    snapshot: &Snapshot,
    noted: &[&Finding],
    describe: impl Fn(&str, &str) -> String,
) -> Option<ReportNote> {
    let systems: Vec<&str> = noted.iter().flat_map(|finding| finding.occurrence.systems.iter().copied()).collect();
    let (command, which) = match systems.as_slice() {
        [] => return None,
        [system] => (snapshot.shell.tool_command(format_args!("register {system}")), ""),
        _ => (snapshot.shell.tool_command("register SYSTEM"), " for one of them"),
    };
    Some(ReportNote { text: describe(&systems.join(" "), which), command })
}

/// Describes what was examined: only what exists.
fn describe_scope(snapshot: &Snapshot) -> String {
    let (entries, rules) = (snapshot.table.entries().len(), snapshot.boot.rules.len());
    let mut parts = vec![match snapshot.table {
        Table::Mounted { .. } if entries == 0 => "the kernel's table, which is empty".to_owned(),
        Table::Mounted { .. } => format!("{} of the kernel's table", count(entries, "entry")),
        Table::NotMounted => "the kernel's table (not mounted; nothing needs it)".to_owned(),
        Table::Offline => "no kernel (a tree below --root has none)".to_owned(),
    }];
    match entries {
        0 => {}
        1 => parts.push("its interpreter".to_owned()),
        _ => parts.push("their interpreters".to_owned()),
    }
    if let systems @ 1.. = snapshot.emulated_systems().count() {
        parts.push(format!("a program of {}", count(systems, "system")));
    }
    if rules > 0 {
        parts.push(count(rules, "boot rule"));
    }
    parts.extend(snapshot.nix.as_ref().map(|nix| match &nix.caller {
        _ if nix.machine.effective.is_none() => "the files with Nix's settings".to_owned(),
        Some(user) if user.view.effective.is_some() => format!("Nix's settings, and those of {}", user.name),
        _ => "Nix's settings".to_owned(),
    }));
    format!("examined {}", parts.join(", "))
}

/// Describes what holds inside of `run` only.
fn describe_place(snapshot: &Snapshot) -> Option<ReportNote> {
    let run = snapshot.run.as_ref().filter(|_| snapshot.is_daemon_outside());
    run.map(|run| ReportNote {
        text: env::describe_daemon_outside(&run.nix_systems()),
        command: env::own_store_command(snapshot.shell.is_root),
    })
}

/// Describes the systems that the user turned off. That is not a finding.
fn describe_disabled(snapshot: &Snapshot) -> Option<ReportNote> {
    let systems = snapshot.disabled.iter().cloned().collect::<Vec<_>>().join(" ");
    (!systems.is_empty()).then(|| ReportNote {
        text: format!("the command disable turned off {systems}. To turn on what is off"),
        command: snapshot.shell.tool_command(format_args!("enable {systems}")),
    })
}

/// Describes emulators that are older than the release of this version. That is not a finding: they work. Those that are
/// known to be bad are one (`qemu-known-bad`).
fn describe_outdated(snapshot: &Snapshot) -> Option<ReportNote> {
    let outdated = snapshot.registered.iter().filter_map(|(target, system)| {
        let (arch, installed) = (Arch::by_target(target)?, QemuVersion::parse(&system.qemu)?);
        let pinned = pinned_release(&snapshot.machine, arch).filter(|pinned| !system.adopted && installed < *pinned)?;
        Some((target.as_str(), installed, pinned))
    });
    let (mut systems, mut releases) = (Vec::new(), None);
    for (system, installed, pinned) in outdated {
        systems.push(system);
        releases.get_or_insert((installed, pinned));
    }
    let ((installed, pinned), systems) = (releases?, systems.join(" "));
    Some(ReportNote {
        text: format!("QEMU {installed} of {systems} is older than {pinned}, which this version pins. To replace it"),
        command: snapshot.shell.tool_command(format_args!("upgrade {systems}")),
    })
}

/// Describes what the checks could not see, and why.
fn describe_gaps(snapshot: &Snapshot) -> Vec<String> {
    let Some(nix) = &snapshot.nix else { return Vec::new() };
    let mut gaps = Vec::new();
    // A tree below --root has no process.
    if snapshot.shell.root.is_some() {
        return gaps;
    }
    if let Some(why) = &nix.machine.unasked {
        gaps.push(format!("the effective settings of Nix: {why}"));
    }
    let own = nix.caller.as_ref().and_then(|user| Some((user, user.view.unasked.as_ref()?)));
    if let Some((user, why)) = own.filter(|(_, why)| Some(*why) != nix.machine.unasked.as_ref()) {
        gaps.push(format!("the effective settings of {}: {why}", user.name));
    }
    let may_see_daemon = snapshot.shell.is_process_root() && snapshot.shell.place != ShellPlace::Run;
    if nix.has_daemon && !may_see_daemon {
        gaps.push("whether the nix-daemon has read its settings: only root can see that".to_owned());
    }
    gaps
}

/// The maximum width of a line of text.
const WIDTH: usize = 80;

/// Wraps a text at blanks; lines after the first are indented by `hang`. Other white space comes from foreign text, and
/// is shown as an escape.
pub fn wrap_text(text: &str, hang: usize) -> Vec<String> {
    let text = escape_line(text);
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    // A block that is indented afterwards is indented by two.
    let width = WIDTH.saturating_sub(2);
    for word in text.split(' ').filter(|word| !word.is_empty()) {
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
    lines
}

/// Indents every line.
pub fn indent_lines(lines: Vec<String>, by: usize) -> impl Iterator<Item = String> {
    lines.into_iter().map(move |line| format!("{}{line}", " ".repeat(by)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::doctor::Occurrence;

    #[test]
    fn lines_fit_a_terminal() {
        let text = "word ".repeat(60);
        assert!(indent_lines(wrap_text(&text, 2), 2).all(|line| line.len() <= WIDTH));
        assert_eq!(wrap_text("a b", 2), ["a b"]);
        let long = "x".repeat(200);
        assert_eq!(wrap_text(&format!("a {long} b"), 2), ["a".to_owned(), format!("  {long}"), "  b".to_owned()]);
        assert_eq!(wrap_text("a\nb\u{a0}\u{2028}c", 2), ["a\\nb\u{a0}\\u{2028}c"]);
    }

    #[test]
    fn many_findings_of_one_kind_are_folded() {
        let finding = |system| Finding {
            id: "x",
            urgency: Urgency::Fragile,
            occurrence: Occurrence {
                systems: vec![system],
                what: format!("the entry of {system} is odd"),
                why: "it is odd".into(),
                repair: vec![format!("repair {system}")],
                ..Occurrence::default()
            },
        };
        let lines = |systems: &[&'static str]| {
            let findings = systems.iter().copied().map(finding).collect();
            DoctorReport::new(&Snapshot::default(), findings).to_lines().join("\n")
        };
        let three = lines(&["a", "b", "c"]);
        assert!(three.contains("repair c") && !three.contains("the same"), "{three}");
        let four = lines(&["a", "b", "c", "d"]);
        assert!(four.contains("repair a\n  the same: 3 more findings [b c d]; doctor --json"), "{four}");
        assert!(!four.contains("repair b") && four.contains("4 findings in"), "{four}");
    }

    #[test]
    fn folded_findings_without_a_system_of_their_own_are_named() {
        let finding = |(name, systems): (&str, &[&'static str])| Finding {
            id: "x",
            urgency: Urgency::Danger,
            occurrence: Occurrence {
                systems: systems.to_vec(),
                ..Occurrence::general(format!("the entry {name} is odd"), "it is odd")
            },
        };
        for systems in [&[] as &[&'static str], &["x86_64"]] {
            let findings = ["a", "b", "c", "d"].map(|name| finding((name, systems))).into();
            let text = DoctorReport::new(&Snapshot::default(), findings).to_lines().join("\n");
            let rest = "the same: 3 more findings; doctor --json has the command of each\n    the entry b is odd\n    \
                        the entry c is odd\n    the entry d is odd\n";
            assert!(text.contains(rest), "{text}");
        }
    }

    #[test]
    fn the_report_of_a_healthy_machine_is_one_line() {
        let snapshot = Snapshot::default();
        let lines = DoctorReport::new(&snapshot, Vec::new()).to_lines();
        assert!(lines[0] == "nothing is wrong: examined the kernel's table, which is empty", "{lines:?}");
    }
}
