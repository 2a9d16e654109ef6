//! Texts for the results of `explain`.

use crate::diagnose::explain::process::{CurrentEmulator, ProcessKind, ProcessOrigin};
use crate::diagnose::explain::{Elf, EntryMismatch, EntryReport, ExecVerdict, InterpreterReport, Linking, TableState};

pub(super) fn verdict_text(verdict: ExecVerdict) -> &'static str {
    match verdict {
        ExecVerdict::Native => "runs natively",
        ExecVerdict::Emulated => "runs by emulation",
        ExecVerdict::Interpreted => "runs by an interpreter",
        ExecVerdict::LoaderMissing
        | ExecVerdict::OtherOs
        | ExecVerdict::CutOff
        | ExecVerdict::Library
        | ExecVerdict::CarriageReturn => "does not run",
        ExecVerdict::Refused => "does not start",
        ExecVerdict::Unknown => "cannot be determined",
    }
}

pub(super) fn process_kind_text(kind: ProcessKind) -> &'static str {
    match kind {
        ProcessKind::Native => "native",
        ProcessKind::Script => "a script",
        ProcessKind::Emulated => "emulated",
        ProcessKind::ByHand => "an emulator, started by hand",
        ProcessKind::Unknown => "cannot be determined",
    }
}

pub(super) fn table_state_text(state: TableState, in_user_namespace: bool) -> &'static str {
    match (state, in_user_namespace) {
        (TableState::InForce, false) => "the kernel's table",
        (TableState::InForce, true) => "the table of this user namespace",
        (TableState::SwitchedOff, _) => "the kernel's table is switched off",
        (TableState::NotMounted, _) => "the kernel's table is not mounted here",
        (TableState::Hidden, _) => "the kernel's table is not mounted here, but it has entries",
        (TableState::Offline, _) => "there is no kernel in this tree",
    }
}

/// Describes an ELF header in two lines.
pub(super) fn elf_lines(elf: &Elf) -> [String; 2] {
    let bits = elf.bits.map_or_else(|| "without a class".into(), |bits| format!("{bits}-bit"));
    let endian = elf.endian.map_or_else(|| "without a byte order".into(), |endian| format!("{endian}-endian"));
    let abi = elf.abi.as_ref().map(|abi| format!(", {abi}")).unwrap_or_default();
    let os = match elf.os {
        Some(os) => format!(", of {}", os.name()),
        None if elf.os_abi == "Linux" => String::new(),
        None => format!(", of {}", elf.os_abi),
    };
    let system = elf.system.map(|system| format!("; the system is {system}")).unwrap_or_default();
    let what = format!("for {}{abi}{os}{system}", elf.machine);
    [format!("ELF, {bits}, {endian}, {}", elf_kind_text(elf)), what]
}

fn elf_kind_text(elf: &Elf) -> &'static str {
    match (elf.kind, &elf.linking) {
        ("executable", _) => "program",
        ("shared", Some(Linking::Dynamic { .. })) => "position-independent program",
        ("shared", _) => "position-independent program or library",
        ("object", _) => "object file, not linked yet",
        ("core", _) => "core dump",
        _ => "of a type that cannot be executed",
    }
}

pub(super) fn linking_text(linking: &Linking) -> String {
    match linking {
        Linking::Static => "static: it needs no loader".into(),
        Linking::Dynamic { loader, present: true } => format!("dynamic: its loader {loader} is here"),
        Linking::Dynamic { loader, present: false } => format!("dynamic: its loader {loader} is not here"),
    }
}

/// Describes whether an entry matches the file, and whether the kernel uses it.
pub(super) fn entry_text(entry: &EntryReport, is_elf: bool) -> String {
    let differs = entry.differs.as_ref().map(|found| mismatch_text(found, is_elf));
    match (entry.taken, entry.enabled, differs) {
        (true, ..) if entry.flags.contains('L') => "replaces the loader that the program names, if it names one".into(),
        (true, ..) => "handles it".into(),
        (false, true, None) if entry.may_precede => {
            "matches, but is not used, unless it was registered off and turned on later: Linux 7.3 does not show that"
                .into()
        }
        (false, true, None) => "matches, but is not used".into(),
        (false, false, None) => "matches, but is disabled".into(),
        (false, true, Some(differs)) => differs,
        (false, false, Some(differs)) => format!("is disabled, and {differs}"),
    }
}

