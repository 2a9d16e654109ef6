//! Starting programs: with a fixed environment and a deadline, and never through a shell.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::memfd::{create_scratch, read_from_start};

/// Time that a program may take: long enough for a loaded machine, short enough for a waiting user.
pub(super) const TIMEOUT: Duration = Duration::from_secs(30);

/// Time that a cancelled program may take to end.
const GRACE_PERIOD: Duration = Duration::from_secs(5);

/// Longest time between two checks whether to go on.
const MAX_PAUSE: Duration = Duration::from_millis(20);

/// Result of a program that has ended.
#[derive(Debug)]
pub struct ProcessOutput {
    /// Exit status
    pub status: ExitStatus,
    /// Standard output
    pub stdout: String,
    /// Standard error
    pub stderr: String,
}

/// Runs a program until it exits, or kills it after 30 seconds.
pub fn run_program(program: &Path, args: &[&str]) -> io::Result<ProcessOutput> {
    run_with_timeout(clean_command(program).args(args), TIMEOUT)
}

/// Runs a program without output until it exits, or kills it after 30 seconds. Its exit status is ignored.
pub(super) fn run_quietly(program: &Path, args: &[&str]) -> io::Result<()> {
    let mut command = clean_command(program);
    let mut child = command.args(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    wait_for_exit(&mut child, later(TIMEOUT)).map(drop)
}

/// Replaces this process by the program on its standard input, with the environment of this process. Returns only if that
/// fails.
pub fn exec_stdin(args: &[&str]) -> io::Error {
    let args: Vec<OsString> = args.iter().map(OsString::from).collect();
    super::exec::exec_program(Path::new("/proc/self/fd/0"), &args)
}

/// Moves standard input, which is a file, back to its start.
pub fn rewind_stdin() -> io::Result<()> {
    rustix::fs::seek(io::stdin(), rustix::fs::SeekFrom::Start(0))?;
    Ok(())
}

/// Keeps this process and its children from writing core dumps.
pub fn forbid_core_dumps() -> io::Result<()> {
    Ok(nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_CORE, 0, 0)?)
}

/// Closes all file descriptors that this process inherited, except the first three. It must be called while the process
/// has one thread and has opened no file itself: those would be closed too.
pub fn close_inherited_fds() -> io::Result<()> {
    let entries = std::fs::read_dir("/proc/self/fd")?;
    // Collects numbers only: an entry would keep the directory open.
    let numbers: Vec<i32> =
        entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(|n| *n > 2).collect();
    for number in numbers {
        // The list includes the descriptor of the directory itself, which is closed already.
        let _: nix::Result<()> = nix::unistd::close(number);
    }
    Ok(())
}

pub(super) fn run_with_timeout(command: &mut Command, timeout: Duration) -> io::Result<ProcessOutput> {
    run_until(command, timeout, &|| false)
}

/// Runs a program until it exits, or until `is_cancelled`, which is asked every few milliseconds: then it gets SIGTERM
/// and, five seconds later, SIGKILL, and the error is [`io::ErrorKind::Interrupted`].
pub(super) fn run_until(
    command: &mut Command,
    timeout: Duration,
    is_cancelled: &dyn Fn() -> bool,
) -> io::Result<ProcessOutput> {
    let (mut out, mut err) = (create_scratch()?, create_scratch()?);
    let mut child = command.stdout(out.try_clone()?).stderr(err.try_clone()?).spawn()?;
    let Some(status) = wait_while(&mut child, later(timeout), &|| !is_cancelled())? else {
        let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
        // It fails if the child has ended.
        let _: nix::Result<()> = kill(nix::unistd::Pid::from_raw(pid), Signal::SIGTERM);
        // A child that has to be killed was interrupted, too.
        drop(wait_for_exit(&mut child, later(GRACE_PERIOD)));
        return Err(io::ErrorKind::Interrupted.into());
    };
    Ok(ProcessOutput { status, stdout: read_from_start(&mut out)?, stderr: read_from_start(&mut err)? })
}

pub(super) fn clean_command(program: &Path) -> Command {
    // Other users cannot search root's home, nor can root of a namespace that is one of them outside. Nix fails where it
    // cannot search HOME: 2.8 ends with SIGABRT.
    let can_search = || !std::fs::metadata("/root/.").is_err_and(|e| e.kind() == io::ErrorKind::PermissionDenied);
    let home = if nix::unistd::geteuid().is_root() && can_search() { "/root" } else { "/nonexistent" };
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("HOME", home)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .current_dir("/");
    command
}

pub(super) fn wait_for_exit(child: &mut Child, deadline: Instant) -> io::Result<ExitStatus> {
    wait_while(child, deadline, &|| true)?.ok_or_else(|| io::ErrorKind::Interrupted.into())
}

/// Waits until the child exits; kills it at the deadline. Returns `None` when `goes_on` is false, and the child runs on.
fn wait_while(child: &mut Child, deadline: Instant, goes_on: &dyn Fn() -> bool) -> io::Result<Option<ExitStatus>> {
    // Before Linux 5.3, and where a filter forbids the call.
    let pidfd = pidfd_open(Pid::from_child(child), PidfdFlags::empty()).ok();
    let mut pause = if pidfd.is_some() { MAX_PAUSE } else { Duration::from_micros(200) };
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if !goes_on() {
            return Ok(None);
        }
        if Instant::now() > deadline {
            child.kill()?;
            child.wait()?;
            return Err(io::ErrorKind::TimedOut.into());
        }
        pause_until_exit(pidfd.as_ref(), pause);
        pause = pause.saturating_mul(2).min(MAX_PAUSE);
    }
}

/// Waits for the end of the process, which makes its descriptor readable (pidfd_open(2)). Without one, this is only a pause.
fn pause_until_exit(pidfd: Option<&OwnedFd>, pause: Duration) {
    match pidfd {
        Some(pidfd) => {
            let timeout = PollTimeout::try_from(pause).unwrap_or(PollTimeout::MAX);
            // A signal ends the pause early, too: the caller checks everything again.
            let _: nix::Result<i32> = poll(&mut [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)], timeout);
        }
        None => std::thread::sleep(pause),
    }
}

/// Returns the time `after` from now.
pub fn later(after: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(after).unwrap_or(now)
}
