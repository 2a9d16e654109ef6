//! Downloads in a process of its own, with as few rights as there can be.
//!
//! What comes from the network is read, decrypted and decoded by a child: this program again, which has
//! given up its user, its capabilities, all files and most of the system calls before the first byte
//! comes (`confine`). It gives back bytes over a pipe. Only the parent has files to write them to, and
//! it trusts the child no more than a mirror: what it says is checked (`receive`), and what it gave is
//! hashed again before it gets a name.
//!
//! Images are pulled from registries the same way (`pull`): what comes is followed by the parent's own chain of digests.
//!
//! Archives that the user names are unpacked the same way (`unpack`), in a process that has no network either; so
//! are the lists that Debian signed read (`verify`).
//!
//! The child dies with its parent, and holds nothing of the parent's: no lock, no file.

pub mod confine;
pub mod frame;
pub mod seccomp;
pub mod session;

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::error::{Error, Result};
use crate::host::{Worker, WorkerOutput};
use crate::sandbox::frame::MissingProtection;
use crate::sanitize::to_one_line;

/// How soon a signal is heard.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// So many turns without a word, five minutes, and the child is given up: it would have given up the
/// mirror long before. Counted in turns, so that a process that was stopped for a while is forgiven.
const MAX_SILENT_POLLS: u32 = 6000;

/// Gives what a child says to `take` until that has all it wants. What goes wrong with the process is told by `process`.
pub(crate) fn supervise<T>(
    started: io::Result<Worker>,
    process: &dyn Fn(String) -> Error,
    go_on: &mut dyn FnMut() -> Result<()>,
    take: &mut dyn FnMut(&[u8]) -> Result<Option<T>>,
) -> Result<T> {
    let broken = |e: io::Error| process(format!("cannot be talked with: {e}"));
    let mut worker = started.map_err(|e| process(format!("cannot be started: {e}")))?;
    let mut buffer = vec![0; 512 << 10];
    let mut silent = 0;
    while silent < MAX_SILENT_POLLS {
        go_on()?;
        match worker.poll(&mut buffer, POLL_INTERVAL).map_err(broken)? {
            WorkerOutput::Idle => silent = silent.saturating_add(1),
            WorkerOutput::Bytes(length) => {
                silent = 0;
                if let Some(all) = take(buffer.get(..length).unwrap_or_default())? {
                    return Ok(all);
                }
            }
            WorkerOutput::Eof => {
                let (status, complaints) = worker.wait_for_exit().map_err(broken)?;
                return Err(process(describe_exit(status, &complaints)));
            }
        }
    }
    Err(process("said nothing for five minutes".to_owned()))
}

/// How the child ended before it had done its work, for people.
fn describe_exit(status: ExitStatus, complaints: &str) -> String {
    let how = match status.signal() {
        Some(signal) => {
            let name = Signal::try_from(signal).map_or("", Signal::as_str);
            format!("was killed by signal {signal} {name}")
        }
        None => format!("ended too early, with {status}"),
    };
    match complaints.trim() {
        "" => how,
        complaints => format!("{how}: {}", to_one_line(complaints)),
    }
}

/// What the user should know of this kernel, if there is something.
pub(crate) fn describe_missing(lacks: &[MissingProtection], work: &str) -> Option<String> {
    let missing = |lack: MissingProtection, name| lacks.contains(&lack).then_some(name);
    let missing: Vec<_> = [
        missing(MissingProtection::Landlock, "no Landlock"),
        missing(MissingProtection::Seccomp, "no seccomp filters"),
        missing(MissingProtection::User, "no way to become another user"),
    ]
    .into_iter()
    .flatten()
    .collect();
    let missing = missing.join(" and ");
    let note =
        || format!("this kernel or container has {missing}: the process that {work} could not give up all its rights");
    (!missing.is_empty()).then(note)
}
