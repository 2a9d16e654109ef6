//! What `explain` found, in words.

use crate::diagnose::explain::process::{CurrentEmulator, ProcessKind, ProcessOrigin};
use crate::diagnose::explain::{
    Elf, EntryMismatch, EntryReport, ExecVerdict, FileKind, InterpreterReport, Linking, TableState,
};

pub(super) fn verdict_text(verdict: ExecVerdict) -> &'static str {
    match verdict {
        ExecVerdict::Native => "runs natively",
        ExecVerdict::Emulated => "runs by emulation",
        ExecVerdict::LoaderMissing => "does not run",
        ExecVerdict::Refused => "does not start",
        ExecVerdict::Unknown => "cannot be told",
    }
}

pub(super) fn process_kind_text(how: ProcessKind) -> &'static str {
    match how {
        ProcessKind::Native => "native",
        ProcessKind::Script => "a script",
        ProcessKind::Emulated => "emulated",
        ProcessKind::ByHand => "an emulator, started by hand",
        ProcessKind::Unknown => "cannot be told",
    }
}

pub(super) fn file_kind_text(what: FileKind) -> &'static str {
    match what {
        FileKind::Elf => "an ELF file",
        FileKind::Script => "a script whose first line the kernel cannot use",
        FileKind::Empty => "an empty file",
        FileKind::Text => "a text that does not begin with #!",
        FileKind::Data => "data: neither an ELF file nor a script",
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

/// An ELF header, in two lines.
pub(super) fn elf_lines(elf: &Elf) -> [String; 2] {
    let bits = elf.bits.map_or_else(|| "of no class".into(), |bits| format!("{bits}-bit"));
    let endian = elf.endian.map_or_else(|| "of no byte order".into(), |endian| format!("{endian}-endian"));
    let abi = elf.abi.as_ref().map(|abi| format!(", {abi}")).unwrap_or_default();
    let os = if elf.os_abi == "Linux" { String::new() } else { format!(", of {}", elf.os_abi) };
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
        _ => "of a type that is no program",
    }
}

pub(super) fn linking_text(linking: &Linking) -> String {
    match linking {
        Linking::Static => "static: it needs no loader".into(),
        Linking::Dynamic { loader, present: true } => format!("dynamic: its loader {loader} is here"),
        Linking::Dynamic { loader, present: false } => format!("dynamic: its loader {loader} is not here"),
    }
}

/// What the kernel does with an entry.
pub(super) fn entry_text(entry: &EntryReport, is_elf: bool) -> String {
    let differs = entry.differs.as_ref().map(|found| mismatch_text(found, is_elf));
    match (entry.taken, entry.enabled, differs) {
        (true, ..) => "takes it".into(),
        (false, true, None) => "would take it, but is not asked".into(),
        (false, false, None) => "is disabled; else it would take it".into(),
        (false, true, Some(differs)) => differs,
        (false, false, Some(differs)) => format!("is disabled, and {differs}"),
    }
}

fn mismatch_text(differs: &EntryMismatch, is_elf: bool) -> String {
    let place =
        |offset: usize| format!("byte {offset}{}", elf_field_name(offset).filter(|_| is_elf).unwrap_or_default());
    match differs {
        EntryMismatch::Byte { offset, has: None, wants, mask } => {
            format!("{} is behind the end, so 00, not {}", place(*offset), wanted_byte_text(*wants, *mask))
        }
        EntryMismatch::Byte { offset, has: Some(has), wants, mask } => {
            format!("{} is {has:02x}, not {}", place(*offset), wanted_byte_text(*wants, *mask))
        }
        EntryMismatch::Extension { has: Some(has), wants } => format!("the name ends in .{has}, not .{wants}"),
        EntryMismatch::Extension { has: None, wants } => format!("the name has no extension, so not .{wants}"),
    }
}

/// What a byte of an ELF header is, where both classes agree (elf(5)).
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

/// An interpreter, line by line.
pub(super) fn interpreter_lines(found: &InterpreterReport) -> Vec<String> {
    let mut lines = Vec::new();
    match (&found.detail, found.held) {
        (Some(detail), true) => lines.push(format!("{detail} by now; the kernel holds the file that was there")),
        (Some(detail), false) => lines.push(detail.clone()),
        (None, true) if found.is_the_file == Some(false) => {
            lines.push("the kernel holds another file than the one that is there by now".into());
        }
        (None, _) => lines.push("it can be opened here".into()),
    }
    let Some(_) = &found.flags else { return lines };
    lines.push(
        match (found.held, &found.linking) {
            (true, Some(Linking::Dynamic { .. })) => {
                "in a sandbox or chroot: only if the loader that it needs is in there, too"
            }
            (true, _) => "in a sandbox, chroot or container: it starts, too",
            (false, _) => "in a sandbox, chroot or container: only if it is in there",
        }
        .into(),
    );
    lines
}

/// Flags of an entry, one a line.
pub(super) fn flag_lines(found: &InterpreterReport) -> Vec<String> {
    let meaning = |flag| match flag {
        'P' => "P: the program keeps its own argv[0]",
        'O' => "O: the program is passed as an open file",
        'C' => "C: setuid programs get their rights, and so does the interpreter",
        _ => "F: the kernel holds the interpreter since its registration",
    };
    let Some(flags) = &found.flags else { return Vec::new() };
    let mut lines: Vec<String> = flags.chars().map(|flag| meaning(flag).to_owned()).collect();
    if !flags.contains('P') {
        lines.push("no P: the program does not see its own argv[0]".into());
    }
    lines
}

/// The entry that a process came from.
pub(super) fn origin_lines(origin: &ProcessOrigin) -> [&'static str; 2] {
    [
        if origin.takes_it_now {
            "takes its program now, too"
        } else {
            "has that interpreter, but does not take its program now"
        },
        match origin.starts {
            CurrentEmulator::Same => "starts the very file that the process executes",
            CurrentEmulator::Other => "starts another file now than the one that the process executes",
            CurrentEmulator::Unknown => "what it starts now could not be tried",
        },
    ]
}
