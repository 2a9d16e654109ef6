//! Runs probe programs to find out whether programs of a system run. Nothing is written to the machine.
//!
//! The kernel starts the interpreter of an entry for a probe. Another user may control that file, so a process of root
//! starts every probe as the user `nobody`.
//!
//! [`run_in_memory`] shows whether a probe runs at all, and which file the process executes. [`run_direct`] and
//! [`isolated::run_isolated`] start a probe with a known `argv[0]`, directly or isolated, and return a [`ProbeResult`].

pub mod isolated;

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use binfmt_magic::Arch;

use crate::host::{self, FileId, RunningProgram, StoppedChild};

/// The `argv[0]` that a probe is started with; a probe prints the 16 bytes at its `argv[0]`.
pub const PROBE_ARGV0: &str = "binfmt-nix-argv0";

/// The observed run of a probe.
#[derive(Debug)]
pub struct ProbeRun {
    /// Whether the process executed the probe itself instead of an emulator.
    pub native: bool,
    /// The identity of the file that the process executed.
    pub program: FileId,
    /// Whether the kernel itself started that file for the probe (see [`ProbeProgram`]).
    pub started_by_kernel: Option<bool>,
    /// The exit status.
    pub status: ExitStatus,
    /// The text on standard error.
    pub complaints: String,
}

/// Executes a probe from memory; returns `None` if it ended before its process could be examined. The error ENOEXEC
/// means that nothing runs such programs.
pub fn run_in_memory(probe: &[u8]) -> io::Result<Option<ProbeRun>> {
    let file = host::memfd::create_program(probe)?;
    let probe_file = FileId::from_metadata(&file.metadata()?);
    let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    let mut child = StoppedChild::spawn_as_nobody(&path, &[], None)?;
    let Some(running) = child.wait_for_program(host::env::own_file_id()?)? else {
        return Ok(None);
    };
    let running = ProbeProgram::new(running, &path);
    let program = FileId::from_metadata(&running.file.metadata()?);
    let (status, _, complaints) = child.finish()?;
    let started_by_kernel = running.started_by_kernel;
    Ok(Some(ProbeRun { native: program == probe_file, program, started_by_kernel, status, complaints }))
}

/// The result of starting a probe.
#[derive(Debug)]
pub enum ProbeResult {
    /// The probe ran to its end.
    Ran(ProbeOutput),
    /// The kernel did not start the probe.
    Refused(io::Error),
    /// The probe was started but did not do its work, for this reason.
    Failed(String),
    /// The emulator was started, and was not allowed to make its code executable. The text is its message.
    JitRefused(String),
    /// The probe could not be tried, for this reason.
    NotRun(String),
}

/// The output of a probe that ran.
#[derive(Debug)]
pub struct ProbeOutput {
    /// The file that the process executed (an emulator), if it could be opened.
    pub program: Option<ProbeProgram>,
    /// The `argv[0]` that the probe printed.
    pub argv0: String,
    /// The text on standard error.
    pub complaints: String,
}

impl ProbeRun {
    /// Whether the emulator was not allowed to make its code executable.
    pub fn is_jit_refused(&self) -> bool {
        !self.status.success() && is_jit_refusal(&self.complaints)
    }
}

/// Whether this is QEMU's message about memory that it could not make executable (`tcg_region_init`, QEMU's
/// `tcg/region.c`; "qemu-aarch64: mprotect of jit buffer: Permission denied", seen with Debian's policy of SELinux).
fn is_jit_refusal(complaints: &str) -> bool {
    complaints.lines().any(|line| line.contains("jit buffer") && line.ends_with("Permission denied"))
}

/// The file that wrote what a probe prints: usually an emulator.
#[derive(Debug)]
pub struct ProbeProgram {
    /// The file.
    pub file: File,
    /// Whether the kernel itself started this file for the probe. If not, the entry's interpreter is a wrapper, which
    /// started this file. `None` if unknown.
    pub started_by_kernel: Option<bool>,
    /// The path by which the wrapper started the file.
    pub started_as: Option<Vec<u8>>,
}

