//! Flaws of files that the kernel starts, and that cannot work: execve(2) succeeds, and the program ends.

use super::execve::starts_qemu;
use super::report::{ExecStep, ExecVerdict, Handler};
use super::{Elf, ScriptLine};
use crate::ui::quantity::count;

/// Finds the flaw that ends a chain whose last file the kernel starts: that of the last file, which acts first.
pub(super) fn find_flaw(steps: &[ExecStep]) -> Option<(ExecVerdict, String)> {
    steps.iter().enumerate().rev().find_map(|(place, step)| {
        let subject = if place == 0 { "it".to_owned() } else { format!("its interpreter {}", step.path) };
        match (&step.elf, &step.script) {
            (Some(elf), _) => elf_flaw(elf, step).map(|(verdict, flaw)| (verdict, format!("{subject} {flaw}"))),
            (None, Some(script)) if step.taken_by == Handler::Script => script_flaw(script),
            _ => None,
        }
    })
}

fn elf_flaw(elf: &Elf, step: &ExecStep) -> Option<(ExecVerdict, String)> {
    // An entry's interpreter may be made for such programs. QEMU's user mode is not: it has Linux's system calls.
    let meets_linux = step.taken_by == Handler::Elf || starts_qemu(step);
    if let Some(os) = elf.os.filter(|_| elf.is_for_other_os() && meets_linux) {
        let flaw = format!("is a program of {}, whose system calls Linux does not have", os.name());
        return Some((ExecVerdict::OtherOs, flaw));
    }
    if elf.is_cut_off() {
        return Some((
            ExecVerdict::CutOff,
            format!("{}; what is missing is read as zeros, or ends it by SIGSEGV or SIGBUS", cut_off_text(elf)),
        ));
    }
    elf.is_library().then(|| (ExecVerdict::Library, LIBRARY.into()))
}

/// Describes a library, as words that follow its name.
pub(super) const LIBRARY: &str = "is a library: it has no entry point";

/// Describes that a file is too short, as words that follow its name.
pub(super) fn cut_off_text(elf: &Elf) -> String {
    let needed = elf.needed_size.unwrap_or_default();
    format!("is cut off or damaged: it has {}, and its headers describe {needed}", count(elf.size, "byte"))
}

/// A carriage return at the end of the argument, from a file with the line ends of Windows. Of env, sh, bash, python3,
/// node, awk, sed, make and perl, perl alone ignores it (measured: coreutils 9.1, dash 0.5.12, bash 5.2, Python 3.11).
fn script_flaw(script: &ScriptLine) -> Option<(ExecVerdict, String)> {
    let argument = script.argument.as_ref().filter(|argument| argument.ends_with('\r'))?;
    let name = script.interpreter.rsplit('/').next().unwrap_or_default();
    (!name.starts_with("perl")).then(|| {
        let flaw = format!(
            "its first line ends in a carriage return, so {} gets the argument {argument:?}",
            script.interpreter
        );
        (ExecVerdict::CarriageReturn, flaw)
    })
}
