//! What is not as it should be in a table, for those who wanted entries in it. Pure.

use binfmt_magic::{Arch, Entry, Rule};

use crate::binfmt::in_memory::is_in_memory_path;
use crate::binfmt::table::{Table, entry_name, is_same_rule};
use crate::ui::event::{LogEvent, LogLevel};

/// An entry that is to be there.
#[derive(Debug, Clone)]
pub struct ExpectedEntry {
    /// Its system.
    pub arch: &'static Arch,
    /// Its name.
    pub entry: String,
    /// What it says; unknown if it was gone before anybody could look.
    pub rule: Option<Rule>,
}

impl ExpectedEntry {
    /// The entry of that name, as it is in the table.
    pub fn from_table(arch: &'static Arch, entry: &str, table: &Table) -> Self {
        Self { arch, entry: entry.to_owned(), rule: table.find_entry(entry).map(|found| found.rule.clone()) }
    }

    fn matches_entry(&self, found: &Entry) -> bool {
        self.rule.as_ref().is_some_and(|rule| is_same_rule(&found.rule, rule) || is_same_memory_rule(&found.rule, rule))
    }
}

/// Two emulators in memory: the number of the file was of a meaning only to who registered it.
fn is_same_memory_rule(a: &Rule, b: &Rule) -> bool {
    is_in_memory_path(&a.interpreter)
        && is_in_memory_path(&b.interpreter)
        && is_same_rule(&Rule { interpreter: b.interpreter.clone(), ..a.clone() }, b)
}

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Drift {
    /// No table is mounted: what is in it cannot be seen.
    Unmounted,
    /// The kernel looks at no entry at all.
    SwitchedOff,
    /// The entry is not there, or another one has its name.
    Removed {
        /// QEMU's name of the system
        system: &'static str,
        /// the entry's name
        entry: String,
    },
    /// Somebody wrote 0 to it.
    Disabled {
        /// QEMU's name of the system
        system: &'static str,
        /// the entry's name
        entry: String,
    },
    /// A newer entry takes programs of the system.
    Shadowed {
        /// QEMU's name of the system
        system: &'static str,
        /// the entry's name
        entry: String,
        /// the newer one's
        by: String,
    },
}

/// Compares what is wanted with a table.
pub fn find_drifts(wanted: &[ExpectedEntry], table: &Table) -> Vec<Drift> {
    if !matches!(table, Table::Mounted { .. }) {
        return vec![Drift::Unmounted];
    }
    let mut findings = Vec::new();
    if table.is_switched_off() {
        findings.push(Drift::SwitchedOff);
    }
    findings.extend(wanted.iter().filter_map(|other| find_drift(other, wanted, table)));
    findings
}

fn find_drift(wanted: &ExpectedEntry, all: &[ExpectedEntry], table: &Table) -> Option<Drift> {
    let (system, entry) = (wanted.arch.target, wanted.entry.clone());
    match table.find_entry(&entry).filter(|found| wanted.matches_entry(found)) {
        None => Some(Drift::Removed { system, entry }),
        Some(found) if !found.enabled => Some(Drift::Disabled { system, entry }),
        Some(_) => {
            let winners =
                wanted.arch.headers().into_iter().filter_map(|head| table.matching_entry(&head).map(entry_name));
            let by = winners.into_iter().find(|winner| !all.iter().any(|other| other.entry == *winner))?;
            Some(Drift::Shadowed { system, entry, by })
        }
    }
}

