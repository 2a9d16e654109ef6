//! State of accelerated programs: what prevents the native ones from being started, and what repairs that.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use binfmt_magic::Arch;
use serde::Serialize;

use crate::accelerate::identity::read_tool;
use crate::binfmt::launcher::{self, FileIdentity};
use crate::binfmt::table::entry_name;
use crate::diagnose::rule_state::{RuleState, rule_state};
use crate::host::Host;
use crate::paths;
use crate::register::acceleration::{AcceleratedTool, Acceleration, is_native_path};
use crate::register::facts::Facts;
use crate::register::receipt::Artifact;
use crate::register::report::AcceleratedReport;
use crate::sanitize::{AsText as _, shell_quote};

/// The state of an accelerated program.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct AcceleratedStatus {
    /// Both programs, and the entry.
    #[serde(flatten)]
    pub program: AcceleratedReport,
    /// Whether the kernel has the entry.
    pub state: RuleState,
    /// Why the emulator runs the guest program all the same; null if nothing is known that prevents the native one.
    pub detail: Option<String>,
    /// The command that repairs it.
    pub repair: Option<String>,
}

/// What prevents a native program from being started.
struct Problem {
    why: String,
    /// Arguments of `accelerate` that repair it.
    repair: String,
}

/// Examines every accelerated program. Inside of `run` there is none.
pub fn list_accelerated(host: &Host, facts: &Facts) -> Vec<AcceleratedStatus> {
    if facts.run.is_some() {
        return Vec::new();
    }
    let systems = facts.receipt.accelerations.iter();
    let systems = systems.filter_map(|(target, acceleration)| Some((Arch::by_target(target)?, acceleration)));
    let programs = systems.flat_map(|(arch, acceleration)| {
        let why = find_common_problem(host, facts, arch, acceleration);
        let reports = AcceleratedReport::list_tools(arch, acceleration).into_iter().zip(acceleration.tools.values());
        reports.map(move |(program, tool)| {
            let state = rule_state(facts, &program.entry);
            let is_gone =
                (state != RuleState::Registered).then(|| format!("its entry {} is gone or off", program.entry));
            let again = |why| Problem { why, repair: arch.target.to_owned() };
            let problem = find_problem(host, arch, acceleration, tool).or_else(|| why.clone().or(is_gone).map(again));
            let repair = |problem: &Problem| facts.shell.tool_command(format_args!("accelerate {}", problem.repair));
            AcceleratedStatus {
                state,
                repair: problem.as_ref().map(repair),
                detail: problem.map(|problem| problem.why),
                program,
            }
        })
    });
    programs.collect()
}

/// Returns what prevents every native program of a system from being started.
fn find_common_problem(host: &Host, facts: &Facts, arch: &Arch, acceleration: &Acceleration) -> Option<String> {
    let path = paths::accelerator_path(arch);
    if !host.is_regular_file(&path) {
        return Some(format!("{} does not exist", path.as_text()));
    }
    let is_emulator = |made: &Artifact| {
        matches!(made, Artifact::Interpreter { path, sha256, .. }
            if *path == paths::interpreter_path(arch) && *sha256 == acceleration.emulator)
    };
    if !facts.records().any(|(record, _)| is_emulator(&record.made)) {
        return Some(format!("{} was made from another emulator than the present one", path.as_text()));
    }
    if launcher::digest(&acceleration.pairs(arch)) != acceleration.launcher {
        return Some(format!("{} was made by another version of binfmt-nix", path.as_text()));
    }
    let position = |name: &String| facts.table.entries().iter().position(|entry| entry_name(entry) == *name);
    let system = facts.our_entry(arch).map(entry_name).and_then(|name| position(&name))?;
    let is_below = acceleration.tools.keys().filter_map(position).any(|tool| tool > system);
    is_below.then(|| "the entry of its system is newer, and takes precedence".to_owned())
}

/// Returns what prevents one native program from being started: only a new proof repairs it.
fn find_problem(host: &Host, arch: &Arch, acceleration: &Acceleration, tool: &AcceleratedTool) -> Option<Problem> {
    let AcceleratedTool { guest, native, .. } = tool;
    // A tree is a directory of this machine, also with --root.
    let (guest_host, path) = match &tool.root {
        Some(tree) => (&Host::live(), join(tree, &guest.path)),
        None => (host, guest.path.clone()),
    };
    let guest_change = describe_change(guest_host, &path, guest);
    let native_change = || describe_change(host, &native.path, native);
    let found_again = match &tool.root {
        // In a tree of Debian, all of its programs were found, and may have been replaced together.
        Some(tree) if guest_host.exists(&join(tree, Path::new("/var/lib/dpkg/status"))) => "",
        _ => &format!(
            " --pair {}",
            shell_quote(&format!("{}={}", guest.path.as_text(), acceleration.source(tool).as_text()))
        ),
    };
    let repair = match &tool.root {
        // The copy is made again.
        _ if guest_change.is_none() && !host.exists(&native.path) && is_native_path(&native.path) => {
            arch.target.to_owned()
        }
        Some(tree) if guest_host.exists(&path) => {
            format!("{} --tree {}{found_again}", arch.target, shell_quote(&tree.as_text()))
        }
        _ => format!("--off {}", arch.target),
    };
    let why = guest_change.map(|why| format!("the guest program {why}"));
    let why = why.or_else(|| native_change().map(|why| format!("the native program {why}")));
    why.map(|why| Problem { why, repair })
}

fn join(tree: &Path, path: &Path) -> PathBuf {
    tree.join(path.strip_prefix("/").unwrap_or(path))
}

/// Describes how a file differs from the one that was proven, if that is known. As the launcher does, this reads a file whose
/// time has changed. A file that another user can change is not read, so nothing is known about it.
fn describe_change(host: &Host, path: &Path, file: &FileIdentity) -> Option<String> {
    let shown = path.as_text();
    let Some(now) = host.lstat(path).ok().flatten() else { return Some(format!("{shown} does not exist")) };
    let has_other_bytes = || read_tool(host, path).is_ok_and(|now| now.identity.sha256 != file.sha256);
    let is_replaced = now.size() != file.size || (now.mtime() != file.mtime.0 && has_other_bytes());
    is_replaced.then(|| format!("{shown} was replaced"))
}
