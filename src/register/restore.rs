//! `restore`: registers the entries of the receipt that are missing. The boot hook starts it.
//!
//! Neither the network, nor Nix, nor any other source of emulators is used, and no program is run: the receipt names what
//! was registered and proven, and the boot file of each system has its rule. A system without a boot file was registered
//! until the next restart only (`--no-persist`).

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use binfmt_magic::{Arch, Rule};
use serde::Serialize;

use crate::binfmt::boot::OwnBootFile;
use crate::binfmt::table::{self, Table, describe_entry, is_same_rule};
use crate::error::Result;
use crate::host::{self, FileStamp, Host};
use crate::paths;
use crate::register::acceleration;
use crate::register::apply::restore_entry;
use crate::register::own_rule;
use crate::register::receipt::{Artifact, Receipt, Record, Stage};
use crate::register::subject::Subject;
use crate::sanitize::{AsText as _, text_of_bytes};
use crate::sha256::Sha256;

/// Result of `restore`.
#[derive(Debug, Default, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RestoreReport {
    /// Version of this format: 1.
    pub version: u32,
    /// Systems and own rules whose entry was there.
    pub present: Vec<String>,
    /// Systems and own rules whose entry was missing. Without `--check` it is registered now.
    pub missing: Vec<String>,
    /// Systems that `disable` turned off. They are left out.
    pub disabled: Vec<&'static str>,
    /// Whether the table was mounted.
    pub mounted: bool,
    /// Entries that cannot be registered, each with the reason. If there are any, the exit status is 3.
    pub findings: Vec<String>,
}

/// What has to be done for one system.
#[derive(Debug, Clone, PartialEq)]
enum RestoreAction {
    /// Nothing: its entry exists.
    Keep,
    /// Register this rule.
    Register(Rule),
    /// Nothing can be done, for this reason.
    Refuse(String),
}

/// Facts about one system of the receipt.
#[derive(Debug)]
struct SystemFacts {
    /// Rule of the boot file for this machine.
    rule: Rule,
    /// Logical path of the emulator.
    emulator: PathBuf,
    /// Whether the boot file is as this tool wrote it.
    is_boot_file_unmodified: bool,
    /// Whether the emulator is as this tool installed it.
    is_emulator_unmodified: bool,
}

/// What was read about one system.
enum GatheredSystem {
    Facts(SystemFacts),
    /// The reason why its entry cannot be restored.
    Problem(String),
}

/// Registers the missing entries. With `check`, only reports them.
pub fn restore(host: &Host, check: bool) -> Result<RestoreReport> {
    let mut report = RestoreReport { version: 1, ..RestoreReport::default() };
    let Some(mut receipt) = Receipt::load(host)? else { return Ok(report) };
    let is_disabled = |arch: &&Arch| receipt.systems.get(arch.target).is_some_and(|system| system.disabled);
    report.disabled = Arch::ALL.iter().filter(is_disabled).map(|arch| arch.target).collect();
    let systems = gather_systems(host, &receipt);
    let mut table = table::read_table(host)?;
    if systems.is_empty() || matches!(table, Table::Offline) {
        return Ok(report);
    }
    if matches!(table, Table::NotMounted) && !check {
        table::mount_table(host)?;
        table = table::read_table(host)?;
        report.mounted = true;
        let made = Artifact::Mount { boot: host::procfs::boot_id(), id: host.mount_id(Path::new(table::DIR)) };
        record(&mut receipt, None, made);
    }
    let mut restored = Vec::new();
    for (subject, facts) in systems {
        let label = subject.name().to_owned();
        let is_below = acceleration::system_of_rule(&label).is_some_and(|arch| restored.contains(&arch.target));
        let facts = match facts {
            GatheredSystem::Facts(facts) => facts,
            // The other systems are restored.
            GatheredSystem::Problem(why) => {
                report.findings.push(format!("{label}: {why}"));
                continue;
            }
        };
        let action = match decide(&facts, &table) {
            // The entry of its system was registered above it just now.
            RestoreAction::Keep if is_below && table::remove_entry(host, &facts.rule)? => {
                RestoreAction::Register(facts.rule.clone())
            }
            action => action,
        };
        match action {
            RestoreAction::Keep => report.present.push(label),
            RestoreAction::Refuse(why) => report.findings.push(format!("{label}: {why}")),
            RestoreAction::Register(_) if check => report.missing.push(label),
            RestoreAction::Register(rule) => match restore_entry(host, &subject, &facts.emulator, &rule) {
                Ok(()) => {
                    restored.extend(subject.arch().map(|arch| arch.target));
                    report.missing.push(label);
                    let (name, line) = (text_of_bytes(rule.name.as_bytes()), text_of_bytes(&rule.to_line()?));
                    record(&mut receipt, Some(&subject), Artifact::Entry { name, line });
                }
                Err(error) => report.findings.push(format!("{label}: {}", error.to_log_text())),
            },
        }
    }
    save_if_changed(host, &receipt, &mut report)?;
    Ok(report)
}

