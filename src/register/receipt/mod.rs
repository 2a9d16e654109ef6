//! Receipt: the record of everything that this tool made on a machine.
//!
//! `/var/lib/binfmt-nix/receipt.json` makes an exact undo possible. Each artifact is recorded as *begun*, then made, then
//! recorded as *done*, with an fsync for each record. If the tool is killed in between, the receipt names everything that
//! may exist. This module defines the schema and its versions. The undo itself is in [`plan`](super::plan) and
//! [`apply`](super::apply).

pub mod nix_build;
pub mod stored;
pub mod validate;

pub use nix_build::{NixBuild, NixBuildResult};
pub use stored::{AccelerationDetails, PackedAcceleration, StoredReceipt};
pub use validate::InvalidReceipt;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use binfmt_magic::{Arch, Rule};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::host::{self, FileStamp, Host};
use crate::nix::daemon::OutdatedDaemon;
use crate::paths;
use crate::paths::{RECEIPT, RECEIPT_DIR, RECEIPT_NAME};
use crate::register::acceleration::{self, Acceleration};
use crate::register::subject::Subject;
use crate::sanitize::bytes_of;
use crate::sha256::Sha256;
use crate::sorted;

/// Version of the schema in this module.
const VERSION: u32 = 1;

/// Everything that this tool made on the machine.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Receipt {
    /// Registered systems, by QEMU target.
    pub systems: BTreeMap<String, System>,
    /// Own rules of the user, and those of accelerated programs, by the name of their entry.
    pub rules: BTreeMap<String, OwnRule>,
    /// Guest programs that native programs replace (`accelerate`), by QEMU target.
    pub accelerations: BTreeMap<String, Acceleration>,
    /// Accelerations that were not read yet. Their rules and records are not among those of the receipt.
    pub packed: BTreeMap<String, PackedAcceleration>,
    /// Records of the artifacts, oldest first.
    pub records: Vec<Record>,
    /// Nix-daemon that could not be restarted after its settings were changed.
    pub outdated_daemon: Option<OutdatedDaemon>,
}

/// Registered system.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct System {
    /// Name of the kernel entry that runs the system's programs.
    pub entry: String,
    /// Logical path of the emulator.
    pub interpreter: PathBuf,
    /// Release of the emulator.
    pub qemu: String,
    /// Origin of the emulator, as text for people.
    pub source: String,
    /// Whether the user named the file, archive or image that the emulator comes from (`--qemu`, `--from`); absent if an
    /// earlier version installed it, which did not record that.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub given: Option<bool>,
    /// Emulator that the last upgrade replaced, and that is kept for `rollback`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub previous: Option<PreviousEmulator>,
    /// Whether the entry belongs to another tool. If so, binfmt-nix only configured Nix.
    pub adopted: bool,
    /// Whether Nix was to be configured for the system.
    pub nix: NixUse,
    /// Whether a program of the system ran through the entry when it was registered.
    pub proven: bool,
    /// Whether `disable` turned the system off: its entry is off or missing, and Nix is not configured for it.
    #[serde(skip_serializing_if = "is_false", default)]
    pub disabled: bool,
    /// Last build by Nix for the system since it was registered.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub nix_build: Option<NixBuild>,
}

/// Emulator that an upgrade replaced.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PreviousEmulator {
    /// Digest of the whole file.
    pub sha256: Sha256,
    /// Release of the emulator; empty if unknown.
    pub qemu: String,
    /// Origin of the emulator, as text for people.
    pub source: String,
    /// Whether the user named the file, archive or image that it comes from; absent if an earlier version installed it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub given: Option<bool>,
}

/// Registered own rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct OwnRule {
    /// Line of the rule, with the logical path of the interpreter. A line that is not UTF-8 begins with `bytes:`.
    pub line: String,
    /// Whether a file ran through the entry when the rule was registered (`--test`).
    pub tested: bool,
    /// Whether Nix was configured for the system of this name (`wasm32-wasi`).
    #[serde(skip_serializing_if = "is_false", default)]
    pub nix: bool,
}

