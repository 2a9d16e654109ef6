//! Steps on the kernel's table.

use std::path::Path;

use binfmt_magic::{Arch, Rule};

use super::Apply;
use crate::binfmt::table;
use crate::binfmt::table::entry_name;
use crate::error::{Error, Result};
use crate::host;
use crate::register::apply::rollback::Undo;
use crate::register::apply::verify;
use crate::register::receipt::Artifact;

impl Apply<'_> {
    pub(super) fn mount_table(&mut self) -> Result<()> {
        let boot = host::procfs::boot_id();
        self.record_started(Artifact::Mount { boot: boot.clone(), id: None }, None)?;
        table::mount_table(self.host)?;
        let id = self.host.mount_id(Path::new(table::DIR));
        self.push_undo(Undo::UnmountTable);
        self.record_done(Artifact::Mount { boot, id })?;
        table::check_writable(self.host)
    }

    /// The table, which somebody had unmounted, was mounted again just now. Only then its entries are seen: who looked
    /// before would take them for gone.
    pub fn record_remount(mut self) -> Result<()> {
        let artifact = Artifact::Mount { boot: host::procfs::boot_id(), id: self.host.mount_id(Path::new(table::DIR)) };
        self.open_receipt()?;
        self.record_started(artifact.clone(), None)?;
        self.record_done(artifact)
    }

    /// A mount that cannot go yet stays in the receipt, for the next time.
    pub(super) fn unmount_table(&mut self) -> Result<()> {
        if let Some(why) = self.try_unmount()? {
            self.notes.push(format!("the mount of binfmt_misc stays: {why}; unregister all takes it away later"));
            return Ok(());
        }
        self.record_removed(Undo::MountTable, |artifact| matches!(artifact, Artifact::Mount { .. }))
    }

    /// Unmounts the table, or says why not: with the last mount goes every entry
    /// that others may have made meanwhile.
    pub(super) fn try_unmount(&self) -> Result<Option<&'static str>> {
        if !table::read_table(self.host)?.is_empty() {
            return Ok(Some("entries of others are in it"));
        }
        let unmounted = self.host.unmount(Path::new(table::DIR))?;
        Ok((!unmounted).then_some("a process uses it"))
    }

    pub(super) fn remove_entry(&mut self, name: &str) -> Result<()> {
        let Some(rule) = self.facts.table.find_entry(name).map(|entry| entry.rule.clone()) else {
            return Ok(());
        };
        if !table::remove_entry(self.host, &rule)? {
            self.findings.push(format!("somebody else put another entry {name} in the place of ours: left as it is"));
        }
        self.record_removed(
            Undo::AddEntry(rule),
            |artifact| matches!(artifact, Artifact::Entry { name: artifact, .. } if artifact == name),
        )
    }

    /// Registers a rule that cannot brick the machine, and proves it. An entry of
    /// ours that has the name goes at the last moment: in between, nothing runs
    /// such programs, and somebody else could take the name.
    pub(super) fn add_entry(&mut self, arch: &'static Arch, rule: &Rule, replaces: Option<&Rule>) -> Result<()> {
        table::check_writable(self.host)?;
        let installed = self.open_installed(arch)?;
        verify::check_rule_is_safe(rule, &installed.head)?;
        let name = String::from_utf8_lossy(rule.name.as_bytes()).into_owned();
        let line = String::from_utf8_lossy(&rule.to_line()?).into_owned();
        let artifact = Artifact::Entry { name: name.clone(), line };
        self.record_started(artifact.clone(), Some(arch))?;
        if let Some(old) = replaces {
            self.push_undo(Undo::AddEntry(old.clone()));
            table::remove_entry(self.host, old)?;
        }
        table::add_entry(self.host, rule)?;
        self.push_undo(Undo::RemoveEntry(rule.clone()));
        self.record_done(artifact)?;
        let emulator = Some((installed.inode, installed.sha256));
        verify::verify_entry(self.host, arch, &name, emulator, rule.flags.preserve_argv0)?;
        self.proven.push(arch.target);
        Ok(())
    }

    /// Somebody else's entry is used only if it works.
    pub(super) fn verify_foreign_entry(&mut self, arch: &'static Arch) -> Result<()> {
        let rivals: Vec<_> = self.facts.conflicts.get(arch.target).into_iter().flatten().collect();
        let keeps_argv0 = rivals.iter().all(|foreign| foreign.entry.rule.flags.preserve_argv0);
        let name = rivals.first().map(|foreign| entry_name(&foreign.entry)).unwrap_or_default();
        match verify::verify_entry(self.host, arch, &name, None, keeps_argv0) {
            Ok(()) => self.proven.push(arch.target),
            Err(Error::NotWorking { why, .. }) => {
                return Err(Error::Conflict {
                    what: format!(
                        "somebody else's entry {name} takes {} programs, and does not work: {why}",
                        arch.target
                    ),
                    hint: "--force puts ours above it and deletes nothing".into(),
                });
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }
}