fn mismatch_text(differs: &EntryMismatch, is_elf: bool) -> String {
    let place =
        |offset: usize| format!("byte {offset}{}", elf_field_name(offset).filter(|_| is_elf).unwrap_or_default());
    match differs {
        EntryMismatch::Byte { offset, has: None, wants, mask } => {
            format!(
                "{} is beyond the end of the file, so it is 00, not {}",
                place(*offset),
                wanted_byte_text(*wants, *mask)
            )
        }
        EntryMismatch::Byte { offset, has: Some(has), wants, mask } => {
            format!("{} is {has:02x}, not {}", place(*offset), wanted_byte_text(*wants, *mask))
        }
        EntryMismatch::Extension { has: Some(has), wants } => format!("the name ends in .{has}, not .{wants}"),
        EntryMismatch::Extension { has: None, wants } => format!("the name has no extension, so not .{wants}"),
    }
}

/// Names the field of an ELF header at this offset, where both classes agree (elf(5)).
fn elf_field_name(offset: usize) -> Option<&'static str> {
    Some(match offset {
        4 => " (class)",
        5 => " (byte order)",
        7 => " (OS ABI)",
        8 => " (ABI version)",
        9..=15 => " (padding)",
        16 | 17 => " (type)",
        18 | 19 => " (machine)",
        _ => return None,
    })
}

fn wanted_byte_text(wants: u8, mask: u8) -> String {
    if mask == 0xff { format!("{wants:02x}") } else { format!("{wants:02x} under the mask {mask:02x}") }
}

/// Describes an interpreter, line by line.
pub(super) fn interpreter_lines(found: &InterpreterReport) -> Vec<String> {
    let mut lines = Vec::new();
    match (&found.detail, found.held) {
        (Some(detail), true) => lines.push(format!("{detail} now; the kernel uses the file from registration")),
        (Some(detail), false) => lines.push(detail.clone()),
        (None, true) if found.is_the_file == Some(false) => {
            lines.push("the kernel uses the file from registration; the path names another now".into());
        }
        (None, _) => lines.push("it can be opened here".into()),
    }
    let Some(_) = &found.flags else { return lines };
    lines.push(
        match (found.held, found.in_sandbox, &found.linking) {
            (true, true, _) => "in a sandbox, chroot or container: it also starts",
            (true, false, Some(Linking::Dynamic { .. })) => {
                "in a sandbox or chroot: it starts only with its loader in there"
            }
            (true, false, _) => "in a sandbox or chroot: it starts only if its own interpreter starts there",
            (false, ..) => "in a sandbox, chroot or container: it starts only if its file is in there",
        }
        .into(),
    );
    lines
}

/// Describes the flags of an entry, one in each line.
pub(super) fn flag_lines(found: &InterpreterReport) -> Vec<String> {
    let meaning = |flag| match flag {
        'P' => "P: the program keeps its own argv[0]",
        'O' => "O: the program is passed as an open file",
        'C' => "C: setuid programs get their rights, and so does the interpreter",
        'T' => "T: the program keeps its arguments and /proc/PID/exe",
        'L' => "L: the kernel runs the program itself, and the interpreter as its loader",
        _ => "F: the kernel holds the interpreter open since its registration",
    };
    let Some(flags) = &found.flags else { return Vec::new() };
    let mut lines: Vec<String> = flags.chars().map(|flag| meaning(flag).to_owned()).collect();
    if !flags.contains(['P', 'T', 'L']) {
        lines.push("no P: the program does not see its own argv[0]".into());
    }
    lines
}

/// Describes the entry that a process came from.
pub(super) fn origin_lines(origin: &ProcessOrigin) -> [&'static str; 2] {
    [
        if origin.takes_it_now {
            "still handles its program"
        } else {
            "has that interpreter, but does not handle its program now"
        },
        match origin.starts {
            CurrentEmulator::Same => "starts the same file that the process executes",
            CurrentEmulator::Other => "now starts another file than the one that the process executes",
            CurrentEmulator::Unknown => "could not be tested, so the file that it starts now is unknown",
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_flag_has_a_line_of_its_own() {
        let letters = |flags: &str| -> String {
            let found = InterpreterReport {
                path: "/q".into(),
                flags: Some(flags.into()),
                held: true,
                is_the_file: None,
                opens: true,
                errno: None,
                detail: None,
                linking: None,
                in_sandbox: true,
            };
            flag_lines(&found).iter().map(|line| line.split(':').next().unwrap_or_default()).collect()
        };
        assert_eq!(letters("POCF"), "POCF");
        assert_eq!(letters("OCFT"), "OCFT");
        assert_eq!(letters("FL"), "FL");
        assert_eq!(letters("F"), "Fno P");
    }
}
