//! Confined worker processes: this program runs again in a child process with as few rights as possible, and handles
//! untrusted data there.
//!
//! The worker gives up its user, its capabilities, all files and most system calls before it reads the first untrusted
//! byte ([`confine`], [`seccomp`]). It returns messages and bytes over a pipe ([`frame`]). Only the parent has files to
//! write them to. The parent trusts the worker no more than the source of the data: it validates every message, and
//! verifies the digest of all bytes before a file gets its final name.
//!
//! The beginning of a worker is the same for all ([`session`]). What a worker does, and which messages it sends, is
//! defined by the rooms that start it.
//!
//! The parent limits the time of a worker, and demands progress ([`pace`]).
//!
//! The worker ends with its parent. It inherits neither locks nor files of the parent.

pub mod confine;
pub mod frame;
pub mod pace;
pub mod seccomp;
pub mod session;

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::error::{Error, Result};
use crate::host::{Worker, WorkerOutput};
use crate::sandbox::frame::MissingProtection;
use crate::sandbox::pace::{Pace, PaceLimits};
use crate::sanitize::to_one_line;

/// Time between two checks for a signal.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// Longest time that one poll counts for. A process that was stopped for a while is therefore not affected.
const MAX_POLL_TIME: Duration = POLL_INTERVAL.saturating_mul(2);

/// State of a worker after some of its output.
#[derive(Debug)]
pub(crate) enum WorkerState<T> {
    /// The work is not complete. The number grows with each accepted byte (see [`pace`]).
    Working(u64),
    /// The work is complete.
    Done(T),
}

impl<T> WorkerState<T> {
    /// Makes the state from the result of the work, if there is one, and from its progress.
    pub(crate) fn new(result: Option<T>, progress: u64) -> Self {
        result.map_or(Self::Working(progress), Self::Done)
    }
}

/// Passes the output of a worker to `handle_input` until the work is complete, within these limits. `check_interrupt` is
/// called before each poll. `worker_error` makes the error if the process itself fails.
pub(crate) fn supervise<T>(
    started: io::Result<Worker>,
    limits: PaceLimits,
    worker_error: &dyn Fn(String) -> Error,
    check_interrupt: &mut dyn FnMut() -> Result<()>,
    handle_input: &mut dyn FnMut(&[u8]) -> Result<WorkerState<T>>,
) -> Result<T> {
    let io_failed = |e: io::Error| worker_error(format!("cannot be reached: {e}"));
    let mut worker = started.map_err(|e| worker_error(format!("cannot be started: {e}")))?;
    let mut buffer = vec![0; 512 << 10];
    let (mut pace, mut progress, mut last_poll) = (Pace::new(limits), 0, Instant::now());
    loop {
        check_interrupt()?;
        let now = Instant::now();
        let since = now.duration_since(last_poll).min(MAX_POLL_TIME);
        pace.advance(since, progress).map_err(|e| worker_error(e.to_string()))?;
        last_poll = now;
        match worker.poll(&mut buffer, POLL_INTERVAL).map_err(io_failed)? {
            WorkerOutput::Idle => {}
            WorkerOutput::Bytes(length) => match handle_input(buffer.get(..length).unwrap_or_default())? {
                WorkerState::Working(so_far) => progress = so_far,
                WorkerState::Done(result) => return Ok(result),
            },
            WorkerOutput::Eof => {
                let (status, stderr) = worker.wait_for_exit().map_err(io_failed)?;
                return Err(worker_error(describe_exit(status, &stderr)));
            }
        }
    }
}

/// Describes how a worker ended before its work was complete.
fn describe_exit(status: ExitStatus, stderr: &str) -> String {
    let how = match status.signal() {
        Some(signal) => {
            let name = Signal::try_from(signal).map_or("", Signal::as_str);
            format!("was killed by signal {signal} {name}")
        }
        None => format!("ended too early, with {status}"),
    };
    // Workers print their errors as this program does.
    match stderr.trim().trim_start_matches("error: ") {
        "" => how,
        stderr => format!("{how}: {}", to_one_line(stderr)),
    }
}

/// Returns a note about the protections that this kernel lacks, if it lacks any. `work` names the worker:
/// "download".
pub(crate) fn describe_missing(missing: &[MissingProtection], work: &str) -> Option<String> {
    let name_if_missing = |protection: MissingProtection, name| missing.contains(&protection).then_some(name);
    let names: Vec<_> = [
        name_if_missing(MissingProtection::Landlock, "no Landlock"),
        name_if_missing(MissingProtection::Seccomp, "no seccomp filters"),
        name_if_missing(MissingProtection::User, "no way to become another user"),
    ]
    .into_iter()
    .flatten()
    .collect();
    let names = names.join(" and ");
    let note = || format!("this kernel or container has {names}: the {work} worker could not give up all its rights");
    (!names.is_empty()).then(note)
}
