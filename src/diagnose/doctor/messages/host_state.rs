//! The state of this machine, as far as a message is about it. Pure.

use binfmt_magic::Arch;

use crate::binfmt::table::entry_name;
use crate::diagnose::doctor::Snapshot;
use crate::diagnose::doctor::snapshot::TrialRun;

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
        Some(TrialRun::Failed(_)) => Runs::NotNow,
        Some(_) => Runs::Now,
        None => Runs::Untried,
    }
}

/// Whether Nix builds for a system on this machine, by its settings; `None` without Nix, or if Nix has no such system.
pub(super) fn nix_builds(snapshot: &Snapshot, arch: &Arch) -> Option<bool> {
    let nix = snapshot.nix.as_ref().filter(|_| !arch.nix_systems.is_empty())?;
    let own = Arch::of_host(&snapshot.machine).is_some_and(|own| own.target == arch.target);
    let platforms = snapshot.extra_platforms(nix);
    Some(own || arch.nix_systems.iter().any(|system| platforms.iter().any(|platform| platform == system)))
}

pub(super) fn is_native(snapshot: &Snapshot, arch: &Arch) -> bool {
    snapshot.natives.contains(arch.target)
}

/// Whether programs of the system run here.
pub(super) fn runs_here(snapshot: &Snapshot, arch: &'static Arch) -> bool {
    matches!(runs(snapshot, arch), Runs::Natively | Runs::Now | Runs::Untried)
}

/// Whether programs of the system run here, and Nix, if there is one, builds for it.
pub(super) fn works_here(snapshot: &Snapshot, arch: &'static Arch) -> bool {
    runs_here(snapshot, arch) && nix_builds(snapshot, arch) != Some(false)
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
        Runs::ByNothing => format!("no entry takes {target} programs: nothing runs them"),
        Runs::TableIsOff => format!("the table is switched off: nothing runs {target} programs"),
        Runs::NotNow => with_entry("one did not run just now"),
        Runs::Now => with_entry("one ran just now"),
        Runs::Untried => with_entry("none was tried"),
    };
    std::iter::once(programs).chain(describe_builds(snapshot, arch)).collect()
}

fn describe_builds(snapshot: &Snapshot, arch: &Arch) -> Option<String> {
    let builds = nix_builds(snapshot, arch)?;
    // On a machine of its own system, Nix builds without any setting.
    if Arch::of_host(&snapshot.machine).is_some_and(|own| own.target == arch.target) {
        return None;
    }
    let system = arch.nix_systems.first()?;
    let daemon = match snapshot.nix.as_ref().and_then(|nix| nix.daemon_is_older.as_ref()) {
        Some((pid, _)) => format!("; its daemon (process {pid}) was started before its settings were changed"),
        None => String::new(),
    };
    let builds = if builds { "builds" } else { "does not build" };
    Some(format!("Nix {builds} for {system}{daemon}"))
}
