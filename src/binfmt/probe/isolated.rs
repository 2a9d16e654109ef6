//! Isolated probes, which show that emulation works without any file of the host.
//!
//! The tool starts itself with a hidden subcommand. That process moves into new namespaces, mounts a small root
//! directory there, and executes the probe. It needs no root if ordinary users may create namespaces, and it leaves
//! nothing behind.

use std::ffi::OsStr;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitStatus;

use binfmt_magic::Arch;

use super::{PROBE_ARGV0, ProbeResult, classify_run, finish_probe, is_jit_refusal};
use crate::binfmt::userns::enter::{enter_empty_table, read_limits};
use crate::binfmt::userns::limits;
use crate::error::{Error, ExitCode, Result};
use crate::host::unprivileged::OwnProgram;
use crate::host::{self, Host, INTERNAL, NamespaceError, StoppedChild};

/// The `internal` subcommand that enters an isolation and executes the probe of a system there.
pub const ENTER_ISOLATION: &str = "probe";

/// The prefix of the line that the hidden subcommand writes to its standard error if the kernel does not start the
/// probe. The errno follows it. The line for people comes after it.
const EXEC_ERRNO: &str = "exec-errno=";

/// The end of the path with which an isolated probe is started.
pub const PROBE_PATH: &str = "/probe";

/// The kind of isolation of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// No isolation; the probe is a file in a tmpfs.
    Open,
    /// A chroot that contains only the probe.
    Chroot,
    /// All namespaces of Nix's sandbox, and by pivot_root(2) a root directory with only the probe and /proc.
    Sandbox,
    /// The second half of `Sandbox`: the first process of the new PID namespace.
    Inside,
    /// A user namespace with an empty table of its own, in which no entry takes the probe.
    EmptyTable,
}

impl Isolation {
    const ALL: [Self; 5] = [Self::Open, Self::Chroot, Self::Sandbox, Self::Inside, Self::EmptyTable];

    fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Chroot => "chroot",
            Self::Sandbox => "sandbox",
            Self::Inside => "inside",
            Self::EmptyTable => "empty-table",
        }
    }
}

/// Runs the probe of a system in an isolation.
pub fn run_isolated(isolation: Isolation, arch: &Arch) -> ProbeResult {
    let args = [INTERNAL, ENTER_ISOLATION, isolation.name(), arch.target].map(OsStr::new);
    let child = match StoppedChild::spawn(Path::new("/proc/self/exe"), &args, None) {
        Ok(child) => child,
        Err(e) => return ProbeResult::NotRun(format!("binfmt-nix cannot start itself: {e}")),
    };
    let result = match isolation {
        // The probe is not this child, but a child of it.
        Isolation::Sandbox | Isolation::Inside => wait_for_probe(child),
        Isolation::Open | Isolation::Chroot | Isolation::EmptyTable => finish_probe(child, Path::new(PROBE_PATH)),
    };
    result.unwrap_or_else(|e| ProbeResult::Failed(format!("cannot observe the probe's process: {e}")))
}

fn wait_for_probe(child: StoppedChild) -> io::Result<ProbeResult> {
    let (status, output, complaints) = child.finish()?;
    let complaints = complaints.trim().to_owned();
    if status.success() {
        return Ok(classify_run(None, status, &output, complaints));
    }
    Ok(parse_refusal(status, &complaints))
}

/// Interprets the end of a hidden subcommand that did not become the probe. Its exit status is that of an error. Its
/// standard error is the error's text, after the line with the errno if there is one.
pub(super) fn parse_refusal(status: ExitStatus, complaints: &str) -> ProbeResult {
    let errno = complaints.lines().find_map(|line| line.strip_prefix(EXEC_ERRNO)?.parse().ok());
    let mut lines = complaints.lines().filter(|line| !line.starts_with(EXEC_ERRNO));
    let first = lines.next().unwrap_or_default();
    // An emulator may end with one of these statuses, too.
    let is_own_error = first.starts_with("error: ");
    let why = first.trim_start_matches("error: ");
    let ended = || {
        let separator = if why.is_empty() { "" } else { ": " };
        ProbeResult::Failed(format!("the emulator ended with {status}{separator}{complaints}"))
    };
    let code = |code: ExitCode| Some(code as i32);
    match status.code() {
        exit if exit == code(ExitCode::Unsupported) && is_own_error => ProbeResult::NotRun(why.to_owned()),
        exit if exit == code(ExitCode::NotExecutable) || exit == code(ExitCode::NoCommand) => {
            let refused = errno.map(|errno| ProbeResult::Refused(io::Error::from_raw_os_error(errno)));
            refused.unwrap_or_else(|| if is_own_error { ProbeResult::Failed(why.to_owned()) } else { ended() })
        }
        _ if is_jit_refusal(complaints) => ProbeResult::JitRefused(complaints.to_owned()),
        _ => ended(),
    }
}

