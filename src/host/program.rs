//! Files as execve(2) finds them: by the path that it is given, symbolic links followed.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use nix::sys::statvfs::{FsFlags, statvfs};
use rustix::fs::{Access, AtFlags, CWD};

use super::Host;
use crate::error::{Error, Result};

impl Host {
    /// Opens a regular file of the running machine for reading. What is something else is not opened at all: that could
    /// block, or do something.
    pub fn open_program(&self, path: &Path) -> io::Result<File> {
        let no_file = || io::Error::new(io::ErrorKind::InvalidInput, "not a regular file");
        if !std::fs::metadata(path)?.is_file() {
            return Err(no_file());
        }
        let file = OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(path)?;
        if file.metadata()?.is_file() { Ok(file) } else { Err(no_file()) }
    }

    /// Fails if a file that the user named is not there, or not to be looked at.
    pub fn look_at_given(&self, path: &Path) -> Result<()> {
        std::fs::metadata(path).map(drop).map_err(|e| Error::io("look at", path, e))
    }

    /// Would the kernel let us execute it: its mode, and its mount (access(2))?
    pub fn may_execute(&self, path: &Path) -> io::Result<()> {
        Ok(rustix::fs::accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS)?)
    }

    /// Is it on a file system that is mounted noexec?
    pub fn is_noexec(&self, path: &Path) -> bool {
        statvfs(path).is_ok_and(|fs| fs.flags().contains(FsFlags::ST_NOEXEC))
    }
}
