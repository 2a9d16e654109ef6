//! Runs probes to find facts that the kernel does not show otherwise.

use std::path::Path;

use binfmt_magic::{Arch, Entry};

use super::process::CurrentEmulator;
use super::{ExecVerdict, Explanation, Handler, MachineFacts, TableState};
use crate::binfmt::in_memory::is_in_memory_path;
use crate::binfmt::probe;
use crate::diagnose::explain::gather;
use crate::host::{FileId, Host};

/// Finds out which file an entry holds, and whether invisible entries exist.
pub fn probe_interpreters(host: &Host, machine: &MachineFacts, explanation: &mut Explanation) {
    compare_held_files(machine, explanation);
    detect_hidden_table(host, explanation);
}

fn compare_held_files(machine: &MachineFacts, explanation: &mut Explanation) {
    for step in &mut explanation.steps {
        let (Handler::Entry { name }, Some(interpreter)) = (&step.taken_by, &mut step.interpreter) else { continue };
        let path = Path::new(&interpreter.path);
        if !interpreter.held || is_in_memory_path(&interpreter.path) {
            continue;
        }
        let Some(entry) = machine.table.find_entry(name) else { continue };
        let start = gather::find_interpreter_start(&machine.name, &machine.table, entry);
        let executed = start.map_or_else(|| path.to_owned(), |start| start.executed_path(path));
        // The kernel holds a file of the running machine.
        if let Some(current) = gather::file_id(&executed) {
            interpreter.is_the_file = match probe_entry(machine, entry, current) {
                // The process of a script is that of the script's interpreter, and does not show which script it is.
                CurrentEmulator::Same => (executed == path).then_some(true),
                CurrentEmulator::Other => Some(false),
                CurrentEmulator::Unknown => None,
            };
        }
    }
}

/// Detects the entries of a container's host. They are in force in the container, but the host's table is not visible.
fn detect_hidden_table(host: &Host, explanation: &mut Explanation) {
    let last = explanation.steps.last().filter(|step| step.taken_by == Handler::Unhandled);
    let system = last.and_then(|step| step.elf.as_ref()?.system);
    let is_unhandled = explanation.verdict == ExecVerdict::Refused && explanation.errno.as_deref() == Some("ENOEXEC");
    let (Some(system), true, TableState::NotMounted) = (system, is_unhandled && host.is_live(), explanation.table)
    else {
        return;
    };
    let probe = Arch::by_target(system).and_then(Arch::probe).unwrap_or_default();
    if let Ok(Some(run)) = probe::run_in_memory(probe)
        && !run.native
        && run.status.success()
    {
        explanation.table = TableState::Hidden;
        explanation.verdict = ExecVerdict::Emulated;
        explanation.runs = true;
        explanation.errno = None;
        explanation.why =
            format!("an entry that is not visible here runs programs of {system}: a probe program ran just now");
        explanation.repairs.clear();
        explanation.without_root = None;
    }
}

/// Starts the entry's interpreter to find out which file it is: the kernel does not show which file the entry holds.
pub(super) fn probe_entry(machine: &MachineFacts, entry: &Entry, executes: FileId) -> CurrentEmulator {
    let taken = |arch: &&Arch| {
        let probe = arch.probe().unwrap_or_default();
        machine.table.matching_entry(probe).is_some_and(|winner| std::ptr::eq(winner, entry))
    };
    let Some(probe) = Arch::ALL.iter().find(taken).and_then(Arch::probe) else {
        return CurrentEmulator::Unknown;
    };
    match probe::run_in_memory(probe) {
        Ok(Some(run)) if run.program == executes => CurrentEmulator::Same,
        // The interpreter started it, so it does not show which file the entry holds.
        Ok(Some(run)) if run.started_by_kernel == Some(false) => CurrentEmulator::Unknown,
        Ok(Some(_)) => CurrentEmulator::Other,
        Ok(None) | Err(_) => CurrentEmulator::Unknown,
    }
}
