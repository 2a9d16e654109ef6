//! Facts about own rules: what their interpreters are, and which files of the machine they take.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use binfmt_magic::{Arch, Rule, WINDOW};

use super::Facts;
use crate::binfmt::harm::NativePrograms;
use crate::binfmt::{native, script, setuid};
use crate::error::{Error, Result};
use crate::host::{self, Host};
use crate::paths;
use crate::qemu::binary;
use crate::register::emulated::EmulatedSystem;
use crate::register::own_rule::{self, InterpreterKind, InterpreterProblem};
use crate::register::request::AccelerateRequest;
use crate::sanitize::{AsText as _, text_of_bytes};

/// What was read about one requested rule.
#[derive(Debug, Clone)]
pub struct RuleFacts {
    /// Kind of the interpreter, or the reason why it cannot be used.
    pub interpreter: std::result::Result<InterpreterKind, InterpreterProblem>,
    /// Whether the rule takes its own interpreter.
    pub takes_interpreter: bool,
    /// Name of a native program that the rule takes.
    pub takes_native: Option<String>,
    /// Path of a setuid program that the rule takes.
    pub takes_setuid: Option<String>,
    /// Files of `--test` that the rule takes.
    pub tests: Vec<PathBuf>,
}

/// Directories in which engines keep the files of containers.
const CONTAINER_DIRS: [&str; 6] = [
    "/var/lib/docker",
    "/var/lib/containers",
    "/var/lib/containerd",
    "/run/containerd",
    "/var/lib/lxc",
    "/var/lib/machines",
];

impl Facts {
    /// Reads what decides whether the rules can be registered. `tests` are files of this machine.
    pub fn inspect_rules(&mut self, host: &Host, rules: &BTreeMap<String, Rule>, tests: &[PathBuf]) -> Result<()> {
        if rules.is_empty() && tests.is_empty() {
            return Ok(());
        }
        self.hash_paths(host, rules.keys().map(|name| paths::own_rule_file(name)).collect())?;
        let linux = |name: &String| match EmulatedSystem::of_rule(name)? {
            EmulatedSystem::Linux(_, arch) => Some(arch),
            EmulatedSystem::Other(_) => None,
        };
        let systems: Vec<_> = rules.keys().filter_map(linux).collect();
        self.native_systems.extend(native::find_native(&systems, &self.machine, &self.table));
        let natives = NativePrograms::read(&self.machine);
        let setuid = setuid::find_setuid_programs(host);
        let tests = read_tests(tests)?;
        for (name, rule) in rules {
            let path = own_rule::interpreter_path(rule);
            let (interpreter, head) = inspect_interpreter(host, &self.machine, &path);
            let resolved = host.resolve_symlinks(&path).unwrap_or_else(|_| path.clone());
            let takes = |path: &Path, head: &[u8]| rule.matches_file(path.as_os_str().as_encoded_bytes(), head);
            let facts = RuleFacts {
                takes_interpreter: takes(&path, &head) || takes(&resolved, &head),
                takes_native: natives.taken_by(rule).map(str::to_owned),
                takes_setuid: setuid.iter().find(|(path, head)| takes(path, head)).map(|(path, _)| path.as_text()),
                tests: tests.iter().filter(|(path, head)| takes(path, head)).map(|(path, _)| path.clone()).collect(),
                interpreter,
            };
            self.rules.insert(name.clone(), facts);
        }
        let is_taken = |path: &PathBuf| self.rules.values().any(|facts| facts.tests.contains(path));
        match tests.iter().find(|(path, _)| !is_taken(path)) {
            Some((path, _)) => Err(Error::Usage(format!("none of the rules takes {}", path.as_text()))),
            None => Ok(()),
        }
    }

    /// Hashes the files that accelerate a system, or will.
    pub fn inspect_acceleration(&mut self, host: &Host, arch: &Arch, request: &AccelerateRequest) -> Result<()> {
        let known = self.receipt.accelerations.get(arch.target);
        let names = known.into_iter().flat_map(|known| known.tools.keys()).chain(request.tools.keys());
        let copies = known.into_iter().flat_map(|known| &known.files).chain(&request.files);
        let files = names.map(|name| paths::own_rule_file(name)).chain(copies.map(|file| file.target.clone()));
        let files = files.chain([paths::accelerator_path(arch)]).collect();
        self.hash_paths(host, files)
    }

