//! Commands that repair the causes which keep a file from running.

use binfmt_magic::{Arch, Entry};

use crate::binfmt::shell::Shell;
use crate::binfmt::table::entry_name;
use crate::diagnose::explain::report::{ExecStep, ExecVerdict, Explanation, Handler, Linking};
use crate::diagnose::explain::{FileKind, MachineFacts};

/// The commands for a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Proposal {
    /// The commands that make the file run, in the order in which they are needed.
    pub(super) repairs: Vec<String>,
    /// The command that runs the file once, without root.
    pub(super) without_root: Option<String>,
}

impl Proposal {
    fn of_lines(lines: impl IntoIterator<Item = String>) -> Self {
        Self { repairs: lines.into_iter().collect(), without_root: None }
    }
}

/// Returns the commands for a file; `obstacle` is the one that makes the file itself executable, and `chain_fails` says that
/// its interpreters cannot be started.
pub(super) fn propose_commands(
    explanation: &Explanation,
    machine: &MachineFacts,
    obstacle: Option<String>,
    chain_fails: bool,
) -> Proposal {
    let mut proposal = match explanation.verdict {
        ExecVerdict::Native
        | ExecVerdict::Emulated
        | ExecVerdict::Interpreted
        | ExecVerdict::Unknown
        | ExecVerdict::OtherOs
        | ExecVerdict::CutOff
        | ExecVerdict::Library => Proposal::default(),
        ExecVerdict::CarriageReturn => {
            let script = explanation.steps.iter().find(|step| step.taken_by == Handler::Script);
            Proposal::of_lines(script.map(|script| repair_line_ends(machine, script)))
        }
        ExecVerdict::LoaderMissing => Proposal::of_lines(repair_loader(explanation, machine)),
        ExecVerdict::Refused => {
            match (find_emulated(explanation, machine).filter(|_| chain_fails), explanation.steps.last()) {
                // What the entry's interpreter needs is the matter of the entry's maker.
                (Some(step), _) => repair_interpreter(explanation, machine, step),
                (None, Some(last)) if last.taken_by == Handler::Unhandled => {
                    repair_unhandled(explanation, machine, last)
                }
                (None, Some(last)) => repair_interpreter(explanation, machine, last),
                (None, None) => Proposal::default(),
            }
        }
    };
    proposal.repairs.splice(0..0, obstacle);
    proposal
}

/// Returns the commands for a file that no entry and no loader takes.
fn repair_unhandled(explanation: &Explanation, machine: &MachineFacts, step: &ExecStep) -> Proposal {
    let takes = |entry: &Entry| step.entries.iter().any(|found| found.matches && found.name == entry_name(entry));
    let Some(elf) = &step.elf else {
        let repairs = machine.repairs().put_in_force(None, &takes);
        return if repairs.is_empty() {
            repair_content(explanation, machine, step)
        } else {
            Proposal::of_lines(repairs)
        };
    };
    let Some(arch) = foreign_system(machine, step).filter(|_| elf.may_run_elsewhere()) else {
        return Proposal::default();
    };
    if !elf.is_appimage {
        let repairs = machine.repairs().put_in_force(Some(arch), &takes);
        return Proposal { repairs, without_root: run_once(explanation, machine, step, arch) };
    }
    // A copy without the mark runs; the emulator is needed, too.
    let file = machine.shell.quote_named_file(&explanation.file);
    let unmark = format!("printf '\\0\\0\\0' | dd of={file} bs=1 seek=8 conv=notrunc");
    let takes_unmarked = |entry: &Entry| arch.headers().iter().any(|head| entry.rule.matches(head));
    let mut repairs = vec![format!("{unmark}    # on a copy")];
    repairs.extend(machine.repairs().put_in_force(Some(arch), &takes_unmarked));
    let once = run_once(explanation, machine, step, arch);
    Proposal { repairs, without_root: once.map(|line| format!("{unmark} && {line}")) }
}

/// Returns the command for a file that is not a program, by its content.
fn repair_content(explanation: &Explanation, machine: &MachineFacts, step: &ExecStep) -> Proposal {
    let file = machine.shell.quote_named_file(&step.path);
    if step.what == FileKind::Text && explanation.steps.len() == 1 {
        let once = format!("sh {file}    # if it is a shell script");
        return Proposal { repairs: Vec::new(), without_root: Some(once) };
    }
    Proposal::of_lines(match step.what {
        FileKind::MarkedScript => Some(format!("sed -i '1s/^\\xef\\xbb\\xbf//' {file}    # removes the mark")),
        FileKind::IndentedScript => Some(format!("sed -i -z 's/^[[:space:]]*//' {file}    # removes what precedes #!")),
        _ => None,
    })
}

/// Returns the commands for an interpreter that cannot be executed.
fn repair_interpreter(explanation: &Explanation, machine: &MachineFacts, step: &ExecStep) -> Proposal {
    let arch = foreign_system(machine, step);
    let without_root = arch.and_then(|arch| run_once(explanation, machine, step, arch));
    let has_cr = step.script.as_ref().is_some_and(|script| {
        script.interpreter.ends_with('\r') || script.argument.as_ref().is_some_and(|argument| argument.ends_with('\r'))
    });
    let repairs = match (&step.taken_by, explanation.errno.as_deref()) {
        // It may match sudo, too, and then sudo does not start.
        (Handler::Entry { name }, _) if takes_itself(explanation, name) => {
            let root_shell = Shell { is_root: true, ..machine.shell.clone() };
            let hint = if machine.shell.is_root { "" } else { "    # in a root shell" };
            let removal = format!("{}{hint}", root_shell.write_command("-1", name));
            [removal].into_iter().chain(arch.map(|arch| machine.shell.register_command(arch))).collect()
        }
        (Handler::Entry { .. }, _) => arch.map(|arch| machine.repairs().register(arch, "")).unwrap_or_default(),
        (Handler::Script, Some("ENOENT")) if has_cr => vec![repair_line_ends(machine, step)],
        _ => Vec::new(),
    };
    Proposal { repairs, without_root }
}

