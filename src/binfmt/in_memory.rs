//! Interpreters in memory: the paths by which an entry of binfmt_misc names an open file.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// The directory in the interpreter paths of entries that need no file. The number of the file descriptor has no
/// meaning once the entry exists.
pub const FD_DIR: &str = "/proc/self/fd";

/// The directory in the interpreter paths of entries that `register --watch` made and registers again while it runs.
/// (proc(5): `thread-self` is the directory of the calling thread.)
pub const WATCHED_FD_DIR: &str = "/proc/thread-self/fd";

/// Returns the interpreter path for an open file in memory; `fd_dir` is one of the two directories above.
pub fn in_memory_path(fd_dir: &str, file: &File) -> Vec<u8> {
    format!("{fd_dir}/{}", file.as_raw_fd()).into_bytes()
}

/// Whether the path of an interpreter names a file in memory.
pub fn is_in_memory_path(interpreter: impl AsRef<[u8]>) -> bool {
    let path = Path::new(OsStr::from_bytes(interpreter.as_ref()));
    [FD_DIR, WATCHED_FD_DIR].iter().any(|dir| path.starts_with(dir))
}
