//! Everything a command needs to know of the machine, read once, as plain data.
//!
//! Looking changes nothing: `--dry-run` and `status` stop after it.

pub mod conflicts;
pub mod owner;
pub mod receipt_state;
pub mod recover;

pub use conflicts::ConflictingEntry;
pub use receipt_state::RecordState;

use crate::binfmt::native;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use binfmt_magic::{Arch, Entry};

use crate::binfmt::boot;
use crate::binfmt::boot::Boot;
use crate::binfmt::container;
use crate::binfmt::in_memory::{WATCHED_FD_DIR, is_in_memory_path};
use crate::binfmt::table;
use crate::binfmt::table::{Table, entry_name};
use crate::error::Result;
use crate::host::env::kernel_release;
use crate::host::{self, Host};
use crate::nix::{self, Nix};
use crate::paths;
use crate::qemu::binary::QemuVersion;
use crate::qemu::catalog::{Catalog, Package};
use crate::qemu::obtain::{AvailableEmulators, ResolvedSource, SystemRequest};
use crate::register::receipt::{Artifact, Receipt, Record};
use crate::sha256::Sha256;

pub use crate::binfmt::native::NativeSupport;

/// A look at the machine.
#[derive(Debug)]
pub struct Facts {
    root: PathBuf,
    /// `uname -m`.
    pub machine: String,
    /// Major and minor number of the running kernel.
    pub kernel: (u32, u32),
    /// Not the machine's own user namespace: entries are seen in this one alone.
    pub in_user_namespace: bool,
    /// The kernel's table.
    pub table: Table,
    /// What was made here before, as far as it still is there.
    pub receipt: Receipt,
    record_states: Vec<RecordState>,
    /// Our entries in whose place others put their own.
    pub replaced_records: Vec<Record>,
    /// Digests of the files we may want to write, where they exist; none for
    /// what is no plain file.
    pub files: BTreeMap<PathBuf, Option<Sha256>>,
    /// Directories we may need that do not exist.
    pub missing_dirs: BTreeSet<PathBuf>,
    /// What registers entries at boot.
    pub boot: Boot,
    /// Nix and its configuration.
    pub nix: Nix,
    /// Targets among those asked for that the host runs by itself, or may.
    pub native_systems: BTreeMap<&'static str, NativeSupport>,
    /// Entries of others that the kernel picks before ours, by target.
    pub conflicts: BTreeMap<&'static str, Vec<ConflictingEntry>>,
    /// Emulators that are on this machine, by target.
    pub available: BTreeMap<&'static str, AvailableEmulators>,
    /// The source of emulators, resolved; none if no emulator is needed.
    pub supply: Option<ResolvedSource>,
    /// What the user should know of how they were looked at.
    pub notes: Vec<String>,
}

