//! The receipt as it is written: a JSON document, and after it one line of JSON for each accelerated system.
//!
//! A command that does not change what accelerates a system neither parses its line nor writes it anew. With 45 programs,
//! that is most of a receipt, and a command writes its receipt before and after each change.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use binfmt_magic::Arch;
use serde::{Deserialize, Serialize};

use super::{Artifact, InvalidReceipt, OwnRule, Receipt, Record, System, VERSION};
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
    /// Accelerated systems (`accelerate`), by QEMU target. In this order, a line for each follows the document.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub(super) accelerations: BTreeMap<String, PackedAcceleration>,
    /// Records of the artifacts, oldest first.
    pub(super) records: Vec<Record>,
    /// Nix-daemon that could not be restarted after its settings were changed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) outdated_daemon: Option<OutdatedDaemon>,
}

/// Accelerated system.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PackedAcceleration {
    /// Names of the entries of the guest programs, sorted.
    pub entries: Vec<String>,
    /// Paths that Nix's sandbox needs.
    pub sandbox_paths: BTreeSet<PathBuf>,
    /// The line of [`AccelerationDetails`].
    #[serde(skip)]
    details: Arc<str>,
}

/// What accelerates a system, with its rules and the records of its artifacts.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AccelerationDetails {
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
            entries: details.acceleration.tools.keys().cloned().collect(),
            sandbox_paths: details.acceleration.sandbox_paths(arch),
            details: serde_json::to_string(details)?.into(),
        })
    }

    pub(super) fn unpack(&self) -> serde_json::Result<AccelerationDetails> {
        serde_json::from_str(&self.details)
    }
}

impl StoredReceipt {
    /// Parses the document, and keeps the lines after it as they are.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, InvalidReceipt> {
        #[derive(Deserialize)]
        struct ReceiptHeader {
            version: u32,
        }
        let mut documents = serde_json::Deserializer::from_slice(bytes).into_iter();
        let found = documents.next().unwrap_or_else(|| serde_json::from_slice(bytes));
        // A receipt of another version may have other fields, so its version is the first thing that is wrong with it.
        let mut receipt: Self =
            found.map_err(|e| match serde_json::Deserializer::from_slice(bytes).into_iter().next() {
                Some(Ok(ReceiptHeader { version })) if version != VERSION => InvalidReceipt::Version(version),
                _ => InvalidReceipt::Json(e.to_string()),
            })?;
        if receipt.version != VERSION {
            return Err(InvalidReceipt::Version(receipt.version));
        }
        let rest = str::from_utf8(bytes.get(documents.byte_offset()..).unwrap_or_default());
        let lines = rest.map_err(|e| InvalidReceipt::Json(e.to_string()))?.split('\n');
        let mut lines = lines.filter(|line| !line.trim_ascii_start().is_empty());
        for (target, packed) in &mut receipt.accelerations {
            let line = lines.next().ok_or_else(|| InvalidReceipt::NoDetails(target.clone()))?;
            packed.details = line.into();
        }
        match lines.next() {
            None => Ok(receipt),
            Some(_) => Err(InvalidReceipt::MoreDetails),
        }
    }

    /// Returns the text of [`Self::parse`].
    fn to_text(&self) -> serde_json::Result<Vec<u8>> {
        let mut text = serde_json::to_string_pretty(self)?;
        for line in self.accelerations.values().map(|packed| &*packed.details) {
            text.extend(["\n", line]);
        }
        text.push('\n');
        Ok(text.into_bytes())
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
    pub fn to_text(&self) -> serde_json::Result<Vec<u8>> {
        self.to_stored()?.to_text()
    }

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
