//! Explains error messages: recognises a message and its system in a text, and describes its meaning on this machine.
//!
//! Recognition is pure and accepts any text: a line, or a whole log. A message lists the checks that may find its
//! cause; their findings are the explanation.

pub mod catalog;
pub mod cross_build;
mod required_system;
pub mod systems;
#[cfg(test)]
mod tests;

pub use cross_build::CROSS;
pub use systems::find_systems;

use binfmt_magic::Arch;
use serde::Serialize;

use super::{Finding, Snapshot};
use crate::diagnose::doctor::messages::catalog::KnownMessage;
use crate::diagnose::doctor::messages::required_system::find_required_system;
use crate::sanitize::command;

/// A message that was found in a text.
#[derive(Debug)]
pub struct MessageMatch {
    /// The message.
    pub known: &'static KnownMessage,
    /// The systems in the text, in order. A system that Nix requires for a build comes first.
    pub systems: Vec<&'static Arch>,
    /// The system that Nix requires for a build.
    pub required: Option<&'static Arch>,
}

/// The meaning of a message on this machine.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Advice {
    /// The name of the message.
    pub id: &'static str,
    /// The program that prints the message.
    pub by: &'static str,
    /// The system in the message, if it names one.
    pub system: Option<&'static str>,
    /// The meaning of the message on any machine.
    pub means: String,
    /// The state of this machine.
    pub here: Vec<String>,
    /// The commands that repair the cause.
    pub repair: Vec<String>,
}

/// Finds the messages in a text. Drops vague ones if an exact one covers them.
pub fn find_messages(text: &str) -> Vec<MessageMatch> {
    let flat = normalise(text);
    let required = find_required_system(&flat);
    let mut systems = find_systems(text);
    if let Some(required) = required {
        systems.retain(|arch| arch.target != required.target);
        systems.insert(0, required);
    }
    let matching =
        catalog::all_messages().filter(|known| known.wordings.iter().any(|words| has_words_in_order(&flat, words)));
    let mut found: Vec<&'static KnownMessage> = matching.collect();
    let covered: Vec<&str> = found.iter().flat_map(|known| known.covers).copied().collect();
    found.retain(|known| !covered.contains(&known.id));
    if cross_build::is_cross_build(text, &flat) {
        found.insert(0, &CROSS);
    }
    // Logs are full of vague messages: beside another message they are not the problem.
    if found.iter().any(|known| !GENERIC_MESSAGES.contains(&known.id)) {
        found.retain(|known| !GENERIC_MESSAGES.contains(&known.id));
    }
    found.into_iter().map(|known| MessageMatch { known, systems: systems.clone(), required }).collect()
}

/// The messages that can be about any file.
const GENERIC_MESSAGES: [&str; 2] = ["no-such-file", "permission-denied"];

/// Normalises a text: lower case, no colours, single blanks, plain quotes.
fn normalise(text: &str) -> String {
    let mut flat = String::with_capacity(text.len());
    let mut colour = false;
    for c in text.chars() {
        match c {
            '\u{1b}' => colour = true,
            _ if colour => colour = !c.is_ascii_alphabetic(),
            // Nix quotes paths with `"` since 2.34.
            '‘' | '’' | '`' | '"' => flat.push('\''),
            _ if c.is_whitespace() && flat.ends_with(' ') => {}
            _ if c.is_whitespace() => flat.push(' '),
            _ => flat.extend(c.to_lowercase()),
        }
    }
    flat
}

/// Whether the text contains all words, in this order.
fn has_words_in_order(text: &str, words: &[&str]) -> bool {
    let mut rest = text;
    words.iter().all(|word| match rest.split_once(word) {
        Some((_, tail)) => {
            rest = tail;
            true
        }
        None => false,
    })
}

/// Explains a message on this machine.
pub fn explain_message(message_match: &MessageMatch, snapshot: &Snapshot, findings: &[Finding]) -> Advice {
    let MessageMatch { known, systems, required } = message_match;
    let foreign = || systems.iter().find(|arch| !snapshot.natives.contains(arch.target)).copied();
    let arch = required.or_else(foreign).or_else(|| systems.first().copied());
    let causes: Vec<&Finding> = findings.iter().filter(|finding| is_cause_of(known, arch, finding)).collect();
    let mut here = arch.map_or_else(|| describe_machine(snapshot), |arch| describe_system(snapshot, arch));
    if snapshot.nix.is_none() && known.printed_by == "Nix" {
        here.push("Nix was not found on this machine".into());
    }
    let mut repair: Vec<String> = Vec::new();
    for finding in causes {
        here.push(format!("{} ({})", finding.occurrence.what, finding.id));
        repair.extend(
            finding.occurrence.repair.iter().filter(|line| !repair.contains(line)).cloned().collect::<Vec<_>>(),
        );
    }
    if repair.is_empty() {
        let (lines, why) = fallback_advice(known, snapshot, arch);
        here.extend(why);
        repair = lines;
    }
    repair.extend(known.next_steps.iter().map(|line| fill_placeholders(line, snapshot, arch)));
    Advice {
        id: known.id,
        by: known.printed_by,
        system: arch.map(|arch| arch.target),
        means: fill_placeholders(known.meaning, snapshot, arch),
        here,
        repair,
    }
}