/// Adds a record, unless the receipt has it.
fn record(receipt: &mut Receipt, subject: Option<&Subject>, made: Artifact) {
    if !receipt.records.iter().any(|record| record.made == made) {
        receipt.records.retain(|record| !record.made.is_same_object(&made));
        receipt.records.push(Record::new(Stage::Done, subject, made));
    }
}

/// Writes the receipt if it changed. The entries exist already, so a read-only /var is only reported.
fn save_if_changed(host: &Host, receipt: &Receipt, report: &mut RestoreReport) -> Result<()> {
    if Receipt::load(host)?.as_ref() != Some(receipt)
        && let Err(error) = receipt.save(host)
    {
        report.findings.push(error.to_log_text());
    }
    Ok(())
}

/// Reads what is recorded about each registered system that has a boot file.
fn gather_systems(host: &Host, receipt: &Receipt) -> Vec<(Subject, GatheredSystem)> {
    let registered = receipt.systems.iter().filter(|(_, system)| !system.adopted && !system.disabled);
    let systems = registered.filter_map(|(target, system)| {
        let arch = Arch::by_target(target)?;
        let path = paths::boot_rule(arch);
        let subject = Subject::System(arch);
        let facts = gather_entry(host, receipt, &subject, &path, Some(&system.interpreter));
        Some((subject, facts.unwrap_or_else(|error| Some(GatheredSystem::Problem(error.to_log_text())))?))
    });
    let rules = receipt.rules.keys().filter_map(|name| {
        let subject = Subject::Rule(name.clone());
        let facts = gather_entry(host, receipt, &subject, &paths::own_rule_file(name), None);
        Some((subject, facts.unwrap_or_else(|error| Some(GatheredSystem::Problem(error.to_log_text())))?))
    });
    systems.chain(rules).collect()
}

/// Reads what is recorded about one system or own rule. `None` if it has no boot file. `emulator` is one that this tool
/// installed; the interpreter of an own rule belongs to the machine, and may have been upgraded.
fn gather_entry(
    host: &Host,
    receipt: &Receipt,
    subject: &Subject,
    boot_file: &Path,
    emulator: Option<&Path>,
) -> Result<Option<GatheredSystem>> {
    let recorded =
        receipt.records.iter().filter(|record| record.is_for(subject)).find_map(|record| match &record.made {
            Artifact::File { path, sha256 } if path == boot_file => Some(*sha256),
            _ => None,
        });
    // The administrator removed the file, or a link to /dev/null hides it (binfmt.d(5)).
    let is_hidden = host.read_link(boot_file).is_some_and(|target| target == Path::new("/dev/null"));
    let (Some(recorded), false) = (recorded, is_hidden) else { return Ok(None) };
    let Some(text) = host.read_trusted(boot_file)? else { return Ok(None) };
    let Some(OwnBootFile { rule, enabled }) = OwnBootFile::parse(&text) else {
        return Ok(Some(GatheredSystem::Problem(changed_text(&host.real_path(boot_file).as_text()))));
    };
    // `disable` was interrupted before it recorded the system.
    if !enabled {
        return Ok(None);
    }
    let is_emulator_unmodified = match emulator {
        Some(emulator) => is_emulator_unmodified(host, receipt, subject.name(), emulator)?,
        None => true,
    };
    let emulator = emulator.map_or_else(|| own_rule::interpreter_path(&rule), Path::to_owned);
    Ok(Some(GatheredSystem::Facts(SystemFacts {
        rule: Rule { interpreter: host.real_path(&emulator).as_os_str().as_bytes().to_vec(), ..rule },
        is_boot_file_unmodified: Sha256::of_bytes(&text) == recorded,
        is_emulator_unmodified,
        emulator,
    })))
}

