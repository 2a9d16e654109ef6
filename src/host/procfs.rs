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

/// Whether a process waits in write(2), or a call like it, on its standard output. Returns `None` if this process may not know
/// what it waits for, or if the kernel does not show it (proc_pid_syscall(5)).
pub fn is_writing_to_stdout(pid: u32) -> Option<bool> {
    match std::fs::read_to_string(proc_path(pid, "syscall")) {
        Ok(text) => Some(parse_syscall(&text).is_some_and(|(number, first)| first == 1 && is_write(number))),
        // The process may have ended.
        Err(_) if !proc_path(pid, "exe").is_symlink() => Some(false),
        Err(_) => None,
    }
}

/// Parses the number of a system call, which is decimal, and its first argument, which is hexadecimal.
fn parse_syscall(text: &str) -> Option<(i64, u64)> {
    let mut words = text.split_whitespace();
    let number = words.next()?.parse().ok()?;
    Some((number, u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok()?))
}

fn is_write(number: i64) -> bool {
    /// write(2) of 32-bit programs, on x86 and on Arm.
    const COMPAT_WRITE: i64 = 4;
    // All of them take the file first.
    let calls = [nix::libc::SYS_write, nix::libc::SYS_writev, nix::libc::SYS_pwritev2, nix::libc::SYS_sendfile];
    calls.contains(&number) || [nix::libc::SYS_vmsplice, COMPAT_WRITE].contains(&number)
}

/// Returns the children of a process. They are unknown on kernels without `CONFIG_PROC_CHILDREN`.
pub fn children(pid: u32) -> Vec<u32> {
    let list = read_proc_file(pid, &format!("task/{pid}/children")).unwrap_or_default();
    String::from_utf8_lossy(&list).split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// `AT_EXECFN` of getauxval(3): the address of the path that was passed to execve(2).
pub const AT_EXECFN: u64 = 31;

/// Returns the path that was passed to execve(2) when the process began to execute this file. `None` if its memory cannot
/// be read.
pub fn exec_path(pid: u32, executable: &File) -> Option<Vec<u8>> {
    let mut class = [0; 5];
    executable.read_exact_at(&mut class, 0).ok()?;
    let vector = read_proc_file(pid, "auxv").ok()?;
    let address = find_auxv(&vector, word_size(&class), AT_EXECFN)?;
    read_process_string(pid, address).ok()
}

/// Returns the size of a word in the auxiliary vector of the program that begins with these bytes.
pub fn word_size(head: &[u8]) -> usize {
    if head.get(4) == Some(&1) { 4 } else { 8 }
}

/// Finds the value of a tag in an auxiliary vector (getauxval(3)) with words of `size` bytes.
pub fn find_auxv(vector: &[u8], size: usize, tag: u64) -> Option<u64> {
    let word = |bytes: &[u8]| -> Option<u64> {
        match size {
            4 => Some(u32::from_ne_bytes(bytes.try_into().ok()?).into()),
            _ => Some(u64::from_ne_bytes(bytes.try_into().ok()?)),
        }
    };
    vector.chunks_exact(size.saturating_mul(2)).find_map(|pair| {
        let (kind, value) = pair.split_at_checked(size)?;
        (word(kind)? == tag).then(|| word(value))?
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_tags_in_an_auxiliary_vector() {
        let vector: Vec<u8> = [6_u64, 4096, 8, 1, 31, 77, 0, 0].iter().flat_map(|word| word.to_ne_bytes()).collect();
        assert_eq!([8, 31, 9].map(|kind| find_auxv(&vector, 8, kind)), [Some(1), Some(77), None]);
        assert_eq!(find_auxv(&vector[..20], 8, 8), None);
        assert_eq!(find_auxv(&[], 4, 8), None);
    }

    #[test]
    fn parses_what_a_process_waits_for() {
        assert_eq!(parse_syscall("1 0x1 0x7ffd 0x10 0x0 0x0 0x0 0x7ff0 0x4015\n"), Some((1, 1)));
        assert_eq!(parse_syscall("running\n"), None);
        assert_eq!(parse_syscall("-1 0x7ff0 0x4015\n"), Some((-1, 0x7ff0)));
    }
}