/// Runs the hidden subcommand: enters the isolation and executes the probe. Returns only if that fails, or if a child
/// process executed the probe.
pub fn exec_isolated(host: &Host, isolation: &str, system: &str) -> Result<ExitCode> {
    let known = Isolation::ALL.into_iter().find(|known| known.name() == isolation);
    let isolation =
        known.ok_or_else(|| Error::Usage(format!("unknown isolation {isolation:?} for internal {ENTER_ISOLATION}")))?;
    let bytes = Arch::find(system)?.probe().unwrap_or_default();
    let explained =
        |refusal: NamespaceError| limits::explain_refusal(refusal.step, &refusal.source, &read_limits(host), system);
    match isolation {
        Isolation::Open | Isolation::Chroot => host::isolation::unshare_mounts().map_err(explained)?,
        Isolation::Sandbox => {
            // That user may not be able to open it.
            let program = OwnProgram::open().map_err(|e| isolation_error("open its own program", &e))?;
            host::isolation::unshare_sandbox().map_err(explained)?;
            return run_as_init(&program, system);
        }
        Isolation::EmptyTable => enter_empty_table(host, system)?,
        Isolation::Inside => {
            host::isolation::die_with_parent()
                .map_err(|e| isolation_error("arrange for this process to end with its parent", &e))?;
        }
    }
    // The interpreter may be another user's. In an empty table, no entry has one. Later, /proc cannot be read.
    let as_nobody = isolation != Isolation::EmptyTable && host::unprivileged::is_available();
    let dir =
        host::isolation::mount_probe_root(bytes, Path::new("")).map_err(|e| isolation_error("mount a tmpfs", &e))?;
    let error = match isolation {
        Isolation::Open | Isolation::EmptyTable => host::isolation::exec_probe(&dir, PROBE_ARGV0, as_nobody),
        Isolation::Chroot => {
            host::isolation::enter_chroot(&dir).map_err(|e| isolation_error("enter a chroot", &e))?;
            host::isolation::exec_probe(Path::new("/"), PROBE_ARGV0, as_nobody)
        }
        Isolation::Sandbox | Isolation::Inside => {
            // In a container mounting /proc may be forbidden, and no emulator needs it.
            drop(host::isolation::mount_proc(&dir));
            host::isolation::pivot_to(&dir).map_err(|e| isolation_error("change the root directory", &e))?;
            host::isolation::exec_probe(Path::new("/"), PROBE_ARGV0, as_nobody)
        }
    };
    if let Some(errno) = error.raw_os_error() {
        // Without the errno, the parent still has the exit status and the text.
        drop(writeln!(io::stderr().lock(), "{EXEC_ERRNO}{errno}"));
    }
    Err(Error::Command { command: "the probe".into(), source: error })
}

/// Starts this program as the first process of a PID namespace and returns its exit code. That process has already
/// printed its error.
fn run_as_init(program: &OwnProgram, system: &str) -> Result<ExitCode> {
    let ended = host::isolation::respawn_as_init(program, &[ENTER_ISOLATION, Isolation::Inside.name(), system]);
    let status = ended.map_err(|e| isolation_error("start binfmt-nix in a new PID namespace", &e))?;
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
        let refused = ended(ExitCode::Failed, "qemu-arm: mprotect of jit buffer: Permission denied");
        assert!(matches!(&refused, ProbeResult::JitRefused(_)), "{refused:?}");
        let not_run = ended(ExitCode::Unsupported, "error: cannot enter a chroot");
        assert!(matches!(&not_run, ProbeResult::NotRun(why) if why == "cannot enter a chroot"), "{not_run:?}");
    }
}
