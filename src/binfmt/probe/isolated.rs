//! A probe that is shut in: what runs there needs nothing of the machine but the kernel.
//!
//! This program starts itself as a hidden command, which moves into namespaces of its own, mounts a room there, and
//! becomes the probe. So it needs no root where ordinary users may have namespaces, and it leaves nothing behind.

use std::ffi::OsStr;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitStatus;

use binfmt_magic::Arch;

use super::{PROBE_ARGV0, ProbeResult, classify_run, finish_probe};
use crate::binfmt::userns::enter::read_limits;
use crate::binfmt::userns::limits;
use crate::error::{Error, ExitCode, Result};
use crate::host::{self, Host, INTERNAL, NamespaceError, StoppedChild};

/// The `internal` subcommand: it enters a room and becomes the probe of a system there.
pub const ENTER_ISOLATION: &str = "probe";

/// What the hidden command writes to its standard error if the kernel does not start the probe: a line of this word and
/// the errno, before the line for people.
const EXEC_ERRNO: &str = "exec-errno=";

/// How a probe is shut in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// Not at all; it is a file in memory.
    Open,
    /// A chroot with nothing else in it.
    Chroot,
    /// Nix's sandbox: all its namespaces, and by pivot_root(2) a root with nothing but the probe and /proc.
    Sandbox,
    /// The second half of that: the first process of the new namespace of processes.
    Inside,
}

impl Isolation {
    const ALL: [Self; 4] = [Self::Open, Self::Chroot, Self::Sandbox, Self::Inside];

    fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Chroot => "chroot",
            Self::Sandbox => "sandbox",
            Self::Inside => "inside",
        }
    }
}

/// Starts the probe of a system in a room.
pub fn run_isolated(room: Isolation, arch: &Arch) -> ProbeResult {
    let words = [INTERNAL, ENTER_ISOLATION, room.name(), arch.target].map(OsStr::new);
    let child = match StoppedChild::spawn(Path::new("/proc/self/exe"), &words, None) {
        Ok(child) => child,
        Err(e) => return ProbeResult::NotRun(format!("this program cannot start itself: {e}")),
    };
    let trial = match room {
        // The probe is not this child, but a child of it.
        Isolation::Sandbox | Isolation::Inside => wait_for_probe(child),
        Isolation::Open | Isolation::Chroot => finish_probe(child),
    };
    trial.unwrap_or_else(|e| ProbeResult::Failed(format!("it cannot be watched: {e}")))
}

fn wait_for_probe(child: StoppedChild) -> io::Result<ProbeResult> {
    let (status, output, complaints) = child.finish()?;
    let complaints = complaints.trim().to_owned();
    if status.success() {
        return Ok(classify_run(None, status, &output, complaints));
    }
    Ok(parse_refusal(status, &complaints))
}

/// What it means that the hidden command ended by itself: its exit status is that of an error, and its complaint the
/// error's text, after the errno if there is one.
pub(super) fn parse_refusal(status: ExitStatus, complaints: &str) -> ProbeResult {
    let errno = complaints.lines().find_map(|line| line.strip_prefix(EXEC_ERRNO)?.parse().ok());
    let mut lines = complaints.lines().filter(|line| !line.starts_with(EXEC_ERRNO));
    let why = lines.next().unwrap_or_default().trim_start_matches("error: ");
    let code = |code: ExitCode| Some(code as i32);
    match status.code() {
        given if given == code(ExitCode::Unsupported) => ProbeResult::NotRun(why.to_owned()),
        given if given == code(ExitCode::NotExecutable) || given == code(ExitCode::NoCommand) => {
            let refused = errno.map(|errno| ProbeResult::Refused(io::Error::from_raw_os_error(errno)));
            refused.unwrap_or_else(|| ProbeResult::Failed(why.to_owned()))
        }
        _ => ProbeResult::Failed(format!(
            "the emulator ended with {status}{}{complaints}",
            if why.is_empty() { "" } else { ": " }
        )),
    }
}

