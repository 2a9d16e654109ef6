//! The commands that make a file run.

use binfmt_magic::Arch;

use super::types::{Explanation, Step, TableState, Taker, Verdict, What};
use crate::binfmt_misc;
use crate::text::quoted;

/// The commands that make a file run, in the order in which they are needed.
pub(super) fn lines(of: &Explanation, obstacle: Option<String>) -> Vec<String> {
    let mut lines: Vec<String> = obstacle.into_iter().collect();
    match of.verdict {
        Verdict::Native | Verdict::Emulated | Verdict::Unknown => {}
        Verdict::LoaderMissing => lines.extend(loader(of)),
        Verdict::Refused => match of.steps.last() {
            Some(last) if last.taken_by == Taker::Nobody => lines.extend(nobody(of, last)),
            Some(last) => lines.extend(interpreter(last, of.errno.as_deref())),
            None => {}
        },
    }
    lines
}

/// The repair if no entry or loader takes the file.
fn nobody(of: &Explanation, step: &Step) -> Vec<String> {
    let file = quoted(&of.file);
    // An entry for it exists, but is disabled.
    if of.table == TableState::SwitchedOff && step.entries.iter().any(|entry| entry.enabled && entry.matches) {
        return vec![format!("echo 1 | sudo tee {}", binfmt_misc::path("status").display())];
    }
    if let Some(off) = step.entries.iter().find(|entry| !entry.enabled && entry.matches) {
        return vec![format!("echo 1 | sudo tee {}", quoted(&binfmt_misc::path(&off.name).to_string_lossy()))];
    }
    match (&step.elf, step.what) {
        // A copy without the mark runs; the emulator is needed, too.
        (Some(elf), _) if elf.is_appimage => {
            let unmark = format!("printf '\\0\\0\\0' | dd of={file} bs=1 seek=8 conv=notrunc    # on a copy");
            [vec![unmark], register(elf.system, &file)].concat()
        }
        (Some(elf), _) => register(elf.system, &file),
        (None, What::Text) if of.steps.len() == 1 => {
            vec![format!("sh {file}    # if it is a shell script")]
        }
        _ => Vec::new(),
    }
}

fn register(system: Option<&str>, file: &str) -> Vec<String> {
    let lines = |system| {
        [
            format!("sudo binfmt-nix register {system}"),
            format!("binfmt-nix run -s {system} -- {file}    # without root"),
        ]
    };
    system.map(lines).into_iter().flatten().collect()
}

/// The repair if the interpreter cannot be executed.
fn interpreter(step: &Step, errno: Option<&str>) -> Option<String> {
    let interpreter = step.interpreter.as_ref()?;
    let windows = step.script.as_ref().is_some_and(|script| {
        script.interpreter.ends_with('\r') || script.argument.as_ref().is_some_and(|argument| argument.ends_with('\r'))
    });
    match (&step.taken_by, errno) {
        // The interpreter is matched by its own rule: sudo may be matched, too, and not start.
        (Taker::Entry { name }, Some("ELOOP")) => {
            Some(format!("echo -1 > {}    # in a shell of root", quoted(&binfmt_misc::path(name).to_string_lossy())))
        }
        (Taker::Entry { .. }, _) => {
            let system = step.elf.as_ref()?.system?;
            Some(format!("sudo binfmt-nix register --force {system}    # its own, with flag F"))
        }
        (Taker::Script, Some("ENOENT")) if windows => {
            Some(format!("sed -i 's/\\r$//' {}    # its lines end as those of Windows do", quoted(&step.path)))
        }
        (Taker::Script, Some("EACCES")) => Some(format!("chmod +x {}", quoted(&interpreter.path))),
        _ => None,
    }
}

/// The repair if the emulator would not find the program's own loader.
fn loader(of: &Explanation) -> Option<String> {
    let step = of.steps.iter().rev().find(|step| matches!(step.taken_by, Taker::Entry { .. }))?;
    let arch = Arch::by_target(step.elf.as_ref()?.system?)?;
    let nix = arch.nix_systems.first()?;
    Some(format!("QEMU_LD_PREFIX=DIR {}    # DIR: a root directory of {nix}", quoted(&of.file)))
}
