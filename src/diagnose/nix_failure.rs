//! Explains a failed build by Nix: the meaning of Nix's message on this machine, its cause and the commands that repair it.

use crate::diagnose::doctor::messages::{Advice, Reading};
use crate::diagnose::doctor::{self, gather};
use crate::host::Host;
use crate::register::facts::Facts;
use crate::ui::CheckBar;

/// Explains the messages in Nix's output. Returns nothing if none is known.
pub fn explain_output(host: &Host, facts: &Facts, output: &str) -> Vec<Advice> {
    let snapshot = gather::gather(host, facts, &CheckBar::start());
    let findings = doctor::run_checks(&snapshot);
    let reading = Reading::of(output);
    if reading.is_known() { reading.explain(&snapshot, &findings) } else { Vec::new() }
}
