//! Proves by a test build that Nix builds for a system.

use super::{Proof, ProofKind, ProofResult};
use crate::diagnose::verify::cause::VerifyContext;
use crate::host::{self, Host};
use crate::nix::test_build::{TestBuild, run_test_build};

/// Builds a derivation for a system and returns the proof. A process that sudo(8) started builds as the calling user,
/// whose builds the proof is about.
pub(super) fn test_build(host: &Host, context: &VerifyContext) -> Proof {
    let arch = context.arch;
    let caller = host::user_rights::calling_user().filter(|_| host.is_live());
    let mut builders = caller.iter().map(|user| format!("as {}", user.name)).collect::<Vec<_>>();
    let test_build = match (arch.nix_systems.first(), arch.probe()) {
        _ if !host.is_live() => {
            TestBuild::NotRun("--root names another machine, and only the Nix of this machine can be run".into())
        }
        (Some(system), Some(probe)) => match run_test_build(host, caller.as_ref(), system, probe) {
            // The daemon lets root choose the sandbox.
            TestBuild::Ran { in_sandbox: false, .. } if caller.is_some() => {
                builders.push("then as root in the sandbox".to_owned());
                run_test_build(host, None, system, probe)
            }
            test_build => test_build,
        },
        _ => TestBuild::NotRun("Nix has no name for this system".into()),
    };
    let (result, mut text, repair) = result_of_build(test_build, context);
    if !builders.is_empty() {
        text = format!("{text} ({})", builders.join(", "));
    }
    Proof { what: ProofKind::Nix, result, text, repair }
}

fn result_of_build(test_build: TestBuild, context: &VerifyContext) -> (ProofResult, String, Vec<String>) {
    let (what, arch) = (ProofKind::Nix, context.arch);
    let proven = |text: &str| (ProofResult::Proven, text.to_owned(), Vec::new());
    match test_build {
        TestBuild::Ran { in_sandbox: false, .. } => (
            ProofResult::Untried,
            format!(
                "{what}: it ran, but not certainly in a sandbox, because the nix-daemon ignores that setting of an \
                 untrusted user"
            ),
            vec![context.repairs.shell.tool_command(format_args!("test {} --nix", arch.target))],
        ),
        TestBuild::Ran { keeps_argv0: true, .. } => proven("Nix built with it, in its sandbox"),
        TestBuild::Ran { keeps_argv0: false, .. } => proven("Nix built with it, in its sandbox (its argv[0] was lost)"),
        TestBuild::Refused(line) => (
            ProofResult::Failed,
            format!("{what}: Nix does not build for it: {line}"),
            context.repairs.register(arch, ""),
        ),
        TestBuild::Failed(why) => (
            ProofResult::Failed,
            format!("{what}: {why}; the failures above, if any, come first"),
            context.repairs.register(arch, ""),
        ),
        TestBuild::NotRun(why) => (ProofResult::Untried, format!("{what} could not be tried: {why}"), Vec::new()),
    }
}
