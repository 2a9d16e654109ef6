//! The builds by Nix at the end of `register`: which are made, what is recorded, and how a failure is explained.

use binfmt_magic::Arch;

use super::acquire_lock;
use crate::diagnose::nix_failure;
use crate::error::{Error, Result};
use crate::host::{self, Host};
use crate::nix::build_user::BuildUser;
use crate::register::facts::Facts;
use crate::register::nix_builds::{self, NixBuilds, SystemBuild};
use crate::register::plan::Plan;
use crate::register::receipt::{NixBuild, NixBuildResult, Receipt, System};
use crate::register::report::{Report, StepReport};
use crate::sanitize::command;
use crate::ui::Ui;

/// Builds for those of `systems` that Nix is configured for and has not built for since they were registered. Records
/// the results, and adds them to the report.
pub(super) fn prove_by_building(
    host: &Host,
    ui: &Ui,
    systems: &[&'static Arch],
    wait: u64,
    report: &mut Report,
) -> Result<()> {
    let receipt = Receipt::load_packed(host)?.unwrap_or_default();
    let recorded = systems.iter().filter_map(|arch| Some((*arch, receipt.systems.get(arch.target)?)));
    let wanted = select_unproven(recorded);
    if wanted.is_empty() {
        return Ok(());
    }
    let step = describe_step(host, &wanted);
    if let Some(step) = &step {
        ui.print_step(step.verb, &step.what);
    }
    let builds = nix_builds::build_with_nix(host, &wanted);
    report.steps.extend(step);
    record(host, ui, &builds, wait)?;
    add_to_report(host, builds, report)
}

/// Builds for all of `systems`, for `test`. Root records the results of registered systems; other users cannot.
pub(super) fn test_by_building(host: &Host, ui: &Ui, systems: &[&'static Arch]) -> Result<NixBuilds> {
    host.catch_signals().map_err(|e| Error::io("catch the signals of", &host::env::own_path(), e))?;
    let builds = nix_builds::build_with_nix(host, systems);
    if let Some(signal) = host.pending_signal() {
        return Err(Error::Interrupted { signal });
    }
    if host::env::effective_ids().0 == 0 {
        record(host, ui, &builds, LOCK_TIMEOUT)?;
    }
    Ok(builds)
}

/// Records the builds of registered systems. A run that was interrupted does not wait for the lock, and a run that
/// cannot get it has its result anyway.
fn record(host: &Host, ui: &Ui, builds: &NixBuilds, wait: u64) -> Result<()> {
    let receipt = Receipt::load_packed(host)?.unwrap_or_default();
    let is_registered = |build: &SystemBuild| receipt.systems.contains_key(build.target);
    if !builds.interrupted.is_empty() || !builds.builds.iter().any(is_registered) {
        return Ok(());
    }
    match acquire_lock(host, ui, wait) {
        Ok(_lock) => nix_builds::record_builds(host, builds),
        Err(error @ Error::Locked { .. }) => {
            ui.print_note(&format!("status does not show this build: {error}"));
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// Time in seconds that `test` waits for the lock, to record a build.
const LOCK_TIMEOUT: u64 = 30;

/// Adds the build to the report of `--dry-run`, if one would be made.
pub(super) fn plan_build(host: &Host, plan: &Plan, report: &mut Report) {
    let planned = plan.systems.iter().filter_map(|planned| Some((planned.arch, planned.system.as_ref()?)));
    report.steps.extend(describe_step(host, &select_unproven(planned)));
}

/// Selects the systems that Nix has a name for and is configured for, and whose last build did not succeed.
fn select_unproven<'a>(systems: impl Iterator<Item = (&'static Arch, &'a System)>) -> Vec<&'static Arch> {
    let is_built = |system: &System| system.nix_build.as_ref().is_some_and(NixBuild::is_built);
    let is_wanted = |(arch, system): &(&'static Arch, &System)| {
        nix_builds::can_build(arch) && system.configures_nix() && !is_built(system)
    };
    systems.filter(is_wanted).map(|(arch, _)| arch).collect()
}

/// Prints the builds that succeeded, one line for each result.
pub(super) fn print_builds(ui: &Ui, builds: &[SystemBuild]) {
    let of = |result| builds.iter().map(|one| &one.build).filter(move |build| build.result == result);
    for (result, place) in
        [(NixBuildResult::BuiltInSandbox, "in its sandbox"), (NixBuildResult::Built, "not in its sandbox")]
    {
        let names: Vec<&str> = of(result).map(|build| build.system.as_str()).collect();
        let Some(user) = of(result).map(|build| &build.user).next() else { continue };
        match names.as_slice() {
            [one] => ui.print_result(&format!("Nix built a derivation for {one} {place} (as {user})")),
            _ => {
                ui.print_result(&format!("Nix built a derivation for each of {} {place} (as {user})", names.join(" ")));
            }
        }
    }
}

fn describe_step(host: &Host, systems: &[&'static Arch]) -> Option<StepReport> {
    let user = BuildUser::choose(host).ok()?;
    let names: Vec<&str> = systems.iter().filter_map(|arch| arch.nix_systems.first()).copied().collect();
    let what = match names.as_slice() {
        [] => return None,
        [one] => format!("a derivation for {one}, by Nix as {}", user.name),
        _ => format!("a derivation for each of {}, by Nix as {}", names.join(" "), user.name),
    };
    Some(StepReport { verb: "build", what })
}

fn add_to_report(host: &Host, builds: NixBuilds, report: &mut Report) -> Result<()> {
    // One reason is enough for all systems.
    if let Some((_, why)) = builds.untried.first() {
        report.notes.push(format!("no build by Nix was tried: {why}"));
    }
    if !builds.interrupted.is_empty() {
        let systems = builds.interrupted.join(" ");
        report.findings.push(format!(
            "the build by Nix was interrupted and proves nothing; the registration is complete and stays. To repeat \
             the build: {}",
            command::tool_as_root(format_args!("test {systems} --nix"))
        ));
    }
    let failed: Vec<_> = builds.builds.iter().filter(|build| !build.build.is_built()).collect();
    if !failed.is_empty() {
        report.findings.extend(failed.iter().map(|failed| failed.build.to_string()));
        let facts = Facts::gather(host, &[])?;
        for (_, output) in &builds.outputs {
            let lines = explain(host, &facts, output);
            // Several systems often have one cause.
            let new: Vec<_> = lines.into_iter().filter(|line| !report.findings.contains(line)).collect();
            report.findings.extend(new);
        }
        let targets: Vec<&str> = failed.iter().map(|failed| failed.target).collect();
        let line = command::tool_as_root(format_args!("test {} --nix", targets.join(" ")));
        report.findings.push(format!("then repeat the build: {line}"));
    }
    report.nix_builds.extend(builds.builds);
    Ok(())
}

/// Explains Nix's message, one line in each text.
fn explain(host: &Host, facts: &Facts, output: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for advice in nix_failure::explain_output(host, facts, output) {
        lines.push(format!("the cause: {}", advice.means));
        lines.extend(advice.here);
        lines.extend(advice.repair.into_iter().map(|line| format!("to repair it: {line}")));
    }
    if lines.is_empty() {
        let line = command::tool_as_root("doctor");
        lines.push(format!("binfmt-nix does not know this message of Nix; to check this machine: {line}"));
    }
    lines
}
