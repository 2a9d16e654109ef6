//! Facts about this process: its program, its user, its environment variables, and the kernel that it runs on.

use std::io;
use std::path::PathBuf;

use super::FileId;

/// Returns the identity of the program file of this process.
pub fn own_file_id() -> io::Result<FileId> {
    std::fs::metadata("/proc/self/exe").map(|meta| FileId::from_metadata(&meta))
}

/// Returns an environment variable of this process if it is valid UTF-8 and not empty.
pub fn var(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Returns the effective user and group of this process.
pub fn effective_ids() -> (u32, u32) {
    (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw())
}

/// Returns the absolute path of the running program, for commands that users copy.
pub fn own_path() -> PathBuf {
    std::env::current_exe().unwrap_or_else(|_| PathBuf::from("binfmt-nix"))
}

/// Returns the host name of the machine.
pub fn host_name() -> Option<String> {
    let name = nix::sys::utsname::uname().ok()?.nodename().to_str()?.to_owned();
    (!name.is_empty()).then_some(name)
}

/// Returns the number of processors that this process may use.
pub fn processor_count() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Returns the machine (`uname -m`) and the first two numbers of the kernel release.
pub fn kernel_release() -> (String, (u32, u32)) {
    let Ok(uname) = nix::sys::utsname::uname() else {
        return Default::default();
    };
    let release = uname.release().to_string_lossy();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    (uname.machine().to_string_lossy().into_owned(), version)
}