impl Facts {
    /// Looks at everything that concerns `systems`. With a source, also at the
    /// emulators that it may mean.
    pub fn gather(host: &Host, systems: &[&'static Arch], supply: Option<ResolvedSource>) -> Result<Self> {
        let (machine, kernel) = kernel_release();
        let table = table::read_table(host)?;
        let mut receipt = match Receipt::load(host)? {
            Some(receipt) => receipt,
            // The files of a container are not those that the machine's entries name.
            None if container::is_app_container(host) => Receipt::default(),
            None => recover::rebuild_receipt(host, &table)?,
        };
        let (now, replaced) = receipt_state::reconcile(host, &mut receipt, &table)?;
        let mut facts = Self {
            root: host.real_path(Path::new("/")),
            files: BTreeMap::new(),
            missing_dirs: paths::managed_dirs().filter(|dir| !host.exists(dir)).map(Path::to_owned).collect(),
            boot: boot::read_boot_rules(host)?,
            nix: nix::detect_nix(host)?,
            native_systems: native::find_native(systems, &machine),
            conflicts: BTreeMap::new(),
            available: BTreeMap::new(),
            supply: None,
            notes: Vec::new(),
            in_user_namespace: host::namespaces::is_in_user_namespace(),
            machine,
            kernel,
            table,
            receipt,
            record_states: now,
            replaced_records: replaced,
        };
        facts.hash_files(host, systems)?;
        for arch in systems {
            facts.conflicts.insert(arch.target, conflicts::find_conflicts(&facts, arch));
        }
        if let Some(supply) = supply {
            facts.look_for_emulators(host, systems, &supply)?;
            facts.supply = Some(supply);
        }
        Ok(facts)
    }

    /// The records and what became of each, oldest first.
    pub fn records(&self) -> impl Iterator<Item = (&Record, &RecordState)> {
        self.receipt.records.iter().zip(&self.record_states)
    }

    /// Is this file one that we made, and as we left it?
    pub fn is_unmodified(&self, file: &Path) -> bool {
        self.records().any(|(record, now)| match &record.made {
            Artifact::File { path, .. } | Artifact::Interpreter { path, .. } => {
                path == file && *now == RecordState::Unchanged
            }
            _ => false,
        })
    }

    /// The release of our emulator for a system, as it is in its place now.
    pub fn installed_version(&self, arch: &Arch) -> Option<&str> {
        let recorded = self.records().find_map(|(record, now)| match &record.made {
            Artifact::Interpreter { path, qemu, .. }
                if *now == RecordState::Unchanged && *path == paths::interpreter_path(arch) =>
            {
                qemu.as_deref()
            }
            _ => None,
        });
        recorded.or_else(|| self.receipt.systems.get(arch.target).map(|system| system.qemu.as_str()))
    }

    /// Names of our entries in the kernel's table.
    pub fn our_entries(&self) -> impl Iterator<Item = String> {
        let fileless = Arch::ALL.iter().filter_map(|arch| self.in_memory_entry(arch)).map(entry_name);
        let recorded = self.records().filter_map(|(record, now)| match &record.made {
            Artifact::Entry { name, .. } if *now == RecordState::Unchanged => Some(name.clone()),
            _ => None,
        });
        recorded.chain(fileless)
    }

    /// Our entry of an emulator in memory, which no receipt knows: its name and
    /// rule are ours to the letter, and so is its interpreter.
    pub fn in_memory_entry(&self, arch: &Arch) -> Option<&Entry> {
        let entry = self.table.find_entry(&in_memory_entry_name(arch))?;
        let is_ours = is_in_memory_path(&entry.rule.interpreter);
        (is_ours && entry.rule.pattern() == Some(&arch.pattern())).then_some(entry)
    }

    /// The same, if a `register --watch` made it.
    pub fn watched_entry(&self, arch: &Arch) -> Option<&Entry> {
        self.in_memory_entry(arch).filter(|entry| entry.rule.interpreter.starts_with(WATCHED_FD_DIR.as_bytes()))
    }

    /// Our entry for one system.
    pub fn our_entry(&self, arch: &Arch) -> Option<&Entry> {
        self.records().find_map(|(record, now)| match &record.made {
            Artifact::Entry { name, .. }
                if *now == RecordState::Unchanged && record.target.as_deref() == Some(arch.target) =>
            {
                self.table.find_entry(name)
            }
            _ => None,
        })
    }

    /// Where a logical path really is.
    pub fn real_path(&self, path: &Path) -> PathBuf {
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Emulators are large: one that the receipt vouches for is not read again.
    fn hash_files(&mut self, host: &Host, systems: &[&'static Arch]) -> Result<()> {
        let own = std::iter::once(PathBuf::from(paths::NIX_OWN_CONF));
        let boot = systems.iter().map(|arch| paths::boot_rule(arch));
        let interpreters = systems.iter().map(|arch| paths::interpreter_path(arch));
        for path in own.chain(boot).chain(interpreters) {
            let vouched = self.records().find_map(|(record, now)| match &record.made {
                Artifact::File { path: made, sha256 } | Artifact::Interpreter { path: made, sha256, .. } => {
                    (*made == path && *now == RecordState::Unchanged).then_some(*sha256)
                }
                _ => None,
            });
            let found = match vouched {
                Some(sum) => Some(Some(sum)),
                None if host.is_regular_file(&path) => host.fingerprint(&path)?.map(|(sum, _)| Some(sum)),
                None => host.exists(&path).then_some(None),
            };
            self.files.extend(found.map(|sum| (path, sum)));
        }
        Ok(())
    }

    fn look_for_emulators(&mut self, host: &Host, systems: &[&'static Arch], supply: &ResolvedSource) -> Result<()> {
        let foreign = systems.iter().filter(|arch| !self.native_systems.contains_key(arch.target));
        let wanted: Vec<_> = foreign.map(|arch| self.wanted(arch)).collect();
        let looked = supply.find_available(host, &wanted)?;
        self.available = looked.available;
        self.notes.extend(looked.notes);
        Ok(())
    }

    /// What is known of a system's emulators before they are looked for.
    pub fn wanted(&self, arch: &'static Arch) -> SystemRequest {
        let path = paths::interpreter_path(arch);
        let rivals = self.conflicts.get(arch.target).into_iter().flatten();
        SystemRequest {
            arch,
            installed: self.installed_release(arch, &path),
            interpreters: rivals.map(|rival| rival.interpreter().to_owned()).collect(),
        }
    }

    /// The release of what is in the emulator's place, if we put it there or the catalogue knows it.
    fn installed_release(&self, arch: &Arch, path: &Path) -> Option<QemuVersion> {
        let sum = (*self.files.get(path)?)?;
        if self.is_unmodified(path) {
            return self
                .receipt
                .systems
                .get(arch.target)
                .and(self.installed_version(arch))
                .and_then(QemuVersion::parse);
        }
        find_package_of(&self.machine, arch, sum).and_then(Package::parsed_version)
    }
}

/// The package of the catalogue with exactly this emulator.
pub fn find_package_of(machine: &str, arch: &Arch, sum: Sha256) -> Option<&'static Package> {
    let has_it = |package: &&Package| package.find_member(arch.target).is_some_and(|member| member.sha256 == sum);
    Catalog::embedded().ok()?.packages_for(machine).find(has_it)
}

/// The name of an entry of an emulator in memory.
pub fn in_memory_entry_name(arch: &Arch) -> String {
    format!("binfmt-nix-{}", arch.target)
}
