//! What the kernel does with a file that it is told to execute, and why.
//!
//! [`explain`] reads a file as Linux 6.18 does (`fs/exec.c`, `fs/binfmt_misc.c`, `fs/binfmt_script.c`,
//! `fs/binfmt_elf.c`): the first 256 bytes, the table from its newest entry on, then `#!`, then ELF; and goes on with
//! the interpreter, if there is one. It is pure: what is on the disk comes by a function that the caller brings.
//! [`on`] is the one that looks at the machine, [`process`] says what a process that runs came from.
//!
//! `tests/it/diagnose/explain/execve.rs` holds the answers against what execve(2) does.
//!
//! What it cannot see: a security module that forbids it, and a file that some process has open for writing (ETXTBSY).

mod elf;
mod entries;
mod loader;
mod look;
pub mod process;
mod repair;
mod running;
mod script;
mod tried;
mod types;
mod walk;

pub use elf::Elf;
pub use entries::{Differs, EntryLine};
pub use loader::{Loader, Support};
pub use look::{Machine, on};
pub use running::process as of_process;
pub use script::{InvalidScriptLine, Script};
pub use tried::try_out;
pub use types::{Explanation, Interpreter, Linking, Look, Looked, Obstacle, Step, TableState, Taker, Verdict, What};
pub use walk::explain;

/// Bytes from elsewhere as text.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