impl ProbeProgram {
    /// The kernel passes the path of the probe on to an interpreter (`AT_EXECFN`). A program that an interpreter started
    /// has another one. `probe_path` is that path, or the end of it.
    fn new(running: RunningProgram, probe_path: &Path) -> Self {
        let is_probe = |path: &Vec<u8>| path.ends_with(probe_path.as_os_str().as_bytes());
        let started_by_kernel = running.exec_path.as_ref().map(is_probe);
        let started_as = running.exec_path.filter(|_| started_by_kernel == Some(false));
        Self { file: running.file, started_by_kernel, started_as }
    }
}

impl ProbeOutput {
    /// Whether the probe got the `argv[0]` that it was started with.
    pub fn has_original_argv0(&self) -> bool {
        self.argv0 == PROBE_ARGV0
    }
}

/// Starts the probe of a system directly, as a user starts a program.
pub fn run_direct(arch: &Arch) -> ProbeResult {
    let Some(bytes) = arch.probe() else {
        return ProbeResult::NotRun("binfmt-nix has no probe program for this system".into());
    };
    // With vm.memfd_noexec=2 a memfd cannot be executed (sysctl/vm.rst), but a file in a tmpfs can.
    let Ok(file) = host::memfd::create_program(bytes) else {
        return isolated::run_isolated(isolated::Isolation::Open, arch);
    };
    let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    match StoppedChild::spawn_as_nobody(&path, &[], Some(PROBE_ARGV0)) {
        Ok(child) => finish_probe(child, &path)
            .unwrap_or_else(|e| ProbeResult::Failed(format!("cannot observe the probe's process: {e}"))),
        Err(e) => ProbeResult::Refused(e),
    }
}

/// Starts an emulator with the probe of a system, without any entry of the table.
pub fn run_by_emulator(arch: &Arch, emulator: &Path) -> ProbeResult {
    let run = || {
        let file = host::memfd::create_program(arch.probe().unwrap_or_default())?;
        // The emulator opens it by the number that it has here.
        let path = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
        // As many words as from the kernel. The probe makes the directory that the last one names, and this one exists.
        StoppedChild::spawn(emulator, &[OsStr::new(&path), OsStr::new("/")], None)?.finish()
    };
    match run() {
        Ok((status, output, complaints)) => classify_run(None, status, &output, complaints.trim().to_owned()),
        Err(e) => ProbeResult::NotRun(e.to_string()),
    }
}

/// Opens the file that the process executes while it is stopped at its first write, then lets it run to its end. The
/// path with which the probe was started ends in `probe_path`.
pub fn finish_probe(mut child: StoppedChild, probe_path: &Path) -> io::Result<ProbeResult> {
    let program = child.wait_for_program(host::env::own_file_id()?)?;
    let program = program.map(|running| ProbeProgram::new(running, probe_path));
    let (status, output, complaints) = child.finish()?;
    let complaints = complaints.trim().to_owned();
    if program.is_none() && !status.success() {
        return Ok(isolated::parse_refusal(status, &complaints));
    }
    Ok(classify_run(program, status, &output, complaints))
}

fn classify_run(program: Option<ProbeProgram>, status: ExitStatus, output: &[u8], complaints: String) -> ProbeResult {
    if !status.success() {
        if is_jit_refusal(&complaints) {
            return ProbeResult::JitRefused(complaints);
        }
        let complaints = if complaints.is_empty() { String::new() } else { format!(": {complaints}") };
        return ProbeResult::Failed(format!("the emulator ended with {status}{complaints}"));
    }
    // The last bytes are the probe's: QEMU for ppc64le prints on stdout that it cannot resolve a file in memory.
    let Some(printed) = output.len().checked_sub(PROBE_ARGV0.len()).and_then(|start| output.get(start..)) else {
        return ProbeResult::Failed("the emulator ended without running anything".into());
    };
    // The bytes after the NUL of a shorter name do not belong to it.
    let name = printed.split(|byte| *byte == 0).next().unwrap_or_default();
    ProbeResult::Ran(ProbeOutput { program, argv0: String::from_utf8_lossy(name).into_owned(), complaints })
}
