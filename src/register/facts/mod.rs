//! Facts: everything that a command needs to know about the machine, read once, as plain data.
//!
//! Gathering facts changes nothing. `status` and `--dry-run` make no changes because they never reach
//! [`apply`](super::apply).

pub mod boot_hook;
pub mod conflicts;
pub mod owner;
pub mod receipt_state;
pub mod recover;
pub mod rules;

pub use boot_hook::HookInputs;
pub use conflicts::ConflictingEntry;
pub use receipt_state::RecordState;
pub use rules::RuleFacts;

use crate::binfmt::native;
use crate::binfmt::probe;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use binfmt_magic::{Arch, Entry};

use crate::binfmt::boot;
use crate::binfmt::boot::{Boot, OwnBootFile};
use crate::binfmt::container;
use crate::binfmt::harm;
use crate::binfmt::in_memory::{WATCHED_FD_DIR, is_in_memory_path};
use crate::binfmt::selinux::Selinux;
use crate::binfmt::shell::Shell;
use crate::binfmt::table;
use crate::binfmt::table::{Table, entry_name};
use crate::binfmt::userns::run_table::RunTable;
use crate::error::Result;
use crate::host::env::kernel_release;
use crate::host::{self, FileId, Host};
use crate::nix::{self, Nix};
use crate::paths;
use crate::qemu::binary::QemuVersion;
use crate::qemu::catalog::{Catalog, Package};
use crate::qemu::obtain::{AvailableEmulators, ResolvedSource, SystemRequest};
use crate::register::receipt::{Artifact, PackedAcceleration, Receipt, Record};
use crate::sanitize::bytes_of;
use crate::sha256::Sha256;
use crate::sorted;

pub use crate::binfmt::native::NativeSupport;

/// State of the machine when the command started.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts of a machine")]
pub struct Facts {
    root: PathBuf,
    /// Machine name of the host, as `uname -m` prints it.
    pub machine: String,
    /// Whether the kernel refuses the 32-bit personality that Nix requests before it builds for 32-bit ARM.
    pub refuses_personality_32: bool,
    /// Major and minor number of the running kernel.
    pub kernel: (u32, u32),
    /// Whether this is a user namespace other than the machine's initial one. Entries are visible only in their own
    /// user namespace.
    pub in_user_namespace: bool,
    /// Kind of the container, if it has an init system and uses the table of the machine below it.
    pub shared_table: Option<String>,
    /// State of SELinux.
    pub selinux: Selinux,
    /// The table of `run`, if this process is inside of `run`.
    pub run: Option<RunTable>,
    /// Way in which commands for the user are written.
    pub shell: Shell,
    /// Entries that the kernel holds.
    pub table: Table,
    /// Whether the table is mounted read-only.
    pub is_table_read_only: bool,
    /// Entries that must not be put in force (see [`harm`]).
    pub harmful_entries: BTreeMap<String, harm::Harm>,
    /// Receipt of earlier runs, without the artifacts that no longer exist.
    pub receipt: Receipt,
    record_states: Vec<RecordState>,
    /// Records of entries of this tool whose names another tool's entries have now.
    pub replaced_records: Vec<Record>,
    /// Digests of the existing files among those that a plan may write, by path. The digest is `None` if the path is
    /// not a regular file.
    pub files: BTreeMap<PathBuf, Option<Sha256>>,
    /// Boot files of the requested systems that are as this tool writes them, by target.
    pub boot_files: BTreeMap<&'static str, OwnBootFile>,
    /// Directories that a plan may need and that do not exist.
    pub missing_dirs: BTreeSet<PathBuf>,
    /// Boot rules, and the programs that read them.
    pub boot: Boot,
    /// Whether what is written here survives a boot: this is neither the container of an application nor a running user
    /// namespace.
    pub survives_boot: bool,
    /// What a boot hook needs; `None` if none is needed or possible.
    pub hook: Option<HookInputs>,
    /// State of Nix and of its configuration.
    pub nix: Nix,
    /// Requested systems that the host runs natively, or for which that is unknown, by target.
    pub native_systems: BTreeMap<&'static str, NativeSupport>,
    /// Requested systems for which the entry of this tool holds another file than the one at the emulator's path: the file
    /// was replaced after the registration.
    pub stale_systems: BTreeSet<&'static str>,
    /// Entries of other tools that the kernel picks before an entry of this tool, by target.
    pub conflicts: BTreeMap<&'static str, Vec<ConflictingEntry>>,
    /// Facts about the requested own rules, by name.
    pub rules: BTreeMap<String, RuleFacts>,
    /// Emulators found on this machine, by target.
    pub available: BTreeMap<&'static str, AvailableEmulators>,
    /// Resolved source of emulators; `None` if no emulator is needed.
    pub supply: Option<ResolvedSource>,
    /// Notes for the user about the search for emulators.
    pub notes: Vec<String>,
}

