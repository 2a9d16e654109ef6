//! Builds by Nix that prove a registration.

use std::time::SystemTime;

use binfmt_magic::Arch;
use serde::Serialize;

use crate::binfmt::userns::run_table::RunTable;
use crate::error::Result;
use crate::host::{self, Host};
use crate::nix::build_user::BuildUser;
use crate::nix::env;
use crate::nix::test_build::{TestBuild, TestDerivation, error_lines, run_test_builds};
use crate::register::receipt::{NixBuild, NixBuildResult, Receipt};

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
    let run = RunTable::find(host).filter(|_| env::is_daemon_outside_of_run(host)).unwrap_or_default();
    let is_root = host::env::effective_ids().0 == 0;
    for arch in systems {
        if run.emulates(arch) {
            let command = env::own_store_command(is_root);
            result
                .untried
                .push((arch.target, format!("{}: {command}", env::describe_daemon_outside(arch.nix_systems))));
            continue;
        }
        match (derivation_of(arch), &user) {
            (Ok((system, probe)), Ok(_)) => derivations.push((arch.target, TestDerivation { system, probe })),
            (Ok(_), Err(why)) => result.untried.push((arch.target, why.to_string())),
            (Err(why), _) => result.untried.push((arch.target, why.into())),
        }
    }
    let Some(user) = user.ok().filter(|_| !derivations.is_empty()) else { return result };
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
    let Some(before) = Receipt::load_packed(host)? else { return Ok(()) };
    let mut receipt = Receipt::clone(&before);
    for SystemBuild { target, build } in &builds.builds {
        if let Some(system) = receipt.systems.get_mut(*target) {
            system.nix_build = Some(build.clone());
        }
    }
    if receipt == *before { Ok(()) } else { receipt.save(host) }
}
