//! The check of the file that `run` executes: what the kernel rejects is reported, and not read as a shell script.
//!
//! execvp(3) passes a file that the kernel rejects with ENOEXEC to `sh`, which reads a program of another machine as text.
//! POSIX allows to do that with text files only, and shells look into the file first.

use std::ffi::OsStr;
use std::path::Path;

use crate::cli::RunArgs;
use crate::diagnose::explain;
use crate::diagnose::explain::{Explanation, MachineFacts};
use crate::error::{Error, ExitCode, Failure, Result};
use crate::host::{self, Host};
use crate::sanitize::secrets::has_secret;
use crate::sanitize::{AsText as _, shell_quote, text_of};

/// The kernel rejects the format of the command that `run` was to execute.
#[derive(Debug, thiserror::Error)]
#[error("cannot run {command}: {why}")]
struct CommandFormatError {
    command: String,
    why: String,
    /// The system that the command needs, and the command line with it.
    missing: Option<(&'static str, Option<String>)>,
}

impl Failure for CommandFormatError {
    fn exit_code(&self) -> ExitCode {
        ExitCode::NotExecutable
    }

    fn hint(&self) -> Option<String> {
        let (system, line) = self.missing.as_ref()?;
        let line = line.as_ref().map(|line| format!(": {line}")).unwrap_or_default();
        Some(format!("-s {system} is missing{line}"))
    }
}

/// Fails if the kernel rejects the format of a command, unless the command may be a script of `sh`.
pub(super) fn check_format(host: &Host, program: &OsStr, args: &RunArgs) -> Result<()> {
    let Some(path) = host::process::find_command(program) else { return Ok(()) };
    let machine = MachineFacts::gather(host)?;
    if !machine.knows_all_loaders() {
        return Ok(());
    }
    let explanation = explain::explain_file(host, &machine, &path);
    if explanation.errno.as_deref() != Some("ENOEXEC") || may_be_shell_script(&explanation, &path) {
        return Ok(());
    }
    let system =
        explanation.steps.last().and_then(|step| step.elf.as_ref().filter(|elf| elf.may_run_elsewhere())?.system);
    // --qemu names the emulator of a single system.
    let line = |system| line_with_system(system).filter(|_| args.source_args.qemu.is_none());
    let missing = system.filter(|_| !args.all).map(|system| (system, line(system)));
    Err(Error::other(CommandFormatError { command: program.as_text(), why: explanation.why, missing }))
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
