//! The command `explain`: explains what execve does with a file, or whether a process is emulated.

use crate::cli::commands::explain_text;
use std::path::Path;

use crate::cli::ExplainArgs;
use crate::cli::commands::explain_text::{
    elf_lines, entry_text, flag_lines, interpreter_lines, linking_text, origin_lines, table_state_text, verdict_text,
};
use crate::diagnose::explain;
use crate::diagnose::explain::process::{ProcessKind, ProcessReport};
use crate::diagnose::explain::{ExecStep, ExecVerdict, Explanation, Handler, MachineFacts};
use crate::error::{Error, ExitCode, Result};
use crate::host::Host;
use crate::sanitize::secrets::hide_secrets_of_word;
use crate::ui::Ui;

pub(super) fn run(args: &ExplainArgs, host: &Host, ui: &Ui) -> Result<ExitCode> {
    match (&args.file, args.pid) {
        (Some(file), _) => explain_path(file, host, ui),
        (None, Some(_)) if !host.is_live() => {
            Err(Error::Usage("--pid names a process of this machine, so it cannot be combined with --root".into()))
        }
        (None, Some(pid)) => explain_process(pid, host, ui),
        (None, None) => Err(Error::Usage("explain needs a FILE or --pid".into())),
    }
}

fn explain_path(file: &Path, host: &Host, ui: &Ui) -> Result<ExitCode> {
    let machine = MachineFacts::gather(host)?;
    let mut explanation = explain::explain_file(host, &machine, file);
    explain::probe_interpreters(host, &machine, &mut explanation);
    if explanation.steps.is_empty() {
        // What does not exist may be a URL with a password.
        explanation.file = hide_secrets_of_word(&explanation.file);
    }
    if ui.is_json() {
        ui.print_json(&explanation);
    } else {
        print_explanation(ui, &explanation);
    }
    Ok(if explanation.runs { ExitCode::Ok } else { ExitCode::Findings })
}

fn print_explanation(ui: &Ui, explanation: &Explanation) {
    if explanation.steps.is_empty() {
        ui.print_result(&explanation.file);
    }
    for (place, step) in explanation.steps.iter().enumerate() {
        print_step(ui, step);
        if place == 0 {
            print_entries(ui, explanation, step);
        }
        print_handler(ui, step);
    }
    let errno = explanation.errno.as_ref().map(|errno| format!(": execve fails with {errno}")).unwrap_or_default();
    ui.print_verdict(&format!("{}{errno}", verdict_text(explanation.verdict)));
    print_line(ui, &explanation.why);
    print_repairs(ui, explanation);
}

fn print_step(ui: &Ui, step: &ExecStep) {
    ui.print_result(&step.path);
    match (&step.elf, &step.script) {
        (Some(header), _) => {
            for text in elf_lines(header) {
                print_line(ui, &text);
            }
            if let Some(text) = header.linking.as_ref().map(linking_text) {
                print_line(ui, &text);
            }
        }
        (None, Some(script)) => {
            print_line(ui, &format!("a script for {}", script.interpreter));
            if let Some(argument) = &script.argument {
                print_line(ui, &format!("with the argument {argument:?}"));
            }
        }
        (None, None) => print_line(ui, &step.content_text()),
    }
}

/// Prints all entries of the table. This is done for the file itself; for its interpreters only the matching entry
/// matters.
fn print_entries(ui: &Ui, explanation: &Explanation, step: &ExecStep) {
    let state = table_state_text(explanation.table, explanation.in_user_namespace);
    if step.entries.is_empty() && explanation.strange.is_empty() {
        return ui.print_result(&format!(
            "{state}{}",
            if explanation.table == explain::TableState::InForce { " has no entries" } else { "" }
        ));
    }
    ui.print_result(&format!("{state}, newest entry first"));
    let width = step.entries.iter().map(|entry| entry.name.chars().count()).max().unwrap_or_default();
    let is_elf = step.elf.is_some();
    for found in &step.entries {
        print_line(ui, format!("{:width$}  {:4}  {}", found.name, found.flags, entry_text(found, is_elf)).trim_end());
    }
    for name in &explanation.strange {
        print_line(ui, &format!("{name}: an entry of type B or of a newer kernel; which files it matches is unknown"));
    }
}

fn print_handler(ui: &Ui, step: &ExecStep) {
    let Some(found) = &step.interpreter else { return };
    let handler = match &step.taken_by {
        Handler::Entry { name } => format!("entry {name} starts {}", found.path),
        _ => format!("its first line starts {}", found.path),
    };
    ui.print_result(&handler);
    for text in interpreter_lines(found).into_iter().chain(flag_lines(found)) {
        print_line(ui, &text);
    }
}

fn print_repairs(ui: &Ui, explanation: &Explanation) {
    if explanation.repairs.is_empty() && explanation.without_root.is_none() {
        let nothing = match explanation.verdict {
            ExecVerdict::Native => "nothing needs to be registered for this file",
            ExecVerdict::Emulated => "nothing needs to be done if its emulator works; binfmt-nix status shows that",
            ExecVerdict::Interpreted => "nothing needs to be done; binfmt-nix status -v shows its entry",
            _ => return,
        };
        return print_line(ui, nothing);
    }
    for (title, lines) in [
        ("to make it run", explanation.repairs.as_slice()),
        ("to run it once, without root", explanation.without_root.as_slice()),
    ] {
        if !lines.is_empty() {
            ui.print_result(&title);
        }
        for line in lines {
            print_line(ui, line);
        }
    }
}

fn explain_process(pid: u32, host: &Host, ui: &Ui) -> Result<ExitCode> {
    let machine = MachineFacts::gather(host)?;
    let process = explain::process_gather::explain_process(host, &machine, pid)?;
    if ui.is_json() {
        ui.print_json(&process);
    } else {
        print_process(ui, &process);
    }
    Ok(if process.verdict == ProcessKind::Unknown { ExitCode::Findings } else { ExitCode::Ok })
}

fn print_process(ui: &Ui, process: &ProcessReport) {
    ui.print_result(&format!("process {} executes {}", process.pid, process.executes));
    if let Some(path) = &process.called_with {
        print_line(ui, &format!("execve was called with {path}"));
    }
    if let Some(program) = process.program.as_ref().filter(|program| Some(*program) != process.called_with.as_ref()) {
        print_line(ui, &format!("its program is {program}"));
    }
    if let Some(header) = process.now.as_ref().and_then(|now| now.steps.first()?.elf.as_ref()) {
        for text in elf_lines(header) {
            print_line(ui, &text);
        }
    }
    if let Some(argv0) = &process.argv0 {
        print_line(ui, &format!("its argv[0] is {argv0:?}"));
    }
    if !process.arguments.is_empty() {
        print_line(ui, &format!("its arguments are {:?}", process.arguments));
    }
    if let Some(entry) = &process.entry {
        ui.print_result(&format!("by entry {}, which", entry.name));
        for text in origin_lines(entry) {
            print_line(ui, text);
        }
    }
    ui.print_result(&explain_text::process_kind_text(process.verdict));
    print_line(ui, &process.why);
    for note in &process.notes {
        ui.print_note(note);
    }
}

fn print_line(ui: &Ui, text: &str) {
    ui.print_result(&format!("    {text}"));
}
