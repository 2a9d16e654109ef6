//! Drift: differences between the expected entries and the kernel's table. Pure.

use std::collections::BTreeSet;

use binfmt_magic::{Entry, Recognition, Rule};

use crate::binfmt::in_memory::is_in_memory_path;
use crate::binfmt::table::{Table, entry_name, is_same_rule};
use crate::register::subject::Subject;
use crate::ui::event::{LogEvent, LogLevel};

/// Entry that the table should contain.
#[derive(Debug, Clone)]
pub struct ExpectedEntry {
    /// System or own rule of the entry.
    pub subject: Subject,
    /// Name of the entry.
    pub entry: String,
    /// Rule of the entry; `None` if the entry was removed before its rule was read.
    pub rule: Option<Rule>,
}

impl ExpectedEntry {
    /// Expects the entry of this name as it is in the table now.
    pub fn from_table(subject: Subject, entry: &str, table: &Table) -> Self {
        Self { subject, entry: entry.to_owned(), rule: table.find_entry(entry).map(|found| found.rule.clone()) }
    }

    /// Returns files that the entry takes, each with its path and its first bytes.
    fn sample_files(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        if let Subject::System(arch) = &self.subject {
            return arch.headers().into_iter().map(|head| (Vec::new(), head)).collect();
        }
        match self.rule.as_ref().map(|rule| &rule.recognition) {
            Some(Recognition::Extension(suffix)) => vec![([b"x.", suffix.as_slice()].concat(), Vec::new())],
            Some(Recognition::Magic(pattern)) => {
                let mut head = vec![0; pattern.offset()];
                head.extend_from_slice(pattern.magic());
                vec![(Vec::new(), head)]
            }
            None => Vec::new(),
        }
    }

    /// Whether an upgrade that is in progress, or was interrupted, made the entry to stand in for this one.
    fn is_stood_in_by(&self, found: &Entry) -> bool {
        self.subject.entry_names().contains(&entry_name(found))
            && self.rule.as_ref().is_some_and(|rule| {
                rule.interpreter == found.rule.interpreter && rule.recognition == found.rule.recognition
            })
    }

    fn matches_entry(&self, found: &Entry) -> bool {
        self.rule.as_ref().is_some_and(|rule| is_same_rule(&found.rule, rule) || is_same_memory_rule(&found.rule, rule))
    }
}

/// Whether both rules have emulators in memory and are the same otherwise. The file descriptor number in the path had a
/// meaning only in the process that registered the entry.
fn is_same_memory_rule(a: &Rule, b: &Rule) -> bool {
    is_in_memory_path(&a.interpreter)
        && is_in_memory_path(&b.interpreter)
        && is_same_rule(&Rule { interpreter: b.interpreter.clone(), ..a.clone() }, b)
}

/// One difference from the expected state.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Drift {
    /// The table is not mounted, so its entries are not visible.
    Unmounted,
    /// The whole table is switched off, so the kernel uses none of its entries.
    SwitchedOff,
    /// The entry is missing, or another entry has its name.
    Removed {
        /// System or own rule of the entry.
        subject: Subject,
        /// Name of the entry.
        entry: String,
    },
    /// The entry was disabled by writing 0 to it, or `disable` turned its system off.
    Disabled {
        /// System or own rule of the entry.
        subject: Subject,
        /// Name of the entry.
        entry: String,
    },
    /// A newer entry takes precedence for programs of the system, or files of the rule.
    Shadowed {
        /// System or own rule of the entry.
        subject: Subject,
        /// Name of the entry.
        entry: String,
        /// Name of the newer entry.
        by: String,
    },
}

/// Compares the expected entries with a table. `disabled` are the targets of the systems that `disable` turned off: if
/// the entry of such a system is missing, it counts as off, and is not registered again.
pub fn find_drifts(expected: &[ExpectedEntry], table: &Table, disabled: &BTreeSet<String>) -> Vec<Drift> {
    if !matches!(table, Table::Mounted { .. }) {
        return vec![Drift::Unmounted];
    }
    let mut drifts = Vec::new();
    if table.is_switched_off() {
        drifts.push(Drift::SwitchedOff);
    }
    let find = |other: &ExpectedEntry| match find_drift(other, expected, table) {
        Some(Drift::Removed { subject, entry })
            if subject.arch().is_some_and(|arch| disabled.contains(arch.target)) =>
        {
            Some(Drift::Disabled { subject, entry })
        }
        found => found,
    };
    drifts.extend(expected.iter().filter_map(find));
    drifts
}