impl OwnRule {
    /// Parses the line.
    pub fn rule(&self) -> Option<Rule> {
        Rule::parse(&bytes_of(&self.line)).ok()
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_false(value: &bool) -> bool {
    !*value
}

/// Whether Nix was to be configured for a system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum NixUse {
    /// Nix was to be configured.
    Configured,
    /// The user asked for no configuration of Nix (`--no-nix`).
    Declined,
    /// Nix was not found when the system was registered.
    Absent,
}

/// Record of one artifact.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Stage of the artifact.
    pub state: Stage,
    /// QEMU target of the system that the artifact is for; absent if several systems share it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub target: Option<String>,
    /// Name of the own rule that the artifact is for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rule: Option<String>,
    /// Artifact that was made.
    pub made: Artifact,
}

/// Stage of making an artifact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// The artifact was about to be made. It may or may not exist.
    #[serde(rename = "begun")]
    Started,
    /// The artifact was made.
    Done,
}

/// Object that this tool made. It did not exist before, because this tool never replaces objects of other tools. Undo is
/// therefore always a removal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Artifact {
    /// Directory.
    Dir {
        /// Logical path of the directory.
        path: PathBuf,
    },
    /// Emulator.
    Interpreter {
        /// Logical path of the emulator.
        path: PathBuf,
        /// Digest of the whole file.
        sha256: Sha256,
        /// Stamp of the file (inode, size, times). While it is unchanged, the file is not hashed again.
        seal: Option<FileStamp>,
        /// Release that the emulator reported; absent if the file was recognised without a receipt.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        qemu: Option<String>,
    },
    /// Copy of this program, which a boot hook starts; of a native program, or of a file that it needs; or an emulator with
    /// a launcher.
    Program {
        /// Logical path of the file.
        path: PathBuf,
        /// Digest of the whole file.
        sha256: Sha256,
        /// Stamp of the file. While it is unchanged, the file is not hashed again.
        seal: Option<FileStamp>,
    },
    /// Symbolic link of a boot hook.
    Link {
        /// Logical path of the link.
        path: PathBuf,
        /// Target of the link.
        target: PathBuf,
    },
    /// Boot command in a wsl.conf.
    BootCommand {
        /// Logical path of the wsl.conf.
        path: PathBuf,
        /// Whether the file did not exist before.
        created: bool,
        /// Text that was added to the file.
        added: String,
    },
    /// Text file that belongs to this tool as a whole.
    File {
        /// Logical path of the file.
        path: PathBuf,
        /// Digest of the whole file.
        sha256: Sha256,
    },
    /// `!include` line in a nix.conf.
    Include {
        /// Logical path of the nix.conf.
        path: PathBuf,
        /// Whether the file did not exist before.
        created: bool,
        /// Whether a newline was added to the last line, which had none.
        newline_added: bool,
    },
    /// Mount of the table.
    Mount {
        /// ID of the boot during which the mount was made. A restart ends the mount.
        boot: String,
        /// ID of the mount; null until the mount was made.
        id: Option<String>,
    },
    /// Kernel entry.
    Entry {
        /// Name of the entry.
        name: String,
        /// Line that was written to `register`.
        line: String,
    },
}

