//! The mark of a table that `binfmt-nix run` made: the source of its mount names the systems that `run` emulates.
//!
//! /proc/self/mountinfo shows the source of each mount (proc(5)), and the kernel does not interpret it. Unlike a
//! variable of the environment, the mark is visible exactly where the table is.

use std::collections::BTreeSet;
use std::path::Path;

use binfmt_magic::{Arch, Entry};

use crate::binfmt::table;
use crate::binfmt::table::entry_name;
use crate::host::{self, Host};
use crate::paths;
use crate::sorted;

/// The beginning of the source. The targets of the systems follow, separated by commas.
const MARK: &str = "binfmt-nix-run:";

/// The table that `run` made, as a process inside of `run` sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunTable {
    /// The targets of the systems that `run` emulates. Entries for other systems were copied from the table of the machine.
    pub targets: BTreeSet<&'static str>,
}

impl RunTable {
    /// Finds the table of `run` that is in force for this process.
    pub fn find(host: &Host) -> Option<Self> {
        if !host.is_live() || !host::namespaces::is_in_user_namespace() {
            return None;
        }
        Self::parse(&host.mount_source(Path::new(table::DIR))?)
    }

    fn parse(source: &str) -> Option<Self> {
        let targets = source.strip_prefix(MARK)?.split(',');
        Some(Self { targets: sorted::set(targets.filter_map(Arch::by_target).map(|arch| arch.target)) })
    }

    /// Returns the mount source that marks the table.
    pub fn mount_source(&self) -> String {
        format!("{MARK}{}", self.targets.iter().copied().collect::<Vec<_>>().join(","))
    }

    /// Whether `run` emulates this system.
    pub fn emulates(&self, arch: &Arch) -> bool {
        self.targets.contains(arch.target)
    }

    /// Whether `run` made the entry, by its name and pattern: `run` names entries as the emulator is named.
    pub fn made(&self, entry: &Entry) -> bool {
        let name = entry_name(entry);
        let archs = self.targets.iter().filter_map(|target| Arch::by_target(target));
        archs
            .into_iter()
            .any(|arch| paths::emulator_name(arch) == name && entry.rule.pattern() == Some(&arch.pattern()))
    }

    /// Returns Nix's names of the systems that `run` emulates.
    pub fn nix_systems(&self) -> Vec<&'static str> {
        let archs = self.targets.iter().filter_map(|target| Arch::by_target(target));
        archs.flat_map(|arch| arch.nix_systems).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_names_the_systems() {
        let table = RunTable { targets: BTreeSet::from(["aarch64", "riscv64"]) };
        assert_eq!(table.mount_source(), "binfmt-nix-run:aarch64,riscv64");
        assert_eq!(RunTable::parse(&table.mount_source()), Some(table));
        assert_eq!(RunTable::parse("binfmt-nix-run:,x"), Some(RunTable::default()));
        assert_eq!(RunTable::parse("binfmt_misc"), None);
    }

    #[test]
    fn every_system_fits_into_a_mark() {
        // The kernel reads at most a page (`copy_mount_string`, fs/namespace.c).
        let all = RunTable { targets: Arch::ALL.iter().map(|arch| arch.target).collect() };
        assert!(all.mount_source().len() < 4096);
    }
}