    /// Whether the receipt has anything about an own rule.
    pub fn has_rule(&self, name: &str) -> bool {
        self.receipt.has_rule(name)
    }
}

fn read_tests(tests: &[PathBuf]) -> Result<Vec<(PathBuf, Vec<u8>)>> {
    let read = |path: &PathBuf| {
        let head = host::user_files::read_path_head(path, WINDOW as u64).map_err(|e| Error::io("read", path, e))?;
        Ok((path.clone(), head))
    };
    tests.iter().map(read).collect()
}

/// Inspects the file that the kernel will start. Returns its first bytes as well, as far as they can be read.
pub fn inspect_interpreter(
    host: &Host,
    machine: &str,
    path: &Path,
) -> (std::result::Result<InterpreterKind, InterpreterProblem>, Vec<u8>) {
    let file = match open_interpreter(host, path) {
        Ok(file) => file,
        Err(problem) => return (Err(problem), Vec::new()),
    };
    match host::user_files::read_head(&file, binary::HEAD_SIZE) {
        Ok(head) => (check_file(host, machine, &file, &head), head),
        Err(e) => (Err(InterpreterProblem::Unreadable(e.to_string())), Vec::new()),
    }
}

/// Opens an interpreter by a walk that only root can redirect.
fn open_interpreter(host: &Host, path: &Path) -> std::result::Result<File, InterpreterProblem> {
    let real = host.real_path(path);
    let resolved = host.resolve_symlinks(path).unwrap_or_else(|_| path.to_owned());
    let is_inside = |path: &Path| {
        CONTAINER_DIRS.iter().any(|dir| path.starts_with(dir))
            || path.starts_with("/proc")
            || path.as_text().contains("/.local/share/containers/")
    };
    if is_inside(path) || is_inside(&resolved) {
        return Err(InterpreterProblem::InContainer);
    }
    if host::user_files::is_dir(&real) {
        return Err(InterpreterProblem::Directory);
    }
    host.open_trusted_through_links(path).map_err(|error| match error {
        Error::Untrusted(why) => InterpreterProblem::Untrusted(why),
        Error::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => InterpreterProblem::Missing,
        other => InterpreterProblem::Unreadable(other.to_string()),
    })
}

fn check_file(
    host: &Host,
    machine: &str,
    file: &File,
    head: &[u8],
) -> std::result::Result<InterpreterKind, InterpreterProblem> {
    if host::user_files::is_on_noexec_mount(file) {
        return Err(InterpreterProblem::Noexec);
    }
    if host::user_files::check_executable(file).is_err() {
        return Err(InterpreterProblem::NotExecutable);
    }
    if let Some(line) = script::parse_if_script(head) {
        let shell = line.map_err(|_| InterpreterProblem::NotProgram)?;
        check_needed_file(host, &shell.interpreter, InterpreterProblem::NoScriptInterpreter)?;
        return Ok(InterpreterKind::Script(shell.interpreter));
    }
    if !head.starts_with(binary::ELF_MAGIC) {
        return Err(InterpreterProblem::NotProgram);
    }
    let own = Arch::of_host(machine).map(|arch| arch.target);
    let found = Arch::ALL.iter().find(|arch| arch.pattern().matches(head)).map(|arch| arch.target);
    match (own, found) {
        (own, found) if own.is_some() && own == found => {}
        // Such a processor may have the mode for 32-bit programs.
        (Some("x86_64"), Some("i386")) | (Some("aarch64"), Some("arm")) => {}
        (_, found) => return Err(InterpreterProblem::OtherMachine(found.unwrap_or("another machine").to_owned())),
    }
    let Some(loader) = binary::find_loader(head) else { return Ok(InterpreterKind::Static) };
    let loader = text_of_bytes(&loader);
    check_needed_file(host, &loader, InterpreterProblem::NoLoader)?;
    Ok(InterpreterKind::Dynamic(loader))
}

/// Checks the file that the kernel starts, too, to start the interpreter. One that may not be read cannot be replaced.
fn check_needed_file(
    host: &Host,
    path: &str,
    missing: fn(String) -> InterpreterProblem,
) -> std::result::Result<(), InterpreterProblem> {
    let real = Path::new(path);
    match host.open_trusted_through_links(real) {
        Err(Error::Untrusted(why)) => Err(InterpreterProblem::NeedsUntrusted(path.to_owned(), why)),
        Err(_) if !host.exists(real) => Err(missing(path.to_owned())),
        _ => Ok(()),
    }
}
