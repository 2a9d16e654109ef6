//! Mounting and unmounting binfmt_misc, and facts about mounts.

use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags};
use nix::sched::{CloneFlags, unshare};
use rustix::fs::{AtFlags, CWD, StatVfsMountFlags, StatxFlags};

use super::{Host, failpoint};
use crate::error::{Error, Result};

/// `STATX_MNT_ID_UNIQUE` of statx(2): asks for a mount number that the kernel never reuses.
const MNT_ID_UNIQUE: u32 = 0x4000;

impl Host {
    /// Mounts the binfmt_misc of this process's user namespace on `path`.
    pub fn mount_binfmt_misc(&self, path: &Path) -> std::result::Result<(), Errno> {
        self.mount_binfmt_misc_from("binfmt_misc", path)
    }

    /// Like [`Host::mount_binfmt_misc`], with the name of a source. The kernel only shows the name in mountinfo.
    pub fn mount_binfmt_misc_from(&self, source: &str, path: &Path) -> std::result::Result<(), Errno> {
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        failpoint::begin_change("mount", path).map_err(|e| Errno::from_raw(e.raw_os_error().unwrap_or_default()))?;
        nix::mount::mount(Some(source), &self.real_path(path), Some("binfmt_misc"), flags, None::<&str>)
    }

    /// Unmounts the topmost mount on `path`. Returns `false` if it is in use.
    pub fn unmount(&self, path: &Path) -> Result<bool> {
        let real = self.real_path(path);
        failpoint::begin_change("unmount", &real).map_err(|e| Error::io("unmount", &real, e))?;
        match nix::mount::umount2(&real, MntFlags::UMOUNT_NOFOLLOW) {
            Ok(()) => Ok(true),
            Err(Errno::EBUSY) => Ok(false),
            Err(e) => Err(Error::io("unmount", &real, e.into())),
        }
    }

    /// Whether `path` itself is a mount point, such as a bind-mounted file.
    pub fn is_mount_point(&self, path: &Path) -> bool {
        self.mount_number(path).is_some()
    }

    /// Returns an identifier that distinguishes the topmost mount on `path` from all other mounts since boot. Before
    /// Linux 6.8 the kernel reuses the numbers, so that a later mount can have the same identifier.
    pub fn mount_id(&self, path: &Path) -> Option<String> {
        let number = self.mount_number(path)?;
        let mask = StatxFlags::from_bits_retain(MNT_ID_UNIQUE);
        match rustix::fs::statx(CWD, self.real_path(path), AtFlags::NO_AUTOMOUNT, mask) {
            Ok(answer) if answer.stx_mask & MNT_ID_UNIQUE != 0 => Some(answer.stx_mnt_id.to_string()),
            _ => Some(number),
        }
    }

    /// Returns the number of the topmost mount on `path`, in this mount namespace.
    fn mount_number(&self, path: &Path) -> Option<String> {
        self.mountinfo_line(path)?.split(' ').next().map(str::to_owned)
    }

    /// Returns the source of the topmost mount on `path`, in this mount namespace.
    pub fn mount_source(&self, path: &Path) -> Option<String> {
        parse_mount_source(&self.mountinfo_line(path)?)
    }

    fn mountinfo_line(&self, path: &Path) -> Option<String> {
        let real = self.real_path(path);
        let text = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
        // A later line is mounted on top of an earlier one.
        let is_at_path = |line: &&str| parse_mountinfo_line(line).is_some_and(|(_, point)| point == real);
        text.lines().rev().find(is_at_path).map(str::to_owned)
    }

    /// Whether the file system that holds `path` is mounted read-only.
    pub fn is_read_only_fs(&self, path: &Path) -> bool {
        rustix::fs::statvfs(self.real_path(path)).is_ok_and(|fs| fs.f_flag.contains(StatVfsMountFlags::RDONLY))
    }
}

/// Moves this process into a new mount namespace. Its later mounts are visible to no other process, and end with this
/// process (mount_namespaces(7)).
pub fn make_mounts_private() -> std::result::Result<(), Errno> {
    const UNUSED: Option<&str> = None;
    unshare(CloneFlags::CLONE_NEWNS)?;
    nix::mount::mount(UNUSED, "/", UNUSED, MsFlags::MS_REC | MsFlags::MS_PRIVATE, UNUSED)
}

/// Returns the first and the fifth field of a line of /proc/PID/mountinfo (proc(5)): the number of the mount, and its
/// mount point with the octal escapes decoded.
pub fn parse_mountinfo_line(line: &str) -> Option<(&str, PathBuf)> {
    let mut fields = line.split(' ');
    Some((fields.next()?, PathBuf::from(unescape(fields.nth(3)?))))
}

/// Returns the second field after the hyphen of a line of mountinfo: the source of the mount.
fn parse_mount_source(line: &str) -> Option<String> {
    let (_, fields) = line.split_once(" - ")?;
    fields.split(' ').nth(1).map(unescape)
}

fn unescape(field: &str) -> String {
    field.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_mount_points_with_spaces() {
        let line = "36 35 98:0 / /mnt/a\\040b rw - ext4 /dev/x rw";
        assert_eq!(parse_mountinfo_line(line), Some(("36", PathBuf::from("/mnt/a b"))));
        assert_eq!(parse_mountinfo_line("36 35"), None);
        assert_eq!(parse_mount_source(line).as_deref(), Some("/dev/x"));
        assert_eq!(parse_mount_source("36 35"), None);
    }
}
