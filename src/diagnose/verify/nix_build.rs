//! Proves by a build that Nix builds for a system. What the build showed is all that the proof says.

use super::{Proof, ProofKind, ProofResult};
use crate::diagnose::doctor::messages::Advice;
use crate::diagnose::nix_failure;
use crate::host::Host;
use crate::register::facts::Facts;
use crate::register::nix_builds::NixBuilds;
use crate::sanitize::command;

/// Finds the result of the build for a system among the builds that were made.
pub(super) fn proof_of(host: &Host, facts: &Facts, builds: &NixBuilds, target: &str) -> Proof {
    let what = ProofKind::Nix;
    let proof = |result, text, repair| Proof { what, result, text, repair };
    if let Some(made) = builds.builds.iter().find(|made| made.target == target) {
        if made.build.is_built() {
            return proof(ProofResult::Proven, made.build.to_string(), None);
        }
        let output = builds.outputs.iter().find(|(system, _)| *system == target).map(|(_, output)| output.as_str());
        let advice = nix_failure::explain_output(host, facts, output.unwrap_or_default());
        return proof(ProofResult::Failed, made.build.to_string(), Some(repair_command(&advice)));
    }
    let untried = builds.untried.iter().find(|(system, _)| *system == target);
    let why = untried.map_or("the build was interrupted", |(_, why)| why.as_str());
    proof(ProofResult::Untried, format!("{what} could not be tried: {why}"), None)
}

/// Returns the first command that repairs the cause. Without one, `doctor` examines the machine.
fn repair_command(advice: &[Advice]) -> String {
    let known = advice.iter().flat_map(|advice| &advice.repair).next();
    known.cloned().unwrap_or_else(|| command::tool_as_root("doctor"))
}
