//! This program once more, as a process with less to lose: it is told one thing on its standard
//! input, or given a file there, and what it says on its standard output is read as it comes.
//!
//! It inherits nothing of ours but the variables that are named, and nobody waits for it longer than
//! the caller wants: neither writing to it nor reading from it ever blocks. It is killed when it is
//! dropped.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::process;

/// The hidden subcommand of this program whose subcommands are the workers.
pub const INTERNAL: &str = "internal";

/// So much may be on its way from the worker: what any user may ask for (pipe(7), pipe-max-size).
const ON_THE_WAY: i32 = 1 << 20;
/// So much of its complaints is kept: one pipe's worth.
const COMPLAINTS: usize = 64 << 10;
/// How long a worker that has closed its output may take to end.
const LAST_BREATH: Duration = Duration::from_secs(2);

/// A running worker.
#[derive(Debug)]
pub struct Worker {
    child: Child,
    input: Option<ChildStdin>,
    /// What it has not been told yet.
    pending_input: Vec<u8>,
    output: ChildStdout,
    complaints: File,
}

/// What came of waiting for a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkerOutput {
    /// Nothing yet.
    Idle,
    /// So many bytes.
    Bytes(usize),
    /// It says no more.
    Eof,
}

impl Worker {
    /// Starts `/proc/self/exe internal COMMAND`, with these variables of our own caller and no others, and `job` to read.
    ///
    /// The kernel takes the thread that calls this for the worker's parent (PR_SET_PDEATHSIG in prctl(2)).
    pub fn start(command: &str, variables: &[&str], job: Vec<u8>) -> io::Result<Self> {
        // Its end is not waited for either: a worker that complains at length loses the rest.
        let (complaints, theirs) = nix::unistd::pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
        let mut child = Command::new("/proc/self/exe")
            .args([INTERNAL, command])
            .env_clear()
            .envs(variables.iter().filter_map(|name| Some((name, std::env::var_os(name)?))))
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(theirs)
            .spawn()?;
        let input = child.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
        Self::from_child(child, Some(input), job, complaints.into())
    }

    /// Starts `/proc/self/exe internal COMMAND ARGS…`, without variables, and with this file to read.
    pub fn start_with_file(command: &str, args: &[String], input: File) -> io::Result<Self> {
        let (complaints, theirs) = nix::unistd::pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
        let child = Command::new("/proc/self/exe")
            .args([INTERNAL, command])
            .args(args)
            .env_clear()
            .current_dir("/")
            .stdin(input)
            .stdout(Stdio::piped())
            .stderr(theirs)
            .spawn()?;
        Self::from_child(child, None, Vec::new(), complaints.into())
    }

    fn from_child(
        mut child: Child,
        input: Option<ChildStdin>,
        pending_input: Vec<u8>,
        complaints: File,
    ) -> io::Result<Self> {
        let output = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let worker = Self { child, input, pending_input, output, complaints };
        worker.set_nonblocking()?;
        Ok(worker)
    }

    fn set_nonblocking(&self) -> io::Result<()> {
        fcntl(&self.output, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        if let Some(input) = &self.input {
            fcntl(input, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        }
        // A small pipe works too, with more turns.
        let _: nix::Result<i32> = fcntl(&self.output, FcntlArg::F_SETPIPE_SZ(ON_THE_WAY));
        Ok(())
    }

    /// Tells it what it can take, and reads what it says into `buffer`; waits up to `patience` for either.
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

    /// Whether there may be something to do.
    fn wait_ready(&self, patience: Duration) -> io::Result<bool> {
        let output = PollFd::new(self.output.as_fd(), PollFlags::POLLIN);
        let input = self.input.as_ref().map(|input| PollFd::new(input.as_fd(), PollFlags::POLLOUT));
        let mut pipes: Vec<_> = [output].into_iter().chain(input).collect();
        match poll(&mut pipes, PollTimeout::try_from(patience).unwrap_or(PollTimeout::MAX)) {
            Ok(ready) => Ok(ready > 0),
            // A signal came: the caller will want to look.
            Err(Errno::EINTR) => Ok(false),
            Err(e) => Err(e.into()),
        }
    }

    fn write_input(&mut self) -> io::Result<()> {
        let Some(input) = &mut self.input else {
            return Ok(());
        };
        let told = match input.write(&self.pending_input) {
            Ok(told) => told,
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => return Ok(()),
            // It ended; its output says so too.
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => self.pending_input.len(),
            Err(e) => return Err(e),
        };
        self.pending_input.drain(..told.min(self.pending_input.len()));
        if self.pending_input.is_empty() {
            self.input = None;
        }
        Ok(())
    }

    /// How it ended, and what it complained about; killed if it takes its time.
    pub fn wait_for_exit(mut self) -> io::Result<(ExitStatus, String)> {
        let deadline = Instant::now().checked_add(LAST_BREATH).unwrap_or_else(Instant::now);
        let status = match process::wait_for_exit(&mut self.child, deadline) {
            Err(e) if e.kind() == io::ErrorKind::TimedOut => self.child.wait()?,
            ended => ended?,
        };
        let mut complaints = vec![0; COMPLAINTS];
        let length = self.complaints.read(&mut complaints).unwrap_or(0);
        complaints.truncate(length);
        Ok((status, String::from_utf8_lossy(&complaints).into_owned()))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Nothing can be done about a child that cannot be killed or is gone.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
