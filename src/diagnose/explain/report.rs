//! The answer, as `explain --json` prints it, and the data that it is made from.
//!
//! Fields are added, not changed, within one `version`. The names of fields and values are held by
//! `tests/it/diagnose/explain/json.rs`.

use std::fmt;

use nix::errno::Errno;
use serde::Serialize;

use super::{Elf, EntryReport, ScriptLine};

/// What becomes of a file when it is executed.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Explanation {
    /// The version of this format: 1.
    pub version: u32,
    /// The file, as it was given.
    pub file: String,
    /// The verdict in a word.
    pub verdict: ExecVerdict,
    /// Whether it would run.
    pub runs: bool,
    /// The error of execve(2) (`ENOEXEC`); null if it starts a program.
    pub errno: Option<String>,
    /// The verdict in a sentence.
    pub why: String,
    /// The kernel's table.
    pub table: TableState,
    /// Whether the table is that of a user namespace instead of the machine's.
    pub in_user_namespace: bool,
    /// Entries with flags or a type of a newer kernel: the files that they match are unknown.
    pub strange: Vec<String>,
    /// The file, then each interpreter that the kernel reads because of the one before.
    pub steps: Vec<ExecStep>,
    /// Commands that make it run, or are steps towards that.
    pub repairs: Vec<String>,
}

/// The answer in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ExecVerdict {
    /// The kernel runs it, directly or by the interpreter in its first line.
    Native,
    /// An entry of the table runs it.
    Emulated,
    /// An entry starts an emulator, but the program's loader is missing.
    LoaderMissing,
    /// execve(2) fails.
    Refused,
    /// It depends on a fact that is not visible here.
    Unknown,
}

/// The kernel's table.
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

/// One file on the way.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ExecStep {
    /// The path that the kernel got; rules by extension compare it.
    pub path: String,
    /// The kind of its first bytes.
    pub what: FileKind,
    /// Its ELF header in words.
    pub elf: Option<Elf>,
    /// Its first line.
    pub script: Option<ScriptLine>,
    /// Every entry that could be parsed, in the kernel's order.
    pub entries: Vec<EntryReport>,
    /// The part of the kernel that takes the file.
    pub taken_by: Handler,
    /// The interpreter that is started for it, if any.
    pub interpreter: Option<InterpreterReport>,
}

/// What a file's first bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum FileKind {
    /// `\x7fELF`
    Elf,
    /// `#!`
    Script,
    /// The file is empty.
    Empty,
    /// No NUL and no control characters.
    Text,
    /// Anything else.
    Data,
}

/// Who takes a file.
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
    /// Nothing takes it.
    Nobody,
}

/// What is started for a file.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct InterpreterReport {
    /// The path of the interpreter.
    pub path: String,
    /// The flags of the entry, in the kernel's order; null for a script.
    pub flags: Option<String>,
    /// Whether the kernel holds it since the registration (flag F), whatever is at its path now.
    pub held: bool,
    /// Whether the kernel holds the file that is at its path now; null if that was not tried.
    pub is_the_file: Option<bool>,
    /// Whether it can be executed here.
    pub opens: bool,
    /// The reason why it cannot.
    pub errno: Option<String>,
    /// The reason in words.
    pub detail: Option<String>,
    /// Whether it needs a loader and libraries of its own; null if it could not be read.
    pub linking: Option<Linking>,
    /// Whether it also starts in a chroot, container or sandbox that does not contain it.
    pub in_sandbox: bool,
}

/// Whether a program needs others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Linking {
    /// It is static.
    Static,
    /// It names a loader (`PT_INTERP`), which loads libraries.
    Dynamic {
        /// the path of the loader
        loader: String,
        /// whether the loader exists
        present: bool,
    },
}

/// A file as execve(2) finds it.
pub struct OpenedFile {
    /// Its first 256 bytes, or all of them.
    pub head: Vec<u8>,
    /// Why it cannot be executed although it can be read: its mode, or its mount.
    pub obstacle: Option<AccessProblem>,
    /// Reads bytes at an offset; fewer if the file ends.
    pub read: Box<dyn Fn(u64, usize) -> Vec<u8>>,
}

impl fmt::Debug for OpenedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Looked").field("head", &self.head).field("obstacle", &self.obstacle).finish_non_exhaustive()
    }
}

/// Why the kernel does not open a file to execute it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessProblem {
    /// The error of execve(2); `None` if unknown.
    pub errno: Option<Errno>,
    /// The reason, as words that follow the path: "is a directory".
    pub why: String,
    /// The command that removes the cause.
    pub repair: Option<String>,
}

/// Looks at a file by the path that the kernel uses.
pub type FileLookup<'a> = dyn Fn(&[u8]) -> Result<OpenedFile, AccessProblem> + 'a;
