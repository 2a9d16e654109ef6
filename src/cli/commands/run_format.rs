//! The check of the file that `run` executes: what the kernel rejects is reported, and not read as a shell script.
//!
//! A text that the kernel rejects with ENOEXEC is passed to `sh`, as by execvp(3), which would also pass a program of another
//! machine. POSIX allows to do that with text files only, and shells look into the file first.

use std::ffi::OsStr;
use std::io;
use std::path::Path;

use nix::errno::Errno;

use crate::cli::RunArgs;
use crate::diagnose::explain;
use crate::diagnose::explain::{Explanation, Handler, MachineFacts};
use crate::error::{Error, ExitCode, Failure, Result};
use crate::host::{self, Host};
use crate::sanitize::secrets::has_secret;
use crate::sanitize::{AsText as _, shell_quote, text_of};

/// The kernel does not start the command that `run` was to execute, although its file exists.
#[derive(Debug, thiserror::Error)]
#[error("cannot run {command}: {why}")]
struct CommandRefusedError {
    command: String,
    why: String,
    /// As that of a shell.
    exit_code: ExitCode,
    /// The system that the command needs, and the command line with it.
    missing: Option<(&'static str, Option<String>)>,
}

impl Failure for CommandRefusedError {
    fn exit_code(&self) -> ExitCode {
        self.exit_code
    }

    fn hint(&self) -> Option<String> {
        let (system, line) = self.missing.as_ref()?;
        let line = line.as_ref().map(|line| format!(": {line}")).unwrap_or_default();
        Some(format!("-s {system} is missing{line}"))
    }
}

/// Fails if the kernel rejects the format of a command, unless the command may be a script of `sh`.
pub(super) fn check_format(host: &Host, program: &OsStr, args: &RunArgs) -> Result<()> {
    let Some(path) = host::exec::find_command(program) else { return Ok(()) };
    let machine = MachineFacts::gather(host)?;
    if !machine.knows_all_loaders() {
        return Ok(());
    }
    let explanation = explain::explain_file(host, &machine, &path);
    if explanation.errno.as_deref() != Some("ENOEXEC") || may_be_shell_script(&explanation, &path) {
        return Ok(());
    }
    Err(refusal(explanation, program, args, ExitCode::NotExecutable))
}

/// Returns the error for a command that could not be executed: with the reason that `explain` finds, if the file exists and
/// its error is the one that the kernel gave.
pub(super) fn describe_failure(host: &Host, program: &OsStr, args: &RunArgs, source: io::Error) -> Error {
    let error = Error::Command { command: program.as_text(), source };
    let Error::Command { source, .. } = &error else { return error };
    let errno = source.raw_os_error().map(|number| format!("{:?}", Errno::from_raw(number)));
    let Some((path, machine)) = host::exec::find_command(program).zip(MachineFacts::gather(host).ok()) else {
        return error;
    };
    let explanation = explain::explain_file(host, &machine, &path);
    if explanation.steps.is_empty() || errno.is_none() || explanation.errno != errno {
        return error;
    }
    let (why, exit_code) = (format!("{source}: {}", explanation.why), error.exit_code());
    refusal(Explanation { why, ..explanation }, program, args, exit_code)
}

fn refusal(explanation: Explanation, program: &OsStr, args: &RunArgs, exit_code: ExitCode) -> Error {
    // A program that the kernel's own loader takes needs no system.
    let foreign = explanation.steps.last().filter(|step| step.taken_by != Handler::Elf);
    let system = foreign.and_then(|step| step.elf.as_ref().filter(|elf| elf.may_run_elsewhere())?.system);
    // --qemu names the emulator of a single system.
    let line = |system| line_with_system(system).filter(|_| args.source_args.qemu.is_none());
    let missing = system.filter(|_| !args.all).map(|system| (system, line(system)));
    Error::other(CommandRefusedError { command: program.as_text(), why: explanation.why, exit_code, missing })
}

fn may_be_shell_script(explanation: &Explanation, path: &Path) -> bool {
    let [step] = explanation.steps.as_slice() else { return false };
    host::user_files::read_path_head(path, binfmt_magic::WINDOW as u64)
        .is_ok_and(|head| step.what.may_be_shell_script(&head))
}

/// Returns this command line with one more system; `None` if it contains a password, which is not printed.
fn line_with_system(system: &str) -> Option<String> {
    let mut words: Vec<String> = std::env::args_os().skip(1).map(text_of).collect();
    let after_run = words.iter().position(|word| word == "run")?.saturating_add(1);
    words.splice(after_run..after_run, ["-s".to_owned(), system.to_owned()]);
    let is_safe = !words.iter().any(|word| has_secret(word));
    let own_path = text_of(host::env::own_path());
    is_safe.then(|| [own_path].into_iter().chain(words).map(|word| shell_quote(&word)).collect::<Vec<_>>().join(" "))
}
