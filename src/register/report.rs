//! Report: the result of `register` and `unregister`, for people and, with `--json`, for programs.
//!
//! The JSON form is a contract. Within one `version`, fields are added but never changed.

use std::fmt;
use std::path::PathBuf;

use binfmt_magic::Arch;
use serde::Serialize;

use crate::nix::config_show::NixConfig;
use crate::register::acceleration::{self, AcceleratedTool, Acceleration};
use crate::register::apply::ApplyResult;
use crate::register::nix_builds::SystemBuild;
use crate::register::plan::{AccelerationPlan, Plan, RulePlan, SystemPlan};
use crate::sanitize::AsText as _;

/// Result of `register` and `unregister`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Report {
    /// Version of this format: 1.
    pub version: u32,
    /// Whether the command changed the machine. Always false with `--dry-run`.
    pub changed: bool,
    /// Changes in order: those that were made, or with `--dry-run` those that would be made.
    pub steps: Vec<StepReport>,
    /// Systems that the command was about.
    pub systems: Vec<SystemReport>,
    /// Own rules that the command was about.
    pub rules: Vec<RuleReport>,
    /// Programs that are accelerated (`accelerate`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub accelerated: Vec<AcceleratedReport>,
    /// Settings that Nix reports after it was configured; absent if Nix was not queried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nix: Option<NixConfig>,
    /// Builds that Nix made to prove the registration.
    pub nix_builds: Vec<SystemBuild>,
    /// Facts that the user should know.
    pub notes: Vec<String>,
    /// Problems that the command did not repair. If there are any, the exit status is 3.
    pub findings: Vec<String>,
}

/// Change to the machine.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct StepReport {
    /// Kind of the change, such as `place` or `register`.
    pub verb: &'static str,
    /// Object of the change, as text for people.
    pub what: String,
}

/// Own rule in a report.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RuleReport {
    /// Name of the rule and of its entry.
    pub rule: String,
    /// Whether the rule is registered.
    pub registered: bool,
    /// Whether nothing had to change for the rule.
    pub already: bool,
    /// Whether a file ran through the entry when it was registered (`--test`).
    pub tested: bool,
    /// Line of the rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<String>,
}

/// Accelerated program in a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct AcceleratedReport {
    /// QEMU target of its system.
    pub system: &'static str,
    /// Name of the program, such as `cc1`.
    pub tool: String,
    /// Name of the kernel entry.
    pub entry: String,
    /// Path of the guest program, in the tree that has it.
    pub guest: PathBuf,
    /// Tree of the guest program; absent if that is this machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tree: Option<PathBuf>,
    /// Path of the native program, or of its copy.
    pub native: PathBuf,
    /// Number of outputs of both programs that were compared, and were the same.
    pub compared: u32,
}

impl AcceleratedReport {
    /// Lists the programs of one system.
    pub fn list_tools(arch: &'static Arch, acceleration: &Acceleration) -> Vec<Self> {
        let report = |(entry, tool): (&String, &AcceleratedTool)| Self {
            system: arch.target,
            tool: tool.tool.clone(),
            entry: entry.clone(),
            guest: tool.guest.path.clone(),
            tree: tool.root.clone(),
            native: tool.native.path.clone(),
            compared: tool.proof.runs,
        };
        acceleration.tools.iter().map(report).collect()
    }

    fn list(plan: &AccelerationPlan) -> Vec<Self> {
        plan.acceleration.iter().flat_map(|acceleration| Self::list_tools(plan.arch, acceleration)).collect()
    }
}

impl fmt::Display for AcceleratedReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let guest = self.tree.iter().fold(self.guest.as_text(), |guest, tree| format!("{guest} of {}", tree.as_text()));
        let Self { system, tool, native, compared, .. } = self;
        write!(f, "{system}: {tool}: {} instead of {guest} ({})", native.as_text(), count_outputs(*compared))
    }
}

fn count_outputs(compared: u32) -> String {
    format!("{compared} runs compared")
}

fn is_accelerated(plan: &RulePlan) -> bool {
    acceleration::system_of_rule(&plan.name).is_some()
}

/// System in a report.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, as JSON shows them")]
pub struct SystemReport {
    /// QEMU target of the system.
    pub system: &'static str,
    /// Names of the system in Nix.
    pub nix_systems: &'static [&'static str],
    /// Whether the system is registered, through an entry of this tool or an adopted one.
    pub registered: bool,
    /// Whether nothing had to change for the system.
    pub already: bool,
    /// Whether a program of the system ran in an empty chroot.
    pub proven: bool,
    /// Whether the kernel entry belongs to another tool.
    pub adopted: bool,
    /// Whether the system is turned off by `disable`.
    pub disabled: bool,
    /// Name of the kernel entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry: Option<String>,
    /// Path of the emulator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interpreter: Option<PathBuf>,
    /// Release of the emulator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub qemu: Option<String>,
    /// Origin of the emulator, as text for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

