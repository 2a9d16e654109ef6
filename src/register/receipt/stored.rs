//! The receipt as it is written.
//!
//! What accelerates a system is one value, which a command that does not change it reads and writes as text: with 45
//! programs, that is most of a receipt, and a command writes its receipt before and after each change.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use binfmt_magic::Arch;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;

use super::{Artifact, OwnRule, Receipt, Record, System, VERSION};
use crate::nix::daemon::OutdatedDaemon;
use crate::paths;
use crate::register::acceleration::{self, Acceleration};
use crate::sorted;

/// Everything that this tool made on the machine.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct StoredReceipt {
    /// Version of this format: 1.
    pub(super) version: u32,
    /// Registered systems, by QEMU target.
    pub(super) systems: BTreeMap<String, System>,
    /// Own rules of the user, by the name of their entry.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub(super) rules: BTreeMap<String, OwnRule>,
    /// Guest programs that native programs replace (`accelerate`), by QEMU target.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub(super) accelerations: BTreeMap<String, PackedAcceleration>,
    /// Records of the artifacts, oldest first.
    pub(super) records: Vec<Record>,
    /// Nix-daemon that could not be restarted after its settings were changed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) outdated_daemon: Option<OutdatedDaemon>,
}

/// Acceleration of a system, with its rules and records.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PackedAcceleration {
    /// Names of its entries.
    pub entries: BTreeSet<String>,
    /// Paths that Nix's sandbox needs.
    pub sandbox_paths: BTreeSet<PathBuf>,
    /// Everything else.
    #[cfg_attr(test, schemars(with = "AccelerationDetails"))]
    details: PackedDetails,
}

/// Text of [`AccelerationDetails`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
struct PackedDetails(Box<RawValue>);

impl PartialEq for PackedDetails {
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get()
    }
}

/// Acceleration of a system, with its rules and the records of its artifacts.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct AccelerationDetails {
    /// Programs and copies.
    pub(super) acceleration: Acceleration,
    /// Rules of the guest programs, by the name of their entry.
    pub(super) rules: BTreeMap<String, OwnRule>,
    /// Records of the artifacts, oldest first.
    pub(super) records: Vec<Record>,
}

impl PackedAcceleration {
    fn pack(arch: &Arch, details: &AccelerationDetails) -> serde_json::Result<Self> {
        Ok(Self {
            entries: sorted::set(details.acceleration.tools.keys().cloned()),
            sandbox_paths: details.acceleration.sandbox_paths(arch),
            details: PackedDetails(serde_json::value::to_raw_value(details)?),
        })
    }

    pub(super) fn unpack(&self) -> serde_json::Result<AccelerationDetails> {
        serde_json::from_str(self.details.0.get())
    }
}

impl Receipt {
    /// The accelerated system that a rule is for.
    fn accelerated_system(&self, rule: &str) -> Option<&'static Arch> {
        acceleration::system_of_rule(rule).filter(|arch| self.accelerations.contains_key(arch.target))
    }

    /// The accelerated system that an artifact is for. Directories of several systems are for none.
    pub(super) fn accelerated_system_of(&self, record: &Record) -> Option<&'static Arch> {
        if let Some(rule) = &record.rule {
            return self.accelerated_system(rule);
        }
        let systems = self.accelerations.keys().filter_map(|target| Arch::by_target(target));
        let (Artifact::Program { path, .. } | Artifact::Dir { path }) = &record.made else { return None };
        systems
            .into_iter()
            .find(|arch| path.starts_with(paths::native_dir(arch)) || *path == paths::accelerator_path(arch))
    }

    /// Returns the receipt as it is written.
    fn to_stored(&self) -> serde_json::Result<StoredReceipt> {
        let is_shared = |name: &str| self.accelerated_system(name).is_none();
        let rules = self.rules.iter().map(|(name, rule)| (name.clone(), rule.clone()));
        let mut accelerations = self.packed.clone();
        for (target, acceleration) in &self.accelerations {
            let Some(arch) = Arch::by_target(target) else { continue };
            let is_of_system = |found: Option<&'static Arch>| found.is_some_and(|found| found.target == arch.target);
            let details = AccelerationDetails {
                acceleration: acceleration.clone(),
                rules: sorted::map(rules.clone().filter(|(name, _)| is_of_system(self.accelerated_system(name)))),
                records: self.records_where(|record| is_of_system(self.accelerated_system_of(record))),
            };
            accelerations.insert(target.clone(), PackedAcceleration::pack(arch, &details)?);
        }
        Ok(StoredReceipt {
            version: VERSION,
            systems: self.systems.clone(),
            rules: sorted::map(rules.filter(|(name, _)| is_shared(name))),
            accelerations,
            records: self.records_where(|record| self.accelerated_system_of(record).is_none()),
            outdated_daemon: self.outdated_daemon.clone(),
        })
    }

    fn records_where(&self, is_selected: impl Fn(&Record) -> bool) -> Vec<Record> {
        self.records.iter().filter(|record| is_selected(record)).cloned().collect()
    }
}

impl Serialize for Receipt {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_stored().map_err(serde::ser::Error::custom)?.serialize(serializer)
    }
}
