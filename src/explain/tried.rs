//! Finds facts that the kernel does not show by running a probe for a moment.

use std::path::Path;

use binfmt_magic::{Arch, Entry};

use super::process::Starts;
use super::{Explanation, Machine, TableState, Taker, Verdict, look};
use crate::host::{FileId, Host};
use crate::in_memory::is_in_memory;
use crate::probe;

/// Finds out which file an entry holds, and whether invisible entries exist.
pub fn try_out(host: &Host, machine: &Machine, explanation: &mut Explanation) {
    compare(host, machine, explanation);
    reveal(host, explanation);
}

fn compare(host: &Host, machine: &Machine, explanation: &mut Explanation) {
    for step in &mut explanation.steps {
        let (Taker::Entry { name }, Some(interpreter)) = (&step.taken_by, &mut step.interpreter) else { continue };
        let path = Path::new(&interpreter.path);
        if !interpreter.held || is_in_memory(&interpreter.path) {
            continue;
        }
        let there = look::inode(&host.at(path));
        if let (Some(entry), Some(there)) = (machine.table.entry(name), there) {
            interpreter.is_the_file = match starts(machine, entry, there) {
                Starts::Same => Some(true),
                Starts::Other => Some(false),
                Starts::Unknown => None,
            };
        }
    }
}

/// In a container the machine's entries are in force, but its table is not visible.
fn reveal(host: &Host, explanation: &mut Explanation) {
    let last = explanation.steps.last().filter(|step| step.taken_by == Taker::Nobody);
    let system = last.and_then(|step| step.elf.as_ref()?.system);
    let nobody = explanation.verdict == Verdict::Refused && explanation.errno.as_deref() == Some("ENOEXEC");
    let (Some(system), true, TableState::NotMounted) = (system, nobody && host.is_live(), explanation.table) else {
        return;
    };
    let probe = Arch::by_target(system).and_then(Arch::probe).unwrap_or_default();
    if let Ok(Some(seen)) = probe::run_in_memory(probe)
        && !seen.native
        && seen.status.success()
    {
        explanation.table = TableState::Hidden;
        explanation.verdict = Verdict::Emulated;
        explanation.runs = true;
        explanation.errno = None;
        explanation.why =
            format!("an entry that cannot be seen from here runs programs of {system}: one was run just now");
        explanation.repairs.clear();
    }
}

/// Starts the entry's interpreter to see its file: the kernel does not show which file it holds.
pub(super) fn starts(machine: &Machine, entry: &Entry, executes: FileId) -> Starts {
    let taken = |arch: &&Arch| {
        let probe = arch.probe().unwrap_or_default();
        machine.table.winner(probe).is_some_and(|winner| std::ptr::eq(winner, entry))
    };
    let Some(probe) = Arch::ALL.iter().find(taken).and_then(Arch::probe) else {
        return Starts::Unknown;
    };
    match probe::run_in_memory(probe) {
        Ok(Some(seen)) if seen.program == executes => Starts::Same,
        Ok(Some(_)) => Starts::Other,
        Ok(None) | Err(_) => Starts::Unknown,
    }
}
