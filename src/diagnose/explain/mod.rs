//! `explain`: shows what execve(2) does with a file, and why.
//!
//! [`explain_exec`] reads a file as Linux 6.18 does (`fs/exec.c`, `fs/binfmt_misc.c`, `fs/binfmt_script.c`,
//! `fs/binfmt_elf.c`): the first 256 bytes, the table from its newest entry on, then `#!`, then ELF. If the file has an
//! interpreter, the function continues with the interpreter. It is pure: the caller passes a function that reads files.
//! [`gather`] reads the machine, and [`process`] explains the origin of a running process.
//!
//! `tests/it/diagnose/explain/execve.rs` compares the answers with execve(2).
//!
//! Two causes are invisible to this module: a security module that forbids the execution, and a process that has the
//! file open for writing (ETXTBSY).

pub mod elf;
pub mod elf_names;
pub mod entries;
pub mod execve;
pub mod file_kind;
pub mod flaw;
pub mod gather;
pub mod loader;
pub mod probe;
pub mod process;
pub mod process_gather;
pub mod repair;
pub mod report;
pub mod start;
pub mod target_os;

use crate::binfmt::script;
pub use crate::binfmt::script::{InvalidScriptLine, ScriptLine};
pub use elf::Elf;
pub use entries::{EntryMismatch, EntryReport};
pub use execve::{explain_exec, explain_exec_below};
pub use file_kind::FileKind;
pub use gather::{MachineFacts, explain_file, find_interpreter_start};
pub use loader::{Loader, LoaderSupport};
pub use probe::probe_interpreters;
pub use process_gather::explain_process as of_process;
pub use report::{
    AccessProblem, ExecStep, ExecVerdict, Explanation, FileLookup, Handler, InterpreterReport, Linking, OpenedFile,
    TableState,
};
pub use start::{InterpreterFileKind, InterpreterStart, StartResult};
pub use target_os::TargetOs;