impl Artifact {
    /// Whether both describe the same file, entry or mount, regardless of its content.
    pub fn is_same_object(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Entry { name, .. }, Self::Entry { name: other, .. }) => name == other,
            (Self::Mount { .. }, Self::Mount { .. }) => true,
            (a, b) => std::mem::discriminant(a) == std::mem::discriminant(b) && a.path() == b.path(),
        }
    }

    /// Stamp of an emulator.
    pub fn seal(&self) -> Option<&FileStamp> {
        match self {
            Self::Interpreter { seal, .. } => seal.as_ref(),
            _ => None,
        }
    }

    /// The same emulator at another path.
    #[must_use]
    pub fn with_path(mut self, to: &Path) -> Self {
        if let Self::Interpreter { path, .. } = &mut self {
            to.clone_into(path);
        }
        self
    }

    /// Returns the path, if the artifact is a directory.
    pub fn into_dir(self) -> Option<PathBuf> {
        match self {
            Self::Dir { path } => Some(path),
            _ => None,
        }
    }

    /// Path of the artifact, if it is a file or directory.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Dir { path }
            | Self::Interpreter { path, .. }
            | Self::Program { path, .. }
            | Self::Link { path, .. }
            | Self::BootCommand { path, .. }
            | Self::File { path, .. }
            | Self::Include { path, .. } => Some(path),
            Self::Mount { .. } | Self::Entry { .. } => None,
        }
    }
}

impl Record {
    /// Creates the record of an artifact; without a subject it is shared.
    pub fn new(state: Stage, subject: Option<&Subject>, made: Artifact) -> Self {
        let (target, rule) = match subject {
            Some(Subject::System(arch)) => (Some(arch.target.to_owned()), None),
            Some(Subject::Rule(name)) => (None, Some(name.clone())),
            None => (None, None),
        };
        Self { state, target, rule, made }
    }

    /// Whether the artifact is for this system or rule.
    pub fn is_for(&self, subject: &Subject) -> bool {
        match subject {
            Subject::System(arch) => self.target.as_deref() == Some(arch.target),
            Subject::Rule(name) => self.rule.as_ref() == Some(name),
        }
    }
}

impl System {
    /// Whether Nix was to be configured for the system.
    pub fn configures_nix(&self) -> bool {
        self.nix == NixUse::Configured
    }

    /// Whether the lines for Nix have the system: those of a disabled system are gone until it is enabled.
    pub fn is_in_nix_conf(&self) -> bool {
        self.configures_nix() && !self.disabled
    }
}

/// The receipt that was read last. A command reads it several times.
static CACHED: Mutex<Option<CachedReceipt>> = Mutex::new(None);

struct CachedReceipt {
    path: PathBuf,
    stamp: FileStamp,
    receipt: Arc<Receipt>,
}

/// Before this process writes a receipt: two writes in a row may leave the stamp of the first file.
fn clear_cache() {
    *CACHED.lock().unwrap_or_else(PoisonError::into_inner) = None;
}

impl Receipt {
    /// Reads the machine's receipt, if it exists.
    ///
    /// # Errors
    /// The file can be written by other users, cannot be read, or is not a valid receipt.
    pub fn load(host: &Host) -> Result<Option<Self>> {
        let Some(mut receipt) = Self::load_packed(host)?.map(Arc::unwrap_or_clone) else { return Ok(None) };
        receipt.unpack_all().map_err(|why| describe_invalid(host, &why))?;
        Ok(Some(receipt))
    }

