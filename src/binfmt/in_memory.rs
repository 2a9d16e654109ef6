//! Interpreters that live in memory: how an entry of binfmt_misc names an open file.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// The interpreters of entries that need no file: the number is of no meaning
/// once the entry is there.
pub const FD_DIR: &str = "/proc/self/fd";

/// The same, of entries that a `register --watch` made: it puts them back while it runs. (proc(5): the directory of the
/// thread that asks.)
pub const WATCHED_FD_DIR: &str = "/proc/thread-self/fd";

/// The interpreter that an open file in memory is registered as, by one of these names of the directory of open files.
pub fn in_memory_path(place: &str, file: &File) -> Vec<u8> {
    format!("{place}/{}", file.as_raw_fd()).into_bytes()
}

/// Does an interpreter's path say that its file is in memory?
pub fn is_in_memory_path(interpreter: impl AsRef<[u8]>) -> bool {
    let path = Path::new(OsStr::from_bytes(interpreter.as_ref()));
    [FD_DIR, WATCHED_FD_DIR].iter().any(|dir| path.starts_with(dir))
}
