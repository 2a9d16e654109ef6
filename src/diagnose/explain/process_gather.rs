//! Gathers the facts about a running process.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;

use binfmt_magic::{Entry, WINDOW};

use super::process::{Analysis, CurrentEmulator, ProcessInfo, ProcessKind, ProcessOrigin, ProcessReport, analyse};
use super::{MachineFacts, explain_file};
use crate::binfmt::table::entry_name;
use crate::diagnose::explain::gather;
use crate::diagnose::explain::probe::probe_entry;
use crate::error::{Error, Result};
use crate::host::procfs::{AT_EXECFN, find_auxv, word_size};
use crate::host::{self, FileId, Host};
use crate::sanitize::text_of_bytes;

const AT_FLAGS: u64 = 8;

/// Explains a process of this machine.
pub fn explain_process(host: &Host, machine: &MachineFacts, pid: u32) -> Result<ProcessReport> {
    let failed = |e: io::Error| Error::io("inspect process", pid.to_string().as_ref(), e);
    let (file, link) = host::procfs::open_executable(pid).map_err(failed)?;
    let executes = FileId::from_metadata(&file.metadata().map_err(failed)?);
    let head = host::user_files::read_head(&file, WINDOW as u64).map_err(failed)?;
    let info = gather_process(pid, executes, &head, link.into_os_string().into_vec());
    let entries = machine.table.entries();
    let interpreters: Vec<&[u8]> = entries.iter().map(|entry| entry.rule.interpreter.as_slice()).collect();
    let analysis = analyse(&info, &interpreters);
    let program =
        analysis.program.as_deref().map(|path| host::procfs::path_as_seen_by(pid, Path::new(OsStr::from_bytes(path))));
    let now =
        program.filter(|_| analysis.verdict != ProcessKind::ByHand).map(|path| explain_file(host, machine, &path));
    let head = analysis.program.as_deref().and_then(|path| read_first_bytes(pid, path));
    let entry = match analysis.verdict {
        ProcessKind::Emulated => find_origin(machine, &info, executes, (analysis.program.as_deref(), head.as_deref())),
        _ => None,
    };
    Ok(ProcessReport {
        version: 1,
        pid,
        executes: text_of_bytes(&info.executes),
        verdict: analysis.verdict,
        why: analysis.reason_text(&info),
        notes: collect_notes(pid, &info, &analysis, entry.as_ref()),
        called_with: info.execfn.as_deref().map(text_of_bytes),
        program: analysis.program.as_deref().map(text_of_bytes),
        argv0: analysis.argv0.as_deref().map(text_of_bytes),
        arguments: analysis.arguments.iter().map(|argument| text_of_bytes(argument)).collect(),
        entry,
        now,
    })
}

fn gather_process(pid: u32, executes: FileId, head: &[u8], link: Vec<u8>) -> ProcessInfo {
    // The auxiliary vector's word size is that of the running program, not of the emulated one.
    let size = word_size(head);
    let vector = host::procfs::read_proc_file(pid, "auxv").unwrap_or_default();
    let execfn =
        find_auxv(&vector, size, AT_EXECFN).and_then(|address| host::procfs::read_process_string(pid, address).ok());
    let arguments = host::procfs::read_proc_file(pid, "cmdline").unwrap_or_default();
    let file_id_of =
        |path: &Vec<u8>| gather::file_id(&host::procfs::path_as_seen_by(pid, Path::new(OsStr::from_bytes(path))));
    ProcessInfo {
        executes: link,
        arguments: arguments
            .strip_suffix(b"\0")
            .map_or_else(Vec::new, |all| all.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect()),
        is_itself: execfn.as_ref().and_then(file_id_of).map(|inode| inode == executes),
        execfn,
        preserves: find_auxv(&vector, size, AT_FLAGS).map(|flags| flags & 1 != 0),
    }
}

fn read_first_bytes(pid: u32, path: &[u8]) -> Option<Vec<u8>> {
    let file =
        host::regular_file::open(&host::procfs::path_as_seen_by(pid, Path::new(OsStr::from_bytes(path)))).ok()?;
    host::user_files::read_head(&file, WINDOW as u64).ok()
}

/// Finds the entry with the process's interpreter. If several have it, prefers the one that takes the program.
fn find_origin(
    machine: &MachineFacts,
    info: &ProcessInfo,
    executes: FileId,
    (path, head): (Option<&[u8]>, Option<&[u8]>),
) -> Option<ProcessOrigin> {
    let interpreter = info.arguments.first()?;
    let entries = || machine.table.entries().iter().filter(|entry| entry.rule.interpreter == *interpreter);
    let winner = machine.table.matching_entry_for_path(path?, head.unwrap_or_default()).filter(|_| head.is_some());
    let takes = |entry: &Entry| winner.is_some_and(|winner| std::ptr::eq(winner, entry));
    let entry = entries().find(|entry| takes(entry)).or_else(|| entries().next())?;
    Some(ProcessOrigin {
        name: entry_name(entry),
        takes_it_now: takes(entry),
        starts: probe_entry(machine, entry, executes),
    })
}

fn collect_notes(pid: u32, info: &ProcessInfo, analysis: &Analysis, entry: Option<&ProcessOrigin>) -> Vec<String> {
    let mut notes = Vec::new();
    let mut note = |applies: bool, text: &str| {
        if applies {
            notes.push(text.to_owned());
        }
    };
    let emulated = analysis.verdict == ProcessKind::Emulated;
    note(
        host::procfs::same_namespace(pid, "user").is_ok_and(|shares| !shares),
        "the process is in another user namespace, which may have its own table: the entries here may not apply to it",
    );
    note(
        host::procfs::same_namespace(pid, "mnt").is_ok_and(|shares| !shares),
        "the process has another mount namespace: its paths are resolved in its own root directory",
    );
    note(
        info.execfn.is_none(),
        "the memory of the process cannot be read (root may), so the file is inferred from its arguments, which a \
         process can change",
    );
    note(emulated && info.preserves == Some(false), "flag P is not set, so the program's own argv[0] is not preserved");
    note(
        emulated && info.preserves.is_none(),
        "the auxiliary vector of the process cannot be read, so flag P is unknown; the first argument may be the \
         program's argv[0]",
    );
    note(
        emulated && entry.is_none(),
        "no current entry has this emulator's path: the entry was removed or replaced after this process started",
    );
    note(
        entry.is_some_and(|entry| entry.starts == CurrentEmulator::Other),
        "the entry starts another file now: after this process started, the entry was registered again, or its \
         interpreter was replaced",
    );
    note(
        info.executes.ends_with(b" (deleted)"),
        "the file that the process executes was deleted; the process keeps running",
    );
    notes
}