/// Whether a finding may be the cause of the message. A finding about another system is not.
fn is_cause_of(known: &KnownMessage, arch: Option<&Arch>, finding: &Finding) -> bool {
    let same = arch
        .is_none_or(|arch| finding.occurrence.systems.is_empty() || finding.occurrence.systems.contains(&arch.target));
    // The native system is not a foreign system, but if it is registered, every execution fails.
    known.checks.contains(&finding.id) && (same || finding.id == "native-registered")
}

/// Describes the state of all foreign systems, for a text that names no system.
fn describe_machine(snapshot: &Snapshot) -> Vec<String> {
    let run: Vec<&str> = snapshot.emulated_systems().map(|(arch, _)| arch.target).collect();
    vec![match run.as_slice() {
        [] => "no entry takes programs of any other system".to_owned(),
        _ if snapshot.table.is_switched_off() => "the kernel's table is switched off".to_owned(),
        systems => format!("entries take programs of {}, and of no other system", systems.join(" ")),
    }]
}

/// Describes the state of a system's programs and builds.
fn describe_system(snapshot: &Snapshot, arch: &'static Arch) -> Vec<String> {
    let target = arch.target;
    if snapshot.natives.contains(target) {
        return vec![format!("this machine runs {target} programs natively")];
    }
    let runs = match snapshot.matching_entry(arch) {
        None => format!("no entry takes {target} programs: nothing runs them"),
        Some(_) if snapshot.table.is_switched_off() => {
            format!("the table is switched off: nothing runs {target} programs")
        }
        Some(entry) => {
            let name = crate::binfmt::table::entry_name(entry);
            let ran = match snapshot.trials.get(target) {
                Some(crate::diagnose::doctor::snapshot::TrialRun::Failed(_)) => "and one did not run just now",
                Some(_) => "and one ran just now",
                None => "and none was tried",
            };
            format!("the entry {name} (flags {}) takes {target} programs, {ran}", entry.rule.flags)
        }
    };
    let nix = snapshot.nix.as_ref().filter(|_| !arch.nix_systems.is_empty()).map(|nix| {
        let platforms = snapshot.extra_platforms(nix);
        let known = arch.nix_systems.iter().any(|system| platforms.iter().any(|platform| platform == system));
        let system = arch.nix_systems.first().copied().unwrap_or_default();
        let daemon = match &nix.daemon_is_older {
            Some((pid, _)) => format!("; its daemon (process {pid}) was started before its settings were changed"),
            None => String::new(),
        };
        if known {
            format!("Nix builds for {system}{daemon}")
        } else {
            format!("Nix does not build for {system}{daemon}")
        }
    });
    std::iter::once(runs).chain(nix).collect()
}

/// Returns the advice if no check found a cause: the usual repair, or other possible causes if everything is in order.
fn fallback_advice(
    known: &KnownMessage,
    snapshot: &Snapshot,
    arch: Option<&'static Arch>,
) -> (Vec<String>, Option<String>) {
    let wants_register = known.fallback == ["{register}"];
    match arch {
        Some(arch) if wants_register && snapshot.natives.contains(arch.target) => {
            let why = "its programs need no emulator here; the cause is the program itself, or another machine";
            (Vec::new(), Some(why.into()))
        }
        Some(arch) if wants_register && !known.next_steps.is_empty() && runs_and_builds(snapshot, arch) => {
            (Vec::new(), None)
        }
        Some(arch) if wants_register && runs_and_builds(snapshot, arch) => {
            let why = "on this machine such programs and builds work now: try it again. If it still fails, the message \
                       comes from another machine (a remote builder, docker's VM), or a feature is missing (kvm, \
                       big-parallel)";
            (vec![snapshot.shell.tool_command("status")], Some(why.into()))
        }
        _ => (known.fallback.iter().map(|line| fill_placeholders(line, snapshot, arch)).collect(), None),
    }
}

fn runs_and_builds(snapshot: &Snapshot, arch: &Arch) -> bool {
    let platforms = snapshot.nix.as_ref().map(|nix| snapshot.extra_platforms(nix));
    let configured =
        platforms.is_none_or(|known| arch.nix_systems.iter().any(|system| known.iter().any(|p| p == system)));
    let failed =
        matches!(snapshot.trials.get(arch.target), Some(crate::diagnose::doctor::snapshot::TrialRun::Failed(_)));
    snapshot.is_table_active() && snapshot.matching_entry(arch).is_some() && configured && !failed
}

fn fill_placeholders(line: &str, snapshot: &Snapshot, arch: Option<&'static Arch>) -> String {
    let register = arch
        .map_or_else(|| snapshot.shell.tool_command("register SYSTEM"), |arch| snapshot.shell.register_command(arch));
    let nix = arch.and_then(|arch| arch.nix_systems.first()).copied().unwrap_or("SYSTEM");
    let line = match (line.strip_prefix("binfmt-nix "), line.strip_prefix("sudo ")) {
        (Some(words), _) => command::tool(words),
        (_, Some(words)) => snapshot.shell.as_root(words),
        _ => line.to_owned(),
    };
    let line = line.replace("{register}", &register).replace("{nix}", nix);
    line.replace("{system}", arch.map_or("SYSTEM", |arch| arch.target))
}
