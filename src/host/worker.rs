//! A worker: this program in a second process, with fewer rights. It reads one request or one file from its standard
//! input, and its standard output is read as it arrives.
//!
//! The worker inherits only the environment variables that are named. Neither writing to it nor reading from it blocks,
//! so the caller never waits longer than it wants. The worker is killed when the value is dropped.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::process;

/// Hidden subcommand of this program whose subcommands are the workers.
pub const INTERNAL: &str = "internal";

/// Size of the pipe from the worker: the largest that any user may request (pipe(7), pipe-max-size).
const PIPE_SIZE: i32 = 1 << 20;
/// Largest standard error that is kept: the content of one pipe.
const MAX_STDERR: usize = 64 << 10;
/// Time that a worker may take to exit after it has closed its output.
const EXIT_TIMEOUT: Duration = Duration::from_secs(2);

/// Starts this program as the worker `command` with another handle of `program` as standard input, and kills it after 30
/// seconds. A program that the worker's user could not execute is copied into memory first.
pub fn run_to_end(command: &str, args: &[&str], program: &File) -> io::Result<process::ProcessOutput> {
    // A second open file has a position of its own.
    let mut input = File::open(format!("/proc/self/fd/{}", program.as_raw_fd()))?;
    let meta = input.metadata()?;
    if meta.mode() & 0o005 != 0o005 {
        super::regular_file::check_program_size(&meta)?;
        let mut copy = super::memfd::create_sealable()?;
        io::copy(&mut input.take(meta.len()), &mut copy)?;
        super::memfd::seal_program(&copy)?;
        input = copy;
    }
    process::run_with_timeout(
        process::clean_command(Path::new("/proc/self/exe")).args([INTERNAL, command]).args(args).stdin(input),
        process::TIMEOUT,
    )
}

/// A running worker process.
#[derive(Debug)]
pub struct Worker {
    child: Child,
    input: Option<ChildStdin>,
    /// Bytes of the request that are not written yet
    pending_input: Vec<u8>,
    output: ChildStdout,
    stderr: File,
}

/// Result of polling a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkerOutput {
    /// No output yet
    Idle,
    /// Number of bytes that were read
    Bytes(usize),
    /// End of the output
    Eof,
}

impl Worker {
    /// Starts `/proc/self/exe internal COMMAND` with the variables of this process that `variables` names, and with
    /// `job` on standard input.
    ///
    /// For the kernel, the calling thread is the parent of the worker (PR_SET_PDEATHSIG in prctl(2)).
    pub fn start(command: &str, variables: &[&str], job: Vec<u8>) -> io::Result<Self> {
        // Writing to the pipe does not block either: if a worker writes too much to standard error, the rest is lost.
        let (stderr, stderr_writer) = nix::unistd::pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
        let mut child = Command::new("/proc/self/exe")
            .args([INTERNAL, command])
            .env_clear()
            .envs(variables.iter().filter_map(|name| Some((name, super::env::var_os(name)?))))
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(stderr_writer)
            .spawn()?;
        let input = child.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
        Self::from_child(child, Some(input), job, stderr.into())
    }

    /// Starts `/proc/self/exe internal COMMAND ARGS…` without environment variables, and with this file as standard
    /// input.
    pub fn start_with_file(command: &str, args: &[String], input: File) -> io::Result<Self> {
        let (stderr, stderr_writer) = nix::unistd::pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
        let child = Command::new("/proc/self/exe")
            .args([INTERNAL, command])
            .args(args)
            .env_clear()
            .current_dir("/")
            .stdin(input)
            .stdout(Stdio::piped())
            .stderr(stderr_writer)
            .spawn()?;
        Self::from_child(child, None, Vec::new(), stderr.into())
    }

    fn from_child(
        mut child: Child,
        input: Option<ChildStdin>,
        pending_input: Vec<u8>,
        stderr: File,
    ) -> io::Result<Self> {
        let output = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let worker = Self { child, input, pending_input, output, stderr };
        worker.set_nonblocking()?;
        Ok(worker)
    }

    fn set_nonblocking(&self) -> io::Result<()> {
        fcntl(&self.output, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        if let Some(input) = &self.input {
            fcntl(input, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        }
        // A smaller pipe works too, with more reads.
        let _: nix::Result<i32> = fcntl(&self.output, FcntlArg::F_SETPIPE_SZ(PIPE_SIZE));
        Ok(())
    }

    /// Writes as much of the request as the worker accepts, and reads its output into `buffer`. Waits up to `patience`
    /// until one of them is possible.
    pub fn poll(&mut self, buffer: &mut [u8], patience: Duration) -> io::Result<WorkerOutput> {
        if !self.wait_ready(patience)? {
            return Ok(WorkerOutput::Idle);
        }
        self.write_input()?;
        match self.output.read(buffer) {
            Ok(0) if !buffer.is_empty() => Ok(WorkerOutput::Eof),
            Ok(length) => Ok(WorkerOutput::Bytes(length)),
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                Ok(WorkerOutput::Idle)
            }
            Err(e) => Err(e),
        }
    }

    /// Waits until the worker can be read from or written to.
    fn wait_ready(&self, patience: Duration) -> io::Result<bool> {
        let output = PollFd::new(self.output.as_fd(), PollFlags::POLLIN);
        let input = self.input.as_ref().map(|input| PollFd::new(input.as_fd(), PollFlags::POLLOUT));
        let mut pipes: Vec<_> = [output].into_iter().chain(input).collect();
        match poll(&mut pipes, PollTimeout::try_from(patience).unwrap_or(PollTimeout::MAX)) {
            Ok(ready) => Ok(ready > 0),
            // A signal arrived, for which the caller has to check.
            Err(Errno::EINTR) => Ok(false),
            Err(e) => Err(e.into()),
        }
    }

    fn write_input(&mut self) -> io::Result<()> {
        let Some(input) = &mut self.input else {
            return Ok(());
        };
        let written = match input.write(&self.pending_input) {
            Ok(written) => written,
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => return Ok(()),
            // The worker has ended; its output ends too.
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => self.pending_input.len(),
            Err(e) => return Err(e),
        };
        self.pending_input.drain(..written.min(self.pending_input.len()));
        if self.pending_input.is_empty() {
            self.input = None;
        }
        Ok(())
    }

    /// Returns exit status and standard error of a worker that has closed its output. It is killed if it does not exit
    /// in time.
    pub fn wait_for_exit(mut self) -> io::Result<(ExitStatus, String)> {
        let deadline = Instant::now().checked_add(EXIT_TIMEOUT).unwrap_or_else(Instant::now);
        let status = match process::wait_for_exit(&mut self.child, deadline) {
            Err(e) if e.kind() == io::ErrorKind::TimedOut => self.child.wait()?,
            ended => ended?,
        };
        let mut stderr = vec![0; MAX_STDERR];
        let length = self.stderr.read(&mut stderr).unwrap_or(0);
        stderr.truncate(length);
        Ok((status, String::from_utf8_lossy(&stderr).into_owned()))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // A failure means that the child is gone or cannot be killed; nothing can be done about either.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
