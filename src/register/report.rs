//! What a command did, for people and, with `--json`, for programs.
//!
//! The JSON form is a contract: fields are added, not changed, within one
//! `version`.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use crate::nix::config_show::NixConfig;
use crate::nix::machines::BuildMachine;
use crate::qemu::archive::Manifest;
use crate::register::apply::ApplyResult;
use crate::register::plan::{Plan, SystemPlan};
use crate::sha256::Sha256;

/// The result of `register` and `unregister`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Report {
    /// Of this format: 1.
    pub version: u32,
    /// Something on the machine is different now. Never with `--dry-run`.
    pub changed: bool,
    /// The changes that were made, or with `--dry-run` would be, in order.
    pub steps: Vec<StepReport>,
    /// The systems that the command was about.
    pub systems: Vec<SystemReport>,
    /// What Nix answered after it was configured; absent if it was not asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nix: Option<NixConfig>,
    /// Things worth knowing.
    pub notes: Vec<String>,
    /// Things that are not as they should be; if there are any, the exit status is 3.
    pub findings: Vec<String>,
}

/// The result of `fetch`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct BundleReport {
    /// Of this format: 1.
    pub version: u32,
    /// The archive.
    pub file: PathBuf,
    /// Its digest.
    pub sha256: Sha256,
    /// What is in it.
    pub manifest: Manifest,
}

/// The result of `cache` and `cache prune`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CacheReport {
    /// Of this format: 1.
    pub version: u32,
    /// Where it is.
    pub dir: PathBuf,
    /// How many bytes all files have.
    pub bytes: u64,
    /// They were removed.
    pub removed: bool,
    /// The files.
    pub files: Vec<CacheFileReport>,
}

/// One file of the cache.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CacheFileReport {
    /// Of the bytes it came from.
    pub sha256: Sha256,
    /// `qemu-TARGET`, or `download` for the bytes themselves, which may have been cut short.
    pub file: String,
    /// How many it has.
    pub bytes: u64,
    /// When, in seconds since 1970.
    pub written: Option<u64>,
}

/// The result of `nix-conf`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct NixLines {
    /// Of this format: 1.
    pub version: u32,
    /// Lines for nix.conf.
    pub lines: Vec<String>,
}

/// The result of `nix-conf --builder`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct NixMachines {
    /// Of this format: 1.
    pub version: u32,
    /// Lines for the machines file of other hosts.
    pub machines: Vec<BuildMachine>,
}

/// One change.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct StepReport {
    /// "place", "register", …
    pub verb: &'static str,
    /// what with
    pub what: String,
}

/// One system.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, as JSON shows them")]
pub struct SystemReport {
    /// QEMU's name of it.
    pub system: &'static str,
    /// Nix's names.
    pub nix_systems: &'static [&'static str],
    /// It is registered, by us or adopted from others.
    pub registered: bool,
    /// It was so before.
    pub already: bool,
    /// A program of this system was seen running, in an empty chroot.
    pub proven: bool,
    /// The kernel entry belongs to another tool.
    pub adopted: bool,
    /// The kernel entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry: Option<String>,
    /// The emulator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interpreter: Option<PathBuf>,
    /// Its release.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub qemu: Option<String>,
    /// Where it came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

impl Report {
    /// What a plan says, before anything is done.
    pub fn from_plan(plan: &Plan) -> Self {
        Self {
            version: 1,
            changed: false,
            steps: plan.steps.iter().map(|step| StepReport { verb: step.verb(), what: step.to_string() }).collect(),
            systems: plan.systems.iter().map(SystemReport::from_plan).collect(),
            nix: None,
            notes: plan.notes.clone(),
            findings: plan.findings.clone(),
        }
    }

    /// The same after it was done.
    #[must_use]
    pub fn with_result(mut self, applied: &ApplyResult) -> Self {
        self.changed = !self.steps.is_empty();
        self.notes.extend(applied.notes.iter().cloned());
        self.findings.extend(applied.findings.iter().cloned());
        for line in &mut self.systems {
            let system = applied.receipt.systems.get(line.system);
            line.proven = system.is_some_and(|system| system.proven);
            // It may have come from elsewhere than was planned.
            line.qemu = system.map(|system| system.qemu.clone()).or(line.qemu.take());
            line.source = system.map(|system| system.source.clone()).or(line.source.take());
        }
        self
    }

    /// What Nix says about the systems it was told of.
    pub fn record_nix_config(&mut self, systems: &[&str], answer: NixConfig) {
        let missing = answer.missing_systems(systems);
        if !missing.is_empty() {
            self.findings.push(format!(
                "Nix would still not build for {}: a later line, or a nix.conf that is read later, sets \
                 extra-platforms to: {}; write extra-extra-platforms there instead, or move \"{}\" to the end",
                missing.join(" "),
                answer.extra_platforms.join(" "),
                crate::nix::conf::INCLUDE_LINE
            ));
        }
        self.nix = Some(answer);
    }
}

impl SystemReport {
    fn from_plan(planned: &SystemPlan) -> Self {
        let system = planned.system.as_ref();
        Self {
            system: planned.arch.target,
            nix_systems: planned.arch.nix_systems,
            registered: system.is_some(),
            already: planned.already,
            proven: system.is_some_and(|system| system.proven),
            adopted: system.is_some_and(|system| system.adopted),
            entry: system.map(|system| system.entry.clone()),
            interpreter: system.map(|system| system.interpreter.clone()),
            qemu: system.map(|system| system.qemu.clone()),
            source: system.map(|system| system.source.clone()),
        }
    }
}

impl fmt::Display for SystemReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { system, already, .. } = self;
        let (Some(entry), Some(qemu)) = (&self.entry, &self.qemu) else {
            return match already {
                true => write!(f, "{system}: was not registered"),
                false => write!(f, "{system}: unregistered"),
            };
        };
        let what = match (self.adopted, already) {
            (true, _) => "runs through an entry of this system",
            (false, true) => "already registered",
            (false, false) => "registered",
        };
        let proof = match (self.proven, already) {
            (true, _) if self.interpreter.is_none() => {
                "proven: a program ran; it is in memory, until this machine restarts"
            }
            (true, false) => "proven: a program ran in an empty chroot",
            (true, true) => "proven when it was registered",
            (false, _) => "not proven",
        };
        write!(f, "{system}: {what}, {proof} (entry {entry}, QEMU {qemu})")
    }
}
