//! Proves by a build that Nix builds for a system. What the build showed is all that the proof says.

use super::{Proof, ProofKind, ProofResult};
use crate::diagnose::doctor::messages::Advice;
use crate::diagnose::nix_failure;
use crate::host::Host;
use crate::register::facts::Facts;
use crate::register::nix_builds::NixBuilds;

/// Finds the result of the build for a system among the builds that were made.
pub(super) fn proof_of(host: &Host, facts: &Facts, builds: &NixBuilds, target: &str) -> Proof {
    let what = ProofKind::Nix;
    let proof = |result, text, repair| Proof { what, result, text, repair };
    if let Some(made) = builds.builds.iter().find(|made| made.target == target) {
        if made.build.is_built() {
            return proof(ProofResult::Proven, made.build.to_string(), Vec::new());
        }
        let output = builds.outputs.iter().find(|(system, _)| *system == target).map(|(_, output)| output.as_str());
        let advice = nix_failure::explain_output(host, facts, output.unwrap_or_default());
        return proof(ProofResult::Failed, made.build.to_string(), repair_commands(facts, &advice));
    }
    let untried = builds.untried.iter().find(|(system, _)| *system == target);
    let why = untried.map_or("the build was interrupted", |(_, why)| why.as_str());
    proof(ProofResult::Untried, format!("{what} could not be tried: {why}"), Vec::new())
}

/// Returns the commands that repair the first known cause. Without one, `doctor` examines the machine.
fn repair_commands(facts: &Facts, advice: &[Advice]) -> Vec<String> {
    let known = advice.iter().map(|advice| &advice.repair).find(|repair| !repair.is_empty());
    known.cloned().unwrap_or_else(|| vec![facts.shell.tool_command("doctor")])
}