/// The hidden command's part. Returns only if something fails, or if another process did it.
pub fn exec_isolated(host: &Host, room: &str, system: &str) -> Result<ExitCode> {
    let room = Isolation::ALL.into_iter().find(|known| known.name() == room);
    let room = room.ok_or_else(|| Error::Usage(format!("{ENTER_ISOLATION} knows no such room")))?;
    let bytes = Arch::find(system)?.probe().unwrap_or_default();
    let refused = |refusal: NamespaceError| limits::explain_refusal(refusal.step, &refusal.source, &read_limits(host));
    match room {
        Isolation::Open | Isolation::Chroot => host::isolation::unshare_mounts().map_err(refused)?,
        Isolation::Sandbox => {
            host::isolation::unshare_sandbox().map_err(refused)?;
            return run_as_init(system);
        }
        Isolation::Inside => {
            host::isolation::die_with_parent().map_err(|e| isolation_error("be ended with its parent", &e))?;
        }
    }
    let dir =
        host::isolation::mount_probe_root(bytes).map_err(|e| isolation_error("mount a directory in memory", &e))?;
    let error = match room {
        Isolation::Open => host::isolation::exec_probe(&dir, PROBE_ARGV0),
        Isolation::Chroot => {
            host::isolation::enter_chroot(&dir).map_err(|e| isolation_error("enter a chroot", &e))?;
            host::isolation::exec_probe(Path::new("/"), PROBE_ARGV0)
        }
        Isolation::Sandbox | Isolation::Inside => {
            // Inside a container it may be forbidden, and no emulator needs it.
            drop(host::isolation::mount_proc(&dir));
            host::isolation::pivot_to(&dir).map_err(|e| isolation_error("change the root directory", &e))?;
            host::isolation::exec_probe(Path::new("/"), PROBE_ARGV0)
        }
    };
    if let Some(errno) = error.raw_os_error() {
        // Without the errno, the parent still has the exit status and the text.
        drop(writeln!(io::stderr().lock(), "{EXEC_ERRNO}{errno}"));
    }
    Err(Error::Command { command: "the probe".into(), source: error })
}

/// Ends as the process inside ends, which has said why.
fn run_as_init(system: &str) -> Result<ExitCode> {
    let ended = host::isolation::respawn_as_init(&[ENTER_ISOLATION, Isolation::Inside.name(), system]);
    let status = ended.map_err(|e| isolation_error("start this program in a namespace of processes", &e))?;
    let known = [ExitCode::Ok, ExitCode::Unsupported, ExitCode::NotExecutable, ExitCode::NoCommand];
    match known.into_iter().find(|code| status.code() == Some(*code as i32)) {
        Some(code) => Ok(code),
        None => Err(Error::Command { command: "the probe".into(), source: io::Error::other(status.to_string()) }),
    }
}

fn isolation_error(what: &str, source: &io::Error) -> Error {
    Error::Unsupported { what: format!("cannot {what}: {source}"), hint: String::new() }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    fn ended(code: ExitCode, complaints: &str) -> ProbeResult {
        parse_refusal(ExitStatus::from_raw((code as i32) << 8), complaints)
    }

    #[test]
    fn the_errno_of_a_refused_probe_is_kept() {
        let complaints = "exec-errno=8\nerror: cannot run the probe: some words";
        let refused = ended(ExitCode::NotExecutable, complaints);
        assert!(matches!(&refused, ProbeResult::Refused(e) if e.raw_os_error() == Some(8)), "{refused:?}");
        let ended_by_itself = ended(ExitCode::NotExecutable, "error: cannot run the probe: (os error 8)");
        assert!(matches!(&ended_by_itself, ProbeResult::Failed(why) if why == "cannot run the probe: (os error 8)"));
        let untried = ended(ExitCode::Unsupported, "error: cannot enter a chroot");
        assert!(matches!(&untried, ProbeResult::NotRun(why) if why == "cannot enter a chroot"), "{untried:?}");
    }
}