/// Returns the first step in which an entry takes a program of another system.
fn find_emulated<'e>(explanation: &'e Explanation, machine: &MachineFacts) -> Option<&'e ExecStep> {
    let is_emulated =
        |step: &&ExecStep| matches!(step.taken_by, Handler::Entry { .. }) && foreign_system(machine, step).is_some();
    explanation.steps.iter().find(is_emulated)
}

/// Whether an entry takes its own interpreter, or a file with which the kernel would start that.
fn takes_itself(explanation: &Explanation, name: &str) -> bool {
    let taken = explanation
        .steps
        .iter()
        .filter(|step| matches!(&step.taken_by, Handler::Entry { name: taker } if taker == name));
    taken.count() > 1
}

fn repair_line_ends(machine: &MachineFacts, step: &ExecStep) -> String {
    let file = machine.shell.quote_named_file(&step.path);
    format!("sed -i 's/\\r$//' {file}    # replaces the line ends of Windows")
}

/// Returns the system of a program that this machine does not run natively: `register` and `run` accept it.
fn foreign_system(machine: &MachineFacts, step: &ExecStep) -> Option<&'static Arch> {
    let arch = Arch::by_target(step.elf.as_ref()?.system?)?;
    (!machine.may_run_natively(arch)).then_some(arch)
}

/// Returns the command that runs the file in a namespace with its own table, if this kernel has them.
fn run_once(explanation: &Explanation, machine: &MachineFacts, step: &ExecStep, arch: &Arch) -> Option<String> {
    let line = format!("binfmt-nix run -s {} -- {}", arch.target, machine.shell.quote_named_file(&explanation.file));
    machine.can_make_tables.then(|| match loader_hint(step, arch) {
        Some((variable, hint)) => format!("{variable} {line}{hint}"),
        None => line,
    })
}

/// Returns the command for a program whose own loader the emulator would not find.
fn repair_loader(explanation: &Explanation, machine: &MachineFacts) -> Option<String> {
    let by_entry = |step: &&ExecStep| matches!(step.taken_by, Handler::Entry { .. });
    let step = explanation.steps.iter().rev().find(by_entry)?;
    let arch = Arch::by_target(step.elf.as_ref()?.system?)?;
    let (variable, hint) = loader_hint(step, arch)?;
    Some(format!("{variable} {}{hint}", machine.shell.quote_named_file(&explanation.file)))
}

/// Returns the variable by which QEMU finds a loader that is missing here, and a comment on its value.
fn loader_hint(step: &ExecStep, arch: &Arch) -> Option<(&'static str, String)> {
    // A root directory of Android is not one of a Linux distribution.
    match step.elf.as_ref().filter(|elf| elf.os.is_none())?.linking {
        Some(Linking::Dynamic { present: false, .. }) => {
            let system = arch.nix_systems.first().unwrap_or(&arch.target);
            Some(("QEMU_LD_PREFIX=DIR", format!("    # DIR: a root directory of {system}")))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binfmt::table::Table;
    use crate::diagnose::explain::{OpenedFile, explain_exec};

    fn explain(machine: &MachineFacts, content: &[u8]) -> Explanation {
        let content = content.to_vec();
        let lookup = |_: &[u8]| {
            let bytes = content.clone();
            let read = move |offset: u64, size: usize| {
                let rest = usize::try_from(offset).ok().and_then(|offset| bytes.get(offset..)).unwrap_or_default();
                rest.iter().take(size).copied().collect()
            };
            Ok(OpenedFile { head: content.clone(), size: content.len() as u64, obstacle: None, read: Box::new(read) })
        };
        explain_exec(b"./a b", machine, &lookup)
    }

    fn machine(name: &str, can_make_tables: bool) -> MachineFacts {
        let table = Table::of_entries(Vec::new());
        MachineFacts { can_make_tables, ..MachineFacts::with_all_loaders(name, table) }
    }

    fn probe(system: &str) -> Vec<u8> {
        Arch::by_target(system).and_then(Arch::probe).unwrap_or_default().to_vec()
    }

    #[test]
    fn run_is_not_proposed_on_kernels_with_one_table() {
        let line = |can| explain(&machine("x86_64", can), &probe("riscv64")).without_root;
        assert_eq!(line(true).as_deref(), Some("binfmt-nix run -s riscv64 -- './a b'"));
        assert_eq!(line(false), None);
    }

    #[test]
    fn register_is_not_proposed_for_programs_of_the_machine_itself() {
        for (name, systems) in [("x86_64", ["x86_64", "i386"]), ("aarch64", ["aarch64", "arm"])] {
            for system in systems {
                let mut cut = probe(system);
                cut.truncate(60);
                let explanation = explain(&machine(name, true), &cut);
                assert_eq!(explanation.verdict, ExecVerdict::Refused);
                assert_eq!((explanation.repairs, explanation.without_root), (Vec::new(), None), "{system} on {name}");
            }
        }
    }
}