impl Facts {
    /// Reads everything that concerns `systems`; without one, what concerns all. The accelerations of other systems stay
    /// packed.
    pub fn gather(host: &Host, systems: &[&'static Arch]) -> Result<Self> {
        let mut receipt = if systems.is_empty() {
            Receipt::load(host)?
        } else {
            Receipt::load_packed(host)?.map(Arc::unwrap_or_clone)
        };
        for arch in systems {
            receipt.as_mut().map_or(Ok(()), |receipt| receipt.unpack(host, arch.target))?;
        }
        Self::from_receipt(host, receipt)?.complete(host, systems, None)
    }

    /// Reads everything that concerns a registration of `systems`, and searches for the emulators that the source may
    /// provide. Accelerations stay packed.
    pub fn gather_for_registration(host: &Host, systems: &[&'static Arch], supply: ResolvedSource) -> Result<Self> {
        let receipt = Receipt::load_packed(host)?.map(Arc::unwrap_or_clone);
        Self::from_receipt(host, receipt)?.complete(host, systems, Some(supply))
    }

    fn complete(self, host: &Host, systems: &[&'static Arch], supply: Option<ResolvedSource>) -> Result<Self> {
        let is_packed = |file: &OsStr| paths::accelerated_rule(file).is_some_and(|name| self.receipt.is_packed(name));
        let mut facts = Self {
            missing_dirs: paths::managed_dirs().filter(|dir| !host.exists(dir)).map(Path::to_owned).collect(),
            boot: boot::read_boot_rules(host, is_packed)?,
            nix: nix::detect_nix(host)?,
            ..self
        };
        facts.native_systems = native::find_native(systems, &facts.machine, &facts.table);
        // Only a registration writes a hook.
        if supply.is_some() && facts.survives_boot {
            facts.hook = HookInputs::gather(host, &facts.boot)?;
        }
        facts.hash_files(host, systems)?;
        for arch in systems {
            facts.conflicts.insert(arch.target, conflicts::find_conflicts(&facts, arch));
            if facts.holds_replaced_file(arch) {
                facts.stale_systems.insert(arch.target);
            }
        }
        if let Some(supply) = supply {
            facts.search(host, systems, supply)?;
        }
        Ok(facts)
    }

    /// Reads what shows whether programs run now. Nothing is read about the next boot and about Nix, and a plan cannot be
    /// made from these facts.
    pub fn gather_running(host: &Host) -> Result<Self> {
        Self::from_receipt(host, Receipt::load(host)?)
    }

    fn from_receipt(host: &Host, receipt: Option<Receipt>) -> Result<Self> {
        let (machine, kernel) = kernel_release();
        let table = read_table(host, receipt.as_ref())?;
        let mut receipt = match receipt {
            Some(receipt) => receipt,
            // Entries of the machine name the machine's files, which are not the files of this container.
            None if container::is_app_container(host) => Receipt::default(),
            None => recover::rebuild_receipt(host, &table)?,
        };
        let (record_states, replaced_records) = receipt_state::reconcile(host, &mut receipt, &table)?;
        Ok(Self {
            root: host.real_path(Path::new("/")),
            files: BTreeMap::new(),
            boot_files: BTreeMap::new(),
            missing_dirs: BTreeSet::new(),
            survives_boot: !host.is_live()
                || !(host::namespaces::is_in_user_namespace() || container::is_app_container(host)),
            hook: None,
            boot: Boot::default(),
            nix: Nix::unread(),
            native_systems: BTreeMap::new(),
            stale_systems: BTreeSet::new(),
            conflicts: BTreeMap::new(),
            rules: BTreeMap::new(),
            available: BTreeMap::new(),
            supply: None,
            notes: Vec::new(),
            in_user_namespace: host::namespaces::is_in_user_namespace(),
            shared_table: container::detect_shared_table(host),
            selinux: Selinux::read(host),
            run: RunTable::find(host),
            shell: Shell::for_host(host),
            is_table_read_only: table::is_read_only(host, &table),
            harmful_entries: harm::find_harmful_entries(&table, &machine),
            // Only this architecture has processors that cannot run 32-bit programs.
            refuses_personality_32: host.is_live() && machine == "aarch64" && host::env::refuses_personality_32(),
            machine,
            kernel,
            table,
            receipt,
            record_states,
            replaced_records,
        })
    }

    /// Reads what accelerates these systems, if that was not done yet, and their entries.
    pub fn unpack(&mut self, host: &Host, targets: &[String]) -> Result<()> {
        if !targets.iter().any(|target| self.receipt.packed.contains_key(target)) {
            return Ok(());
        }
        let count = self.receipt.records.len();
        targets.iter().try_for_each(|target| self.receipt.unpack(host, target))?;
        self.table = read_table(host, Some(&self.receipt))?;
        self.harmful_entries = harm::find_harmful_entries(&self.table, &self.machine);
        let mut part = Receipt { records: self.receipt.records.split_off(count), ..Receipt::default() };
        let (states, replaced) = receipt_state::reconcile(host, &mut part, &self.table)?;
        self.receipt.records.extend(part.records);
        self.record_states.extend(states);
        self.replaced_records.extend(replaced);
        Ok(())
    }

    /// Whether the kernel has every entry of a packed acceleration, above the entry of the system.
    pub fn has_entries_of(&self, arch: &Arch, packed: &PackedAcceleration) -> bool {
        let Some(own) = self.our_entry(arch).map(entry_name) else { return false };
        let above = self.table.names().iter().take_while(|name| **name != own);
        let above = sorted::set(above);
        packed.entries.iter().all(|name| above.contains(name))
    }

    /// Returns the records with their current states, oldest first.
    pub fn records(&self) -> impl Iterator<Item = (&Record, &RecordState)> {
        self.receipt.records.iter().zip(&self.record_states)
    }

    /// Whether the receipt records this file and its content is unchanged.
    pub fn is_unmodified(&self, file: &Path) -> bool {
        self.records().any(|(record, now)| match &record.made {
            Artifact::File { path, .. } | Artifact::Interpreter { path, .. } | Artifact::Program { path, .. } => {
                path == file && *now == RecordState::Unchanged
            }
            _ => false,
        })
    }

    /// Release of the emulator that this tool installed for a system and that is still unchanged. Without such a record,
    /// the release that the receipt names for the system.
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

    /// Names of the entries in the kernel's table that this tool made.
    pub fn our_entries(&self) -> impl Iterator<Item = String> {
        let in_memory = Arch::ALL.iter().flat_map(|arch| self.in_memory_entries(arch)).map(entry_name);
        let recorded = self.records().filter_map(|(record, now)| match &record.made {
            Artifact::Entry { name, .. } if *now == RecordState::Unchanged => Some(name.clone()),
            _ => None,
        });
        recorded.chain(in_memory)
    }

    /// Whether the kernel runs the system's programs by the entry of this tool, with another file than the one at the
    /// emulator's path. An entry's text does not show which file it holds, so a probe is started.
    fn holds_replaced_file(&self, arch: &'static Arch) -> bool {
        let is_winner = |entry: &&Entry| {
            self.conflicts.get(arch.target).is_none_or(Vec::is_empty) && entry.enabled && entry.rule.flags.fix_binary
        };
        let Some(_) = self.our_entry(arch).filter(is_winner) else { return false };
        let path = self.real_path(&paths::interpreter_path(arch));
        let current = host::user_files::open_regular(&path).ok().and_then(|file| file.metadata().ok());
        match (current, arch.probe().map(probe::run_in_memory)) {
            (Some(current), Some(Ok(Some(run)))) => run.program != FileId::from_metadata(&current),
            _ => false,
        }
    }

    /// Entries of this tool with emulators in memory, newest first: several if a replacement was interrupted. No receipt
    /// records such an entry. It is recognised by its name, its pattern and the form of its interpreter path, all of which
    /// must be exactly as this tool writes them.
    pub fn in_memory_entries(&self, arch: &Arch) -> Vec<&Entry> {
        let [_, names @ ..] = paths::entry_names(arch);
        let is_own = |entry: &&Entry| {
            names.contains(&entry_name(entry))
                && is_in_memory_path(&entry.rule.interpreter)
                && entry.rule.pattern() == Some(&arch.pattern())
        };
        self.table.entries().iter().filter(is_own).collect()
    }

    /// The newest of [`Self::in_memory_entries`].
    pub fn in_memory_entry(&self, arch: &Arch) -> Option<&Entry> {
        self.in_memory_entries(arch).first().copied()
    }

    /// Entry with an emulator in memory, if `register --watch` made it.
    pub fn watched_entry(&self, arch: &Arch) -> Option<&Entry> {
        self.in_memory_entry(arch).filter(|entry| entry.rule.interpreter.starts_with(WATCHED_FD_DIR.as_bytes()))
    }

    /// Entry in the kernel's table that the receipt records for one system. An interrupted upgrade may leave several: the
    /// one that the kernel uses is returned.
    pub fn our_entry(&self, arch: &Arch) -> Option<&Entry> {
        find_used(&self.recorded_entries(arch))
    }

    /// Entries in the kernel's table that the receipt records for one system, newest first.
    pub fn recorded_entries(&self, arch: &Arch) -> Vec<&Entry> {
        self.entries_of(|record| record.target.as_deref() == Some(arch.target))
    }

    /// Entries in the kernel's table that the receipt records for an own rule, newest first.
    pub fn own_rule_entries(&self, name: &str) -> Vec<&Entry> {
        self.entries_of(|record| record.rule.as_deref() == Some(name))
    }

    /// Entry of an own rule, as [`Self::our_entry`].
    pub fn own_rule_entry(&self, name: &str) -> Option<&Entry> {
        find_used(&self.own_rule_entries(name))
    }

    fn entries_of(&self, is_selected: impl Fn(&Record) -> bool) -> Vec<&Entry> {
        let names: Vec<_> = self
            .records()
            .filter(|(record, now)| **now == RecordState::Unchanged && is_selected(record))
            .filter_map(|(record, _)| match &record.made {
                Artifact::Entry { name, .. } => Some(bytes_of(name)),
                _ => None,
            })
            .collect();
        let is_recorded = |entry: &&Entry| names.iter().any(|name| name == entry.rule.name.as_bytes());
        self.table.entries().iter().filter(is_recorded).collect()
    }

    /// Path below the root prefix for a logical path.
    pub fn real_path(&self, path: &Path) -> PathBuf {
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Hashes the files that a plan may write. The digest of an unchanged file comes from the receipt, because emulators
    /// are large.
    fn hash_files(&mut self, host: &Host, systems: &[&'static Arch]) -> Result<()> {
        let own = std::iter::once(PathBuf::from(paths::NIX_OWN_CONF));
        let boot = systems.iter().map(|arch| paths::boot_rule(arch));
        let interpreters = systems.iter().flat_map(|arch| [paths::interpreter_path(arch), paths::previous_path(arch)]);
        let hook = self.hook.iter().flat_map(HookInputs::files);
        let all = own.chain(boot).chain(interpreters).chain(hook).collect();
        self.hash_paths(host, all)?;
        for arch in systems {
            let path = paths::boot_rule(arch);
            if self.is_unmodified(&path) {
                let text = host.read_trusted(&path)?.unwrap_or_default();
                self.boot_files.extend(OwnBootFile::parse(&text).map(|file| (arch.target, file)));
            }
        }
        Ok(())
    }

    fn hash_paths(&mut self, host: &Host, paths: Vec<PathBuf>) -> Result<()> {
        for path in paths {
            let recorded = self.records().find_map(|(record, now)| match &record.made {
                Artifact::File { path: made, sha256 }
                | Artifact::Program { path: made, sha256, .. }
                | Artifact::Interpreter { path: made, sha256, .. } => {
                    (*made == path && *now == RecordState::Unchanged).then_some(*sha256)
                }
                _ => None,
            });
            let found = match recorded {
                Some(sum) => Some(Some(sum)),
                None if host.is_regular_file(&path) => host.fingerprint(&path)?.map(|(sum, _)| Some(sum)),
                None => host.exists(&path).then_some(None),
            };
            self.files.extend(found.map(|sum| (path, sum)));
        }
        Ok(())
    }

    /// Searches for the emulators of these systems that the source may provide.
    pub fn search(&mut self, host: &Host, systems: &[&'static Arch], supply: ResolvedSource) -> Result<()> {
        let foreign = systems.iter().filter(|arch| !self.native_systems.contains_key(arch.target));
        let wanted: Vec<_> = foreign.map(|arch| self.wanted(arch)).collect();
        let search = supply.find_available(host, &wanted)?;
        self.available = search.available;
        self.notes.extend(search.notes);
        self.supply = Some(supply);
        Ok(())
    }

    /// Describes what is known about a system's emulators before the search for them.
    pub fn wanted(&self, arch: &'static Arch) -> SystemRequest {
        let path = paths::interpreter_path(arch);
        let conflicts = self.conflicts.get(arch.target).into_iter().flatten();
        SystemRequest {
            arch,
            installed: self.installed_release(arch, &path),
            interpreters: conflicts.map(|conflict| conflict.interpreter().to_owned()).collect(),
        }
    }

    /// Release of the file at the emulator's path, if this tool installed it or the catalogue contains its digest.
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

/// Reads the table, but of the entries of packed accelerations only the names: they take single programs, which no other
/// rule is for.
fn read_table(host: &Host, receipt: Option<&Receipt>) -> Result<Table> {
    table::read_table_without(host, |name| receipt.is_some_and(|receipt| receipt.is_packed(name)))
}

/// The entry that the kernel uses, of entries for the same files.
fn find_used<'a>(own: &[&'a Entry]) -> Option<&'a Entry> {
    own.iter().find(|entry| entry.enabled).or(own.first()).copied()
}

/// Finds the package of the catalogue that contains exactly this emulator.
pub fn find_package_of(machine: &str, arch: &Arch, sum: Sha256) -> Option<&'static Package> {
    let contains = |package: &&Package| package.find_member(arch.target).is_some_and(|member| member.sha256 == sum);
    Catalog::embedded().ok()?.packages_for(machine).find(contains)
}

/// Name of an entry whose emulator is in memory. The names after it in [`paths::entry_names`] stand in for it.
pub fn in_memory_entry_name(arch: &Arch) -> String {
    format!("binfmt-nix-{}", arch.target)
}

#[cfg(test)]
impl Facts {
    /// The facts of a machine with an empty table and a Nix without settings.
    pub fn of_machine(machine: &str, supply: ResolvedSource) -> Self {
        let mounted = Table::of_entries(Vec::new());
        Self {
            selinux: Selinux::default(),
            survives_boot: true,
            hook: None,
            root: PathBuf::from("/"),
            machine: machine.to_owned(),
            // No system runs natively below, so arm does not.
            refuses_personality_32: machine == "aarch64",
            kernel: (6, 12),
            in_user_namespace: false,
            shared_table: None,
            run: None,
            shell: Shell::default(),
            table: mounted,
            is_table_read_only: false,
            harmful_entries: BTreeMap::new(),
            receipt: Receipt::default(),
            record_states: Vec::new(),
            replaced_records: Vec::new(),
            files: BTreeMap::new(),
            boot_files: BTreeMap::new(),
            missing_dirs: BTreeSet::new(),
            boot: Boot::default(),
            nix: Nix {
                trace: Some("/nix/store".into()),
                conf: "/etc/nix/nix.conf".into(),
                state: nix::ConfState::Absent,
                answer: None,
            },
            native_systems: BTreeMap::new(),
            stale_systems: BTreeSet::new(),
            conflicts: BTreeMap::new(),
            rules: BTreeMap::new(),
            available: BTreeMap::new(),
            supply: Some(supply),
            notes: Vec::new(),
        }
    }
}
