//! Checks of entries that run no system's programs, and of entries that take a setuid program of this machine.
//!
//! This tool registers no such entries, so their repairs switch them off, here and at boot.

use std::path::Path;

use binfmt_magic::Entry;

use super::boot::with_line_as_comment;
use super::{Check, Occurrence, Snapshot, Urgency};
use crate::binfmt::table::{entry_name, entry_path};
use crate::diagnose::doctor::flags::has_file;
use crate::diagnose::doctor::snapshot::{InterpreterFile, interpreter_path, systems_matched_by};
use crate::diagnose::explain::{InterpreterFileKind, InterpreterStart};
use crate::diagnose::other_entries::{describe_files, is_other};
use crate::diagnose::repair::repair_rule;
use crate::sanitize::{AsText as _, shell_quote, text_of_bytes};

pub(super) const CHECKS: &[Check] = &[
    Check { id: "setuid-program-taken", urgency: Urgency::Danger, run: check_setuid },
    Check { id: "other-interpreter-writable", urgency: Urgency::Danger, run: check_writable },
    Check { id: "other-interpreter-missing", urgency: Urgency::Broken, run: check_missing },
    Check { id: "other-interpreter-not-executable", urgency: Urgency::Broken, run: check_not_executable },
    Check { id: "other-interpreter-loop", urgency: Urgency::Broken, run: check_loop },
    Check { id: "other-interpreter-unfit", urgency: Urgency::Broken, run: check_unfit },
    Check { id: "other-interpreter-dynamic", urgency: Urgency::Fragile, run: check_dynamic },
];

/// Returns the entries that the kernel uses for other files than foreign programs, with the facts about the interpreter.
fn other_entries(snapshot: &Snapshot) -> impl Iterator<Item = (&Entry, &InterpreterFile)> {
    // WSL's own entry runs a program of the virtual machine (microsoft/WSL), which a container there does not have.
    let is_of_wsl = |entry: &Entry| entry_name(entry).starts_with("WSLInterop");
    let entries = snapshot.table.entries().iter().filter(|entry| entry.enabled && has_file(entry) && is_other(entry));
    entries.filter(move |entry| !is_of_wsl(entry)).filter_map(|entry| Some((entry, snapshot.interpreter_of(entry)?)))
}

/// Adds the commands that switch an entry off, now and at boot.
fn with_switch_off(snapshot: &Snapshot, entry: &Entry, word: &str, occurrence: Occurrence) -> Occurrence {
    if snapshot.is_ours(entry) {
        let unregister = snapshot.shell.tool_command(format_args!("unregister {}", entry_name(entry)));
        return occurrence.with_repair(unregister);
    }
    let occurrence = occurrence.with_repair(snapshot.shell.write_command(word, &entry_name(entry)));
    let rules = snapshot.boot.rules.iter().filter(|boot| boot.file.extension().is_some_and(|ext| ext == "conf"));
    match rules.into_iter().rfind(|boot| boot.rule.name == entry.rule.name) {
        Some(boot) => with_line_as_comment(snapshot, occurrence, &boot.file, boot.number),
        None => occurrence,
    }
}

fn describe(entry: &Entry) -> String {
    format!("the entry {} ({})", entry_name(entry), describe_files(&entry.rule))
}

/// A rule that is narrower than a system takes one setuid program of this machine, by its first bytes or its extension.
/// With C the interpreter gets the rights of the program's owner (`binfmt-misc.rst` of the kernel; measured on 6.18): this
/// keeps root for the user who could write the table once. Without C the interpreter runs instead of the program. A rule
/// for all programs of the machine is another finding.
fn check_setuid(snapshot: &Snapshot) -> Vec<Occurrence> {
    let is_native = |entry: &&Entry| systems_matched_by(entry).any(|arch| snapshot.natives.contains(arch.target));
    let entries = snapshot.table.entries().iter().filter(|entry| !is_native(entry));
    let occurrences = entries.filter_map(|entry| {
        let takes = |(path, head): &&(_, Vec<u8>)| {
            let path: &Path = std::path::PathBuf::as_path(path);
            entry.rule.matches_file(path.as_os_str().as_encoded_bytes(), head)
        };
        let (program, _) = snapshot.setuid_programs.iter().find(takes)?;
        let interpreter = interpreter_path(entry).as_text();
        let what = format!("{} takes {}, a setuid program of this machine", describe(entry), program.as_text());
        let why = if entry.rule.flags.credentials {
            format!(
                "flag C gives {interpreter} the rights of the program's owner, for every user: a known way to keep root"
            )
        } else {
            format!("{interpreter} is started instead of the program, and gets what users type into it")
        };
        Some(with_switch_off(snapshot, entry, "-1", Occurrence::general(what, why)))
    });
    occurrences.collect()
}

/// Any user who may change the interpreter runs code as every user who opens such a file, root included.
fn check_writable(snapshot: &Snapshot) -> Vec<Occurrence> {
    let occurrences = other_entries(snapshot).filter_map(|(entry, file)| {
        let distrust = file.distrust.as_ref().filter(|_| file.exists)?;
        let what = format!("the interpreter of {} can be changed by other users", describe(entry));
        let why = format!("{distrust}: a changed file runs as every user who starts such a file, including root");
        Some(with_switch_off(snapshot, entry, "0", Occurrence::general(what, why)))
    });
    occurrences.collect()
}

