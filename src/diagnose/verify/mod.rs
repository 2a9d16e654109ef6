//! `test`: proves that programs of a system run now, independent of the tool that made the entry. Each proof is a probe
//! that really ran.
//!
//! `test --json` prints [`VerifyReport`] as it is: fields are added, not changed, within one `version`.

pub mod cause;
pub mod nix_build;
pub mod rule;

use std::fmt;

use binfmt_magic::Arch;
use serde::Serialize;

use crate::binfmt::probe;
use crate::binfmt::probe::isolated;
use crate::binfmt::probe::isolated::Isolation;
use crate::binfmt::probe::{ProbeOutput, ProbeProgram, ProbeResult};
use crate::binfmt::table::entry_name;
use crate::diagnose::explain::find_interpreter_start;
use crate::diagnose::repair::RepairFacts;
use crate::diagnose::running_binary;
use crate::diagnose::running_binary::{RunningBinary, interpreter_path};
use crate::diagnose::verify::cause::{Cause, VerifyContext};
use crate::host::Host;
use crate::nix::daemon::OutdatedDaemon;
use crate::register::facts::Facts;
use crate::register::facts::owner::{Owner, owner_of};
use crate::register::nix_builds::NixBuilds;
use crate::sanitize::AsText as _;

/// The result of `test`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct VerifyReport {
    /// The version of this format: 1.
    pub version: u32,
    /// Whether everything was proven; if not, the exit status is 3.
    pub proven: bool,
    /// One element for each system.
    pub systems: Vec<SystemVerification>,
    /// The nix-daemon that `register` could not restart, and that still has its old settings; null if there is none.
    pub outdated_daemon: Option<OutdatedDaemon>,
}

/// The checks of one system.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SystemVerification {
    /// QEMU's name of the system.
    pub system: &'static str,
    /// The entry that the kernel picks; null if none is visible.
    pub entry: Option<String>,
    /// The flags of the entry, in the kernel's order.
    pub flags: Option<String>,
    /// The path of the entry's interpreter.
    pub interpreter: Option<String>,
    /// The release of the file that the kernel really ran.
    pub qemu: Option<String>,
    /// The maker of the entry.
    pub by: Owner,
    /// The checks, in order.
    pub proofs: Vec<Proof>,
    /// Notes that do not make a check fail.
    pub notes: Vec<String>,
}

/// One check and its result.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Proof {
    /// The kind of the check.
    pub what: ProofKind,
    /// The result of the check.
    pub result: ProofResult,
    /// The result in words, or why the check failed.
    pub text: String,
    /// The commands that repair it, in order, if it was not proven.
    pub repair: Vec<String>,
}

/// The checks that are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ProofKind {
    /// A program that is started directly.
    Direct,
    /// The name with which a program is started, if that is not the name of its file.
    Argv0,
    /// A program that is started in an empty chroot.
    Chroot,
    /// A program that is started in namespaces and a root directory like those of Nix's sandbox.
    Sandbox,
    /// A program that is the builder of a derivation.
    Nix,
}

/// The result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ProofResult {
    /// The check succeeded.
    Proven,
    /// The check failed.
    Failed,
    /// The check could not be made.
    Untried,
}

/// Makes all checks of these systems. The builds by Nix were made before.
pub fn verify_systems(
    host: &Host,
    facts: &Facts,
    systems: &[&'static Arch],
    nix_builds: Option<&NixBuilds>,
) -> VerifyReport {
    let systems: Vec<_> = systems.iter().map(|arch| verify_system(host, facts, arch, nix_builds)).collect();
    let outdated_daemon = facts.receipt.running_outdated_daemon().cloned();
    let mut report = VerifyReport { version: 1, proven: false, systems, outdated_daemon };
    report.add_rules(Vec::new());
    report
}

impl VerifyReport {
    /// Adds the checks of rules.
    pub fn add_rules(&mut self, rules: Vec<SystemVerification>) {
        self.systems.extend(rules);
        let all = |system: &SystemVerification| system.proofs.iter().all(|proof| proof.result == ProofResult::Proven);
        self.proven = !self.systems.is_empty() && self.systems.iter().all(all);
    }
}

fn verify_system(
    host: &Host,
    facts: &Facts,
    arch: &'static Arch,
    nix_builds: Option<&NixBuilds>,
) -> SystemVerification {
    let context = build_context(facts, arch);
    let direct = probe::run_direct(arch);
    let running = if let ProbeResult::Ran(ran) = &direct { ran.program.as_ref() } else { None };
    let binary = context.inspect_running(facts, running);
    let mut proofs = vec![direct_proof(&context, &direct)];
    if let ProbeResult::Ran(ran) = &direct {
        if context.describe_old_kernel().is_none() {
            proofs.push(argv0_proof(&context, ran, binary.qemu.as_deref()));
        }
        for (what, isolation) in [(ProofKind::Chroot, Isolation::Chroot), (ProofKind::Sandbox, Isolation::Sandbox)] {
            proofs.push(isolated_proof(&context, what, &isolated::run_isolated(isolation, arch)));
        }
    } else {
        proofs.extend([ProofKind::Argv0, ProofKind::Chroot, ProofKind::Sandbox].map(Proof::without_program));
    }
    proofs.extend(nix_builds.map(|builds| nix_build::proof_of(host, facts, builds, arch.target)));
    SystemVerification {
        system: arch.target,
        entry: context.entry.map(entry_name),
        flags: context.entry.map(|entry| entry.rule.flags.to_string()),
        interpreter: context.entry.map(|entry| interpreter_path(entry).as_text()),
        notes: collect_notes(facts, &context, &direct, &binary),
        qemu: binary.qemu,
        by: owner_of(facts, context.entry),
        proofs,
    }
}

/// Gathers the facts about a system before its probe is started.
pub fn build_context<'f>(facts: &'f Facts, arch: &'static Arch) -> VerifyContext<'f> {
    let entry = arch.headers().iter().find_map(|head| facts.table.matching_entry(head));
    VerifyContext {
        arch,
        repairs: RepairFacts::of(facts),
        entry,
        is_disabled: facts.receipt.systems.get(arch.target).is_some_and(|system| system.disabled),
        is_ours: owner_of(facts, entry) == Owner::BinfmtNix,
        start: entry.and_then(|entry| find_interpreter_start(&facts.machine, &facts.table, entry)),
        kernel: facts.kernel,
        selinux: facts.selinux.clone(),
    }
}

impl VerifyContext<'_> {
    /// Inspects the program that ran the system's probe, if there was one.
    pub fn inspect_running(&self, facts: &Facts, running: Option<&ProbeProgram>) -> RunningBinary {
        match (self.entry, running) {
            (Some(entry), Some(running)) => {
                running_binary::inspect_running(facts, self.arch, (entry, self.start.as_ref()), running)
            }
            _ => RunningBinary::default(),
        }
    }
}

