//! Builds by Nix that prove a registration, and their record in the receipt.
//!
//! A record says what a build did at that time. It does not say what a build would do now: the settings, the daemon and
//! the entry may have changed since.

use std::fmt;
use std::time::{Duration, SystemTime};

use binfmt_magic::Arch;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::host::Host;
use crate::nix::build_user::BuildUser;
use crate::nix::test_build::{TestBuild, TestDerivation, error_lines, run_test_builds};
use crate::register::receipt::Receipt;

/// Result of a build by Nix, and when it was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NixBuild {
    /// Name of the system in Nix.
    pub system: String,
    /// User that Nix ran as.
    pub user: String,
    /// Time of the build in UTC (RFC 3339).
    pub time: String,
    /// Result of the build.
    pub result: NixBuildResult,
    /// Lines in which Nix reported its error; empty if it built.
    pub message: Vec<String>,
}

/// Result of a build by Nix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum NixBuildResult {
    /// Nix built, and the builder ran in Nix's sandbox.
    BuiltInSandbox,
    /// Nix built, and the builder did not run in Nix's sandbox.
    Built,
    /// Nix did not build.
    Failed,
}

/// Build for one system of a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SystemBuild {
    /// QEMU target of the system. The build has the name in Nix.
    pub target: &'static str,
    /// Build and its result.
    #[serde(flatten)]
    pub build: NixBuild,
}

/// Builds that were made, or the reason why not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NixBuilds {
    /// Builds that ended.
    pub builds: Vec<SystemBuild>,
    /// Complete output of Nix for the builds that failed, by QEMU target.
    pub outputs: Vec<(&'static str, String)>,
    /// Systems whose build a signal ended, by QEMU target.
    pub interrupted: Vec<&'static str>,
    /// Systems that were not tried, by QEMU target, and the reason.
    pub untried: Vec<(&'static str, String)>,
}

/// Makes a build for each of these systems.
pub fn build_with_nix(host: &Host, systems: &[&'static Arch]) -> NixBuilds {
    let mut result = NixBuilds::default();
    let user = BuildUser::choose(host);
    let mut derivations = Vec::new();
    for arch in systems {
        match (derivation_of(arch), &user) {
            (Ok((system, probe)), Some(_)) => derivations.push((arch.target, TestDerivation { system, probe })),
            (Ok(_), None) if !host.is_live() => {
                result
                    .untried
                    .push((arch.target, "--root names another machine, and only this machine's Nix can run".into()));
            }
            (Ok(_), None) => {
                result.untried.push((arch.target, "no nix was found that only root could have installed".into()));
            }
            (Err(why), _) => result.untried.push((arch.target, why.into())),
        }
    }
    let Some(user) = user.filter(|_| !derivations.is_empty()) else { return result };
    let wanted: Vec<_> = derivations.iter().map(|(_, derivation)| *derivation).collect();
    let finished = run_test_builds(host, &user, &wanted);
    let time = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    for ((target, derivation), finished) in derivations.into_iter().zip(finished) {
        let build = |ended, message| SystemBuild {
            target,
            build: NixBuild {
                system: derivation.system.to_owned(),
                user: user.name.clone(),
                time: time.clone(),
                result: ended,
                message,
            },
        };
        match finished {
            TestBuild::Built { in_sandbox: true } => {
                result.builds.push(build(NixBuildResult::BuiltInSandbox, Vec::new()));
            }
            TestBuild::Built { in_sandbox: false } => result.builds.push(build(NixBuildResult::Built, Vec::new())),
            TestBuild::Failed(output) => {
                result.builds.push(build(NixBuildResult::Failed, error_lines(&output)));
                result.outputs.push((target, output));
            }
            TestBuild::Interrupted => result.interrupted.push(target),
            TestBuild::NotRun(why) => result.untried.push((target, why)),
        }
    }
    result
}

/// Returns Nix's first name of a system, and the system's probe.
fn derivation_of(arch: &'static Arch) -> std::result::Result<(&'static str, &'static [u8]), &'static str> {
    match (arch.nix_systems.first(), arch.probe()) {
        (Some(system), Some(probe)) => Ok((system, probe)),
        (None, _) => Err("Nix has no name for this system"),
        (_, None) => Err("binfmt-nix has no probe for this system"),
    }
}

/// Whether Nix can build for the system at all.
pub fn can_build(arch: &'static Arch) -> bool {
    derivation_of(arch).is_ok()
}

/// Records the builds of registered systems. The caller holds the lock.
pub fn record_builds(host: &Host, builds: &NixBuilds) -> Result<()> {
    let Some(mut receipt) = Receipt::load(host)? else { return Ok(()) };
    let before = receipt.clone();
    for SystemBuild { target, build } in &builds.builds {
        if let Some(system) = receipt.systems.get_mut(*target) {
            system.nix_build = Some(build.clone());
        }
    }
    if receipt == before { Ok(()) } else { receipt.save(host) }
}

impl NixBuild {
    /// Whether Nix built.
    pub fn is_built(&self) -> bool {
        self.result != NixBuildResult::Failed
    }

    /// Returns the time since the build in words: "3 min". `None` if the time is not valid or in the future.
    pub fn age(&self) -> Option<String> {
        let time = humantime::parse_rfc3339(&self.time).ok()?;
        Some(describe_age(SystemTime::now().duration_since(time).ok()?))
    }
}

impl fmt::Display for NixBuild {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { system, user, message, .. } = self;
        match self.result {
            NixBuildResult::BuiltInSandbox => {
                write!(f, "Nix built a derivation for {system} in its sandbox (as {user})")
            }
            NixBuildResult::Built => write!(f, "Nix built a derivation for {system}, not in its sandbox (as {user})"),
            NixBuildResult::Failed => {
                write!(f, "Nix did not build a derivation for {system} (as {user}): {}", message.join(" "))
            }
        }
    }
}

fn describe_age(age: Duration) -> String {
    let seconds = age.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..86_400 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_whole_units() {
        let age = |seconds| describe_age(Duration::from_secs(seconds));
        assert_eq!(
            [0, 59, 60, 3_599, 3_600, 86_399, 86_400].map(age),
            ["0 s", "59 s", "1 min", "59 min", "1 h", "23 h", "1 d"]
        );
    }
}
