//! Emulators other than QEMU: found on the host, validated, and never downloaded.
//!
//! Their systems are registered as own rules: with the same guards, proof and undo.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use binfmt_magic::{Arch, EntryName, Flags, Recognition, Rule};

use crate::error::{Error, ExitCode, Failure, Result};
use crate::host::env::kernel_release;
use crate::host::{self, Host, StoppedChild};
use crate::qemu::obtain::host_search;
use crate::register::emulated::{self, EmulatedSystem};
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
#[error("{system} has no emulator that can be used: {rejected}")]
struct NoEmulatorError {
    system: &'static str,
    files: String,
    rejected: String,
}

impl Failure for NoEmulatorError {
    fn exit_code(&self) -> ExitCode {
        ExitCode::Failed
    }

    fn hint(&self) -> Option<String> {
        Some(format!("install {}, or name one that only root can change: --emulator PATH", self.files))
    }
}

/// Lists what may run a system, by the name of its rule, or with `--emulator` by any name of a system of Linux. Returns
/// `None` if QEMU runs it.
pub fn list_emulated(name: &str, wanted: Option<&str>) -> Result<Option<Vec<EmulatedSystem>>> {
    let all = match EmulatedSystem::of_rule(name) {
        Some(system) => vec![system],
        None if wanted.is_none() => return Ok(None),
        None => EmulatedSystem::list_linux(Arch::find(name)?).collect(),
    };
    // The emulators of other systems are compared when they are searched.
    let is_wanted = |system: &EmulatedSystem| match (system, wanted) {
        (EmulatedSystem::Linux(emulator, arch), Some(name)) if !name.contains('/') => {
            emulator.name == name && emulator.targets.contains(&arch.target)
        }
        _ => true,
    };
    let found: Vec<_> = all.into_iter().filter(is_wanted).collect();
    if found.is_empty() {
        let known: Vec<_> = emulated::LINUX_EMULATORS.iter().map(|known| known.name).collect();
        let what = format!("--emulator {}: it is not known as an emulator of {name}", wanted.unwrap_or_default());
        return Err(Error::Usage(format!("{what}; {} run x86_64", known.join(", "))));
    }
    Ok(Some(found))
}

/// Builds the rule of a system for the first emulator that can be used, or for the one that the user named. It has flag F
/// if the emulator needs no other file. With `may_run` the emulator is started with `--version`, as the user `nobody`.
pub fn find_rule(
    host: &Host,
    systems: &[EmulatedSystem],
    wanted: Option<&str>,
    credentials: bool,
    may_run: bool,
) -> Result<Rule> {
    let machine = kernel_release().0;
    let (mut rejected, mut files) = (Vec::new(), Vec::new());
    for system in systems {
        let (names, paths) = list_candidates(host, *system, wanted)?;
        for path in paths {
            match judge(host, *system, &machine, &path, may_run) {
                Ok(kind) => {
                    let credentials = credentials && matches!(system, EmulatedSystem::Linux(..));
                    let fix_binary = kind == InterpreterKind::Static;
                    return Ok(Rule {
                        name: EntryName::new(system.rule_name())?,
                        recognition: Recognition::Magic(system.pattern()),
                        interpreter: path.as_os_str().as_bytes().to_vec(),
                        flags: Flags { fix_binary, credentials, ..system.flags() }.normalised(),
                    });
                }
                Err(why) => rejected.push(format!("{} {why}", path.as_text())),
            }
        }
        files.extend(names);
    }
    rejected.dedup();
    if rejected.is_empty() {
        rejected.push(format!("{} was not found", files.join(", ")));
    }
    let system = systems.first().map(|system| system.system()).unwrap_or_default();
    Err(Error::other(NoEmulatorError { system, files: files.join(" or "), rejected: rejected.join("; ") }))
}

/// Lists the names of an emulator's file, and the files that may be one: of the directories of PATH, of those in which QEMU is
/// searched, and of its own.
fn list_candidates(
    host: &Host,
    system: EmulatedSystem,
    wanted: Option<&str>,
) -> Result<(Vec<&'static str>, Vec<PathBuf>)> {
    let (mut names, own_dirs) = match system {
        EmulatedSystem::Other(system) => (system.emulators.to_vec(), &[][..]),
        EmulatedSystem::Linux(emulator, _) => (emulator.files.to_vec(), emulator.dirs),
    };
    if let Some(path) = wanted.filter(|wanted| wanted.contains('/')) {
        let path = std::path::absolute(path).map_err(|e| Error::io("find", Path::new(path), e))?;
        return Ok((names, vec![path]));
    }
    let wazero = names.contains(&"wasmtime").then_some(WAZERO);
    if let EmulatedSystem::Other(other) = system {
        let known: Vec<_> = names.iter().copied().chain(wazero).collect();
        if let Some(name) = wanted.filter(|name| !known.contains(name)) {
            let known = known.join(", ");
            let what = format!("--emulator {name}: {} is run by one of: {known}; or a path", other.name);
            return Err(Error::Usage(what));
        }
        names = known.into_iter().filter(|known| wanted.map_or(*known != WAZERO, |name| name == *known)).collect();
    }
    let searched = names.iter().copied().chain(wazero.filter(|_| wanted.is_none()));
    let path = host::env::var("PATH").filter(|_| host.is_live()).unwrap_or_default();
    let dirs =
        path.split(':').filter(|dir| dir.starts_with('/')).chain(host_search::DIRS).chain(own_dirs.iter().copied());
    let dirs: Vec<&str> = dirs.collect();
    let mut found: Vec<PathBuf> = Vec::new();
    for file in searched.flat_map(|name| dirs.iter().map(move |dir| Path::new(dir).join(name))) {
        if host.exists(&file) && !found.contains(&file) {
            found.push(file);
        }
    }
    Ok((names, found))
}

fn judge(
    host: &Host,
    system: EmulatedSystem,
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
        let answer = format!("{}\n{complaints}", String::from_utf8_lossy(&output).trim());
        let answer = answer.trim();
        if !system.knows_answer(&answer.to_ascii_lowercase()) {
            return Err(Unusable::Answer(answer.lines().next().unwrap_or_default().to_owned()));
        }
    }
    Ok(kind)
}
