//! The record of a lock's holder: a file beside the lock file, for messages of other processes.
//!
//! Every user may read the record, and nothing is locked by it. A process that was killed leaves its record behind, and
//! its number may belong to another process later. So a record names a process only as long as the process with this
//! number is the same: it started in the same boot at the same time.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::Permissions;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::dir_fd::Dir;
use super::procfs;

/// The process that holds a lock.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct LockHolder {
    /// Process id
    pub pid: u32,
    /// Systems that the process watches; empty if it has not recorded any
    pub systems: Vec<String>,
    /// Whether the process downloads emulators, which may take a while
    #[serde(default)]
    pub downloads: bool,
    /// Clock ticks from the boot to the start of the process
    start_ticks: u64,
    /// Boot in which the process was started
    boot_id: String,
    /// Process namespace in which `pid` is a number: `pid:[4026531836]`
    pid_namespace: PathBuf,
}

impl LockHolder {
    /// Describes this process. Returns `None` without /proc.
    fn this_process(systems: &[&str], downloads: bool) -> Option<Self> {
        let pid = std::process::id();
        Some(Self {
            pid,
            systems: systems.iter().map(|&system| system.to_owned()).collect(),
            downloads,
            start_ticks: procfs::start_ticks(pid)?,
            boot_id: procfs::boot_id(),
            pid_namespace: procfs::pid_namespace()?,
        })
    }

    /// Parses a record. Returns `None` for anything else, such as the half of a record.
    pub(super) fn parse(record: &[u8]) -> Option<Self> {
        serde_json::from_slice(record).ok()
    }

    /// Whether the process still runs, as far as this process can see it.
    pub(super) fn is_running(&self) -> bool {
        procfs::pid_namespace().as_ref() == Some(&self.pid_namespace)
            && procfs::boot_id() == self.boot_id
            && procfs::start_ticks(self.pid) == Some(self.start_ticks)
    }
}

impl fmt::Display for LockHolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {}", self.pid)?;
        if !self.systems.is_empty() {
            write!(f, ", which watches {}", self.systems.join(" "))?;
        }
        if self.downloads {
            write!(f, ", which downloads emulators")?;
        }
        Ok(())
    }
}

/// Returns the path of the record for the lock file at `lock`.
pub(super) fn record_path(lock: &Path) -> PathBuf {
    lock.with_extension("holder")
}

/// Records this process as the holder of the lock file `lock`.
pub(super) fn record(dir: &Dir, lock: &OsStr, systems: &[&str], downloads: bool) -> io::Result<()> {
    let holder = LockHolder::this_process(systems, downloads).ok_or(io::ErrorKind::NotFound)?;
    remove_record(dir, lock)?;
    let mut file = dir.create_scratch_file(&record_name(lock))?;
    file.write_all(&serde_json::to_vec(&holder)?)?;
    file.set_permissions(Permissions::from_mode(0o644))
}

/// Removes the record of the lock file `lock`. A missing record is not an error.
pub(super) fn remove_record(dir: &Dir, lock: &OsStr) -> io::Result<()> {
    match dir.remove_scratch_file(&record_name(lock)) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

fn record_name(lock: &OsStr) -> OsString {
    record_path(Path::new(lock)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_names_only_the_process_that_wrote_it() -> io::Result<()> {
        let holder = LockHolder::this_process(&["aarch64", "arm"], false).ok_or(io::ErrorKind::NotFound)?;
        let record = serde_json::to_vec(&holder)?;
        assert_eq!(LockHolder::parse(&record), Some(holder.clone()));
        assert_eq!(holder.to_string(), format!("process {}, which watches aarch64 arm", std::process::id()));
        assert!(holder.is_running());
        let start_ticks = holder.start_ticks + 1;
        assert!(!LockHolder { start_ticks, ..holder.clone() }.is_running());
        assert!(!LockHolder { boot_id: "another".into(), ..holder.clone() }.is_running());
        assert!(!LockHolder { pid_namespace: "pid:[1]".into(), ..holder.clone() }.is_running());
        assert!(!LockHolder { pid: u32::MAX, ..holder }.is_running());
        assert_eq!(LockHolder::parse(b"process 42\n"), None);
        assert_eq!(LockHolder::parse(record.get(..20).unwrap_or_default()), None);
        Ok(())
    }
}
