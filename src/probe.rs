//! Running a probe from memory: a look at the machine that writes nothing.

use std::io;
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;
use std::process::ExitStatus;

use crate::host::{Blocked, Host, Inode};

/// What was seen of a probe.
#[derive(Debug)]
pub struct Seen {
    /// The process was the probe itself, not an emulator.
    pub native: bool,
    /// The file that the process executed.
    pub program: Inode,
    /// How it ended.
    pub status: ExitStatus,
    /// What the emulator complained about.
    pub complaints: String,
}

/// Executes a probe; `None` if it ended before it could be looked at. An error
/// of kind "exec format" means that nothing runs such programs.
pub fn run_in_memory(host: &Host, probe: &[u8]) -> io::Result<Option<Seen>> {
    let file = host.program_in_memory(probe)?;
    let itself = Inode::of(&file.metadata()?);
    let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    let mut child = Blocked::spawn(&path, &[], None)?;
    let Some(running) = child.program(host.own_inode()?)? else {
        return Ok(None);
    };
    let program = Inode::of(&running.metadata()?);
    let (status, _, complaints) = child.finish()?;
    Ok(Some(Seen { native: program == itself, program, status, complaints }))
}
