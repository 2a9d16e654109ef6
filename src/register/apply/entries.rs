//! Steps that change the kernel's table: mount, unmount, add and remove entries.

use std::path::Path;

use binfmt_magic::{Arch, EntryName, Rule};

use super::Apply;
use crate::binfmt::access;
use crate::binfmt::table;
use crate::binfmt::table::entry_name;
use crate::error::{Error, Result};
use crate::host;
use crate::register::apply::emulator::InstalledEmulator;
use crate::register::apply::rollback::Undo;
use crate::register::apply::{prior_proof, verify};
use crate::register::emulated::EmulatedSystem;
use crate::register::own_rule;
use crate::register::receipt::Artifact;
use crate::register::request::FORCE_HINT;
use crate::register::subject::Subject;
use crate::sanitize::{command, text_of_bytes};

impl Apply<'_> {
    /// Mounts the table and checks that it can be written.
    pub(super) fn mount_table(&mut self) -> Result<()> {
        let boot = host::procfs::boot_id();
        self.record_started(Artifact::Mount { boot: boot.clone(), id: None }, None)?;
        table::mount_table(self.host)?;
        let id = self.host.mount_id(Path::new(table::DIR));
        self.push_undo(Undo::UnmountTable);
        self.record_done(Artifact::Mount { boot, id })?;
        access::check_writable(self.host)
    }

    /// Records that the table, which had been unmounted, was mounted again just now. The facts must have been gathered
    /// after that mount: while the table is unmounted its entries are invisible, and their records would be dropped.
    pub fn record_remount(mut self) -> Result<()> {
        let artifact = Artifact::Mount { boot: host::procfs::boot_id(), id: self.host.mount_id(Path::new(table::DIR)) };
        self.open_receipt()?;
        self.record_started(artifact.clone(), None)?;
        self.record_done(artifact)
    }

    /// Unmounts the table. If that is not possible yet, the mount stays in the receipt and the next `unregister` tries again.
    pub(super) fn unmount_table(&mut self) -> Result<()> {
        if let Some(why) = self.try_unmount()? {
            self.notes.push(format!("binfmt_misc stays mounted: {why}; run unregister all later to unmount it"));
            return Ok(());
        }
        self.record_removed(Undo::MountTable, |artifact| matches!(artifact, Artifact::Mount { .. }))
    }

    /// Unmounts the table, or returns the reason why not. The last unmount removes all entries, including those that other
    /// tools have added since.
    pub(super) fn try_unmount(&self) -> Result<Option<&'static str>> {
        if !table::read_table(self.host)?.is_empty() {
            return Ok(Some("it contains entries of other tools"));
        }
        let unmounted = self.host.unmount(Path::new(table::DIR))?;
        Ok((!unmounted).then_some("a process is using it"))
    }

    /// Removes an entry, unless another entry of the same name has replaced it.
    pub(super) fn remove_entry(&mut self, name: &str) -> Result<()> {
        let Some(rule) = self.facts.table.find_entry(name).map(|entry| entry.rule.clone()) else {
            return Ok(());
        };
        if !table::remove_entry(self.host, &rule)? {
            self.findings.push(format!("another tool has replaced the entry {name}: left as it is"));
        }
        self.record_removed(
            Undo::AddEntry(rule),
            |artifact| matches!(artifact, Artifact::Entry { name: recorded, .. } if recorded == name),
        )
    }

    /// Registers a rule, after checking that it cannot brick the machine, and runs a program to prove that it works.
    ///
    /// A current entry of the same name leaves no gap: the rule is first registered above it under another name
    /// (`stand_in`), because the kernel uses the newest entry. Without such a name, which is too long for some lines, the
    /// current entry is removed at the last moment.
    pub(super) fn add_entry(
        &mut self,
        subject: &Subject,
        rule: &Rule,
        replaces: &[Rule],
        stand_in: Option<&EntryName>,
    ) -> Result<()> {
        access::check_writable(self.host)?;
        let interpreter = self.open_interpreter(subject, rule)?;
        if !replaces.is_empty() || self.is_run_by_another(subject) {
            let files = self.facts.rules.get(subject.name()).map_or(&[][..], |rule| &rule.tests);
            prior_proof::prove_rule(self.host, subject, rule, files)?;
        }
        let stand_in = stand_in.map(|name| Rule { name: name.clone(), ..rule.clone() });
        if let Some(above) = &stand_in {
            self.put_entry(subject, above, &interpreter, Undo::RemoveStandIn)?;
        }
        let (before, after): (Vec<_>, Vec<_>) =
            replaces.iter().partition(|old| stand_in.is_some() || old.name == rule.name);
        for old in before {
            self.withdraw_entry(old, Undo::AddEntry)?;
        }
        self.put_entry(subject, rule, &interpreter, Undo::RemoveEntry)?;
        for old in after {
            self.withdraw_entry(old, Undo::AddEntry)?;
        }
        if let Some(above) = &stand_in {
            self.withdraw_entry(above, Undo::AddStandIn)?;
        }
        self.save_receipt()
    }

    /// Whether an entry runs programs of the system now.
    fn is_run_by_another(&self, subject: &Subject) -> bool {
        let heads = match subject {
            Subject::System(arch) => arch.headers(),
            Subject::Rule(name) => {
                EmulatedSystem::of_rule(name).map(|system| system.probe().0.to_vec()).into_iter().collect()
            }
        };
        heads.iter().any(|head| self.facts.table.matching_entry(head).is_some())
    }

    /// Adds an entry and proves it. An entry that fails is removed at once, before anything else is undone.
    fn put_entry(
        &mut self,
        subject: &Subject,
        rule: &Rule,
        interpreter: &InstalledEmulator,
        undo: fn(Rule) -> Undo,
    ) -> Result<()> {
        let line = text_of_bytes(&rule.to_line()?);
        let artifact = Artifact::Entry { name: text_of_bytes(rule.name.as_bytes()), line };
        self.record_started(artifact.clone(), Some(subject))?;
        table::add_entry(self.host, rule)?;
        self.push_undo(undo(rule.clone()));
        self.note_done(artifact);
        let proof = self.prove_entry(subject, rule, interpreter);
        if proof.is_err() {
            table::remove_entry(self.host, rule)?;
        }
        proof
    }

    /// Removes an entry with this rule and its record, unless another entry of the same name has replaced it.
    fn withdraw_entry(&mut self, rule: &Rule, undo: fn(Rule) -> Undo) -> Result<()> {
        if !table::remove_entry(self.host, rule)? {
            return Ok(());
        }
        let name = text_of_bytes(rule.name.as_bytes());
        self.note_removed(
            undo(rule.clone()),
            |artifact| matches!(artifact, Artifact::Entry { name: recorded, .. } if *recorded == name),
        );
        Ok(())
    }

    /// Opens the interpreter of a rule with every check of its path, and checks that the rule cannot brick the machine.
    fn open_interpreter(&self, subject: &Subject, rule: &Rule) -> Result<InstalledEmulator> {
        let interpreter = match subject {
            Subject::System(arch) => self.open_installed(arch)?,
            Subject::Rule(_) => InstalledEmulator::open(&own_rule::interpreter_path(rule))?,
        };
        verify::check_rule_is_safe(rule, &interpreter.head)?;
        Ok(interpreter)
    }

    /// Runs a program to prove that an entry works. For an own rule it proves that programs of this machine still run: the
    /// files of the user's rules are not known.
    fn prove_entry(&mut self, subject: &Subject, rule: &Rule, interpreter: &InstalledEmulator) -> Result<()> {
        let arch = match subject {
            Subject::System(arch) => arch,
            Subject::Rule(name) => {
                let system = verify::verify_rule(name, rule)?;
                self.tested_rules.extend(system.map(|_| name.clone()));
                return Ok(());
            }
        };
        let name = text_of_bytes(rule.name.as_bytes());
        verify::verify_entry(self.host, arch, &name, Some(&interpreter.version), rule.flags.preserve_argv0)?;
        self.proven.push(arch.target);
        Ok(())
    }

    /// Turns an entry of this tool on or off. Before it is turned on, its rule is checked as before a registration; after
    /// that, a program proves that it works.
    pub(super) fn switch_entry(&mut self, subject: &Subject, rule: &Rule, enabled: bool) -> Result<()> {
        let interpreter = if enabled { Some(self.open_interpreter(subject, rule)?) } else { None };
        let name = text_of_bytes(rule.name.as_bytes());
        // The receipt records no artifact for this step.
        self.records_before.clone_from(&self.receipt.records);
        if !table::switch_entry(self.host, rule, enabled)? {
            return Err(Error::Conflict {
                what: format!("another tool has removed or replaced the entry {name} in the meantime"),
                hint: format!("{} shows the entries", command::tool("status")),
            });
        }
        self.push_undo(Undo::SwitchEntry { rule: rule.clone(), enabled: !enabled });
        interpreter.map_or(Ok(()), |interpreter| self.prove_entry(subject, rule, &interpreter))
    }

    /// Runs a file through the entry of an own rule.
    pub(super) fn test_rule(&mut self, rule: &Rule, file: &Path) -> Result<()> {
        verify::verify_file(self.host, rule, file)?;
        self.tested_rules.push(text_of_bytes(rule.name.as_bytes()));
        Ok(())
    }

    /// Runs a program through another tool's entry. The entry is used only if it works.
    pub(super) fn verify_foreign_entry(&mut self, arch: &'static Arch) -> Result<()> {
        let conflicts: Vec<_> = self.facts.conflicts.get(arch.target).into_iter().flatten().collect();
        let keeps_argv0 = conflicts.iter().all(|foreign| foreign.entry.rule.flags.preserve_argv0);
        let name = conflicts.first().map(|foreign| entry_name(&foreign.entry)).unwrap_or_default();
        match verify::verify_entry(self.host, arch, &name, None, keeps_argv0) {
            Ok(()) => self.proven.push(arch.target),
            Err(Error::NotWorking { why, .. }) => {
                return Err(Error::Conflict {
                    what: format!(
                        "another tool's entry {name} handles {} programs and does not work: {why}",
                        arch.target
                    ),
                    hint: FORCE_HINT.into(),
                });
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }
}
