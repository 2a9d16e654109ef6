//! What is wrong on this machine, why, and the command that repairs it.
//!
//! ```text
//! look (asks the machine once) ─ Seen ─▶ each check (pure) ─▶ findings, most urgent first
//! text ─▶ messages (pure) ─▶ what it means, with Seen and the findings: here and now
//! ```
//!
//! A check knows one situation and nothing of the others, and its documentation says where that is described. What a
//! check proposes is what a person would type; what can be done without asking is said apart, as a [`Fix`], which goes
//! through the plan of `register` or `unregister`, and so never does what those refuse.

mod boot;
mod containers;
mod daemon;
mod entries;
mod interpreters;
mod kernel;
pub mod look;
pub mod messages;
mod nix;
pub mod report;
mod rules;
mod sandbox;
pub mod seen;
pub mod shell;

use binfmt_magic::Arch;
use serde::Serialize;

pub use seen::Seen;

/// How soon something should be done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Urgency {
    /// The machine may stop working.
    Danger,
    /// Programs or builds do not work now.
    Broken,
    /// They will not after a restart, an upgrade, or in a chroot.
    Fragile,
    /// It works, but it may be used for harm, or surprise some programs.
    Risk,
}

/// One situation.
#[derive(Debug)]
pub struct Check {
    /// Its name, which stays.
    pub id: &'static str,
    /// How bad it is.
    pub urgency: Urgency,
    /// Whether it is so, and where.
    run: fn(&Seen) -> Vec<Case>,
}

/// A situation that was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Finding {
    /// The check's name.
    pub id: &'static str,
    /// How bad it is.
    pub urgency: Urgency,
    /// What it is.
    #[serde(flatten)]
    pub case: Case,
}

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Case {
    /// The systems it concerns; none: all, or Nix itself.
    pub systems: Vec<&'static str>,
    /// What is so.
    pub what: String,
    /// Why that is wrong.
    pub why: String,
    /// The lines that repair it, to be typed.
    pub repair: Vec<String>,
    /// What `--fix` does about it; none: it takes a person's decision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<Fix>,
}

/// What can be done safely, by the usual way: look, plan, apply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Fix {
    /// Register what the receipt says is registered once more.
    Register(Vec<&'static str>),
    /// Restart the nix-daemon.
    RestartDaemon,
}

impl Case {
    /// Of one system.
    fn of(arch: &Arch, what: impl Into<String>, why: impl Into<String>) -> Self {
        Self { systems: vec![arch.target], ..Self::general(what, why) }
    }

    /// Of none.
    fn general(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self { what: what.into(), why: why.into(), ..Self::default() }
    }

    fn repair(mut self, line: impl Into<String>) -> Self {
        self.repair.push(line.into());
        self
    }

    /// `--fix` registers these again, if they are ours.
    fn again(self, seen: &Seen, arch: &Arch) -> Self {
        let known = seen.registered.get(arch.target).is_some_and(|system| !system.adopted);
        let fix = known.then(|| Fix::Register(vec![arch.target]));
        Self { fix: fix.or(self.fix), repair: [self.repair, vec![seen.shell.register(arch)]].concat(), ..self }
    }
}

/// Every check there is.
pub fn checks() -> impl Iterator<Item = &'static Check> {
    let topics = [
        kernel::CHECKS,
        rules::CHECKS,
        entries::CHECKS,
        interpreters::CHECKS,
        containers::CHECKS,
        boot::CHECKS,
        nix::CHECKS,
        sandbox::CHECKS,
        daemon::CHECKS,
    ];
    topics.into_iter().flatten()
}

/// All that is wrong, the worst first.
pub fn examine(seen: &Seen) -> Vec<Finding> {
    let found = |check: &'static Check| (check.run)(seen).into_iter().map(move |case| (check, case));
    let mut findings: Vec<Finding> =
        checks().flat_map(found).map(|(check, case)| Finding { id: check.id, urgency: check.urgency, case }).collect();
    findings.sort_by_key(|finding| finding.urgency);
    excuse(&mut findings);
    findings
}

/// A program that does not run is no news where something else says why.
fn excuse(findings: &mut Vec<Finding>) {
    let explained: Vec<&str> = findings
        .iter()
        .filter(|finding| finding.id != interpreters::UNEXPLAINED && finding.urgency <= Urgency::Fragile)
        .flat_map(|finding| finding.case.systems.iter().copied())
        .collect();
    findings.retain(|finding| {
        finding.id != interpreters::UNEXPLAINED || !finding.case.systems.iter().all(|s| explained.contains(s))
    });
}

#[cfg(test)]
mod tests;
