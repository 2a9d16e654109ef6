//! Programs whose effect is compared: run with the environment of this process, with their output captured.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use super::memfd::create_scratch;

/// What a program did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CapturedRun {
    /// Exit status.
    pub status: ExitStatus,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
    /// Content of the file that it was to write, if it exists.
    pub file: Option<Vec<u8>>,
}

/// Standard input that several programs can read, one after the other.
#[derive(Debug)]
pub struct Input {
    file: File,
    position: u64,
}

impl Input {
    /// Returns standard input itself if it is a file, at its present position, or a copy of all that can be read, if that
    /// is allowed.
    pub fn of_stdin(may_copy: bool) -> io::Result<Option<Self>> {
        let mut file = File::from(io::stdin().as_fd().try_clone_to_owned()?);
        if let Ok(position) = file.stream_position() {
            return Ok(Some(Self { file, position }));
        }
        if !may_copy {
            return Ok(None);
        }
        let mut copy = create_scratch()?;
        io::copy(&mut file, &mut copy)?;
        Ok(Some(Self { file: copy, position: 0 }))
    }

    fn again(&self) -> io::Result<Stdio> {
        (&self.file).seek(SeekFrom::Start(self.position))?;
        self.file.try_clone().map(Stdio::from)
    }
}

/// Runs a program without some variables of the environment, and reads the file that it writes. An existing file is removed
/// before.
pub fn run_captured(
    program: &Path,
    arg0: &OsStr,
    args: &[OsString],
    without: &[&str],
    input: &Input,
    output: Option<&PathBuf>,
) -> io::Result<CapturedRun> {
    let (mut out, mut err) = (create_scratch()?, create_scratch()?);
    if let Some(path) = output
        && let Err(error) = std::fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let mut command = Command::new(program);
    command.arg0(arg0).args(args).stdin(input.again()?).stdout(out.try_clone()?).stderr(err.try_clone()?);
    for name in without {
        command.env_remove(name);
    }
    let status = command.status()?;
    let file = match output.map(std::fs::read) {
        Some(Err(error)) if error.kind() == io::ErrorKind::NotFound => None,
        content => content.transpose()?,
    };
    Ok(CapturedRun { status, stdout: read_all(&mut out)?, stderr: read_all(&mut err)?, file })
}

/// Replaces this process by a program. Returns only if that fails. Without `input`, standard input is inherited.
pub fn become_program(program: &Path, arg0: &OsStr, args: &[OsString], input: Option<&Input>) -> io::Error {
    let mut command = Command::new(program);
    command.arg0(arg0).args(args);
    match input.map(Input::again).transpose() {
        Ok(stdin) => command.stdin(stdin.unwrap_or_else(Stdio::inherit)).exec(),
        Err(error) => error,
    }
}

fn read_all(file: &mut File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}
