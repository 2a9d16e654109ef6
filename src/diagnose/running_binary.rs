//! Finds the file that the kernel really runs for an entry, and whether it is the file at the entry's path.
//!
//! An entry with flag F holds the file that existed when it was registered (`bm_register_write` in Linux's
//! `fs/binfmt_misc.c`). The entry's text does not show whether a newer file has the path now. So a probe is
//! stopped, and `/proc/PID/exe` is opened. That is the running file, independent of its name, and it can report its
//! release.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Seek as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use binfmt_magic::{Arch, Entry};
use serde::Serialize;

use crate::binfmt::in_memory::is_in_memory_path;
use crate::binfmt::probe::ProbeProgram;
use crate::binfmt::table::entry_name;
use crate::diagnose::explain::InterpreterStart;
use crate::error::Error;
use crate::host::{self, FileId, Host};
use crate::paths;
use crate::qemu::candidate;
use crate::qemu::version_query::{VersionQuery, query_version};
use crate::register::facts::{Facts, RecordState};
use crate::register::receipt::Artifact;
use crate::sanitize::{AsText as _, text_of_bytes};
use crate::sha256::Sha256;

/// The file that the kernel runs for an entry.
#[derive(Debug, Default)]
pub struct RunningBinary {
    /// The release that the file reports.
    pub qemu: Option<String>,
    /// The digest of the file.
    pub sha256: Option<Sha256>,
    /// The file at the entry's path, if it is another one.
    pub on_disk: Option<DiskBinary>,
}

/// The file at the path of an interpreter, while the kernel runs another one.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct DiskBinary {
    /// Whether a file exists at the path.
    pub exists: bool,
    /// The release of that file; null if it must not be started, because users other than root could have installed it.
    pub qemu: Option<String>,
    /// The digest of that file.
    pub sha256: Option<Sha256>,
}

/// The path of an entry's interpreter, as it was registered.
pub fn interpreter_path(entry: &Entry) -> &Path {
    Path::new(OsStr::from_bytes(&entry.rule.interpreter))
}

/// Compares the running file with the file that a new registration would use. `running` was executed a moment ago.
/// `start` is that of the entry's interpreter.
pub fn inspect_running(
    facts: &Facts,
    arch: &Arch,
    (entry, start): (&Entry, Option<&InterpreterStart>),
    running: &ProbeProgram,
) -> RunningBinary {
    let (file, is_replaced) = (&running.file, is_replaced(entry, start, running));
    let on_disk = is_replaced.then(|| inspect_disk(facts, arch, entry));
    if let (None, Some(recorded)) = (&on_disk, from_receipt(facts, arch, entry)) {
        return recorded;
    }
    let (qemu, sha256) = query_binary(arch, file);
    RunningBinary { qemu, sha256, on_disk }
}

/// Whether the kernel started another file than the one that is at the entry's path now. Starts neither file. The process
/// of a script is that of the script's interpreter, and a program that the interpreter itself started is not the entry's.
pub fn is_replaced(entry: &Entry, start: Option<&InterpreterStart>, running: &ProbeProgram) -> bool {
    let path = interpreter_path(entry);
    let path = start.map_or_else(|| path.to_owned(), |start| start.executed_path(path));
    running.started_by_kernel != Some(false) && !open_path_target(&path).may_be_same_file(&running.file)
}

/// Describes in one line that the interpreter started another program, which ran the probe.
pub fn describe_wrapper(entry: &Entry, running: &ProbeProgram) -> Option<String> {
    let started = running.started_as.as_deref().map(text_of_bytes)?;
    Some(format!("the kernel starts {}, which starts {started}", interpreter_path(entry).as_text()))
}

/// Describes the difference in one line; `None` if the running file is still at the path.
pub fn describe_replaced(entry: &Entry, running_binary: &RunningBinary) -> Option<String> {
    let on_disk = running_binary.on_disk.as_ref()?;
    let release =
        |qemu: &Option<String>| qemu.as_ref().map_or_else(|| "unknown".to_owned(), |qemu| format!("QEMU {qemu}"));
    let now = if on_disk.exists {
        format!("not the file that is there now ({})", release(&on_disk.qemu))
    } else {
        "which was removed since".to_owned()
    };
    let (path, name, runs) = (interpreter_path(entry).as_text(), entry_name(entry), release(&running_binary.qemu));
    Some(format!("the kernel still runs the file that was at {path} when {name} was registered ({runs}), {now}"))
}

/// Returns the release of our own emulator from the receipt, without starting it.
fn from_receipt(facts: &Facts, arch: &Arch, entry: &Entry) -> Option<RunningBinary> {
    let installed_path = paths::interpreter_path(arch);
    let sha256 = facts.records().find_map(|(record, state)| match &record.made {
        Artifact::Interpreter { path, sha256, .. } if *state == RecordState::Unchanged && *path == installed_path => {
            Some(*sha256)
        }
        _ => None,
    })?;
    let qemu = facts.installed_version(arch)?.to_owned();
    (facts.real_path(&installed_path) == interpreter_path(entry)).then_some(RunningBinary {
        qemu: Some(qemu),
        sha256: Some(sha256),
        on_disk: None,
    })
}

/// Starts the running file once more, confined, to get its release.
fn query_binary(arch: &Arch, file: &File) -> (Option<String>, Option<Sha256>) {
    let qemu = query_version(arch, file, VersionQuery::Run).ok().map(|queried| queried.version.to_string());
    (qemu, hash_program(file))
}

/// Returns the digest of a file that may belong to any user. A file that is larger than any emulator has none.
fn hash_program(mut file: &File) -> Option<Sha256> {
    host::regular_file::check_program_size(&file.metadata().ok()?).ok()?;
    file.rewind().and_then(|()| Sha256::of_reader(&mut file)).ok()
}

fn inspect_disk(facts: &Facts, arch: &Arch, entry: &Entry) -> DiskBinary {
    match open_path_target(interpreter_path(entry)) {
        PathTarget::File(file) => {
            // A file that another user could have installed must not be started. The kernel's paths are those of the
            // running machine, even with `--root`.
            let candidate =
                candidate::validate_candidate(&Host::live(), arch, &facts.machine, interpreter_path(entry)).ok();
            let qemu = candidate.map(|candidate| candidate.version.to_string());
            DiskBinary { exists: true, qemu, sha256: hash_program(&file) }
        }
        PathTarget::Nothing | PathTarget::Unknown => DiskBinary::default(),
    }
}

/// The file at a path now.
enum PathTarget {
    File(File),
    Nothing,
    Unknown,
}

fn open_path_target(path: &Path) -> PathTarget {
    if is_in_memory_path(path.as_os_str().as_bytes()) {
        return PathTarget::Unknown;
    }
    match host::user_files::open_regular(path) {
        Ok(file) => PathTarget::File(file),
        Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => PathTarget::Nothing,
        Err(_) => PathTarget::Unknown,
    }
}

impl PathTarget {
    fn may_be_same_file(&self, running: &File) -> bool {
        let inode = |file: &File| file.metadata().map(|meta| FileId::from_metadata(&meta)).ok();
        match self {
            Self::File(file) => inode(file) == inode(running),
            Self::Nothing => false,
            Self::Unknown => true,
        }
    }
}
