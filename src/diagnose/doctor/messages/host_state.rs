//! The state of this machine, as far as a message is about it. Pure.

use binfmt_magic::Arch;

use crate::binfmt::table::entry_name;
use crate::diagnose::doctor::Snapshot;
use crate::diagnose::doctor::snapshot::{BuildTrial, TrialRun};

/// How programs of a system run on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Runs {
    Natively,
    ByNothing,
    TableIsOff,
    NotNow,
    Now,
    Untried,
}

fn runs(snapshot: &Snapshot, arch: &'static Arch) -> Runs {
    if snapshot.natives.contains(arch.target) {
        return Runs::Natively;
    }
    if snapshot.matching_entry(arch).is_none() {
        return Runs::ByNothing;
    }
    if snapshot.table.is_switched_off() {
        return Runs::TableIsOff;
    }
    match snapshot.trials.get(arch.target) {
        Some(TrialRun::Failed(_) | TrialRun::JitRefused) => Runs::NotNow,
        Some(_) => Runs::Now,
        None => Runs::Untried,
    }
}

/// Whether Nix is configured for a system on this machine; `None` without Nix, or if Nix has no such system.
pub(super) fn is_configured(snapshot: &Snapshot, arch: &Arch) -> Option<bool> {
    let nix = snapshot.nix.as_ref().filter(|_| !arch.nix_systems.is_empty())?;
    let own = Arch::of_host(&snapshot.machine).is_some_and(|own| own.target == arch.target);
    let platforms = snapshot.platforms_of(snapshot.view_for(nix, arch));
    Some(own || arch.nix_systems.iter().any(|system| platforms.iter().any(|platform| platform == system)))
}

pub(super) fn is_native(snapshot: &Snapshot, arch: &Arch) -> bool {
    snapshot.natives.contains(arch.target)
}

/// Whether programs of the system run here.
pub(super) fn runs_here(snapshot: &Snapshot, arch: &'static Arch) -> bool {
    matches!(runs(snapshot, arch), Runs::Natively | Runs::Now | Runs::Untried)
}

/// Whether a program of the system ran just now.
pub(super) fn ran_here(snapshot: &Snapshot, arch: &'static Arch) -> bool {
    runs(snapshot, arch) == Runs::Now
}

/// Returns the build for the system that was tried just now.
pub(super) fn build_trial<'a>(snapshot: &'a Snapshot, arch: &Arch) -> Option<&'a BuildTrial> {
    snapshot.nix.as_ref()?.builds.get(arch.target)
}

/// Whether nothing is known that keeps programs of the system from running here, and Nix, if there is one, from
/// building for it.
pub(super) fn works_here(snapshot: &Snapshot, arch: &'static Arch) -> bool {
    runs_here(snapshot, arch) && is_configured(snapshot, arch) != Some(false)
}

/// Describes the state of all foreign systems, for a text that names no system.
pub(super) fn describe_machine(snapshot: &Snapshot) -> Vec<String> {
    let run: Vec<&str> = snapshot.emulated_systems().map(|(arch, _)| arch.target).collect();
    vec![match run.as_slice() {
        [] => "no entry takes programs of any other system".to_owned(),
        _ if snapshot.table.is_switched_off() => "the kernel's table is switched off".to_owned(),
        systems => format!("entries take programs of {}, and of no other system", systems.join(" ")),
    }]
}

/// Describes the state of a system's programs and builds.
pub(super) fn describe_system(snapshot: &Snapshot, arch: &'static Arch) -> Vec<String> {
    let target = arch.target;
    let entry = snapshot.matching_entry(arch);
    let with_entry = |end: &str| {
        let (name, flags) =
            entry.map_or_else(Default::default, |entry| (entry_name(entry), entry.rule.flags.to_string()));
        format!("the entry {name} (flags {flags}) takes {target} programs, and {end}")
    };
    let programs = match runs(snapshot, arch) {
        Runs::Natively => format!("this machine runs {target} programs natively"),
        Runs::ByNothing if snapshot.disabled.contains(target) => {
            format!("the command disable turned {target} off: nothing runs its programs")
        }
        Runs::ByNothing => format!("no entry takes {target} programs: nothing runs them"),
        Runs::TableIsOff => format!("the table is switched off: nothing runs {target} programs"),
        Runs::NotNow => with_entry("one did not run just now"),
        Runs::Now => with_entry("one ran just now"),
        Runs::Untried => with_entry("none was tried"),
    };
    std::iter::once(programs).chain(describe_builds(snapshot, arch)).collect()
}

/// Whether the system is one of `run`, and the nix-daemon is outside.
fn is_built_outside(snapshot: &Snapshot, arch: &Arch) -> bool {
    let is_of_run = snapshot.matching_entry(arch).is_some_and(|entry| snapshot.is_of_run(entry));
    is_of_run && snapshot.is_daemon_outside()
}

fn describe_builds(snapshot: &Snapshot, arch: &Arch) -> Option<String> {
    let configured = is_configured(snapshot, arch)?;
    // On a machine of its own system, Nix builds without any setting.
    if Arch::of_host(&snapshot.machine).is_some_and(|own| own.target == arch.target) {
        return None;
    }
    let system = arch.nix_systems.first()?;
    let daemon = match snapshot.nix.as_ref().and_then(|nix| nix.daemon_is_older.as_ref()) {
        Some((pid, _)) => format!("; its daemon (process {pid}) was started before its settings were changed"),
        None if is_built_outside(snapshot, arch) => "; its daemon builds outside of this run".to_owned(),
        None => String::new(),
    };
    let configured = if configured { "configured" } else { "not configured" };
    Some(match build_trial(snapshot, arch) {
        None => format!("Nix is {configured} for {system}{daemon}"),
        Some(BuildTrial::Untried(why)) => format!("Nix is {configured} for {system}; no build was tried: {why}"),
        Some(BuildTrial::Built { user, in_sandbox }) => {
            let place = if *in_sandbox { "in its sandbox" } else { "not in its sandbox" };
            format!("Nix built a derivation for {system} just now, as {user}, {place}")
        }
        Some(BuildTrial::Failed { user, message }) => {
            format!("Nix did not build a derivation for {system} just now, as {user}: {}", message.join("; "))
        }
    })
}