/// Describes a file that is not as this tool made it.
fn changed_text(what: &str) -> String {
    format!("{what} was changed after binfmt-nix made it: register the system again")
}

/// Compares the emulator with its record: by its stamp, so that 16 MB are hashed only if the file was copied or restored.
fn is_emulator_unmodified(host: &Host, receipt: &Receipt, target: &str, emulator: &Path) -> Result<bool> {
    let recorded = receipt.records_of(target).find_map(|record| match &record.made {
        Artifact::Interpreter { path, sha256, seal, .. } if path == emulator => Some((*sha256, seal.clone())),
        _ => None,
    });
    let (Some((sha256, seal)), Some(meta)) = (recorded, host.lstat(emulator)?) else { return Ok(false) };
    if meta.is_file() && seal == Some(FileStamp::from_metadata(&meta)) {
        return Ok(true);
    }
    Ok(host.is_regular_file(emulator) && host.fingerprint(emulator)?.is_some_and(|(sum, _)| sum == sha256))
}

/// Decides what has to be done for one system.
fn decide(facts: &SystemFacts, table: &Table) -> RestoreAction {
    let name = text_of_bytes(facts.rule.name.as_bytes());
    let changed = |what: &str| RestoreAction::Refuse(changed_text(what));
    match table.find_entry(&name) {
        Some(entry) if is_same_rule(&entry.rule, &facts.rule) => RestoreAction::Keep,
        Some(entry) => RestoreAction::Refuse(format!("another entry has the name {name}: {}", describe_entry(entry))),
        None if table.has_entry(&name) => RestoreAction::Refuse(format!("another entry has the name {name}")),
        None if !facts.is_boot_file_unmodified => changed("its boot file"),
        None if !facts.is_emulator_unmodified => changed(&text_of_bytes(&facts.rule.interpreter)),
        None => RestoreAction::Register(facts.rule.clone()),
    }
}

#[cfg(test)]
mod tests {
    use binfmt_magic::Entry;

    use super::*;
    use crate::binfmt::table::UnsupportedEntry;

    fn parse(line: &str) -> Option<Rule> {
        Rule::parse(line.as_bytes()).ok()
    }

    #[test]
    fn only_missing_entries_of_unmodified_files_are_registered() {
        let (Some(rule), Some(other)) = (parse(":qemu-x:E::x::/bin/x:F"), parse(":qemu-x:E::x::/bin/y:F")) else {
            panic!("the rules are valid")
        };
        let facts = |boot_file, emulator| SystemFacts {
            rule: rule.clone(),
            emulator: "/bin/x".into(),
            is_boot_file_unmodified: boot_file,
            is_emulator_unmodified: emulator,
        };
        let table = |rules: &[&Rule], unsupported: &[&str]| {
            let entries = rules.iter().map(|rule| Entry { enabled: true, rule: (*rule).clone() });
            let unsupported =
                unsupported.iter().map(|name| UnsupportedEntry { name: (*name).to_owned(), handler: None });
            Table::new(entries.collect(), unsupported.collect(), true)
        };
        assert_eq!(decide(&facts(true, true), &table(&[], &[])), RestoreAction::Register(rule.clone()));
        assert_eq!(decide(&facts(false, false), &table(&[&rule], &[])), RestoreAction::Keep);
        let refused = [
            decide(&facts(true, true), &table(&[&other], &[])),
            decide(&facts(true, true), &table(&[], &["qemu-x"])),
            decide(&facts(false, true), &table(&[], &[])),
            decide(&facts(true, false), &table(&[], &[])),
        ];
        for action in refused {
            assert!(matches!(action, RestoreAction::Refuse(_)), "{action:?}");
        }
    }
}
