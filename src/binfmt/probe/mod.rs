//! Running a probe: a look at the machine that writes nothing.
//!
//! [`run_in_memory`] asks whether such a program runs at all. [`direct`] and [`isolated::run`] start it under a known name, by
//! itself and shut in, and say what became of it ([`Trial`]).

pub mod isolated;

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;
use std::process::ExitStatus;

use binfmt_magic::Arch;

use crate::host::{self, FileId, StoppedChild};

/// What a probe is started as; it prints the 16 bytes at its `argv[0]`.
pub const PROBE_ARGV0: &str = "binfmt-nix-argv0";

/// What was seen of a probe.
#[derive(Debug)]
pub struct ProbeRun {
    /// The process was the probe itself, not an emulator.
    pub native: bool,
    /// The file that the process executed.
    pub program: FileId,
    /// How it ended.
    pub status: ExitStatus,
    /// What the emulator complained about.
    pub complaints: String,
}

/// Executes a probe; `None` if it ended before it could be looked at. An error
/// of kind "exec format" means that nothing runs such programs.
pub fn run_in_memory(probe: &[u8]) -> io::Result<Option<ProbeRun>> {
    let file = host::memfd::create_program(probe)?;
    let probe_file = FileId::from_metadata(&file.metadata()?);
    let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    let mut child = StoppedChild::spawn(&path, &[], None)?;
    let Some(running) = child.wait_for_program(host::env::own_file_id()?)? else {
        return Ok(None);
    };
    let program = FileId::from_metadata(&running.metadata()?);
    let (status, _, complaints) = child.finish()?;
    Ok(Some(ProbeRun { native: program == probe_file, program, status, complaints }))
}

/// What became of a probe.
#[derive(Debug)]
pub enum ProbeResult {
    /// It ran to its end.
    Ran(ProbeOutput),
    /// The kernel did not start it.
    Refused(io::Error),
    /// It was started, and did not do what it does: why, in words.
    Failed(String),
    /// It could not be tried, and why.
    NotRun(String),
}

/// A probe that ran.
#[derive(Debug)]
pub struct ProbeOutput {
    /// The file that the process executed, if it could be looked at: an emulator.
    pub program: Option<File>,
    /// What it found at its `argv[0]`.
    pub argv0: String,
    /// What else was said.
    pub complaints: String,
}

impl ProbeOutput {
    /// It was given the name that it was started by.
    pub fn has_original_argv0(&self) -> bool {
        self.argv0 == PROBE_ARGV0
    }
}

/// Starts a program of `arch` as anybody does.
pub fn run_direct(arch: &Arch) -> ProbeResult {
    let Some(bytes) = arch.probe() else {
        return ProbeResult::NotRun("there is no probe for it".into());
    };
    // With vm.memfd_noexec=2 there are no programs in memory (sysctl/vm.rst), but there are in a tmpfs.
    let Ok(file) = host::memfd::create_program(bytes) else {
        return isolated::run_isolated(isolated::Isolation::Open, arch);
    };
    let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    match StoppedChild::spawn(&path, &[], Some(PROBE_ARGV0)) {
        Ok(child) => finish_probe(child).unwrap_or_else(|e| ProbeResult::Failed(format!("it cannot be watched: {e}"))),
        Err(e) => ProbeResult::Refused(e),
    }
}

/// Looks at the process while it is stopped at its first write, and lets it go on.
pub fn finish_probe(mut child: StoppedChild) -> io::Result<ProbeResult> {
    let program = child.wait_for_program(host::env::own_file_id()?)?;
    let (status, output, complaints) = child.finish()?;
    let complaints = complaints.trim().to_owned();
    if program.is_none() && !status.success() {
        return Ok(isolated::parse_refusal(status, &complaints));
    }
    Ok(classify_run(program, status, &output, complaints))
}

fn classify_run(program: Option<File>, status: ExitStatus, output: &[u8], complaints: String) -> ProbeResult {
    if !status.success() {
        let said = if complaints.is_empty() { String::new() } else { format!(": {complaints}") };
        return ProbeResult::Failed(format!("the emulator ended with {status}{said}"));
    }
    // The last bytes are the probe's: QEMU for ppc64le complains on stdout that it cannot resolve a file in memory.
    let Some(printed) = output.len().checked_sub(PROBE_ARGV0.len()).and_then(|start| output.get(start..)) else {
        return ProbeResult::Failed("the emulator ended without running anything".into());
    };
    // What follows a shorter name is none of it.
    let name = printed.split(|byte| *byte == 0).next().unwrap_or_default();
    ProbeResult::Ran(ProbeOutput { program, argv0: String::from_utf8_lossy(name).into_owned(), complaints })
}