    /// Reads the machine's receipt as [`Self::load`] does, but without what accelerates systems: see [`Self::packed`].
    pub fn load_packed(host: &Host) -> Result<Option<Arc<Self>>> {
        let path = host.real_path(Path::new(RECEIPT));
        // The receipt names what root will remove, so a file that other users could write is rejected.
        let Some(file) = host.find_trusted(Path::new(RECEIPT))? else { return Ok(None) };
        let stamp = file.metadata().map(|meta| FileStamp::from_metadata(&meta));
        let stamp = stamp.map_err(|e| Error::io("look at", &path, e))?;
        let mut cached = CACHED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cached) = cached.as_ref().filter(|cached| cached.path == path && cached.stamp == stamp) {
            return Ok(Some(Arc::clone(&cached.receipt)));
        }
        let bytes = host::user_files::read_text_file(&file).map_err(|e| Error::io("read", &path, e))?;
        let receipt = Arc::new(Self::parse_packed(&bytes).map_err(|why| describe_invalid(host, &why))?);
        *cached = Some(CachedReceipt { path, stamp, receipt: Arc::clone(&receipt) });
        Ok(Some(receipt))
    }

    /// Parses a receipt. A receipt that names an object that this tool never makes is rejected, because its undo would
    /// remove another tool's object.
    pub fn parse(bytes: &[u8]) -> std::result::Result<Self, InvalidReceipt> {
        let mut receipt = Self::parse_packed(bytes)?;
        receipt.unpack_all()?;
        Ok(receipt)
    }

    fn parse_packed(bytes: &[u8]) -> std::result::Result<Self, InvalidReceipt> {
        let stored = StoredReceipt::parse(bytes)?;
        let StoredReceipt { version: _, systems, rules, accelerations: packed, records, outdated_daemon } = stored;
        let receipt = Self { systems, rules, accelerations: BTreeMap::new(), packed, records, outdated_daemon };
        validate::validate_receipt(&receipt)?;
        Ok(receipt)
    }

    fn unpack_all(&mut self) -> std::result::Result<(), InvalidReceipt> {
        let targets: Vec<String> = self.packed.keys().cloned().collect();
        targets.iter().try_for_each(|target| self.try_unpack(target))?;
        // In the order in which they are written.
        let mut records = std::mem::take(&mut self.records);
        sorted::sort_by_key(&mut records, |record| self.accelerated_system_of(record).map(|arch| arch.target));
        self.records = records;
        Ok(())
    }

    /// Reads the acceleration of a system, and appends its rules and records to those of the receipt.
    ///
    /// # Errors
    /// It is not valid.
    pub fn unpack(&mut self, host: &Host, target: &str) -> Result<()> {
        self.try_unpack(target).map_err(|why| describe_invalid(host, &why))
    }

    fn try_unpack(&mut self, target: &str) -> std::result::Result<(), InvalidReceipt> {
        let Some(packed) = self.packed.remove(target) else { return Ok(()) };
        let why = |e: serde_json::Error| e.to_string().replace(" at line 1 column ", " at its column ");
        let details =
            packed.unpack().map_err(|e| InvalidReceipt::Details { target: target.to_owned(), why: why(e) })?;
        if !packed.entries.iter().eq(details.acceleration.tools.keys()) {
            return Err(InvalidReceipt::OtherPrograms(target.to_owned()));
        }
        let part = Self {
            rules: details.rules,
            accelerations: BTreeMap::from([(target.to_owned(), details.acceleration)]),
            records: details.records,
            ..Self::default()
        };
        validate::validate_receipt(&part)?;
        validate::validate_part(&part)?;
        self.rules.extend(part.rules);
        self.accelerations.extend(part.accelerations);
        self.records.extend(part.records);
        Ok(())
    }

    /// Writes the receipt, with fsync.
    pub fn save(&self, host: &Host) -> Result<()> {
        clear_cache();
        host.write_atomic(Path::new(RECEIPT), &self.encode(host)?)
    }

    /// Writes a new receipt together with its directory.
    pub fn save_with_directory(&self, host: &Host) -> Result<()> {
        clear_cache();
        host.make_dir_with_file(Path::new(RECEIPT_DIR), RECEIPT_NAME, &self.encode(host)?)
    }

    /// Removes the receipt. With `with_directory`, also removes its directory if nothing else is in it.
    pub fn remove(host: &Host, with_directory: bool) -> Result<()> {
        if with_directory && host.remove_dir_with_file(Path::new(RECEIPT_DIR), RECEIPT_NAME)? {
            return Ok(());
        }
        host.remove_file(Path::new(RECEIPT))
    }

    fn encode(&self, host: &Host) -> Result<Vec<u8>> {
        let path = || host.real_path(Path::new(RECEIPT));
        self.to_text().map_err(|e| Error::Receipt { path: path(), why: e.to_string() })
    }

    /// Returns the nix-daemon that still has its old settings, if it has not ended.
    pub fn running_outdated_daemon(&self) -> Option<&OutdatedDaemon> {
        self.outdated_daemon.as_ref().filter(|daemon| daemon.is_running())
    }

    /// Returns the records of one system, oldest first.
    pub fn records_of<'a>(&'a self, target: &'a str) -> impl Iterator<Item = &'a Record> {
        self.records.iter().filter(move |record| record.target.as_deref() == Some(target))
    }

    /// Whether an own rule of this name is registered, or was while a run was interrupted.
    pub fn has_rule(&self, name: &str) -> bool {
        self.rules.contains_key(name) || self.records.iter().any(|record| record.rule.as_deref() == Some(name))
    }

    /// Own rules by name, with the logical paths of their interpreters.
    pub fn parsed_rules(&self) -> BTreeMap<String, Rule> {
        sorted::map(self.rules.iter().filter_map(|(name, own)| Some((name.clone(), own.rule()?))))
    }

    /// Names of the own rules, those of interrupted runs included.
    pub fn rule_names(&self) -> BTreeSet<String> {
        let recorded = self.records.iter().filter_map(|record| record.rule.clone());
        sorted::set(self.rules.keys().cloned().chain(recorded))
    }

    /// Names of the rules that `accelerate` registered for a system, those of interrupted runs included.
    pub fn accelerated_rules(&self, target: &str) -> BTreeSet<String> {
        let is_of_system = |name: &String| acceleration::system_of_rule(name).is_some_and(|arch| arch.target == target);
        sorted::set(self.rule_names().into_iter().filter(is_of_system))
    }

    /// Whether programs of a system are accelerated, or were while a run was interrupted.
    pub fn is_accelerated(&self, arch: &Arch) -> bool {
        self.accelerations.contains_key(arch.target)
            || self.packed.contains_key(arch.target)
            || !self.accelerated_rules(arch.target).is_empty()
    }

    /// Whether this is the entry of a packed acceleration.
    pub fn is_packed(&self, entry: &str) -> bool {
        let is_entry_of =
            |packed: &PackedAcceleration| packed.entries.binary_search_by(|known| known.as_str().cmp(entry)).is_ok();
        self.packed.values().any(is_entry_of)
    }

    /// Returns every directory in which a killed run may have left temporary files: also those that were made.
    pub fn written_dirs(&self, host: &Host) -> Result<Vec<PathBuf>> {
        let made = self.records.iter().filter_map(|record| record.made.clone().into_dir());
        let mut dirs: Vec<PathBuf> = paths::written_dirs().map(Path::to_owned).chain(made).collect();
        for arch in self.packed.keys().filter_map(|target| Arch::by_target(target)) {
            let dir = paths::native_dir(arch);
            dirs.extend(host.list_subdirs(&dir)?.into_iter().map(|name| dir.join(name)));
            dirs.push(dir);
        }
        Ok(dirs)
    }

    /// Paths of native programs that Nix's sandbox needs, by QEMU target.
    pub fn native_paths(&self) -> BTreeMap<String, BTreeSet<PathBuf>> {
        let packed = self.packed.iter().map(|(target, packed)| (target.clone(), packed.sandbox_paths.clone()));
        let whole = self.accelerations.iter().filter_map(|(target, acceleration)| {
            Some((target.clone(), acceleration.sandbox_paths(Arch::by_target(target)?)))
        });
        sorted::map(packed.chain(whole))
    }

    /// Whether the receipt has no system and no record.
    pub fn is_empty(&self) -> bool {
        self.systems.is_empty() && self.rules.is_empty() && self.records.is_empty()
    }

    /// Whether nothing is registered and only directories are recorded.
    pub fn is_spent(&self) -> bool {
        self.systems.is_empty()
            && self.rules.is_empty()
            && self.records.iter().all(|record| matches!(record.made, Artifact::Dir { .. }))
    }
}

fn describe_invalid(host: &Host, why: &InvalidReceipt) -> Error {
    Error::Receipt { path: host.real_path(Path::new(RECEIPT)), why: why.to_string() }
}
