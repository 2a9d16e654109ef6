//! Replacing this process by another program, by execve(2) itself.
//!
//! `Command` calls execvp(3). After ENOEXEC that of glibc lets `/bin/sh` read the file, even an ELF file of another machine,
//! and that of musl does not. What this tool does must not depend on its C library, so both parts are here: a caller's
//! command may be a script of `sh`, and no other program is.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ffi::{CString, OsStr, OsString};
use std::io::{self, Read as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use nix::errno::Errno;
use nix::sys::signal::SigSet;
use nix::unistd::execve;
use signal_hook::flag;

use crate::sorted;

/// PATH of execvp(3) if the variable is not set (glibc's `confstr(_CS_PATH)`).
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// The shell that reads a text which the kernel does not execute (execvp(3)).
const SHELL: &str = "/bin/sh";

/// Replaces this process by a program, with the environment of this process. Returns only if that fails.
pub(super) fn exec_program(program: &Path, args: &[OsString]) -> io::Error {
    exec_file(program, program.as_os_str(), args, &sorted::map(std::env::vars_os()))
}

/// Replaces this process by a program, without environment. Returns only if that fails.
pub(super) fn exec_probe(program: &Path, arg0: &str) -> io::Error {
    exec_file(program, OsStr::new(arg0), &[], &BTreeMap::new())
}

/// Finds the file that [`exec_caller_command`] executes: the first executable one in the caller's PATH, unless the name
/// has a slash.
pub fn find_command(program: &OsStr) -> Option<PathBuf> {
    let is_executable = |path: &PathBuf| {
        super::regular_file::open(path).is_ok_and(|file| super::user_files::check_executable(&file).is_ok())
    };
    let mut paths = possible_paths(program);
    if has_slash(program) { paths.pop() } else { paths.into_iter().find(is_executable) }
}

/// Replaces this process by a command that is found in the caller's PATH, with the caller's environment and these
/// variables. A text that the kernel does not execute is passed to `/bin/sh`. Returns only if that fails.
///
/// PATH is searched as by execvp(3), with one difference: EACCES is an error only of a file that exists. execvp(3) reports
/// it if one directory of PATH cannot be searched, even if no other one has the command.
pub fn exec_caller_command(program: &OsStr, args: &[OsString], variables: &[(&str, String)]) -> io::Error {
    let mut environment = sorted::map(std::env::vars_os());
    environment.extend(variables.iter().map(|(name, value)| ((*name).into(), value.into())));
    let mut last = Errno::ENOENT.into();
    for path in possible_paths(program) {
        let error = exec_file(&path, program, args, &environment);
        match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::ENOEXEC) => {
                return if may_be_read_by_shell(&path) { exec_shell(&path, args, &environment, error) } else { error };
            }
            _ if has_slash(program) => return error,
            Some(Errno::EACCES) if path.exists() => last = error,
            Some(Errno::ENOENT | Errno::EACCES | Errno::ENOTDIR | Errno::ESTALE | Errno::ENODEV | Errno::ETIMEDOUT) => {
            }
            _ => return error,
        }
    }
    last
}

/// Returns the paths at which a command may be: one for each directory in PATH, unless the name has a slash.
fn possible_paths(program: &OsStr) -> Vec<PathBuf> {
    if program.is_empty() || has_slash(program) {
        return vec![program.into()];
    }
    let path = super::env::var_os("PATH").unwrap_or_else(|| DEFAULT_PATH.into());
    // An empty part of PATH is the working directory.
    let in_dir =
        |dir: PathBuf| if dir.as_os_str().is_empty() { Path::new(".").join(program) } else { dir.join(program) };
    std::env::split_paths(&path).map(in_dir).collect()
}

fn has_slash(program: &OsStr) -> bool {
    program.as_bytes().contains(&b'/')
}

/// Whether a shell may read a file that the kernel does not execute: it is neither an ELF file, nor a script whose
/// interpreter the kernel does not execute.
fn may_be_read_by_shell(path: &Path) -> bool {
    let mut head = Vec::new();
    let read = super::regular_file::open(path).and_then(|file| file.take(4).read_to_end(&mut head));
    read.is_ok() && !head.starts_with(b"\x7fELF") && !head.starts_with(b"#!")
}

/// Replaces this process by a shell that reads a file. Returns only if that fails: `refusal`, the kernel's error for the file.
fn exec_shell(
    file: &Path,
    args: &[OsString],
    environment: &BTreeMap<OsString, OsString>,
    refusal: io::Error,
) -> io::Error {
    // A path that begins with a dash would be an option of the shell.
    let dash = file.as_os_str().as_bytes().starts_with(b"-");
    let file = if dash { Path::new(".").join(file) } else { file.to_owned() };
    let words: Vec<OsString> = [file.into_os_string()].into_iter().chain(args.iter().cloned()).collect();
    drop(exec_file(Path::new(SHELL), OsStr::new(SHELL), &words, environment));
    refusal
}

fn exec_file(program: &Path, arg0: &OsStr, args: &[OsString], environment: &BTreeMap<OsString, OsString>) -> io::Error {
    let exec = || -> io::Result<Infallible> {
        let words = [arg0].into_iter().chain(args.iter().map(OsString::as_os_str));
        let words: Vec<CString> = words.map(|word| CString::new(word.as_bytes())).collect::<Result<_, _>>()?;
        let setting = |(name, value): (&OsString, &OsString)| [name.as_bytes(), b"=", value.as_bytes()].concat();
        let settings: Vec<CString> = environment.iter().map(setting).map(CString::new).collect::<Result<_, _>>()?;
        let program = CString::new(program.as_os_str().to_owned().into_vec())?;
        restore_signals()?;
        Ok(execve(&program, &words, &settings)?)
    };
    match exec() {
        Err(error) => error,
        Ok(never) => match never {},
    }
}

/// Gives the next program the signals that every program has at its start, as `Command` does. Rust's runtime ignores SIGPIPE,
/// which a program would inherit; a signal with a handler gets its default action (execve(2)).
fn restore_signals() -> io::Result<()> {
    flag::register(nix::libc::SIGPIPE, Arc::new(AtomicBool::new(false)))?;
    Ok(SigSet::empty().thread_set_mask()?)
}
