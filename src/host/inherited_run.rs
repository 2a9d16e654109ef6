//! Programs whose effect is compared: run with the environment of this process, with their output captured.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read as _, Seek as _};
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

/// Copies standard input, which several programs can then read.
pub fn copy_stdin() -> io::Result<File> {
    let mut copy = create_scratch()?;
    io::copy(&mut io::stdin().lock(), &mut copy)?;
    Ok(copy)
}

/// Runs a program and reads the file that it writes. An existing file is removed before.
pub fn run_captured(
    program: &Path,
    arg0: &OsStr,
    args: &[OsString],
    input: Option<&File>,
    output: Option<&PathBuf>,
) -> io::Result<CapturedRun> {
    let (mut out, mut err) = (create_scratch()?, create_scratch()?);
    let stdin = match input {
        Some(mut copy) => {
            copy.rewind()?;
            Stdio::from(copy.try_clone()?)
        }
        None => Stdio::null(),
    };
    if let Some(path) = output
        && let Err(error) = std::fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let mut command = Command::new(program);
    command.arg0(arg0).args(args).stdin(stdin).stdout(out.try_clone()?).stderr(err.try_clone()?);
    let status = command.status()?;
    let file = match output.map(std::fs::read) {
        Some(Err(error)) if error.kind() == io::ErrorKind::NotFound => None,
        content => content.transpose()?,
    };
    Ok(CapturedRun { status, stdout: read_all(&mut out)?, stderr: read_all(&mut err)?, file })
}

/// Replaces this process by a program. Returns only if that fails.
pub fn become_program(program: &Path, arg0: &OsStr, args: &[OsString], input: Option<&File>) -> io::Error {
    let mut command = Command::new(program);
    command.arg0(arg0).args(args);
    match input.map(|mut copy| copy.rewind().and_then(|()| copy.try_clone())).transpose() {
        Ok(Some(copy)) => drop(command.stdin(Stdio::from(copy))),
        Ok(None) => {}
        Err(error) => return error,
    }
    command.exec()
}

fn read_all(file: &mut File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}
