//! Explains error messages: recognises a message and its system in a text, and describes its meaning on this machine.
//!
//! ```text
//! text ─▶ MessageText (one form) ─▶ patterns of the catalogue, refusals of Nix ─▶ Reading
//! Reading + Snapshot + findings ─▶ Advice: what it means, the state of this machine, the commands
//! ```
//!
//! Recognition is pure and accepts any text: a line, or a whole log. The catalogue is closed data: a pattern, what it
//! means, what to look at, and what to do.

mod advice;
pub mod catalog;
pub mod cross_build;
mod host_state;
mod pattern;
pub mod refusal;
#[cfg(test)]
mod reports;
pub mod systems;
#[cfg(test)]
mod tests;
mod text;
mod translations;

pub use cross_build::CROSS;
pub use systems::{SystemName, find_systems};

use binfmt_magic::Arch;
use serde::Serialize;

use super::{Finding, Snapshot};
use crate::diagnose::doctor::messages::catalog::KnownMessage;
use crate::diagnose::doctor::messages::pattern::{Captures, Role};
use crate::diagnose::doctor::messages::refusal::Refusal;
use crate::diagnose::doctor::messages::text::MessageText;

/// What a text says: its messages, and the systems that it names.
#[derive(Debug, Default)]
pub struct Reading {
    messages: Vec<Message>,
    /// The systems in the text, in order.
    systems: Vec<&'static Arch>,
}

/// A message that was found in a text.
#[derive(Debug)]
struct Message {
    kind: Kind,
    /// The system that is needed, if the message names it.
    wanted: Option<SystemName>,
    /// The system of the machine that printed the message, if it names that.
    host: Option<SystemName>,
    captures: Captures,
}

#[derive(Debug)]
enum Kind {
    Known(&'static KnownMessage),
    Refusal(Refusal),
    /// A cross build; whether only a triple in a name shows it.
    Cross {
        by_triple: bool,
    },
}

/// The meaning of a message on this machine.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Advice {
    /// The name of the message; `unknown` for a text without a known message.
    pub id: &'static str,
    /// The program that prints the message.
    pub by: &'static str,
    /// The system in the message, if it names one.
    pub system: Option<String>,
    /// The machine that printed the message, if it was not this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine: Option<String>,
    /// The meaning of the message on any machine.
    pub means: String,
    /// The state of this machine.
    pub here: Vec<String>,
    /// The commands that repair the cause; a line that begins with # is for the reader.
    pub repair: Vec<String>,
}

/// The name of the advice for a text without a known message.
const UNKNOWN: &str = "unknown";

impl Advice {
    /// Whether the text is not known, and the system that it names works.
    pub fn needs_nothing(&self) -> bool {
        self.id == UNKNOWN && self.repair.is_empty()
    }

    /// Whether the message is in the catalogue.
    pub fn is_known(&self) -> bool {
        self.id != UNKNOWN
    }
}

/// The messages that can be about any file.
const GENERIC_MESSAGES: [&str; 2] = ["no-such-file", "permission-denied"];

impl Reading {
    /// Reads a text: an error message, or a whole log.
    pub fn of(raw: &str) -> Self {
        let text = MessageText::new(raw);
        let cross = cross_build::find_cross_build(raw, &text).map(|cross| Message::of_cross(&cross));
        let refusals = refusal::find_refusals(&text).into_iter().map(Message::of_refusal);
        let mut messages: Vec<Message> = cross.into_iter().chain(refusals).collect();
        messages.extend(find_known(&text));
        // Logs are full of vague messages: beside another message they are not the problem.
        if messages.iter().any(|message| !message.is_generic()) {
            messages.retain(|message| !message.is_generic());
        }
        Self { messages, systems: find_systems(raw) }
    }

    /// Whether the text has a message that the catalogue has.
    pub fn is_known(&self) -> bool {
        !self.messages.is_empty()
    }

