//! Commands that repair the causes which keep a file from running.

use binfmt_magic::Arch;

use crate::binfmt::table;
use crate::diagnose::explain::FileKind;
use crate::diagnose::explain::report::{ExecStep, ExecVerdict, Explanation, Handler, TableState};
use crate::sanitize::AsText as _;
use crate::sanitize::shell_quote;

/// Returns the commands that make a file run, in the order in which they are needed.
pub(super) fn repair_lines(explanation: &Explanation, obstacle: Option<String>) -> Vec<String> {
    let mut lines: Vec<String> = obstacle.into_iter().collect();
    match explanation.verdict {
        ExecVerdict::Native
        | ExecVerdict::Emulated
        | ExecVerdict::Interpreted
        | ExecVerdict::Unknown
        | ExecVerdict::OtherOs
        | ExecVerdict::CutOff
        | ExecVerdict::Library => {}
        ExecVerdict::CarriageReturn => {
            let script = explanation.steps.iter().find(|step| step.taken_by == Handler::Script);
            lines.extend(script.map(repair_line_ends));
        }
        ExecVerdict::LoaderMissing => lines.extend(repair_loader(explanation)),
        ExecVerdict::Refused => match explanation.steps.last() {
            Some(last) if last.taken_by == Handler::Unhandled => lines.extend(repair_unhandled(explanation, last)),
            Some(last) => lines.extend(repair_interpreter(last, explanation.errno.as_deref())),
            None => {}
        },
    }
    lines
}

/// Returns the commands for a file that no entry and no loader takes.
fn repair_unhandled(explanation: &Explanation, step: &ExecStep) -> Vec<String> {
    let file = shell_quote(&explanation.file);
    // An entry for it exists, but is disabled.
    if explanation.table == TableState::SwitchedOff && step.entries.iter().any(|entry| entry.enabled && entry.matches) {
        return vec![format!("echo 1 | sudo tee {}", table::entry_path("status").as_text())];
    }
    if let Some(disabled) = step.entries.iter().find(|entry| !entry.enabled && entry.matches) {
        return vec![format!("echo 1 | sudo tee {}", shell_quote(&table::entry_path(&disabled.name).as_text()))];
    }
    match (&step.elf, step.what) {
        // A copy without the mark runs; the emulator is needed, too.
        (Some(elf), _) if elf.is_appimage => {
            let unmark = format!("printf '\\0\\0\\0' | dd of={file} bs=1 seek=8 conv=notrunc    # on a copy");
            [vec![unmark], register_lines(elf.system, &file)].concat()
        }
        (Some(elf), _) if !elf.may_run_elsewhere() => Vec::new(),
        (Some(elf), _) => register_lines(elf.system, &file),
        (None, FileKind::Text) if explanation.steps.len() == 1 => {
            vec![format!("sh {file}    # if it is a shell script")]
        }
        (None, FileKind::MarkedScript) => {
            vec![format!("sed -i '1s/^\\xef\\xbb\\xbf//' {}    # removes the mark", shell_quote(&step.path))]
        }
        (None, FileKind::IndentedScript) => {
            vec![format!("sed -i -z 's/^[[:space:]]*//' {}    # removes what precedes #!", shell_quote(&step.path))]
        }
        _ => Vec::new(),
    }
}

fn register_lines(system: Option<&str>, file: &str) -> Vec<String> {
    let lines = |system| {
        [
            format!("sudo binfmt-nix register {system}"),
            format!("binfmt-nix run -s {system} -- {file}    # without root"),
        ]
    };
    system.map(lines).into_iter().flatten().collect()
}

/// Returns the command for an interpreter that cannot be executed.
fn repair_interpreter(step: &ExecStep, errno: Option<&str>) -> Option<String> {
    let interpreter = step.interpreter.as_ref()?;
    let has_cr = step.script.as_ref().is_some_and(|script| {
        script.interpreter.ends_with('\r') || script.argument.as_ref().is_some_and(|argument| argument.ends_with('\r'))
    });
    match (&step.taken_by, errno) {
        // The rule matches its own interpreter. It may match sudo, too, and then sudo does not start.
        (Handler::Entry { name }, Some("ELOOP")) => {
            Some(format!("echo -1 > {}    # in a root shell", shell_quote(&table::entry_path(name).as_text())))
        }
        (Handler::Entry { .. }, _) => {
            let system = step.elf.as_ref()?.system?;
            Some(format!("sudo binfmt-nix register --force {system}    # registers an entry with flag F"))
        }
        (Handler::Script, Some("ENOENT")) if has_cr => Some(repair_line_ends(step)),
        (Handler::Script, Some("EACCES")) => Some(format!("chmod +x {}", shell_quote(&interpreter.path))),
        _ => None,
    }
}

fn repair_line_ends(step: &ExecStep) -> String {
    format!("sed -i 's/\\r$//' {}    # replaces the line ends of Windows", shell_quote(&step.path))
}

/// Returns the command for a program whose own loader the emulator would not find.
fn repair_loader(explanation: &Explanation) -> Option<String> {
    let step = explanation.steps.iter().rev().find(|step| matches!(step.taken_by, Handler::Entry { .. }))?;
    // A root directory of Android is not one of a Linux distribution.
    let elf = step.elf.as_ref().filter(|elf| elf.os.is_none())?;
    let arch = Arch::by_target(elf.system?)?;
    let nix = arch.nix_systems.first()?;
    Some(format!("QEMU_LD_PREFIX=DIR {}    # DIR: a root directory of {nix}", shell_quote(&explanation.file)))
}
