//! Starting programs: with a fixed environment and a deadline, and never through a shell.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::FileId;
use super::memfd::{create_scratch, read_from_start};

/// Time that a program may take: long enough for a loaded machine, short enough for a waiting user.
pub(super) const TIMEOUT: Duration = Duration::from_secs(30);

/// PATH of execvp(3) if the variable is not set (glibc's `confstr(_CS_PATH)`).
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// Time that a cancelled program may take to end.
const GRACE_PERIOD: Duration = Duration::from_secs(5);

/// Largest output of a stopped child after it continues. A probe writes 16 bytes.
const MAX_OUTPUT: usize = 64 << 10;

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
    wait_for_exit(&mut child, deadline()).map(drop)
}

/// Replaces this process by the program on its standard input. Returns only if that fails.
pub fn exec_stdin(args: &[&str]) -> io::Error {
    Command::new("/proc/self/fd/0").args(args).exec()
}

/// Replaces this process by `program` with the given `argv[0]`, inside a chroot to `dir`. Returns only if that fails.
pub fn exec_in_chroot(dir: &Path, program: &Path, arg0: &str) -> io::Error {
    let entered = nix::unistd::chroot(dir).and_then(|()| nix::unistd::chdir("/"));
    match entered {
        Ok(()) => Command::new(program).env_clear().arg0(arg0).exec(),
        Err(e) => e.into(),
    }
}

/// Finds the file that [`exec_caller_command`] executes: the first executable one in the caller's PATH, unless the name
/// has a slash.
pub fn find_command(program: &OsStr) -> Option<PathBuf> {
    if program.as_encoded_bytes().contains(&b'/') {
        return Some(program.into());
    }
    let path = super::env::var_os("PATH").unwrap_or_else(|| DEFAULT_PATH.into());
    let is_executable = |path: &PathBuf| {
        super::regular_file::open(path).is_ok_and(|file| super::user_files::check_executable(&file).is_ok())
    };
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(is_executable)
}

