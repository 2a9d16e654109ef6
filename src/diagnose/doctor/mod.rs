//! `doctor`: finds problems on this machine, their cause, and the command that repairs them.
//!
//! ```text
//! look (asks the machine once) ─ Seen ─▶ each check (pure) ─▶ findings, most urgent first
//! text ─▶ messages (pure) ─▶ what it means, with Seen and the findings: here and now
//! ```
//!
//! A check covers one situation and knows no other check. Its documentation cites where the situation is described. The
//! repair of a finding is a command for the user. A [`Fix`] is what `--fix` may do without asking. It goes through the plan
//! of `register` or `unregister`, so it never does what those refuse.

pub mod boot;
pub mod containers;
pub mod flags;
pub mod gather;
pub mod interpreters;
pub mod messages;
pub mod nix;
pub mod nix_daemon;
pub mod nix_sandbox;
pub mod report;
pub mod rules;
pub mod shell;
pub mod snapshot;
pub mod table;
#[cfg(test)]
mod tests;

pub use snapshot::Snapshot;

use binfmt_magic::Arch;
use serde::Serialize;

/// How soon something should be done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Urgency {
    /// The machine may stop working.
    Danger,
    /// Programs or builds do not work now.
    Broken,
    /// They will stop working after a restart or an upgrade, or do not work in a chroot.
    Fragile,
    /// Programs work, but there is a security risk, or some programs misbehave.
    Risk,
}

/// One situation.
#[derive(Debug)]
pub struct Check {
    /// The stable name of the check.
    pub id: &'static str,
    /// How bad it is.
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
    /// How bad it is.
    pub urgency: Urgency,
    /// The situation, its cause and its repair.
    #[serde(flatten)]
    pub occurrence: Occurrence,
}

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Occurrence {
    /// The systems that are affected; empty if all are, or Nix itself.
    pub systems: Vec<&'static str>,
    /// The situation.
    pub what: String,
    /// Why it is a problem.
    pub why: String,
    /// The commands that repair it.
    pub repair: Vec<String>,
    /// What `--fix` does about it; absent if the user has to decide.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<Fix>,
}

/// A repair that is safe to make without asking, through facts, plan and apply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Fix {
    /// Register these systems of the receipt again.
    Register(Vec<&'static str>),
    /// Restart the nix-daemon.
    RestartDaemon,
}

impl Occurrence {
    /// A finding about one system.
    fn for_system(arch: &Arch, what: impl Into<String>, why: impl Into<String>) -> Self {
        Self { systems: vec![arch.target], ..Self::general(what, why) }
    }

    /// A finding about no particular system.
    fn general(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self { what: what.into(), why: why.into(), ..Self::default() }
    }

    fn with_repair(mut self, line: impl Into<String>) -> Self {
        self.repair.push(line.into());
        self
    }

    /// Lets `--fix` register the system again, if it is ours.
    fn with_register_fix(self, snapshot: &Snapshot, arch: &Arch) -> Self {
        let known = snapshot.registered.get(arch.target).is_some_and(|system| !system.adopted);
        let fix = known.then(|| Fix::Register(vec![arch.target]));
        Self {
            fix: fix.or(self.fix),
            repair: [self.repair, vec![snapshot.shell.register_command(arch)]].concat(),
            ..self
        }
    }
}

/// Every check.
pub fn all_checks() -> impl Iterator<Item = &'static Check> {
    let topics = [
        table::CHECKS,
        rules::CHECKS,
        flags::CHECKS,
        interpreters::CHECKS,
        containers::CHECKS,
        boot::CHECKS,
        nix::CHECKS,
        nix_sandbox::CHECKS,
        nix_daemon::CHECKS,
    ];
    topics.into_iter().flatten()
}

/// All findings, the most urgent first.
pub fn run_checks(snapshot: &Snapshot) -> Vec<Finding> {
    let found = |check: &'static Check| (check.run)(snapshot).into_iter().map(move |occurrence| (check, occurrence));
    let mut findings: Vec<Finding> = all_checks()
        .flat_map(found)
        .map(|(check, occurrence)| Finding { id: check.id, urgency: check.urgency, occurrence })
        .collect();
    findings.sort_by_key(|finding| finding.urgency);
    drop_explained(&mut findings);
    findings
}

/// Drops "does not run" for systems for which another finding has the cause.
fn drop_explained(findings: &mut Vec<Finding>) {
    let explained: Vec<&str> = findings
        .iter()
        .filter(|finding| finding.id != interpreters::UNEXPLAINED && finding.urgency <= Urgency::Fragile)
        .flat_map(|finding| finding.occurrence.systems.iter().copied())
        .collect();
    findings.retain(|finding| {
        finding.id != interpreters::UNEXPLAINED || !finding.occurrence.systems.iter().all(|s| explained.contains(s))
    });
}
