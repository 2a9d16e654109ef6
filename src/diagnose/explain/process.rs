//! Explains the origin of a process: whether it is an emulator, for which program, and through which entry.
//!
//! The kernel keeps no record of the entry, nor of the file that an entry with flag F holds. It shows the file that the
//! process executes, its arguments, and its auxiliary vector, with the path that execve(2) got (`AT_EXECFN`) and
//! whether flag P was set (`AT_FLAGS`, Linux 5.12). The rest is inferred, and a guess is marked as one.

use serde::Serialize;

use super::Explanation;
use crate::sanitize::text_of_bytes;

/// A process, as `explain --pid --json` prints it. Fields are added, not changed, within one `version`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ProcessReport {
    /// The version of this format: 1.
    pub version: u32,
    /// The process id.
    pub pid: u32,
    /// The file that the process executes, as /proc names it.
    pub executes: String,
    /// The kind of the process.
    pub verdict: ProcessKind,
    /// The explanation in a sentence.
    pub why: String,
    /// The path that was passed to execve(2): the program or a script; null if it cannot be read.
    pub called_with: Option<String>,
    /// The program that runs in the process, if known.
    pub program: Option<String>,
    /// The program's own argv\[0\]; null if it was not preserved.
    pub argv0: Option<String>,
    /// The program's other arguments.
    pub arguments: Vec<String>,
    /// The entry through which the emulator was started.
    pub entry: Option<ProcessOrigin>,
    /// Additional notes.
    pub notes: Vec<String>,
    /// The result of executing the program now, by a path that is valid here.
    pub now: Option<Explanation>,
}

/// The kind of program that runs in a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ProcessKind {
    /// The program itself.
    Native,
    /// The interpreter of a script, a program of this machine.
    Script,
    /// An emulator that the kernel started for a program.
    Emulated,
    /// An emulator that was started directly, with the program as its argument.
    ByHand,
    /// The kind is unknown.
    Unknown,
}

/// The entry of the table that a process came from.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ProcessOrigin {
    /// The name of the entry.
    pub name: String,
    /// Whether this entry would take the program now; otherwise another entry has the same interpreter.
    pub takes_it_now: bool,
    /// Whether the file that it starts now is the one that the process executes.
    pub starts: CurrentEmulator,
}

/// The file that an entry starts now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum CurrentEmulator {
    /// The same file that the process executes.
    Same,
    /// Another file: the entry was registered again, or its interpreter was replaced.
    Other,
    /// A file that could not be determined.
    Unknown,
}

/// The facts about a process.
#[derive(Debug, Clone, Default)]
pub struct ProcessInfo {
    /// The kernel's name of the file that the process executes.
    pub executes: Vec<u8>,
    /// All arguments of the process, as the emulator got them.
    pub arguments: Vec<Vec<u8>>,
    /// The path that was passed to execve(2); `None` if the memory cannot be read.
    pub execfn: Option<Vec<u8>>,
    /// Whether that path is the file that the process executes; `None` if the path does not exist.
    pub is_itself: Option<bool>,
    /// Whether flag P was set; `None` if unknown.
    pub preserves: Option<bool>,
}

/// The program in a process, and the meaning of its arguments.
#[derive(Debug, PartialEq, Eq)]
pub struct Analysis {
    /// The kind of the process.
    pub verdict: ProcessKind,
    /// The path of the program.
    pub program: Option<Vec<u8>>,
    /// The program's own argv\[0\].
    pub argv0: Option<Vec<u8>>,
    /// The program's other arguments.
    pub arguments: Vec<Vec<u8>>,
}