/// Replaces this process by a command that is found in the caller's PATH, with the caller's environment and these
/// variables. Returns only if that fails.
pub fn exec_caller_command(program: &OsStr, args: &[OsString], variables: &[(&str, String)]) -> io::Error {
    let variables = variables.iter().map(|(name, value)| (name, value));
    let error = Command::new(program).args(args).envs(variables).exec();
    let path = super::env::var_os("PATH").unwrap_or_default();
    let is_in_path = || std::env::split_paths(&path).any(|dir| dir.join(program).exists());
    match error.kind() {
        // execvp(3) reports EACCES if one directory of PATH cannot be searched, even if no other one has the command.
        io::ErrorKind::PermissionDenied if !program.as_encoded_bytes().contains(&b'/') && !is_in_path() => {
            nix::errno::Errno::ENOENT.into()
        }
        _ => error,
    }
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

/// A child whose standard output is a full pipe: it blocks at its first write, so that it can be examined.
#[derive(Debug)]
pub struct StoppedChild {
    child: Child,
    output: File,
    filler_size: usize,
    stderr: File,
}

impl StoppedChild {
    /// Starts `program`, which runs until its first write to stdout.
    pub fn spawn(program: &Path, args: &[&OsStr], arg0: Option<&str>) -> io::Result<Self> {
        let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
        let filler_size = fill_pipe(&write)?;
        let stderr = create_scratch()?;
        let mut command = clean_command(program);
        command.args(args).stdout(write).stderr(stderr.try_clone()?);
        if let Some(arg0) = arg0 {
            command.arg0(arg0);
        }
        let child = command.spawn()?;
        Ok(Self { child, output: File::from(read), filler_size, stderr })
    }

    /// Waits until the child executes another file than `not`, and opens that file. Returns `None` if the child ended
    /// first.
    pub fn wait_for_program(&mut self, not: FileId) -> io::Result<Option<File>> {
        let link = format!("/proc/{}/exe", self.child.id());
        let deadline = deadline();
        loop {
            // The link disappears when the process has ended; the status shows that below.
            if let Ok(file) = File::open(&link)
                && FileId::from_metadata(&file.metadata()?) != not
            {
                return Ok(Some(file));
            }
            if self.child.try_wait()?.is_some() {
                return Ok(None);
            }
            if Instant::now() > deadline {
                return Err(io::ErrorKind::TimedOut.into());
            }
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    /// Lets the child continue until it ends. Returns its exit status, standard output and standard error.
    pub fn finish(mut self) -> io::Result<(ExitStatus, Vec<u8>, String)> {
        let deadline = deadline();
        let mut bytes = Vec::new();
        while wait_readable(&self.output, deadline)? {
            let mut chunk = [0; 4096];
            match self.output.read(&mut chunk)? {
                0 => break,
                n => bytes.extend_from_slice(chunk.get(..n).unwrap_or_default()),
            }
            if bytes.len() > self.filler_size.saturating_add(MAX_OUTPUT) {
                return Err(io::Error::other("it writes without end"));
            }
        }
        let status = wait_for_exit(&mut self.child, deadline)?;
        let stderr = read_from_start(&mut self.stderr)?;
        Ok((status, bytes.split_off(self.filler_size.min(bytes.len())), stderr))
    }
}

impl Drop for StoppedChild {
    fn drop(&mut self) {
        // A failure means that the child is gone or cannot be killed; nothing can be done about either.
        drop(self.child.kill());
        drop(self.child.wait());
    }
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
        let _: nix::Result<()> = kill(Pid::from_raw(pid), Signal::SIGTERM);
        // A child that has to be killed was interrupted, too.
        drop(wait_for_exit(&mut child, later(GRACE_PERIOD)));
        return Err(io::ErrorKind::Interrupted.into());
    };
    Ok(ProcessOutput { status, stdout: read_from_start(&mut out)?, stderr: read_from_start(&mut err)? })
}

pub(super) fn clean_command(program: &Path) -> Command {
    // Other users cannot search root's home, and Nix fails where it cannot search HOME.
    let home = if nix::unistd::geteuid().is_root() { "/root" } else { "/nonexistent" };
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

/// Writes to a pipe until it is full, and returns the number of bytes. The pipe is blocking again afterwards.
fn fill_pipe(pipe: &OwnedFd) -> io::Result<usize> {
    fcntl(pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    let mut filled: usize = 0;
    loop {
        match nix::unistd::write(pipe.as_fd(), &[b' '; 4096]) {
            Ok(n) => filled = filled.saturating_add(n),
            Err(nix::errno::Errno::EAGAIN) => break,
            Err(e) => return Err(e.into()),
        }
    }
    fcntl(pipe, FcntlArg::F_SETFL(OFlag::empty()))?;
    Ok(filled)
}

fn deadline() -> Instant {
    later(TIMEOUT)
}

pub(super) fn wait_for_exit(child: &mut Child, deadline: Instant) -> io::Result<ExitStatus> {
    wait_while(child, deadline, &|| true)?.ok_or_else(|| io::ErrorKind::Interrupted.into())
}

/// Waits until the child exits; kills it at the deadline. Returns `None` when `goes_on` is false, and the child runs on.
fn wait_while(child: &mut Child, deadline: Instant, goes_on: &dyn Fn() -> bool) -> io::Result<Option<ExitStatus>> {
    let mut pause = Duration::from_micros(200);
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
        std::thread::sleep(pause);
        pause = pause.saturating_mul(2).min(Duration::from_millis(20));
    }
}

fn wait_readable(file: &File, deadline: Instant) -> io::Result<bool> {
    let remaining = deadline.saturating_duration_since(Instant::now());
    let timeout = PollTimeout::try_from(remaining).unwrap_or(PollTimeout::MAX);
    let mut fds = [PollFd::new(file.as_fd(), PollFlags::POLLIN)];
    match poll(&mut fds, timeout)? {
        0 => Err(io::ErrorKind::TimedOut.into()),
        _ => Ok(true),
    }
}

/// Returns the time `after` from now.
pub fn later(after: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(after).unwrap_or(now)
}
