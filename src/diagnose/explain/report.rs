//! The explanation, as `explain --json` prints it, and the data that it is made from.
//!
//! Fields are added, not changed, within one `version`. `tests/it/diagnose/explain/json.rs` checks the names of fields
//! and values.

use std::fmt;

use nix::errno::Errno;
use serde::Serialize;

use super::{Elf, EntryReport, FileKind, ScriptLine};

/// The result of executing a file.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Explanation {
    /// The version of this format: 1.
    pub version: u32,
    /// The file, as it was given.
    pub file: String,
    /// The verdict in a word.
    pub verdict: ExecVerdict,
    /// Whether the file would run.
    pub runs: bool,
    /// The error of execve(2) (`ENOEXEC`); null if it starts a program.
    pub errno: Option<String>,
    /// The verdict in a sentence.
    pub why: String,
    /// The state of the kernel's table.
    pub table: TableState,
    /// Whether the table is that of a user namespace instead of the machine's.
    pub in_user_namespace: bool,
    /// Entries of type B, and of a newer kernel: the files that they match are unknown.
    pub strange: Vec<String>,
    /// The file, then each interpreter that the kernel reads because of the one before.
    pub steps: Vec<ExecStep>,
    /// The commands that make the file run, in the order in which they are needed.
    pub repairs: Vec<String>,
    /// The command that runs the file once, without root; null if this kernel cannot, or nothing is gained.
    pub without_root: Option<String>,
}

/// The verdict about a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ExecVerdict {
    /// The kernel runs the file natively, or with the interpreter in its first line.
    Native,
    /// An entry of the table starts an emulator for a program of another system.
    Emulated,
    /// An entry of the table starts an interpreter for a file that is not a program of another system.
    Interpreted,
    /// An entry starts an emulator, but the program's loader is missing.
    LoaderMissing,
    /// A program is started, but it makes the system calls of another operating system than Linux.
    OtherOs,
    /// A program is started, but its file ends before what its headers describe.
    CutOff,
    /// A library is started, which has no entry point.
    Library,
    /// A script's interpreter is started with an argument that ends in a carriage return.
    CarriageReturn,
    /// execve(2) fails.
    Refused,
    /// The result depends on a fact that is not visible here.
    Unknown,
}

/// The state of the kernel's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum TableState {
    /// The table is in force.
    InForce,
    /// Its `status` says "disabled".
    SwitchedOff,
    /// No table is mounted.
    NotMounted,
    /// No table is mounted, but the entries of the container's host are in force.
    Hidden,
    /// A tree below `--root` without a kernel.
    Offline,
}

/// One file of the chain.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ExecStep {
    /// The path that the kernel got; rules by extension compare it.
    pub path: String,
    /// The kind of the file.
    pub what: FileKind,
    /// The processors for which a program of another operating system is made; null for other files.
    pub processors: Option<String>,
    /// The ELF header in words; null for other files.
    pub elf: Option<Elf>,
    /// The first line of a script; null for other files.
    pub script: Option<ScriptLine>,
    /// Every entry that could be parsed, in the kernel's order.
    pub entries: Vec<EntryReport>,
    /// The part of the kernel that takes the file.
    pub taken_by: Handler,
    /// The interpreter that is started for the file, if any.
    pub interpreter: Option<InterpreterReport>,
}

impl ExecStep {
    /// Describes the content of the file, as words that follow "it is".
    pub fn content_text(&self) -> String {
        let processors = self.processors.as_ref().map(|names| format!(" for {names}")).unwrap_or_default();
        format!("{}{processors}", self.what.description())
    }
}

/// The part of the kernel that takes a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "by", rename_all = "kebab-case")]
pub enum Handler {
    /// An entry of the table.
    Entry {
        /// the name of the entry
        name: String,
    },
    /// The kernel's reader of `#!` lines.
    Script,
    /// The kernel's own loader of programs.
    Elf,
    /// Nothing takes the file.
    #[serde(rename = "nobody")]
    Unhandled,
}

/// The interpreter that is started for a file.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct InterpreterReport {
    /// The path of the interpreter.
    pub path: String,
    /// The flags of the entry, in the kernel's order; null for a script.
    pub flags: Option<String>,
    /// Whether the kernel holds the file since the registration (flag F), even if another file is at the path now.
    pub held: bool,
    /// Whether the kernel holds the file that is at the path now; null if that was not tried.
    pub is_the_file: Option<bool>,
    /// Whether the interpreter can be executed here.
    pub opens: bool,
    /// The error of execve(2) if it cannot be executed.
    pub errno: Option<String>,
    /// The reason of that error in words.
    pub detail: Option<String>,
    /// Whether the interpreter needs a loader and libraries of its own; null if the file could not be read.
    pub linking: Option<Linking>,
    /// Whether the interpreter also starts in a chroot, container or sandbox that does not contain it.
    pub in_sandbox: bool,
}

/// Whether a program needs other files to start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Linking {
    /// A static program.
    Static,
    /// A program that names a loader (`PT_INTERP`), which loads libraries.
    Dynamic {
        /// the path of the loader
        loader: String,
        /// whether the loader exists
        present: bool,
    },
}

/// A file as execve(2) finds it.
pub struct OpenedFile {
    /// The first 256 bytes, or all bytes of a shorter file.
    pub head: Vec<u8>,
    /// The size of the file in bytes.
    pub size: u64,
    /// The reason why the file cannot be executed although it can be read: its mode, or its mount.
    pub obstacle: Option<AccessProblem>,
    /// A function that reads bytes at an offset; it returns fewer if the file ends.
    pub read: Box<dyn Fn(u64, usize) -> Vec<u8>>,
}

impl fmt::Debug for OpenedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenedFile").field("head", &self.head).field("obstacle", &self.obstacle).finish_non_exhaustive()
    }
}

/// The reason why the kernel does not open a file for execution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessProblem {
    /// The error of execve(2); `None` if unknown.
    pub errno: Option<Errno>,
    /// The reason, as words that follow the path: "is a directory".
    pub why: String,
    /// The command that removes the cause.
    pub repair: Option<String>,
}

/// A function that opens a file by the path that the kernel uses.
pub type FileLookup<'a> = dyn Fn(&[u8]) -> Result<OpenedFile, AccessProblem> + 'a;
