//! Plan of the configuration of Nix: binfmt-nix.conf with the lines of every system, and the line of nix.conf that
//! includes it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use binfmt_magic::Arch;

use super::Step;
use super::register::write_own_file;
use crate::error::Result;
use crate::nix::ConfState;
use crate::nix::conf::{self, NixGuest};
use crate::paths::NIX_OWN_CONF;
use crate::register::emulated::EmulatedSystem;
use crate::register::facts::Facts;
use crate::register::own_rule;
use crate::register::plan::step_groups::StepGroups;
use crate::register::plan::unregister;
use crate::register::receipt::{NixUse, OwnRule, System};
use crate::register::request::{NixChoice, OtherSystems, RegisterRequest};
use crate::sanitize::AsText as _;

/// Whether the request configures Nix.
pub(super) fn needs_nix_config(request: &RegisterRequest, facts: &Facts) -> bool {
    match request.nix {
        NixChoice::Auto => facts.nix.trace.is_some(),
        NixChoice::Yes => true,
        NixChoice::No => false,
    }
}

/// Whether Nix on this host fails each build for a system, regardless of emulation: before a builder for 32-bit ARM
/// starts, Nix requests the personality PER_LINUX32 (2.36, `setPersonality`).
fn is_refused_by_nix(facts: &Facts, arch: &Arch) -> bool {
    facts.refuses_personality_32 && arch.target == "arm"
}

/// Decides whether Nix is configured for a system. A system for which it was configured before stays configured, unless
/// Nix cannot build for it.
pub(super) fn choose_nix_use(request: &RegisterRequest, facts: &Facts, arch: &Arch, known: Option<&System>) -> NixUse {
    match request.nix {
        _ if is_refused_by_nix(facts, arch) => NixUse::Declined,
        _ if needs_nix_config(request, facts) => NixUse::Configured,
        NixChoice::No if request.others == OtherSystems::Remove => NixUse::Declined,
        _ if known.is_some_and(System::configures_nix) => NixUse::Configured,
        NixChoice::No => NixUse::Declined,
        NixChoice::Auto | NixChoice::Yes => NixUse::Absent,
    }
}

/// Adds the steps that configure Nix. The steps of the systems must be planned already.
pub(super) fn add_nix_steps(request: &RegisterRequest, facts: &Facts, groups: &mut StepGroups) -> Result<()> {
    let is_system = |name: &String| EmulatedSystem::of_rule(name).is_some();
    let has_systems = !request.systems.is_empty() || request.rules.keys().any(is_system);
    let has_steps = groups.count_system_steps() > 0 && has_systems;
    if request.nix == NixChoice::Auto && facts.nix.trace.is_none() && has_steps {
        groups.notes.push("Nix was not found, so nix.conf is not changed (use --nix to write it anyway)".into());
    }
    let systems = systems_afterwards(facts, groups);
    if !needs_nix_config(request, facts) || (groups.systems.is_empty() && !has_systems) {
        if request.others == OtherSystems::Remove {
            unregister::add_nix_removal(facts, &systems, groups);
        }
        return Ok(());
    }
    let refused = groups.systems.iter().filter(|plan| is_refused_by_nix(facts, plan.arch));
    let refused: Vec<String> = refused.map(|plan| describe_refusal(plan.arch)).collect();
    groups.notes.extend(refused);
    configure_nix(facts, &systems, groups)
}

/// Adds the steps after which Nix is configured for exactly these systems.
pub(super) fn configure_nix(facts: &Facts, systems: &BTreeMap<String, System>, groups: &mut StepGroups) -> Result<()> {
    let guests = guests_afterwards(facts, systems, groups);
    if guests.is_empty() {
        unregister::add_nix_removal(facts, systems, groups);
        return Ok(());
    }
    if let ConfState::LeaveAlone(why) = &facts.nix.state {
        groups.findings.extend(manual_nix_lines(facts, &guests, why));
        return Ok(());
    }
    let own_file = write_own_file(facts, NIX_OWN_CONF.into(), conf::own_file_text(&guests).into_bytes(), None)?;
    if own_file.is_some() {
        groups.notes.extend(describe_features(groups));
    }
    groups.nix.extend(own_file);
    let included =
        matches!(&facts.nix.state, ConfState::Editable(text) if conf::has_include(text, conf::OWN_FILE_NAME));
    if !included {
        groups.nix.push(Step::AddInclude(facts.nix.conf.clone()));
    }
    if !groups.nix.is_empty() {
        groups.nix.push(Step::RestartNixDaemon);
    }
    Ok(())
}