fn direct_proof(context: &VerifyContext, probe_result: &ProbeResult) -> Proof {
    match probe_result {
        ProbeResult::Ran(_) => Proof::passed(ProofKind::Direct, "a program ran"),
        _ => Proof::not_passed(ProofKind::Direct, probe_result, context.direct_cause(probe_result)),
    }
}

fn argv0_proof(context: &VerifyContext, output: &ProbeOutput, qemu: Option<&str>) -> Proof {
    if output.has_original_argv0() {
        return Proof::passed(ProofKind::Argv0, "it kept its argv[0]");
    }
    let Cause { why, repair } = context.argv0_cause(output, qemu);
    Proof { what: ProofKind::Argv0, result: ProofResult::Failed, text: format!("it lost its argv[0]; {why}"), repair }
}

fn isolated_proof(context: &VerifyContext, what: ProofKind, probe_result: &ProbeResult) -> Proof {
    match (what, probe_result) {
        (ProofKind::Chroot, ProbeResult::Ran(_)) => Proof::passed(what, "it ran in an empty chroot"),
        (_, ProbeResult::Ran(_)) => Proof::passed(what, "it ran in a sandbox like Nix's"),
        _ => Proof::not_passed(what, probe_result, context.isolated_cause(probe_result)),
    }
}

fn collect_notes(facts: &Facts, context: &VerifyContext, direct: &ProbeResult, binary: &RunningBinary) -> Vec<String> {
    let mut notes = Vec::new();
    let Some(entry) = context.entry else {
        if matches!(direct, ProbeResult::Ran(_)) {
            notes.push(
                "the entry that runs its programs is not in the visible table: it belongs to the container's host"
                    .into(),
            );
        }
        return notes;
    };
    notes.extend(running_binary::describe_replaced(entry, binary));
    notes.extend(context.describe_old_kernel().filter(|_| matches!(direct, ProbeResult::Ran(_))));
    if let ProbeResult::Ran(ProbeOutput { program: Some(program), .. }) = direct {
        notes.extend(running_binary::describe_wrapper(entry, program));
    }
    if entry.rule.flags.credentials {
        notes.push(format!(
            "{} has flag C: a setuid program gets its owner's rights, and so does the emulator, which obeys the \
             environment variables of the caller",
            entry_name(entry)
        ));
    }
    if let Some(ours) = facts.our_entry(context.arch).filter(|_| !context.is_ours) {
        notes.push(format!(
            "{}, an entry of another tool, takes precedence over our {}",
            entry_name(entry),
            entry_name(ours)
        ));
    }
    notes
}

impl Proof {
    fn passed(what: ProofKind, text: &str) -> Self {
        Self { what, result: ProofResult::Proven, text: text.to_owned(), repair: Vec::new() }
    }

    fn not_passed(what: ProofKind, probe_result: &ProbeResult, cause: Cause) -> Self {
        let Cause { why, repair } = cause;
        let (result, text) = match probe_result {
            ProbeResult::NotRun(_) => (ProofResult::Untried, format!("{what} could not be tried: {why}")),
            _ => (ProofResult::Failed, format!("{what}: {why}")),
        };
        Self { what, result, text, repair }
    }

    fn without_program(what: ProofKind) -> Self {
        let text = format!("{what}: not tried, because no program runs at all");
        Self { what, result: ProofResult::Failed, text, repair: Vec::new() }
    }
}

impl fmt::Display for ProofKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Direct => "started directly",
            Self::Argv0 => "its argv[0]",
            Self::Chroot => "in an empty chroot",
            Self::Sandbox => "in a sandbox like Nix's",
            Self::Nix => "as a builder of Nix",
        })
    }
}
