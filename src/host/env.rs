//! Facts about this process: its program, its user, its environment variables, and the kernel that it runs on.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::PathBuf;

use nix::errno::Errno;
use nix::sys::personality::{self, Persona};

use super::FileId;

/// Returns the identity of the program file of this process.
pub fn own_file_id() -> io::Result<FileId> {
    std::fs::metadata("/proc/self/exe").map(|meta| FileId::from_metadata(&meta))
}

/// Opens the program file of this process, whatever its path leads to by now.
pub fn open_own_program() -> io::Result<File> {
    super::procfs::open_executable(std::process::id()).map(|(file, _)| file)
}

/// All variables of the caller's environment that this program reads. No other one is read: `var_os` has no value
/// for it. The libraries that colour the output read those that `.github/SECURITY.md` adds.
pub const VARIABLES: [&str; 35] = [
    "ALL_PROXY",
    "BINFMT_NIX_MIRROR",
    "DOCKER_CONFIG",
    "HOME",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "KUBERNETES_SERVICE_HOST",
    "NETRC",
    "NIX_CONFIG",
    "NIX_REMOTE",
    "NIX_SSL_CERT_FILE",
    "NIX_USER_CONF_FILES",
    "NOTIFY_SOCKET",
    "NO_PROXY",
    "PATH",
    "QEMU_LD_PREFIX",
    "REGISTRY_AUTH_FILE",
    "REQUEST_METHOD",
    "SHELL",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "SUDO_COMMAND",
    "SUDO_GID",
    "SUDO_UID",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_DIRS",
    "XDG_CONFIG_HOME",
    "XDG_RUNTIME_DIR",
    "container",
    "all_proxy",
    "http_proxy",
    "https_proxy",
    "no_proxy",
];

/// Returns an environment variable of this process if it is one of [`VARIABLES`].
pub(super) fn var_os(name: &str) -> Option<OsString> {
    let is_listed = VARIABLES.contains(&name);
    debug_assert!(is_listed, "{name} is not listed, so it is not documented");
    std::env::var_os(name).filter(|_| is_listed)
}

/// Returns an environment variable of this process if it is one of [`VARIABLES`], valid UTF-8 and not empty.
pub fn var(name: &str) -> Option<String> {
    var_os(name)?.into_string().ok().filter(|value| !value.is_empty())
}

/// Returns the effective user and group of this process.
pub fn effective_ids() -> (u32, u32) {
    (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw())
}

/// Whether the kernel refuses the personality PER_LINUX32, as on an arm64 processor without AArch32 (`arm64_personality`,
/// 6.12). A personality is one of a thread, so this one ends with its thread.
pub fn refuses_personality_32() -> bool {
    const PER_LINUX32: i32 = 8;
    let request = || personality::set(Persona::from_bits_retain(PER_LINUX32));
    std::thread::spawn(request).join().is_ok_and(|result| result == Err(Errno::EINVAL))
}

/// Returns the absolute path of the running program, for commands that users copy.
pub fn own_path() -> PathBuf {
    std::env::current_exe().unwrap_or_else(|_| PathBuf::from("binfmt-nix"))
}

/// Whether the shell of the user is not root's: then a command that needs root begins with sudo(8).
pub fn needs_sudo() -> bool {
    effective_ids().0 != 0 || var("SUDO_UID").is_some_and(|uid| uid != "0")
}

/// Returns the value of PATH.
pub fn search_path() -> Option<OsString> {
    var_os("PATH")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asks_for_the_32_bit_personality_without_a_change() {
        let before = personality::get();
        let is_refused = refuses_personality_32();
        assert!(cfg!(target_arch = "aarch64") || !is_refused);
        assert_eq!(personality::get(), before);
    }
}