    /// Returns the systems for which only a build by Nix shows whether a message still holds.
    pub fn systems_to_build(&self, snapshot: &Snapshot, findings: &[Finding]) -> Vec<&'static Arch> {
        let mut systems: Vec<&'static Arch> = Vec::new();
        for message in &self.messages {
            for known in message.meanings(snapshot) {
                let arch = advice::system_to_build(known, message, self, snapshot, findings);
                systems.extend(arch.filter(|arch| !systems.iter().any(|other| other.target == arch.target)));
            }
        }
        systems
    }

    /// Explains the messages on this machine. A text without a known message that names a system gets its state.
    pub fn explain(&self, snapshot: &Snapshot, findings: &[Finding]) -> Vec<Advice> {
        let mut explained: Vec<Advice> = Vec::new();
        for message in &self.messages {
            for known in message.meanings(snapshot) {
                let advice = advice::explain_message(known, message, self, snapshot, findings);
                if !explained.iter().any(|other| other.id == advice.id && other.repair == advice.repair) {
                    explained.push(advice);
                }
            }
        }
        if self.messages.is_empty()
            && let Some(arch) = self.named_system(snapshot)
        {
            explained.push(advice::describe_unknown(arch, snapshot, findings));
        }
        explained
    }

    /// Returns the system that the text is about: the first one that the machine does not run natively.
    fn named_system(&self, snapshot: &Snapshot) -> Option<&'static Arch> {
        let mut foreign = self.systems.iter().filter(|arch| !host_state::is_native(snapshot, arch));
        foreign.next().or_else(|| self.systems.first()).copied()
    }

    /// Returns the system that a message names, or another message of the same text.
    fn wanted_by<'a>(&'a self, message: &'a Message) -> Option<&'a SystemName> {
        message.wanted.as_ref().or_else(|| self.messages.iter().find_map(|other| other.wanted.as_ref()))
    }

    /// Returns the system of the machine that printed the text, if a message names it.
    fn host_of<'a>(&'a self, message: &'a Message) -> Option<&'a SystemName> {
        message.host.as_ref().or_else(|| self.messages.iter().find_map(|other| other.host.as_ref()))
    }
}

/// Finds the messages of the catalogue. Drops vague ones if an exact one covers them.
fn find_known(text: &MessageText) -> Vec<Message> {
    let first = |known: &'static KnownMessage| {
        let captures = known.patterns.iter().find_map(|pattern| pattern::find_all(pattern, text).next())?;
        Some((known, captures))
    };
    let found: Vec<(&'static KnownMessage, Captures)> = catalog::all_messages().filter_map(first).collect();
    let covered: Vec<&str> = found.iter().flat_map(|(known, _)| known.covers).copied().collect();
    let exact = found.into_iter().filter(|(known, _)| !covered.contains(&known.id));
    exact.map(|(known, captures)| Message::of_known(known, captures)).collect()
}

impl Message {
    fn of_known(known: &'static KnownMessage, captures: Captures) -> Self {
        let system = |role| captures.get(role).and_then(SystemName::parse);
        Self { wanted: system(Role::Wanted), host: system(Role::Host), kind: Kind::Known(known), captures }
    }

    fn of_refusal(refusal: Refusal) -> Self {
        let (wanted, host) = (refusal.required.clone(), refusal.current.clone());
        Self { kind: Kind::Refusal(refusal), wanted, host, captures: Captures::default() }
    }

    fn of_cross(cross: &cross_build::CrossBuild) -> Self {
        let wanted = cross.wanted.map(SystemName::Known);
        Self { kind: Kind::Cross { by_triple: cross.by_triple }, wanted, host: None, captures: Captures::default() }
    }

    fn is_generic(&self) -> bool {
        matches!(self.kind, Kind::Known(known) if GENERIC_MESSAGES.contains(&known.id))
    }

    /// Returns what the message means on this machine. A sentence of Nix can have two meanings.
    fn meanings(&self, snapshot: &Snapshot) -> Vec<&'static KnownMessage> {
        let is_native = |name: &SystemName| name.arch().is_some_and(|arch| host_state::is_native(snapshot, arch));
        match &self.kind {
            Kind::Known(known) => vec![known],
            Kind::Cross { by_triple } => {
                // On a machine of that system, its triple is in the names of native derivations, too.
                let is_own = *by_triple && self.wanted.as_ref().is_some_and(is_native);
                if is_own { Vec::new() } else { vec![&CROSS] }
            }
            Kind::Refusal(refusal) => {
                let kinds = refusal.kinds(is_native);
                let accepted = |arch| host_state::is_configured(snapshot, arch) == Some(true);
                let is_accepted = self.wanted.as_ref().and_then(SystemName::arch).is_some_and(accepted);
                // Where Nix has the platform already, the features are the cause.
                let has_other = kinds.len() > 1 && is_accepted && refusal.store.is_none();
                kinds.into_iter().skip(usize::from(has_other)).collect()
            }
        }
    }

    /// Returns the features that a refusal names.
    fn missing_features(&self) -> &[String] {
        match &self.kind {
            Kind::Refusal(refusal) => &refusal.missing_features,
            _ => &[],
        }
    }

    /// Returns the store on another machine that refused.
    fn store(&self) -> Option<&str> {
        match &self.kind {
            Kind::Refusal(refusal) => refusal.store.as_deref(),
            _ => None,
        }
    }
}