/// Without F each start fails (ENOENT). With F the kernel has the old file until the next boot.
fn check_missing(snapshot: &Snapshot) -> Vec<Occurrence> {
    // In a container the path is one of the machine, whose entry is not at fault (seen with docker and Debian's python3).
    let is_inside = snapshot.environment.container.is_some();
    let is_held = |entry: &Entry| entry.rule.flags.fix_binary && snapshot.environment.user_namespace;
    let is_missing = |(entry, file): &(&Entry, &InterpreterFile)| !(file.exists || is_inside || is_held(entry));
    let occurrences = other_entries(snapshot).filter(is_missing).map(|(entry, _)| {
        let what =
            format!("{}, the interpreter of {}, does not exist", interpreter_path(entry).as_text(), describe(entry));
        let why = if entry.rule.flags.fix_binary {
            "the kernel still has the file that existed at registration, but not after a restart"
        } else {
            "every such file fails with \"No such file or directory\", also if its own #! or the shell could start it"
        };
        with_switch_off(snapshot, entry, "0", Occurrence::general(what, why))
    });
    occurrences.collect()
}

/// The interpreter has no execute bit: EACCES at each start (measured).
fn check_not_executable(snapshot: &Snapshot) -> Vec<Occurrence> {
    let occurrences = other_entries(snapshot).filter(|(_, file)| file.exists && !file.executable).map(|(entry, _)| {
        let path = interpreter_path(entry).as_text();
        let what = format!("{path}, the interpreter of {}, is not executable", describe(entry));
        let why = "every such file fails with \"Permission denied\"";
        with_switch_off(snapshot, entry, "0", Occurrence::general(what, why))
    });
    occurrences.collect()
}

/// The rule takes its own interpreter: see `interpreter-loop`.
fn check_loop(snapshot: &Snapshot) -> Vec<Occurrence> {
    let occurrences =
        existing_with_start(snapshot).filter(|(_, _, start)| start.loops).filter_map(|(entry, _, start)| {
            let path = interpreter_path(entry).as_text();
            let what = format!("{} takes its own interpreter, {path}", describe(entry));
            let why = format!("every such file fails, the interpreter included: {path} {}", start.here.failure()?);
            Some(with_switch_off(snapshot, entry, "0", Occurrence::general(what, why)))
        });
    occurrences.collect()
}

/// The kernel cannot start the interpreter: a program of another machine, a script whose own interpreter is missing.
fn check_unfit(snapshot: &Snapshot) -> Vec<Occurrence> {
    let executable = existing_with_start(snapshot).filter(|(_, file, start)| file.executable && !start.loops);
    let occurrences = executable.filter_map(|(entry, _, start)| {
        let path = interpreter_path(entry).as_text();
        let why = format!("every such file fails: {path} {}", start.here.failure()?);
        let what = format!("{path}, the interpreter of {}, cannot run here", describe(entry));
        Some(with_switch_off(snapshot, entry, "0", Occurrence::general(what, why)))
    });
    occurrences.collect()
}

fn existing_with_start(snapshot: &Snapshot) -> impl Iterator<Item = (&Entry, &InterpreterFile, &InterpreterStart)> {
    let existing = other_entries(snapshot).filter(|(_, file)| file.exists);
    existing.filter_map(|(entry, file)| Some((entry, file, snapshot.start_of(entry)?)))
}

/// F holds only the interpreter. Its loader and libraries are looked for in the calling process's root, so in a container
/// it starts no more than without F, and the container's own interpreter is not used.
fn check_dynamic(snapshot: &Snapshot) -> Vec<Occurrence> {
    let is_dynamic = |entry: &Entry| {
        let start = snapshot.start_of(entry).filter(|start| start.here.failure().is_none());
        start.is_some_and(|start| matches!(start.kind, InterpreterFileKind::Dynamic(_)))
    };
    let entries = other_entries(snapshot).filter(|(entry, _)| entry.rule.flags.fix_binary && is_dynamic(entry));
    let occurrences = entries.filter_map(|(entry, _)| {
        let path = interpreter_path(entry).as_text();
        let what = format!("{path}, the interpreter of {} with flag F, is dynamically linked", describe(entry));
        let why = "in a chroot or a container its loader and libraries are those of the container, or missing: \"No such \
                   file or directory\". Without F the container's own interpreter starts";
        let mut rule = entry.rule.clone();
        rule.flags.fix_binary = false;
        let own = snapshot.own_rules.get(&entry_name(entry)).filter(|_| snapshot.is_ours(entry));
        if let Some(own) = own {
            rule.interpreter.clone_from(&own.interpreter);
            let occurrence = with_switch_off(snapshot, entry, "-1", Occurrence::general(what, why));
            return Some(occurrence.with_repairs(repair_rule(&snapshot.shell, &rule, true)));
        }
        let line = shell_quote(&text_of_bytes(&rule.to_line().ok()?));
        let register = snapshot.shell.quote_path(&entry_path("register"));
        let print = format!("printf %s {line}");
        let add = if snapshot.shell.is_root {
            format!("{print} > {register}")
        } else {
            format!("{print} | sudo tee {register}")
        };
        let occurrence = Occurrence::general(what, why);
        Some(occurrence.with_repair(snapshot.shell.write_command("-1", &entry_name(entry))).with_repair(add))
    });
    occurrences.collect()
}