impl Report {
    /// Reports a plan before it is applied.
    pub fn from_plan(plan: &Plan) -> Self {
        Self {
            version: 1,
            changed: false,
            steps: plan.steps.iter().map(|step| StepReport { verb: step.verb(), what: step.to_string() }).collect(),
            systems: plan.systems.iter().map(SystemReport::from_plan).collect(),
            rules: plan.rules.iter().filter(|rule| !is_accelerated(rule)).map(RuleReport::from_plan).collect(),
            accelerated: plan.accelerations.iter().flat_map(AcceleratedReport::list).collect(),
            nix: None,
            nix_builds: Vec::new(),
            notes: plan.notes.clone(),
            findings: plan.findings.clone(),
        }
    }

    /// Completes the report after the plan was applied.
    #[must_use]
    pub fn with_result(mut self, applied: &ApplyResult) -> Self {
        // A file that is run again to test a rule changes nothing.
        let changes = |step: &StepReport| step.verb != "prove";
        self.changed = self.steps.iter().any(changes) || self.systems.iter().any(|system| !system.already);
        self.notes.extend(applied.notes.iter().cloned());
        self.findings.extend(applied.findings.iter().cloned());
        for report in &mut self.rules {
            report.tested = applied.receipt.rules.get(&report.rule).is_some_and(|rule| rule.tested);
        }
        for report in &mut self.systems {
            let system = applied.receipt.systems.get(report.system);
            report.proven = system.is_some_and(|system| system.proven);
            // The emulator may have come from another source than planned.
            report.qemu = system.map(|system| system.qemu.clone()).or(report.qemu.take());
            report.source = system.map(|system| system.source.clone()).or(report.source.take());
        }
        self
    }

    /// Adds the settings that Nix reports, and a finding if they do not contain all systems, or not the features that
    /// nixpkgs requires for them.
    pub fn record_nix_config(&mut self, systems: &[&str], config: NixConfig) {
        let missing = config.missing_systems(systems);
        if !missing.is_empty() {
            let platforms = config.extra_platforms.join(" ");
            self.findings.push(format!(
                "Nix would still not build for {}: a later line, or a configuration file that is read later, sets \
                 extra-platforms to {}; write extra-extra-platforms there, or move \"{}\" to the end of nix.conf",
                missing.join(" "),
                if platforms.is_empty() { "nothing" } else { &platforms },
                crate::nix::conf::INCLUDE_LINE
            ));
        }
        let missing = config.missing_features(systems);
        if !missing.is_empty() {
            self.findings.push(format!(
                "Nix would still refuse derivations that require {}: a later line, or a configuration file that is read \
                 later, sets system-features to {}; write extra-system-features there, or move \"{}\" to the end of \
                 nix.conf",
                missing.join(" "),
                config.features.as_deref().filter(|all| !all.is_empty()).map_or("nothing".into(), |all| all.join(" ")),
                crate::nix::conf::INCLUDE_LINE
            ));
        }
        self.nix = Some(config);
    }
}

impl RuleReport {
    fn from_plan(planned: &RulePlan) -> Self {
        Self {
            rule: planned.name.clone(),
            registered: planned.rule.is_some(),
            already: planned.already,
            tested: planned.rule.as_ref().is_some_and(|rule| rule.tested),
            line: planned.rule.as_ref().map(|rule| rule.line.clone()),
        }
    }
}

impl fmt::Display for RuleReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match (self.registered, self.already) {
            (false, true) => return write!(f, "{}: was not registered", self.rule),
            (false, false) => return write!(f, "{}: unregistered", self.rule),
            (true, true) => "already registered",
            (true, false) => "registered",
        };
        let test = if self.tested { "tested: a file ran through it" } else { "not tested" };
        write!(f, "{}: {state}, {test}", self.rule)
    }
}

impl SystemReport {
    fn from_plan(system_plan: &SystemPlan) -> Self {
        let system = system_plan.system.as_ref();
        Self {
            system: system_plan.arch.target,
            nix_systems: system_plan.arch.nix_systems,
            registered: system.is_some(),
            already: system_plan.already,
            proven: system.is_some_and(|system| system.proven),
            adopted: system.is_some_and(|system| system.adopted),
            disabled: system.is_some_and(|system| system.disabled),
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
        let state = match (self.adopted, already) {
            (true, _) => "runs through another tool's entry",
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
        write!(f, "{system}: {state}, {proof} (entry {entry}, QEMU {qemu})")
    }
}
