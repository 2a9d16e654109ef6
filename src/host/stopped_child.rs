//! A child process that stops at its first output, so that it can be examined.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::memfd::{create_scratch, read_from_start};
use super::process::{TIMEOUT, clean_command, later, wait_for_exit};
use super::{FileId, procfs, unprivileged};

/// Largest output of a stopped child after it continues. A probe writes 16 bytes.
const MAX_OUTPUT: usize = 64 << 10;

/// A program that a stopped child, or a child of it, executes.
#[derive(Debug)]
pub struct RunningProgram {
    /// The file.
    pub file: File,
    /// The path that was passed to the last execve(2) of the process; `None` if its memory cannot be read.
    pub exec_path: Option<Vec<u8>>,
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
        Self::spawn_command(clean_command(program).args(args), arg0, Command::spawn)
    }

    /// Like [`StoppedChild::spawn`], but root starts the program as `nobody`: the kernel may start an interpreter for it
    /// that another user controls.
    pub fn spawn_as_nobody(program: &Path, args: &[&str], arg0: Option<&str>) -> io::Result<Self> {
        Self::spawn_command(clean_command(program).args(args), arg0, unprivileged::spawn_as_nobody)
    }

    fn spawn_command(
        command: &mut Command,
        arg0: Option<&str>,
        start: impl FnOnce(&mut Command) -> io::Result<Child>,
    ) -> io::Result<Self> {
        let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
        // The smallest size; any other works too.
        let _: nix::Result<i32> = fcntl(&write, FcntlArg::F_SETPIPE_SZ(4096));
        let filler_size = fill_pipe(&write)?;
        let stderr = create_scratch()?;
        command.stdout(write).stderr(stderr.try_clone()?);
        if let Some(arg0) = arg0 {
            command.arg0(arg0);
        }
        let child = start(command)?;
        Ok(Self { child, output: File::from(read), filler_size, stderr })
    }

    /// Waits until the child, or a child of it, is stopped by its first write to stdout while it executes another file
    /// than `not`, and opens that file. An interpreter may start other programs before that, so the file is the one that
    /// writes. Where the kernel does not show what a process waits for, and if no process is seen to wait for room in
    /// its stdout, the first file is taken. Returns `None` if the child ended first.
    pub fn wait_for_program(&mut self, not: FileId) -> io::Result<Option<RunningProgram>> {
        let deadline = deadline();
        loop {
            if let Some(program) = find_writer(self.child.id(), not) {
                return Ok(Some(program));
            }
            if self.child.try_wait()?.is_some() {
                return Ok(None);
            }
            if Instant::now() > deadline {
                let first = open_program(self.child.id(), not);
                return first.map(Some).ok_or_else(|| io::ErrorKind::TimedOut.into());
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

/// Finds the program of the process, or of one of its descendants, that waits for room in its stdout.
fn find_writer(pid: u32, not: FileId) -> Option<RunningProgram> {
    /// The children of a wrapper, and theirs.
    const MAX_DEPTH: usize = 4;
    let mut generation = vec![pid];
    for _ in 0..MAX_DEPTH {
        // A process that waits goes on waiting while its file is opened.
        let waits = |pid: &u32| procfs::is_writing_to_stdout(*pid).unwrap_or(true);
        if let Some(program) = generation.iter().filter(|pid| waits(pid)).find_map(|pid| open_program(*pid, not)) {
            return Some(program);
        }
        generation = generation.into_iter().flat_map(procfs::children).collect();
    }
    None
}

/// Opens the file that a process executes, if it is not `not`. The link disappears when the process has ended.
fn open_program(pid: u32, not: FileId) -> Option<RunningProgram> {
    let (file, _) = procfs::open_executable(pid).ok()?;
    let is_other = FileId::from_metadata(&file.metadata().ok()?) != not;
    is_other.then(|| RunningProgram { exec_path: procfs::exec_path(pid, &file), file })
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

fn wait_readable(file: &File, deadline: Instant) -> io::Result<bool> {
    let remaining = deadline.saturating_duration_since(Instant::now());
    let timeout = PollTimeout::try_from(remaining).unwrap_or(PollTimeout::MAX);
    let mut fds = [PollFd::new(file.as_fd(), PollFlags::POLLIN)];
    match poll(&mut fds, timeout)? {
        0 => Err(io::ErrorKind::TimedOut.into()),
        _ => Ok(true),
    }
}