/// Returns the records of all systems as they will be: those of the receipt, with the changes of the plan.
pub(super) fn systems_afterwards(facts: &Facts, groups: &StepGroups) -> BTreeMap<String, System> {
    let mut systems = facts.receipt.systems.clone();
    for plan in &groups.systems {
        match plan.system.clone() {
            Some(system) => systems.insert(plan.arch.target.to_owned(), system),
            None => systems.remove(plan.arch.target),
        };
    }
    systems
}

/// Lists the guests that Nix will be configured for: these systems, and the rules as they will be.
pub(super) fn guests_afterwards(
    facts: &Facts,
    systems: &BTreeMap<String, System>,
    groups: &StepGroups,
) -> Vec<NixGuest<'static>> {
    let mut native = facts.receipt.native_paths();
    for planned in &groups.accelerations {
        let (arch, acceleration) = (planned.arch, &planned.acceleration);
        native.remove(arch.target);
        native.extend(acceleration.iter().map(|new| (arch.target.to_owned(), new.sandbox_paths(arch))));
    }
    list_guests(systems, &rules_afterwards(facts, groups), &native)
}

/// Returns the records of all own rules as they will be.
fn rules_afterwards(facts: &Facts, groups: &StepGroups) -> BTreeMap<String, OwnRule> {
    let mut rules = facts.receipt.rules.clone();
    for plan in &groups.rules {
        match plan.rule.clone() {
            Some(rule) => rules.insert(plan.name.clone(), rule),
            None => rules.remove(&plan.name),
        };
    }
    rules
}

fn describe_refusal(arch: &Arch) -> String {
    format!(
        "{}: its programs run, but Nix is not configured for it: this kernel or processor has no 32-bit mode, \
         which Nix requests before each build for {}",
        arch.target,
        arch.nix_systems.first().unwrap_or(&arch.target)
    )
}

/// Describes what the features of the requested systems change for other systems; `None` if these systems need none.
fn describe_features(groups: &StepGroups) -> Option<String> {
    let registered = groups.systems.iter().filter(|plan| plan.system.is_some());
    let systems: Vec<&str> = registered.flat_map(|plan| plan.arch.nix_systems).copied().collect();
    let features = conf::required_features(&systems);
    (!features.is_empty()).then(|| {
        format!(
            "nixpkgs requires {} of builders, and Nix has no features per system: it now accepts such derivations for \
             every system that it builds",
            features.join(" ")
        )
    })
}

/// Describes the lines that the user has to add to a nix.conf that this tool does not change, one in each text. Returns
/// nothing if Nix is already configured for all systems.
fn manual_nix_lines(facts: &Facts, guests: &[NixGuest], why: &str) -> Vec<String> {
    let systems: Vec<&str> = guests.iter().flat_map(|guest| guest.systems).copied().collect();
    if facts.nix.answer.as_ref().is_some_and(|answer| answer.is_complete_for(&systems)) {
        return Vec::new();
    }
    let path = facts.nix.conf.as_text();
    let reason = format!("{path} is left as it is: {why}; add the following to it and restart the nix-daemon");
    let lines = conf::setting_lines(guests).into_iter().map(|line| format!("to add to {path}: {line}"));
    [reason].into_iter().chain(lines).collect()
}

/// Lists the guests among these systems and rules that Nix is configured for. `native` has the paths of native programs, by
/// QEMU target.
pub(super) fn list_guests(
    systems: &BTreeMap<String, System>,
    rules: &BTreeMap<String, OwnRule>,
    native: &BTreeMap<String, BTreeSet<PathBuf>>,
) -> Vec<NixGuest<'static>> {
    let configured = systems.iter().filter(|(_, system)| system.is_in_nix_conf());
    let guest = |(target, system): (&String, &System)| {
        let arch = Arch::by_target(target)?;
        let native = native.get(target).cloned().unwrap_or_default();
        Some(NixGuest { systems: arch.nix_systems, interpreter: system.interpreter.clone(), native })
    };
    configured.filter_map(guest).chain(list_other_guests(rules, |own| own.nix)).collect()
}

/// Lists the systems that QEMU does not run among the selected rules.
pub fn list_other_guests(
    rules: &BTreeMap<String, OwnRule>,
    is_selected: impl Fn(&OwnRule) -> bool,
) -> impl Iterator<Item = NixGuest<'static>> {
    let selected = rules.iter().filter(move |(_, own)| is_selected(own));
    selected.filter_map(|(name, own)| {
        let systems = EmulatedSystem::of_rule(name)?.nix_systems();
        let interpreter = own_rule::interpreter_path(&own.rule()?);
        Some(NixGuest { systems, interpreter, native: BTreeSet::new() })
    })
}
