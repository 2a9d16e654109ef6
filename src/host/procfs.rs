//! Facts about running processes of any user (proc(5)).

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

/// Longest path that execve(2) accepts.
const PATH_MAX: usize = 4096;

/// Opens the file that a process executes, and returns it with the path that the kernel reports for it.
pub fn open_executable(pid: u32) -> io::Result<(File, PathBuf)> {
    let link = proc_path(pid, "exe");
    Ok((File::open(&link)?, std::fs::read_link(&link)?))
}

/// Reads a file of /proc/PID.
pub fn read_proc_file(pid: u32, name: &str) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(proc_path(pid, name))?.take(1 << 20).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads a string from the memory of a process, without the NUL at its end.
pub fn read_process_string(pid: u32, address: u64) -> io::Result<Vec<u8>> {
    let memory = File::open(proc_path(pid, "mem"))?;
    let mut bytes = vec![0; PATH_MAX];
    // The string may lie just before the end of the mapped memory: then fewer bytes are read.
    let length = memory.read_at(&mut bytes, address)?;
    bytes.truncate(length);
    match bytes.iter().position(|byte| *byte == 0) {
        Some(end) => bytes.truncate(end),
        None => return Err(io::ErrorKind::InvalidData.into()),
    }
    Ok(bytes)
}

/// Returns a path by which this process finds a path of another process, through that process's root or working
/// directory.
pub fn path_as_seen_by(pid: u32, path: &Path) -> PathBuf {
    path.strip_prefix("/")
        .map_or_else(|_| proc_path(pid, "cwd").join(path), |inside| proc_path(pid, "root").join(inside))
}

/// Whether a process is in the same namespace of this kind (`user`, `mnt`) as this process.
pub fn same_namespace(pid: u32, namespace: &str) -> io::Result<bool> {
    let name = format!("ns/{namespace}");
    let own = std::fs::read_link(Path::new("/proc/self").join(&name))?;
    Ok(std::fs::read_link(proc_path(pid, &name))? == own)
}

fn proc_path(pid: u32, name: &str) -> PathBuf {
    Path::new("/proc").join(pid.to_string()).join(name)
}

/// Returns an identifier of the present boot of the machine.
pub fn boot_id() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}
