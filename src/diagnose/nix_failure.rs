//! Explains a failed build by Nix: the meaning of Nix's message on this machine, its cause and the commands that repair it.

use crate::diagnose::doctor::messages::{self, Advice};
use crate::diagnose::doctor::{self, gather};
use crate::host::Host;
use crate::register::facts::Facts;

/// Explains the messages in Nix's output. Returns nothing if none is known.
pub fn explain_output(host: &Host, facts: &Facts, output: &str) -> Vec<Advice> {
    let snapshot = gather::gather(host, facts);
    let findings = doctor::run_checks(&snapshot);
    let found = messages::find_messages(output);
    found.iter().map(|found| messages::explain_message(found, &snapshot, &findings)).collect()
}
