//! Emulators of systems that QEMU does not run: found on the host, validated, and never downloaded.
//!
//! Such a system is registered as an own rule that has the system's name: with the same guards, proof and undo.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use binfmt_magic::{EntryName, Flags, OtherSystem, Recognition, Rule};

use crate::error::{Error, ExitCode, Failure, Result};
use crate::host::env::kernel_release;
use crate::host::{self, Host, StoppedChild};
use crate::qemu::obtain::host_search;
use crate::register::facts::rules::inspect_interpreter;
use crate::register::own_rule::{InterpreterKind, InterpreterProblem};
use crate::sanitize::AsText as _;

/// Runtime of WebAssembly that needs a word before the file (`wazero run FILE`).
const WAZERO: &str = "wazero";

/// Reason why a file is not the emulator of a system. The text follows its path.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error(transparent)]
    Interpreter(InterpreterProblem),
    #[error("runs a module only as \"wazero run FILE\", and the kernel passes FILE alone")]
    NeedsWord,
    #[error("cannot be started by every user: {0}")]
    Start(io::Error),
    #[error("does not answer --version as such an emulator: {0:?}")]
    Answer(String),
}

/// No emulator of a system can be used.
#[derive(Debug, thiserror::Error)]
#[error("{} has no emulator that can be used: {rejected}", system.name)]
struct NoEmulatorError {
    system: &'static OtherSystem,
    rejected: String,
}

impl Failure for NoEmulatorError {
    fn exit_code(&self) -> ExitCode {
        ExitCode::Failed
    }

    fn hint(&self) -> Option<String> {
        let names = self.system.emulators.join(" or ");
        Some(format!("install {names}, or name one that only root can change: --emulator PATH"))
    }
}

/// Builds the rule of a system for the first emulator that can be used, or for the one that the user named. It has flag F
/// if the emulator needs no other file. With `may_run` the emulator is started with `--version`, as the user `nobody`.
pub fn find_rule(host: &Host, system: &'static OtherSystem, wanted: Option<&str>, may_run: bool) -> Result<Rule> {
    let machine = kernel_release().0;
    let mut rejected = Vec::new();
    for path in list_candidates(host, system, wanted)? {
        match judge(host, system, &machine, &path, may_run) {
            Ok(kind) => {
                return Ok(Rule {
                    name: EntryName::new(system.name)?,
                    recognition: Recognition::Magic(system.pattern()),
                    interpreter: path.as_os_str().as_bytes().to_vec(),
                    flags: Flags { fix_binary: kind == InterpreterKind::Static, ..Flags::default() },
                });
            }
            Err(why) => rejected.push(format!("{} {why}", path.as_text())),
        }
    }
    let rejected = if rejected.is_empty() {
        format!("{} was not found", wanted.unwrap_or(&system.emulators.join(", ")))
    } else {
        rejected.join("; ")
    };
    Err(Error::other(NoEmulatorError { system, rejected }))
}

/// Lists the files that may be emulators: of the directories of PATH and of those in which QEMU is searched.
fn list_candidates(host: &Host, system: &OtherSystem, wanted: Option<&str>) -> Result<Vec<PathBuf>> {
    let mut names = system.emulators.to_vec();
    if names.contains(&"wasmtime") {
        names.push(WAZERO);
    }
    match wanted {
        Some(path) if path.contains('/') => {
            return Ok(vec![std::path::absolute(path).map_err(|e| Error::io("find", Path::new(path), e))?]);
        }
        Some(name) if !names.contains(&name) => {
            let known = names.join(", ");
            return Err(Error::Usage(format!(
                "--emulator {name}: {} is run by one of: {known}; or a path",
                system.name
            )));
        }
        Some(name) => names.retain(|known| *known == name),
        None => {}
    }
    let path = host::env::var("PATH").filter(|_| host.is_live()).unwrap_or_default();
    let dirs: Vec<&str> = path.split(':').filter(|dir| dir.starts_with('/')).chain(host_search::DIRS).collect();
    let mut found: Vec<PathBuf> = Vec::new();
    for file in names.iter().flat_map(|name| dirs.iter().map(move |dir| Path::new(dir).join(name))) {
        if host.exists(&file) && !found.contains(&file) {
            found.push(file);
        }
    }
    Ok(found)
}

fn judge(
    host: &Host,
    system: &OtherSystem,
    machine: &str,
    path: &Path,
    may_run: bool,
) -> std::result::Result<InterpreterKind, Unusable> {
    let kind = inspect_interpreter(host, machine, path).0.map_err(Unusable::Interpreter)?;
    if path.file_name() == Some(OsStr::new(WAZERO)) {
        return Err(Unusable::NeedsWord);
    }
    if may_run {
        let child = StoppedChild::spawn_as_nobody(&host.real_path(path), &["--version"], None);
        let (_, output, complaints) = child.and_then(StoppedChild::finish).map_err(Unusable::Start)?;
        let answer = String::from_utf8_lossy(&output).trim().to_ascii_lowercase();
        if !system.emulators.iter().any(|name| answer.starts_with(name.trim_end_matches("64"))) {
            let answer = if answer.is_empty() { complaints.trim() } else { &answer };
            return Err(Unusable::Answer(answer.lines().next().unwrap_or_default().to_owned()));
        }
    }
    Ok(kind)
}