fn find_drift(expected: &ExpectedEntry, all: &[ExpectedEntry], table: &Table) -> Option<Drift> {
    let (subject, entry) = (expected.subject.clone(), expected.entry.clone());
    let files = expected.sample_files();
    let mut winners = files.iter().filter_map(|(path, head)| table.matching_entry_for_path(path, head));
    match table.find_entry(&entry).filter(|found| expected.matches_entry(found)) {
        None if winners.any(|winner| expected.is_stood_in_by(winner)) => None,
        None => Some(Drift::Removed { subject, entry }),
        Some(found) if !found.enabled => Some(Drift::Disabled { subject, entry }),
        Some(_) => {
            let is_own = |winner: &&Entry| all.iter().any(|other| other.entry == entry_name(winner));
            let by = winners.find(|winner| !is_own(winner) && !expected.is_stood_in_by(winner)).map(entry_name)?;
            Some(Drift::Shadowed { subject, entry, by })
        }
    }
}

impl Drift {
    /// System or rule whose entry has to be registered again.
    pub fn missing_subject(&self) -> Option<&Subject> {
        match self {
            Self::Removed { subject, .. } => Some(subject),
            _ => None,
        }
    }

    /// Name of the event for the log.
    pub fn event_name(&self) -> &'static str {
        match self {
            Self::Unmounted => "unmounted",
            Self::SwitchedOff => "switched-off",
            Self::Removed { .. } => "removed",
            Self::Disabled { .. } => "disabled",
            Self::Shadowed { .. } => "shadowed",
        }
    }

    /// Event that reports the drift.
    pub fn to_event(&self) -> LogEvent {
        self.with_details(LogEvent::new(LogLevel::Warning, self.event_name()))
    }

    /// Event that reports that the drift ended without a repair by this tool.
    pub fn to_resolved_event(&self) -> LogEvent {
        self.with_details(LogEvent::info("resolved").with_field("what", self.event_name()))
    }

    fn with_details(&self, event: LogEvent) -> LogEvent {
        match self {
            Self::Unmounted | Self::SwitchedOff => event,
            Self::Removed { subject, entry } | Self::Disabled { subject, entry } => {
                event.with_field(subject.kind(), subject.name()).with_field("entry", entry)
            }
            Self::Shadowed { subject, entry, by } => {
                event.with_field(subject.kind(), subject.name()).with_field("entry", entry).with_field("by", by)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use binfmt_magic::{Arch, EntryName};

    fn arch(system: &str) -> &'static Arch {
        Arch::find(system).unwrap_or_else(|e| panic!("{e}"))
    }

    fn rule(name: &str, system: &str, interpreter: &str) -> Rule {
        Rule {
            name: EntryName::new(name).unwrap_or_else(|e| panic!("{e}")),
            recognition: Recognition::Magic(arch(system).pattern()),
            interpreter: interpreter.into(),
            flags: "PF".parse().unwrap_or_else(|e| panic!("{e}")),
        }
    }

    fn table(rules: &[Rule]) -> Table {
        let entries = rules.iter().map(|rule| Entry { enabled: true, rule: rule.clone() }).collect();
        Table::of_entries(entries)
    }

    fn expected(rules: &[(&'static str, &Rule)]) -> Vec<ExpectedEntry> {
        let one = |(system, rule): &(&str, &Rule)| ExpectedEntry {
            subject: Subject::System(arch(system)),
            entry: String::from_utf8_lossy(rule.name.as_bytes()).into_owned(),
            rule: Some((*rule).clone()),
        };
        rules.iter().map(one).collect()
    }

    fn removed(system: &'static str, entry: &str) -> Drift {
        Drift::Removed { subject: Subject::System(arch(system)), entry: entry.into() }
    }

    fn find_drifts(expected: &[ExpectedEntry], table: &Table) -> Vec<Drift> {
        super::find_drifts(expected, table, &BTreeSet::new())
    }

    #[test]
    fn an_entry_that_stands_in_for_another_one_is_no_drift() {
        let own = rule("qemu-aarch64", "aarch64", "/q");
        let expected = expected(&[("aarch64", &own)]);
        let names =
            |interpreter| ["binfmt-nix-aarch64", "binfmt-nix-aarch64-3"].map(|name| rule(name, "aarch64", interpreter));
        for above in names("/q") {
            assert_eq!(find_drifts(&expected, &table(&[above.clone(), own.clone()])), []);
            assert_eq!(find_drifts(&expected, &table(std::slice::from_ref(&above))), []);
        }
        for other in names("/other").into_iter().chain([rule("other", "aarch64", "/q")]) {
            let by = entry_name(&Entry { enabled: true, rule: other.clone() });
            let shadowed = Drift::Shadowed { subject: expected[0].subject.clone(), entry: own.name.to_string(), by };
            assert_eq!(find_drifts(&expected, &table(&[other.clone(), own.clone()])), [shadowed]);
            assert_eq!(find_drifts(&expected, &table(&[other])), [removed("aarch64", "qemu-aarch64")]);
        }
    }

    #[test]
    fn a_missing_entry_of_a_system_that_is_off_is_not_registered_again() {
        let own = rule("a", "aarch64", "/q");
        let expected = expected(&[("aarch64", &own)]);
        let disabled = [Drift::Disabled { subject: Subject::System(arch("aarch64")), entry: "a".into() }];
        let off = BTreeSet::from(["aarch64".to_owned()]);
        assert_eq!(super::find_drifts(&expected, &table(&[]), &off), disabled);
        assert_eq!(super::find_drifts(&expected, &table(&[own]), &off), []);
    }

    #[test]
    fn older_entries_are_no_drift() {
        let (arm, riscv) = (rule("a", "aarch64", "/q"), rule("r", "riscv64", "/r"));
        let expected = expected(&[("aarch64", &arm), ("riscv64", &riscv)]);
        let others = [rule("x", "s390x", "/x"), riscv, arm.clone(), rule("older", "aarch64", "/o")];
        assert_eq!(find_drifts(&expected, &table(&others)), []);
        assert_eq!(find_drifts(&expected, &table(&[arm])), [removed("riscv64", "r")]);
        assert_eq!(find_drifts(&expected, &table(&[])), [removed("aarch64", "a"), removed("riscv64", "r")]);
    }

    #[test]
    fn another_rule_of_that_name_is_a_removed_entry() {
        let own = rule("a", "aarch64", "/q");
        let expected = expected(&[("aarch64", &own)]);
        for other in [rule("a", "aarch64", "/other"), rule("a", "riscv64", "/q")] {
            assert_eq!(find_drifts(&expected, &table(&[other])), [removed("aarch64", "a")]);
        }
    }

    #[test]
    fn the_descriptor_number_of_an_entry_in_memory_is_ignored() {
        let expected = expected(&[("aarch64", &rule("a", "aarch64", "/proc/thread-self/fd/3"))]);
        for same in ["/proc/thread-self/fd/9", "/proc/self/fd/3"] {
            assert_eq!(find_drifts(&expected, &table(&[rule("a", "aarch64", same)])), []);
        }
        assert_eq!(find_drifts(&expected, &table(&[rule("a", "aarch64", "/q")])), [removed("aarch64", "a")]);
    }

    #[test]
    fn a_newer_entry_shadows_unless_it_is_disabled() {
        let own = rule("a", "aarch64", "/q");
        let expected = expected(&[("aarch64", &own)]);
        let mut both = table(&[rule("foreign", "aarch64", "/t"), own.clone()]);
        let by = Drift::Shadowed { subject: Subject::System(arch("aarch64")), entry: "a".into(), by: "foreign".into() };
        assert_eq!(find_drifts(&expected, &both), [by]);
        if let Table::Mounted { entries, .. } = &mut both {
            entries[0].enabled = false;
        }
        assert_eq!(find_drifts(&expected, &both), []);
    }

    #[test]
    fn disabled_entries_and_tables_are_reported() {
        let own = rule("a", "aarch64", "/q");
        let expected = expected(&[("aarch64", &own)]);
        let mut off = table(&[own]);
        if let Table::Mounted { entries, enabled, .. } = &mut off {
            entries[0].enabled = false;
            *enabled = false;
        }
        let disabled = Drift::Disabled { subject: Subject::System(arch("aarch64")), entry: "a".into() };
        assert_eq!(find_drifts(&expected, &off), [Drift::SwitchedOff, disabled]);
    }

    #[test]
    fn an_unmounted_table_is_the_only_drift() {
        let expected = expected(&[("aarch64", &rule("a", "aarch64", "/q"))]);
        assert_eq!(find_drifts(&expected, &Table::NotMounted), [Drift::Unmounted]);
    }

    #[test]
    fn an_own_rule_is_removed_or_shadowed_as_a_system_is() {
        for line in [":jar:E::jar::/i:", ":jar:M:2:PK::/i:"] {
            let Ok(own) = Rule::parse(line.as_bytes()) else { panic!("{line}") };
            let subject = Subject::Rule("jar".into());
            let expected = [ExpectedEntry { subject: subject.clone(), entry: "jar".into(), rule: Some(own.clone()) }];
            assert_eq!(find_drifts(&expected, &table(std::slice::from_ref(&own))), []);
            let removed = Drift::Removed { subject: subject.clone(), entry: "jar".into() };
            assert_eq!(find_drifts(&expected, &table(&[])), [removed]);
            let Ok(name) = EntryName::new("other") else { panic!("the name is valid") };
            let other = Rule { name, ..own.clone() };
            let shadowed = Drift::Shadowed { subject, entry: "jar".into(), by: "other".into() };
            assert_eq!(find_drifts(&expected, &table(&[other, own])), [shadowed]);
        }
    }
}
