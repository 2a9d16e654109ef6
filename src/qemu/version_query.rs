//! Queries the release of an emulator: by running it with `--version` in a confined process, or by a search in its bytes.
//!
//! An emulator may be any program that the user names. So it is never run with the rights of this process: a worker gives
//! them up (see [`crate::sandbox`]) and replaces itself by the emulator. A dry run starts no program at all.

use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use binfmt_magic::Arch;
use serde::{Deserialize, Serialize};

use crate::error::{ExitCode, Result};
use crate::host;
use crate::paths;
use crate::qemu::binary;
use crate::qemu::binary::{InvalidVersionLine, QemuVersion};
use crate::qemu::catalog::version_scan::{VersionScan, VersionScanError};
use crate::sandbox::confine::Profile;
use crate::sandbox::frame::{Frame, FrameReader, MissingProtection};
use crate::sandbox::session;
use crate::sandbox::session::{Handshake, worker_error};

/// Name of the internal command that becomes the emulator on its standard input.
pub const VERSION_COMMAND: &str = "version";

/// Way in which the release of an emulator is found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionQuery {
    /// The emulator is run with `--version`. That also shows whether it can run.
    Run,
    /// The text that it would print is searched in its bytes, for a dry run.
    Scan,
}

/// Release of an emulator, and the protections that were missing when it was run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueriedVersion {
    /// Release of QEMU.
    pub version: QemuVersion,
    /// Protections that the kernel does not support.
    pub missing: Vec<MissingProtection>,
}

/// Why an emulator did not report its release.
#[derive(Debug, thiserror::Error)]
pub enum VersionError {
    /// The program cannot be started.
    #[error("cannot run it: {}{}", .0, noexec_hint(.0))]
    Start(io::Error),
    /// The program failed.
    #[error("--version failed with {status}: {stderr}")]
    Failed {
        /// exit status
        status: ExitStatus,
        /// text on standard error
        stderr: String,
    },
    /// The answer is not that of the emulator.
    #[error(transparent)]
    InvalidLine(#[from] InvalidVersionLine),
    /// The bytes do not contain the answer.
    #[error("a dry run does not start it, and {0}")]
    Scan(#[from] VersionScanError),
}

impl VersionError {
    /// Whether a signal ended the program.
    pub fn is_crash(&self) -> bool {
        matches!(self, Self::Failed { status, .. } if status.signal().is_some())
    }
}

fn noexec_hint(e: &io::Error) -> &'static str {
    match e.kind() {
        io::ErrorKind::PermissionDenied => "; is its file system mounted noexec?",
        _ => "",
    }
}

/// Message of the worker that could not start the emulator: the error number.
#[derive(Debug, Serialize, Deserialize)]
struct StartFailure(i32);

/// Queries the release of an emulator.
pub fn query_version(
    arch: &Arch,
    program: &File,
    query: VersionQuery,
) -> std::result::Result<QueriedVersion, VersionError> {
    match query {
        VersionQuery::Run => run_confined(arch, program),
        VersionQuery::Scan => {
            let version = scan_program(arch, program)?;
            Ok(QueriedVersion { version, missing: Vec::new() })
        }
    }
}

fn run_confined(arch: &Arch, program: &File) -> std::result::Result<QueriedVersion, VersionError> {
    let parent = std::process::id().to_string();
    let answer = host::worker::run_to_end(VERSION_COMMAND, &[&parent], program).map_err(VersionError::Start)?;
    let mut output = answer.stdout.as_bytes();
    let failed = || VersionError::Failed { status: answer.status, stderr: answer.stderr.trim().to_owned() };
    let Ok(Some(Frame::Message(Handshake::Ready { lacks }))) = FrameReader::default().next_frame(&mut output) else {
        return Err(failed());
    };
    // From here on the output is the emulator's, unless it was not started. If it claims that, it is rejected too.
    let mut failure = output;
    if let Ok(Some(Frame::Message(StartFailure(number)))) = FrameReader::default().next_frame(&mut failure) {
        return Err(VersionError::Start(io::Error::from_raw_os_error(number)));
    }
    if !answer.status.success() {
        return Err(failed());
    }
    let version = binary::parse_version(&String::from_utf8_lossy(output), &paths::emulator_name(arch))?;
    Ok(QueriedVersion { version, missing: lacks })
}

fn scan_program(arch: &Arch, mut program: &File) -> std::result::Result<QemuVersion, VersionError> {
    let mut scan = VersionScan::for_target(arch.target);
    let mut buffer = vec![0; 128 << 10];
    program.rewind().map_err(VersionError::Start)?;
    loop {
        let length = program.read(&mut buffer).map_err(VersionError::Start)?;
        if length == 0 {
            return Ok(scan.found_version()?);
        }
        scan.scan_chunk(buffer.get(..length).unwrap_or_default());
    }
}

/// Gives up all rights, and replaces this process by the program on its standard input. `parent` is the process id of the
/// worker's parent.
pub fn run_worker(parent: u32) -> Result<ExitCode> {
    let (confined, ()) = session::start_confined(&Profile::PROGRAM, || ())?;
    let mut out = confined.report_ready(parent)?;
    let error = host::process::exec_stdin(&["--version"]);
    let number = error.raw_os_error().unwrap_or_default();
    out.send(&StartFailure(number)).map_err(worker_error("write for"))?;
    Ok(ExitCode::Failed)
}
