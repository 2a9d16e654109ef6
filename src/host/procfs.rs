//! Facts about running processes of any user (proc(5)).

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// Longest path that execve(2) accepts.
const PATH_MAX: usize = 4096;

/// Opens the file that a process executes, and returns it with the path that the kernel reports for it.
pub fn open_executable(pid: u32) -> io::Result<(File, PathBuf)> {
    let link = proc_path(pid, "exe");
    Ok((File::open(&link)?, std::fs::read_link(&link)?))
}

/// Returns the file name of the executable of a process, if the file has no setuid or setgid bit: then the process has
/// the ids of the process that started it. Only root, or the same user, can ask this.
pub fn unprivileged_executable(pid: u32) -> Option<String> {
    let (file, path) = open_executable(pid).ok()?;
    let mode = file.metadata().ok()?.permissions().mode();
    let name = path.file_name()?.to_str()?;
    // The kernel marks a file that was replaced since, as by an upgrade (`d_path`, fs/d_path.c).
    (mode & 0o6000 == 0).then(|| name.strip_suffix(" (deleted)").unwrap_or(name).to_owned())
}

/// Returns the words of the command line of a process.
pub fn command_line(pid: u32) -> Vec<String> {
    let bytes = read_proc_file(pid, "cmdline").unwrap_or_default();
    let bytes = bytes.strip_suffix(&[0]).unwrap_or(&bytes);
    bytes.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

/// Returns the real, effective, saved and file system uid of a process (proc(5), `Uid` in /proc/PID/status). Every user
/// may read them. The owner of /proc/PID is not used: it is root for every process that is not dumpable.
pub fn all_uids(pid: u32) -> Option<[u32; 4]> {
    let status = read_proc_file(pid, "status").ok()?;
    let status = String::from_utf8_lossy(&status);
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    let uids: Vec<u32> = line.split_whitespace().map(str::parse).collect::<Result<_, _>>().ok()?;
    uids.try_into().ok()
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

/// Returns the start time of a process, in clock ticks since the boot of the machine. Every user may read it.
pub fn start_ticks(pid: u32) -> Option<u64> {
    parse_start_ticks(&std::fs::read_to_string(proc_path(pid, "stat")).ok()?)
}

/// Parses field 22 of /proc/PID/stat, `starttime` (proc(5)). Field 2 may contain blanks and parentheses.
pub fn parse_start_ticks(stat: &str) -> Option<u64> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

/// Returns the process namespace of this process: `pid:[4026531836]`.
pub fn pid_namespace() -> Option<PathBuf> {
    std::fs::read_link("/proc/self/ns/pid").ok()
}

/// Returns an identifier of the present boot of the machine.
pub fn boot_id() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}
