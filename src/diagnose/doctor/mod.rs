//! `doctor`: finds problems on this machine, their cause, and the command that repairs them.
//!
//! ```text
//! gather (reads the machine once) ─ Snapshot ─▶ each check (pure) ─▶ findings, most urgent first
//! text ─▶ messages (pure) ─▶ the meaning on this machine, from the snapshot and the findings
//! ```
//!
//! A check covers one situation and does not depend on other checks. Its documentation cites where the situation is
//! described. The repair of a finding is a command for the user. A [`Fix`] is a change that `--fix` may make without
//! asking. It goes through the plan of `register` or `unregister`, so it never does what those refuse.

pub mod acceleration;
pub mod boot;
pub mod containers;
pub mod flags;
pub mod gather;
pub mod interpreters;
pub mod messages;
pub mod nix;
pub mod nix_daemon;
mod nix_edit;
pub mod nix_features;
pub mod nix_sandbox;
pub mod nix_settings;
pub mod other_entries;
pub mod report;
pub mod rules;
pub mod snapshot;
pub mod table;
#[cfg(test)]
mod tests;

pub use snapshot::Snapshot;

use binfmt_magic::Arch;
use serde::Serialize;

use crate::sorted;

/// How soon the user should repair a situation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Urgency {
    /// The machine may stop working.
    Danger,
    /// Programs or builds do not work now.
    Broken,
    /// Programs or builds will stop working after a restart or an upgrade, or do not work in a chroot.
    Fragile,
    /// Programs work, but there is a security risk, or some programs misbehave.
    Risk,
}

/// One check for a situation.
#[derive(Debug)]
pub struct Check {
    /// The stable name of the check.
    pub id: &'static str,
    /// The urgency of the situation.
    pub urgency: Urgency,
    /// The function that finds the situation.
    run: fn(&Snapshot) -> Vec<Occurrence>,
}

/// A situation that a check found.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Finding {
    /// The name of the check.
    pub id: &'static str,
    /// The urgency of the situation.
    pub urgency: Urgency,
    /// The situation, its cause and its repair.
    #[serde(flatten)]
    pub occurrence: Occurrence,
}

/// A situation, its cause and its repair.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Occurrence {
    /// The systems that are affected; empty if all are, or Nix itself.
    pub systems: Vec<&'static str>,
    /// The situation.
    pub what: String,
    /// The reason why the situation is a problem.
    pub why: String,
    /// The commands that repair the situation.
    pub repair: Vec<String>,
    /// The repair that `--fix` makes; absent if the user has to decide.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<Fix>,
    /// Whether this is about an entry of another tool that works as that tool made it. It explains a message, but the
    /// report has one note about all such entries instead.
    #[serde(skip)]
    pub is_note: bool,
}

/// A repair that is safe to make without asking, through facts, plan and apply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Fix {
    /// Register these systems of the receipt again.
    Register(Vec<&'static str>),
    /// Register an own rule of the receipt again.
    RegisterRule(String),
    /// Restart the nix-daemon.
    RestartDaemon,
}

impl Occurrence {
    /// Creates a finding about one system.
    fn for_system(arch: &Arch, what: impl Into<String>, why: impl Into<String>) -> Self {
        Self { systems: vec![arch.target], ..Self::general(what, why) }
    }

    /// Creates a finding about no particular system.
    fn general(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self { what: what.into(), why: why.into(), ..Self::default() }
    }

    fn with_repair(mut self, line: impl Into<String>) -> Self {
        self.repair.push(line.into());
        self
    }

    fn with_repairs(mut self, lines: Vec<String>) -> Self {
        self.repair.extend(lines);
        self
    }

    /// Lets `--fix` register the system again, if this tool registered it with an entry of its own.
    fn with_register_fix(self, snapshot: &Snapshot, arch: &Arch) -> Self {
        let known = snapshot.registered.get(arch.target).is_some_and(|system| !system.adopted);
        let fix = known.then(|| Fix::Register(vec![arch.target]));
        let occurrence = Self { fix: fix.or(self.fix.clone()), ..self };
        occurrence.with_repairs(snapshot.repairs().register(arch, ""))
    }
}

/// Returns every check.
pub fn all_checks() -> impl Iterator<Item = &'static Check> {
    let topics = [
        table::CHECKS,
        rules::CHECKS,
        flags::CHECKS,
        interpreters::CHECKS,
        other_entries::CHECKS,
        containers::CHECKS,
        boot::CHECKS,
        nix_settings::CHECKS,
        nix::CHECKS,
        nix_features::CHECKS,
        nix_sandbox::CHECKS,
        nix_daemon::CHECKS,
        acceleration::CHECKS,
    ];
    topics.into_iter().flatten()
}

/// Runs all checks and returns the findings, the most urgent first.
pub fn run_checks(snapshot: &Snapshot) -> Vec<Finding> {
    let found = |check: &'static Check| (check.run)(snapshot).into_iter().map(move |occurrence| (check, occurrence));
    let mut findings: Vec<Finding> = all_checks()
        .flat_map(found)
        .map(|(check, occurrence)| Finding { id: check.id, urgency: check.urgency, occurrence })
        .collect();
    sorted::sort_by_key(&mut findings, |finding| finding.urgency);
    drop_explained(&mut findings);
    findings
}

/// Drops findings that programs do not run for systems for which another finding has the cause.
fn drop_explained(findings: &mut Vec<Finding>) {
    for (unexplained, causes) in interpreters::UNEXPLAINED {
        let is_cause = |finding: &&Finding| {
            finding.id != unexplained && (finding.urgency <= Urgency::Broken || causes.contains(&finding.id))
        };
        let causes = findings.iter().filter(is_cause);
        let explained: Vec<&str> = causes.flat_map(|finding| finding.occurrence.systems.iter().copied()).collect();
        findings.retain(|finding| {
            finding.id != unexplained || !finding.occurrence.systems.iter().all(|system| explained.contains(system))
        });
    }
}