/// Interprets the facts; `interpreters` are those of the entries.
pub fn analyse(info: &ProcessInfo, interpreters: &[&[u8]]) -> Analysis {
    let first = info.arguments.first().map_or(&[][..], Vec::as_slice);
    let is_entry_interpreter = interpreters.contains(&first);
    let direct = |verdict, program| Analysis {
        verdict,
        program,
        argv0: info.arguments.first().cloned(),
        arguments: info.arguments.iter().skip(1).cloned().collect(),
    };
    match (&info.execfn, info.is_itself) {
        (Some(execfn), Some(true)) => direct(
            if has_emulator_name(&info.executes) { ProcessKind::ByHand } else { ProcessKind::Native },
            Some(execfn.clone()),
        ),
        // The first argument is the interpreter in an entry's rule or in a script's line.
        _ if is_entry_interpreter => analyse_emulated(info),
        (Some(execfn), Some(false)) if has_emulator_name(&info.executes) => {
            Analysis { program: Some(execfn.clone()), ..analyse_emulated(info) }
        }
        (Some(execfn), Some(false)) => direct(ProcessKind::Script, Some(execfn.clone())),
        (execfn, _) => direct(ProcessKind::Unknown, execfn.clone()),
    }
}

/// Splits `interpreter path [argv0] arguments…`, the arguments that `load_misc_binary` makes.
fn analyse_emulated(info: &ProcessInfo) -> Analysis {
    let mut rest = info.arguments.iter().skip(1).cloned();
    let program = rest.next().or_else(|| info.execfn.clone());
    let argv0 = if info.preserves == Some(true) { rest.next() } else { None };
    Analysis { verdict: ProcessKind::Emulated, program, argv0, arguments: rest.collect() }
}

/// Whether a file has the name of an emulator. The name is the only fact available.
fn has_emulator_name(path: &[u8]) -> bool {
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    name.starts_with(b"qemu-") && !name.starts_with(b"qemu-system")
}

impl Analysis {
    /// Explains the kind of the process in a sentence.
    pub(super) fn reason_text(&self, info: &ProcessInfo) -> String {
        let program = self.program.as_ref().map_or_else(|| "a program".to_owned(), |program| text_of_bytes(program));
        match self.verdict {
            ProcessKind::Native => format!("the kernel runs {program} natively"),
            ProcessKind::Script => format!("{program} is a script, and {} runs it", text_of_bytes(&info.executes)),
            ProcessKind::Emulated => {
                format!("{} emulates {program}; the kernel started it", text_of_bytes(&info.executes))
            }
            ProcessKind::ByHand => {
                format!("{program} was started directly, by its own name, and not through an entry of the table")
            }
            ProcessKind::Unknown => {
                format!(
                    "the path that was passed to execve(2) cannot be compared with {}",
                    text_of_bytes(&info.executes)
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<Vec<u8>> {
        text.split_whitespace().map(|word| word.as_bytes().to_vec()).collect()
    }

    fn info(executes: &str, arguments: &str, execfn: &str, is_itself: bool, preserves: bool) -> ProcessInfo {
        ProcessInfo {
            executes: executes.into(),
            arguments: words(arguments),
            execfn: Some(execfn.into()),
            is_itself: Some(is_itself),
            preserves: Some(preserves),
        }
    }

    #[test]
    fn flag_p_determines_the_meaning_of_arguments() {
        let entries = [b"/q/qemu-arm".as_slice()];
        let with = analyse(&info("/q/qemu-arm", "/q/qemu-arm ./a name x", "./a", false, true), &entries);
        assert_eq!(
            (with.verdict, with.argv0, with.arguments),
            (ProcessKind::Emulated, Some("name".into()), words("x"))
        );
        let without = analyse(&info("/q/qemu-arm", "/q/qemu-arm ./a name x", "./a", false, false), &entries);
        assert_eq!((without.program, without.argv0, without.arguments), (Some("./a".into()), None, words("name x")));
    }

    #[test]
    fn the_kind_of_a_process_is_recognised() {
        let verdict = |info: &ProcessInfo| analyse(info, &[]).verdict;
        assert_eq!(verdict(&info("/bin/cat", "cat x", "/bin/cat", true, false)), ProcessKind::Native);
        assert_eq!(verdict(&info("/bin/sh", "/bin/sh ./s", "./s", false, false)), ProcessKind::Script);
        assert_eq!(verdict(&info("/q/qemu-arm", "qemu-arm ./a", "/q/qemu-arm", true, false)), ProcessKind::ByHand);
        // Its entry no longer exists.
        assert_eq!(verdict(&info("/q/qemu-arm", "/q/qemu-arm ./a", "./a", false, false)), ProcessKind::Emulated);
        assert_eq!(verdict(&ProcessInfo::default()), ProcessKind::Unknown);
    }
}
