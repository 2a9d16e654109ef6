//! What Nix is told: our own file with every system's lines, and the line of
//! nix.conf that includes it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use binfmt_magic::Arch;

use super::Step;
use super::parts::Parts;
use super::register::write;
use crate::error::Result;
use crate::facts::Facts;
use crate::layout::NIX_OWN_CONF;
use crate::nix::ConfState;
use crate::nix::conf::{self, Guest};
use crate::receipt::System;
use crate::request::{NixChoice, Register};

/// Is Nix to be told?
pub(super) fn wanted(request: &Register, facts: &Facts) -> bool {
    match request.nix {
        NixChoice::Auto => facts.nix.trace.is_some(),
        NixChoice::Yes => true,
        NixChoice::No => false,
    }
}

/// Adds the steps for Nix after those of the systems.
pub(super) fn plan(request: &Register, facts: &Facts, parts: &mut Parts) -> Result<()> {
    if request.nix == NixChoice::Auto && facts.nix.trace.is_none() && parts.len() > 0 {
        parts.notes.push("no trace of Nix here, so it is not told; --nix tells it all the same".into());
    }
    if !wanted(request, facts) || parts.systems.is_empty() {
        return Ok(());
    }
    let planned = parts.systems.iter().filter_map(|p| Some((p.arch.target.to_owned(), p.system.clone()?)));
    let systems: BTreeMap<_, _> = facts.receipt.systems.clone().into_iter().chain(planned).collect();
    let guests = guests(&systems);
    if let ConfState::LeaveAlone(why) = &facts.nix.state {
        parts.findings.extend(by_hand(facts, &guests, why));
        return Ok(());
    }
    parts.nix.extend(write(facts, PathBuf::from(NIX_OWN_CONF), conf::own_file(&guests).into_bytes(), None)?);
    let included = matches!(&facts.nix.state, ConfState::Editable(text) if conf::includes(text, conf::OWN));
    if !included {
        parts.nix.push(Step::Include(facts.nix.conf.clone()));
    }
    if !parts.nix.is_empty() {
        parts.nix.push(Step::RestartDaemon);
    }
    Ok(())
}

/// The lines for a nix.conf that we do not touch, unless Nix knows already.
fn by_hand(facts: &Facts, guests: &[Guest], why: &str) -> Option<String> {
    let systems: Vec<&str> = guests.iter().flat_map(|guest| guest.systems).copied().collect();
    if facts.nix.answer.as_ref().is_some_and(|answer| answer.missing(&systems).is_empty()) {
        return None;
    }
    let lines = conf::lines(guests).join("\n  ");
    let path = facts.nix.conf.display();
    Some(format!("{path} is left alone: {why}; Nix needs these lines there, and its daemon a restart:\n  {lines}"))
}

/// The guests among `systems` that Nix is to be told of.
pub(super) fn guests(systems: &BTreeMap<String, System>) -> Vec<Guest<'_>> {
    let told = systems.iter().filter(|(_, system)| system.nix);
    told.filter_map(|(target, system)| {
        let arch = Arch::by_target(target)?;
        Some(Guest { systems: arch.nix_systems, interpreter: &system.interpreter })
    })
    .collect()
}
