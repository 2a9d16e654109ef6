//! Facts about a file besides its bytes: mount options, label, permission bits, namespaces.

use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, UnixAddr};
use rustix::fs::{Access, StatVfsMountFlags, access, statvfs};

use super::mount::parse_mountinfo_line;
use super::{FileId, Host};

impl Host {
    /// Returns the mount point of the file system that holds `path` if it is mounted noexec.
    pub fn noexec_mount(&self, path: &Path) -> Option<PathBuf> {
        let real = self.real_path(path);
        let noexec = statvfs(&real).is_ok_and(|fs| fs.f_flag.contains(StatVfsMountFlags::NOEXEC));
        noexec.then(|| mount_point(&real)).flatten()
    }

    /// Returns the SELinux context of a file.
    pub fn selinux_label(&self, path: &Path) -> Option<String> {
        let label = xattr::get(self.real_path(path), "security.selinux").ok()??;
        Some(String::from_utf8_lossy(&label).trim_end_matches('\0').to_owned())
    }

    /// Whether the mode of a file has one of these bits. Symbolic links are followed.
    pub fn has_mode(&self, path: &Path, bits: u32) -> bool {
        use std::os::unix::fs::MetadataExt as _;
        std::fs::metadata(self.real_path(path)).is_ok_and(|meta| meta.mode() & bits != 0)
    }

    /// Whether a process listens on a Unix socket. A process that accepts no connection does not block this one: the
    /// error EAGAIN means that its queue is full (connect(2)).
    pub fn is_listening(&self, path: &Path) -> bool {
        let connect = || -> nix::Result<()> {
            let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
            let connection = socket::socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
            socket::connect(connection.as_raw_fd(), &UnixAddr::new(&self.real_path(path))?)
        };
        matches!(connect(), Ok(()) | Err(Errno::EAGAIN))
    }

    /// Whether this process may write to the file, as far as mode bits and mounts decide it.
    pub fn may_write(&self, path: &Path) -> bool {
        access(self.real_path(path), Access::WRITE_OK).is_ok()
    }

    /// Returns the namespace of this kind ("mnt", "pid") that a process is in, such as `mnt:[4026531841]`.
    pub fn namespace_link(&self, process: &str, kind: &str) -> Option<PathBuf> {
        std::fs::read_link(self.real_path(Path::new("/proc")).join(process).join("ns").join(kind)).ok()
    }

    /// Whether this process has another root directory than the first process, as in a chroot. `false` if only root may
    /// know it (proc(5), `/proc/PID/root`).
    pub fn is_in_chroot(&self) -> bool {
        let [first, own] = ["/proc/1/root", "/"].map(|path| std::fs::metadata(self.real_path(Path::new(path))).ok());
        match (first, own) {
            (Some(first), Some(own)) => FileId::from_metadata(&first) != FileId::from_metadata(&own),
            _ => false,
        }
    }

    /// Whether this process is in the initial namespaces of the machine. Their numbers are fixed (Linux's
    /// `include/linux/proc_ns.h`). No container manager shares all of these.
    pub fn in_initial_namespaces(&self) -> bool {
        const INITIAL: [(&str, u32); 4] =
            [("pid", 0xEFFF_FFFC), ("uts", 0xEFFF_FFFE), ("ipc", 0xEFFF_FFFF), ("cgroup", 0xEFFF_FFFB)];
        let is_initial = |(kind, number): &(&str, u32)| {
            self.namespace_link("self", kind)
                .is_some_and(|link| link.as_os_str() == format!("{kind}:[{number}]").as_str())
        };
        INITIAL.iter().all(is_initial)
    }
}

/// Returns the time of the clock that stamps files: seconds and nanoseconds since 1970, as of the last tick.
pub fn file_timestamp_now() -> (i64, i64) {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
    (now.tv_sec, now.tv_nsec)
}

/// Returns the mount point that holds the path: the longest one that is a prefix of it.
fn mount_point(real: &Path) -> Option<PathBuf> {
    let real = real.canonicalize().ok()?;
    let text = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    let points = text.lines().filter_map(|line| Some(parse_mountinfo_line(line)?.1));
    points.filter(|point| real.starts_with(point)).max_by_key(|point| point.as_os_str().len())
}
