//! What Nix is told: our own file with every system's lines, and the line of
//! nix.conf that includes it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use binfmt_magic::Arch;

use super::Step;
use super::register::write_own_file;
use crate::error::Result;
use crate::nix::ConfState;
use crate::nix::conf::{self, NixGuest};
use crate::paths::NIX_OWN_CONF;
use crate::register::facts::Facts;
use crate::register::plan::step_groups::StepGroups;
use crate::register::receipt::System;
use crate::register::request::{NixChoice, RegisterRequest};

/// Is Nix to be told?
pub(super) fn needs_nix_config(request: &RegisterRequest, facts: &Facts) -> bool {
    match request.nix {
        NixChoice::Auto => facts.nix.trace.is_some(),
        NixChoice::Yes => true,
        NixChoice::No => false,
    }
}

/// Adds the steps for Nix after those of the systems.
pub(super) fn add_nix_steps(request: &RegisterRequest, facts: &Facts, parts: &mut StepGroups) -> Result<()> {
    if request.nix == NixChoice::Auto && facts.nix.trace.is_none() && parts.count_system_steps() > 0 {
        parts.notes.push("no trace of Nix here, so it is not told; --nix tells it all the same".into());
    }
    if !needs_nix_config(request, facts) || parts.systems.is_empty() {
        return Ok(());
    }
    let system_plan = parts.systems.iter().filter_map(|p| Some((p.arch.target.to_owned(), p.system.clone()?)));
    let systems: BTreeMap<_, _> = facts.receipt.systems.clone().into_iter().chain(system_plan).collect();
    let guests = list_guests(&systems);
    if let ConfState::LeaveAlone(why) = &facts.nix.state {
        parts.findings.extend(manual_nix_lines(facts, &guests, why));
        return Ok(());
    }
    parts.nix.extend(write_own_file(
        facts,
        PathBuf::from(NIX_OWN_CONF),
        conf::own_file_text(&guests).into_bytes(),
        None,
    )?);
    let included =
        matches!(&facts.nix.state, ConfState::Editable(text) if conf::has_include(text, conf::OWN_FILE_NAME));
    if !included {
        parts.nix.push(Step::AddInclude(facts.nix.conf.clone()));
    }
    if !parts.nix.is_empty() {
        parts.nix.push(Step::RestartNixDaemon);
    }
    Ok(())
}

/// The lines for a nix.conf that we do not touch, unless Nix knows already.
fn manual_nix_lines(facts: &Facts, guests: &[NixGuest], why: &str) -> Option<String> {
    let systems: Vec<&str> = guests.iter().flat_map(|guest| guest.systems).copied().collect();
    if facts.nix.answer.as_ref().is_some_and(|answer| answer.missing_systems(&systems).is_empty()) {
        return None;
    }
    let lines = conf::setting_lines(guests).join("\n  ");
    let path = facts.nix.conf.display();
    Some(format!("{path} is left alone: {why}; Nix needs these lines there, and its daemon a restart:\n  {lines}"))
}

/// The guests among `systems` that Nix is to be told of.
pub(super) fn list_guests(systems: &BTreeMap<String, System>) -> Vec<NixGuest<'_>> {
    let configured = systems.iter().filter(|(_, system)| system.nix);
    configured
        .filter_map(|(target, system)| {
            let arch = Arch::by_target(target)?;
            Some(NixGuest { systems: arch.nix_systems, interpreter: &system.interpreter })
        })
        .collect()
}
