//! Mounting and unmounting the kernel's table, and what is mounted where.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags};

use super::Host;
use crate::error::{Error, Result};

impl Host {
    /// Mounts a binfmt_misc of the caller's user namespace on `path`.
    pub fn mount_binfmt_misc(&self, path: &Path) -> std::result::Result<(), nix::errno::Errno> {
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        nix::mount::mount(Some("binfmt_misc"), &self.at(path), Some("binfmt_misc"), flags, None::<&str>)
    }

    /// Takes the topmost mount on `path` away.
    pub fn unmount(&self, path: &Path) -> Result<()> {
        let real = self.at(path);
        nix::mount::umount2(&real, MntFlags::UMOUNT_NOFOLLOW).map_err(|e| Error::io("unmount", &real, e.into()))
    }

    /// Is `path` itself a mount point (a bind-mounted single file, say)?
    pub fn is_mount_point(&self, path: &Path) -> bool {
        let real = self.at(path);
        mount_points(&std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default()).any(|point| point == real)
    }

    /// Is the file system that holds `path` read-only?
    pub fn is_read_only_fs(&self, path: &Path) -> bool {
        nix::sys::statvfs::statvfs(&self.at(path))
            .is_ok_and(|fs| fs.flags().contains(nix::sys::statvfs::FsFlags::ST_RDONLY))
    }

    /// Tells one mounted table from the next: boot, device, and the time it was
    /// made (a new table's `status` file has its mount time as change time:
    /// measured on Linux 6.18).
    pub fn mount_identity(&self, status: &Path) -> Option<String> {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        let meta = std::fs::metadata(self.at(status)).ok()?;
        Some(format!("{} {} {}.{:09}", boot.trim(), meta.dev(), meta.ctime(), meta.ctime_nsec()))
    }
}

/// Fifth field of each line of /proc/PID/mountinfo, octal escapes undone (proc(5)).
fn mount_points(mountinfo: &str) -> impl Iterator<Item = PathBuf> {
    mountinfo.lines().filter_map(|line| line.split(' ').nth(4)).map(|field| PathBuf::from(unescape(field)))
}

fn unescape(field: &str) -> String {
    field.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_mount_points_with_spaces() {
        let text = "36 35 98:0 / /mnt/a\\040b rw - ext4 /dev/x rw\n";
        assert_eq!(mount_points(text).next(), Some(PathBuf::from("/mnt/a b")));
    }
}
