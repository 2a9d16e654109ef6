//! `binfmt-nix explain`

mod words;

use std::path::Path;

use crate::cli::Explain;
use crate::error::{Error, ExitCode, Result};
use crate::explain::process::{How, Process};
use crate::explain::{self, Explanation, Machine, Step, Taker, Verdict};
use crate::host::Host;
use crate::ui::Ui;
use words::{elf, entry, flags, interpreter, linking, origin, state, verdict, what};

pub(super) fn run(args: &Explain, host: &Host, ui: &Ui) -> Result<ExitCode> {
    match (&args.file, args.pid) {
        (Some(file), _) => file_of(file, host, ui),
        (None, Some(pid)) => process(pid, host, ui),
        (None, None) => Err(Error::Usage("explain needs a FILE or --pid".into())),
    }
}

fn file_of(file: &Path, host: &Host, ui: &Ui) -> Result<ExitCode> {
    // A missing file is an error, not a finding.
    crate::host::user_files::stat_path(file)?;
    let machine = Machine::look(host)?;
    let mut explanation = explain::on(host, &machine, file);
    explain::try_out(host, &machine, &mut explanation);
    if ui.is_json() {
        ui.json(&explanation);
    } else {
        print(ui, &explanation);
    }
    Ok(if explanation.runs { ExitCode::Ok } else { ExitCode::Findings })
}

fn print(ui: &Ui, of: &Explanation) {
    for (place, step) in of.steps.iter().enumerate() {
        print_step(ui, step);
        if place == 0 {
            print_entries(ui, of, step);
        }
        print_taker(ui, step);
    }
    let errno = of.errno.as_ref().map(|errno| format!(": execve fails with {errno}")).unwrap_or_default();
    ui.verdicts(&format!("{}{errno}", verdict(of.verdict)));
    line(ui, &of.why);
    print_repairs(ui, of);
}

fn print_step(ui: &Ui, step: &Step) {
    ui.result(&step.path);
    match (&step.elf, &step.script) {
        (Some(header), _) => {
            for text in elf(header) {
                line(ui, &text);
            }
            if let Some(text) = header.linking.as_ref().map(linking) {
                line(ui, &text);
            }
        }
        (None, Some(script)) => {
            line(ui, &format!("a script for {}", script.interpreter));
            if let Some(argument) = &script.argument {
                line(ui, &format!("with the argument {argument:?}"));
            }
        }
        (None, None) => line(ui, what(step.what)),
    }
}

/// All of the table for the file itself; for its interpreters, the winner alone is of interest.
fn print_entries(ui: &Ui, of: &Explanation, step: &Step) {
    let state = state(of.table, of.in_user_namespace);
    if step.entries.is_empty() && of.strange.is_empty() {
        return ui.result(&format!(
            "{state}{}",
            if of.table == explain::TableState::InForce { " has no entries" } else { "" }
        ));
    }
    ui.result(&format!("{state}, newest entry first"));
    let width = step.entries.iter().map(|entry| entry.name.chars().count()).max().unwrap_or_default();
    let is_elf = step.elf.is_some();
    for found in &step.entries {
        line(ui, format!("{:width$}  {:4}  {}", found.name, found.flags, entry(found, is_elf)).trim_end());
    }
    for name in &of.strange {
        line(ui, &format!("{name}: of a newer kernel; what it takes is not known"));
    }
}

fn print_taker(ui: &Ui, step: &Step) {
    let Some(found) = &step.interpreter else { return };
    let by = match &step.taken_by {
        Taker::Entry { name } => format!("entry {name} starts {}", found.path),
        _ => format!("its first line starts {}", found.path),
    };
    ui.result(&by);
    for text in interpreter(found).into_iter().chain(flags(found)) {
        line(ui, &text);
    }
}

fn print_repairs(ui: &Ui, of: &Explanation) {
    if of.repairs.is_empty() {
        let nothing = match of.verdict {
            Verdict::Native => "nothing needs to be registered for it",
            Verdict::Emulated => "nothing is to be done; binfmt-nix status says whether its emulator works",
            Verdict::Refused | Verdict::LoaderMissing | Verdict::Unknown => return,
        };
        return line(ui, nothing);
    }
    ui.result(&"what helps");
    for repair in &of.repairs {
        line(ui, repair);
    }
}

fn process(pid: u32, host: &Host, ui: &Ui) -> Result<ExitCode> {
    let machine = Machine::look(host)?;
    let process = explain::of_process(host, &machine, pid)?;
    if ui.is_json() {
        ui.json(&process);
    } else {
        print_process(ui, &process);
    }
    Ok(if process.verdict == How::Unknown { ExitCode::Findings } else { ExitCode::Ok })
}

fn print_process(ui: &Ui, process: &Process) {
    ui.result(&format!("process {} executes {}", process.pid, process.executes));
    if let Some(path) = &process.called_with {
        line(ui, &format!("execve was called with {path}"));
    }
    if let Some(program) = process.program.as_ref().filter(|program| Some(*program) != process.called_with.as_ref()) {
        line(ui, &format!("its program is {program}"));
    }
    if let Some(header) = process.now.as_ref().and_then(|now| now.steps.first()?.elf.as_ref()) {
        for text in elf(header) {
            line(ui, &text);
        }
    }
    if let Some(argv0) = &process.argv0 {
        line(ui, &format!("its argv[0] is {argv0:?}"));
    }
    if !process.arguments.is_empty() {
        line(ui, &format!("its arguments are {:?}", process.arguments));
    }
    if let Some(entry) = &process.entry {
        ui.result(&format!("by entry {}, which", entry.name));
        for text in origin(entry) {
            line(ui, text);
        }
    }
    ui.result(&words::how(process.verdict));
    line(ui, &process.why);
    for note in &process.notes {
        ui.note(note);
    }
}

fn line(ui: &Ui, text: &str) {
    ui.result(&format!("    {text}"));
}
