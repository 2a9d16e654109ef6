//! `test` for systems that another emulator than QEMU runs, by the rule of this tool.

use super::{Proof, ProofKind, ProofResult, SystemVerification};
use crate::binfmt::table::entry_name;
use crate::diagnose::running_binary::interpreter_path;
use crate::error::Error;
use crate::register::apply::verify_again;
use crate::register::emulated::EmulatedSystem;
use crate::register::facts::Facts;
use crate::register::facts::owner::owner_of;
use crate::sanitize::AsText as _;

/// Runs the probe of the system, if the rule of this tool takes it: the interpreter of another entry may be another user's.
pub fn verify_rule(facts: &Facts, system: EmulatedSystem) -> SystemVerification {
    let name = system.rule_name();
    let entry = facts.table.matching_entry(system.probe().0).filter(|_| !facts.table.is_switched_off());
    let own = facts.own_rule_entry(&name).filter(|own| entry.is_some_and(|entry| entry.rule == own.rule));
    let failed = match (entry, own) {
        (_, Some(own)) => verify_again(system, &own.rule).err().map(|error| match error {
            Error::NotWorking { why, .. } => why,
            error => error.to_string(),
        }),
        (Some(entry), None) => {
            Some(format!("the entry {} takes its programs, and only that of a rule is run", entry_name(entry)))
        }
        (None, None) => Some("no entry takes its programs".to_owned()),
    };
    let proof = match failed {
        None => Proof::passed(ProofKind::Direct, "a program ran"),
        Some(why) => {
            let shell = &facts.shell;
            let repair = match (own, entry) {
                (Some(_), _) => shell.tool_command(format_args!("unregister {name}")),
                (None, None) => shell.tool_command(format_args!("register {name}")),
                // Above the entry that takes its programs.
                (None, Some(_)) => shell.tool_command(format_args!("register {name} --force")),
            };
            let text = format!("{}: {why}", ProofKind::Direct);
            Proof { what: ProofKind::Direct, result: ProofResult::Failed, text, repair: vec![repair] }
        }
    };
    SystemVerification {
        system: system.system(),
        entry: entry.map(entry_name),
        flags: entry.map(|entry| entry.rule.flags.to_string()),
        interpreter: entry.map(|entry| interpreter_path(entry).as_text()),
        qemu: None,
        by: owner_of(facts, entry),
        proofs: vec![proof],
        notes: Vec::new(),
    }
}
