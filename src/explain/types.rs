//! The answer, as `explain --json` prints it, and what it is made from.
//!
//! Fields are added, not changed, within one `version`. The names of fields and values are held by
//! `tests/it/diagnose/explain/json.rs`.

use std::fmt;

use nix::errno::Errno;
use serde::Serialize;

use super::{Elf, EntryLine, Script};

/// What becomes of a file when it is executed.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Explanation {
    /// Of this format: 1.
    pub version: u32,
    /// The file, as it was named.
    pub file: String,
    /// In a word.
    pub verdict: Verdict,
    /// It would run.
    pub runs: bool,
    /// What execve(2) fails with (`ENOEXEC`); null if it starts something.
    pub errno: Option<String>,
    /// In a sentence.
    pub why: String,
    /// The kernel's table.
    pub table: TableState,
    /// The table, or what stands in for it, is that of a user namespace, not the machine's.
    pub in_user_namespace: bool,
    /// Entries with flags or a type of a newer kernel: what they take is not known.
    pub strange: Vec<String>,
    /// The file, then each interpreter that the kernel reads because of the one before.
    pub steps: Vec<Step>,
    /// Lines to type, each of which makes it run or comes nearer to that.
    pub repairs: Vec<String>,
}

/// The answer in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The kernel runs it by itself, or by an interpreter that it names.
    Native,
    /// An entry of the table runs it.
    Emulated,
    /// An entry starts an emulator, which will not find what the program needs.
    LoaderMissing,
    /// execve(2) fails.
    Refused,
    /// It depends on something that cannot be seen from here.
    Unknown,
}

/// The kernel's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum TableState {
    /// It is looked at.
    InForce,
    /// Its `status` says "disabled".
    SwitchedOff,
    /// No table is mounted.
    NotMounted,
    /// No table is mounted, and yet entries are looked at: those of the machine that this container is on.
    Hidden,
    /// A tree below `--root` without a kernel.
    Offline,
}

/// One file on the way.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Step {
    /// The path that the kernel was given; rules by extension look at that.
    pub path: String,
    /// What its first bytes are.
    pub what: What,
    /// Its ELF header in words.
    pub elf: Option<Elf>,
    /// Its first line.
    pub script: Option<Script>,
    /// Every entry that is understood, in the kernel's order.
    pub entries: Vec<EntryLine>,
    /// Who goes on with it.
    pub taken_by: Taker,
    /// What is started for it, if the kernel does not run it by itself.
    pub interpreter: Option<Interpreter>,
}

/// What a file's first bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// `\x7fELF`
    Elf,
    /// `#!`
    Script,
    /// There are none.
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
pub enum Taker {
    /// An entry of the table.
    Entry {
        /// its name
        name: String,
    },
    /// The kernel's reader of `#!` lines.
    Script,
    /// The kernel's own loader of programs.
    Elf,
    /// Nothing.
    Nobody,
}

/// What is started for a file.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Interpreter {
    /// Its path.
    pub path: String,
    /// The flags of the entry, in the kernel's order; null for a script.
    pub flags: Option<String>,
    /// The kernel holds it since the registration (flag F), whatever is at its path.
    pub held: bool,
    /// What the kernel holds is the file that is at its path now; null if that was not tried.
    pub is_the_file: Option<bool>,
    /// It can be executed here.
    pub opens: bool,
    /// Why it cannot.
    pub errno: Option<String>,
    /// The same in words.
    pub detail: Option<String>,
    /// Whether it needs a loader and libraries of its own; null if it could not be read.
    pub linking: Option<Linking>,
    /// It also starts in a chroot, container or sandbox in which it is not visible.
    pub in_sandbox: bool,
}

/// Whether a program needs others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Linking {
    /// It needs nothing.
    Static,
    /// It names a loader (`PT_INTERP`), which brings in libraries.
    Dynamic {
        /// its path
        loader: String,
        /// it is there
        present: bool,
    },
}

/// A file as execve(2) finds it.
pub struct Looked {
    /// Its first 256 bytes, or all of them.
    pub head: Vec<u8>,
    /// Why it cannot be executed although it can be read: its mode, or its mount.
    pub obstacle: Option<Obstacle>,
    /// So many bytes from an offset on; fewer where the file ends.
    pub read: Box<dyn Fn(u64, usize) -> Vec<u8>>,
}

impl fmt::Debug for Looked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Looked").field("head", &self.head).field("obstacle", &self.obstacle).finish_non_exhaustive()
    }
}

/// Why the kernel does not open a file to execute it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Obstacle {
    /// What execve(2) answers; `None` if that cannot be told.
    pub errno: Option<Errno>,
    /// In words that follow the path: "is a directory".
    pub why: String,
    /// A line that takes it away.
    pub repair: Option<String>,
}

/// Looks at a file by the path that the kernel uses.
pub type Look<'a> = dyn Fn(&[u8]) -> Result<Looked, Obstacle> + 'a;