impl Drift {
    /// The system whose entry has to be put in.
    pub fn missing_system(&self) -> Option<&'static str> {
        match self {
            Self::Removed { system, .. } => Some(system),
            _ => None,
        }
    }

    /// Its name as an event.
    pub fn event_name(&self) -> &'static str {
        match self {
            Self::Unmounted => "unmounted",
            Self::SwitchedOff => "switched-off",
            Self::Removed { .. } => "removed",
            Self::Disabled { .. } => "disabled",
            Self::Shadowed { .. } => "shadowed",
        }
    }

    /// It is so.
    pub fn to_event(&self) -> LogEvent {
        self.with_details(LogEvent::new(LogLevel::Warning, self.event_name()))
    }

    /// It is so no longer, and it was not us.
    pub fn to_resolved_event(&self) -> LogEvent {
        self.with_details(LogEvent::info("resolved").with_field("what", self.event_name()))
    }

    fn with_details(&self, event: LogEvent) -> LogEvent {
        match self {
            Self::Unmounted | Self::SwitchedOff => event,
            Self::Removed { system, entry } | Self::Disabled { system, entry } => {
                event.with_field("system", *system).with_field("entry", entry)
            }
            Self::Shadowed { system, entry, by } => {
                event.with_field("system", *system).with_field("entry", entry).with_field("by", by)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use binfmt_magic::{EntryName, Recognition};

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
        Table::Mounted { entries, unsupported: Vec::new(), enabled: true }
    }

    fn wanted(rules: &[(&'static str, &Rule)]) -> Vec<ExpectedEntry> {
        let one = |(system, rule): &(&str, &Rule)| ExpectedEntry {
            arch: arch(system),
            entry: String::from_utf8_lossy(rule.name.as_bytes()).into_owned(),
            rule: Some((*rule).clone()),
        };
        rules.iter().map(one).collect()
    }

    fn removed(system: &'static str, entry: &str) -> Drift {
        Drift::Removed { system, entry: entry.into() }
    }

    #[test]
    fn what_is_there_is_no_finding_whatever_else_is() {
        let (arm, riscv) = (rule("a", "aarch64", "/q"), rule("r", "riscv64", "/r"));
        let wanted = wanted(&[("aarch64", &arm), ("riscv64", &riscv)]);
        let others = [rule("x", "s390x", "/x"), riscv, arm.clone(), rule("older", "aarch64", "/o")];
        assert_eq!(find_drifts(&wanted, &table(&others)), []);
        assert_eq!(find_drifts(&wanted, &table(&[arm])), [removed("riscv64", "r")]);
        assert_eq!(find_drifts(&wanted, &table(&[])), [removed("aarch64", "a"), removed("riscv64", "r")]);
    }

    #[test]
    fn another_one_of_that_name_is_not_it() {
        let ours = rule("a", "aarch64", "/q");
        let wanted = wanted(&[("aarch64", &ours)]);
        for other in [rule("a", "aarch64", "/other"), rule("a", "riscv64", "/q")] {
            assert_eq!(find_drifts(&wanted, &table(&[other])), [removed("aarch64", "a")]);
        }
    }

    #[test]
    fn in_memory_the_number_means_nothing() {
        let wanted = wanted(&[("aarch64", &rule("a", "aarch64", "/proc/thread-self/fd/3"))]);
        for same in ["/proc/thread-self/fd/9", "/proc/self/fd/3"] {
            assert_eq!(find_drifts(&wanted, &table(&[rule("a", "aarch64", same)])), []);
        }
        assert_eq!(find_drifts(&wanted, &table(&[rule("a", "aarch64", "/q")])), [removed("aarch64", "a")]);
    }

    #[test]
    fn a_newer_one_of_somebody_else_shadows_it_unless_it_is_disabled() {
        let ours = rule("a", "aarch64", "/q");
        let wanted = wanted(&[("aarch64", &ours)]);
        let mut both = table(&[rule("theirs", "aarch64", "/t"), ours.clone()]);
        let by = Drift::Shadowed { system: "aarch64", entry: "a".into(), by: "theirs".into() };
        assert_eq!(find_drifts(&wanted, &both), [by]);
        if let Table::Mounted { entries, .. } = &mut both {
            entries[0].enabled = false;
        }
        assert_eq!(find_drifts(&wanted, &both), []);
    }

    #[test]
    fn what_somebody_switched_off_is_told() {
        let ours = rule("a", "aarch64", "/q");
        let wanted = wanted(&[("aarch64", &ours)]);
        let mut off = table(&[ours]);
        if let Table::Mounted { entries, enabled, .. } = &mut off {
            entries[0].enabled = false;
            *enabled = false;
        }
        let disabled = Drift::Disabled { system: "aarch64", entry: "a".into() };
        assert_eq!(find_drifts(&wanted, &off), [Drift::SwitchedOff, disabled]);
    }

    #[test]
    fn of_a_table_that_is_not_mounted_nothing_more_can_be_said() {
        let wanted = wanted(&[("aarch64", &rule("a", "aarch64", "/q"))]);
        assert_eq!(find_drifts(&wanted, &Table::NotMounted), [Drift::Unmounted]);
    }
}
