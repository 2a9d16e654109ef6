//! Locks: only one binfmt-nix at a time changes a machine.
//!
//! flock(2) needs no right to write: a user who can open a file can lock it, and then block everyone else. So every
//! lock is on a file that only root, or the user of this process, can open: a file of mode 0600, or a kernel file that
//! is opened for writing. The holder of a lock file is recorded beside it (see [`super::lock_holder`]).
//!
//! A lock file is deleted by its holder, so that nothing remains. A waiting process may then lock a file that has lost
//! its name; it opens the name again. A killed holder leaves a file that is not locked, and the next holder deletes it.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

use super::dir_fd::Dir;
use super::lock_holder::{self, LockHolder};
use super::{FileId, Host, trust};
use crate::error::{Error, Result, TrustError};

/// A held lock. The kernel releases it when the process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    file: File,
    /// Directory and name of a lock file; absent for a kernel file.
    named: Option<(Dir, OsString)>,
}

/// The two locks of one kernel file. They are independent of each other (flock(2); measured on `register` of
/// binfmt_misc, Linux 6.18).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KernelLock {
    /// The lock of flock(2).
    Flock,
    /// The lock of fcntl(2), `F_OFD_SETLK`: it ends with the open file, unlike that of `F_SETLK`, which ends when the
    /// process closes any open file of the same inode.
    Record,
}

enum LockAttempt {
    Acquired(Lock),
    /// Another process holds the lock.
    Held,
    /// The locked file has lost its name.
    Unnamed,
}

impl Lock {
    /// Adds the watched systems to the record of this holder.
    pub fn record_systems(&self, systems: &[&str]) -> io::Result<()> {
        self.named.as_ref().map_or(Ok(()), |(dir, name)| lock_holder::record(dir, name, systems, false))
    }

    /// Adds to the record of this holder that it downloads emulators.
    pub fn record_download(&self) -> io::Result<()> {
        self.named.as_ref().map_or(Ok(()), |(dir, name)| lock_holder::record(dir, name, &[], true))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let Some((dir, name)) = &self.named else { return };
        // Only the holder deletes a lock file, and only while it holds the lock: so the file is not another holder's.
        // A file that cannot be deleted is locked by the next run as usual.
        if is_named(&self.file, dir, name).unwrap_or(false) {
            drop(lock_holder::remove_record(dir, name));
            drop(dir.remove_scratch_file(name));
        }
    }
}

impl Host {
    /// Locks the lock file at `path`, which is created. Waits up to `patience` for another process that holds it.
    /// `waiting` is called with a description of each holder, and when it begins to download.
    pub fn lock(&self, path: &Path, patience: Duration, waiting: &mut dyn FnMut(&str)) -> Result<Lock> {
        let lock = self.wait_for_lock(path, patience, waiting, &|| self.try_lock_named(path))?;
        // On a full disk the record is missing: that is not an error, because this run may be about to free space.
        drop(lock.record_systems(&[]));
        Ok(lock)
    }

    /// Locks a kernel file that only root can write to. The holder is not recorded. Returns `None` if this process
    /// cannot open the file for writing.
    pub fn lock_kernel_file(
        &self,
        path: &Path,
        kind: KernelLock,
        patience: Duration,
        waiting: &mut dyn FnMut(&str),
    ) -> Result<Option<Lock>> {
        let Ok(file) = self.open_for_locking(path) else { return Ok(None) };
        let attempt = || {
            let file = file.try_clone().map_err(|e| self.lock_error(path, e))?;
            let locked = match kind {
                KernelLock::Flock => try_flock(&file),
                KernelLock::Record => try_lock_record(&file),
            };
            let is_locked = locked.map_err(|e| self.lock_error(path, e))?;
            Ok(if is_locked { LockAttempt::Acquired(Lock { file, named: None }) } else { LockAttempt::Held })
        };
        self.wait_for_lock(path, patience, waiting, &attempt).map(Some)
    }

    /// Whether a process holds the record lock of a kernel file; `false` if this process cannot open it for writing.
    pub fn is_record_locked(&self, path: &Path) -> bool {
        self.open_for_locking(path).is_ok_and(|file| {
            let mut lock = whole_file(libc::F_WRLCK);
            fcntl(&file, FcntlArg::F_OFD_GETLK(&mut lock)).is_ok() && i32::from(lock.l_type) != libc::F_UNLCK
        })
    }

    /// The process that is recorded as the holder of the lock file at `path`, if it still runs.
    pub fn lock_holder(&self, path: &Path) -> Option<LockHolder> {
        let record = self.read_trusted(&lock_holder::record_path(path)).ok()??;
        LockHolder::parse(&record).filter(LockHolder::is_running)
    }

    fn wait_for_lock(
        &self,
        path: &Path,
        patience: Duration,
        waiting: &mut dyn FnMut(&str),
        attempt: &dyn Fn() -> Result<LockAttempt>,
    ) -> Result<Lock> {
        let started = Instant::now();
        let mut reported: Option<String> = None;
        loop {
            match attempt()? {
                LockAttempt::Acquired(lock) => return Ok(lock),
                LockAttempt::Unnamed => continue,
                LockAttempt::Held => {}
            }
            let holder = self.lock_holder(path).map(|holder| holder.to_string());
            if started.elapsed() >= patience {
                let holder = holder.unwrap_or_else(|| UNKNOWN_HOLDER.to_owned());
                let hint = "run this again when that process has ended";
                return Err(Error::Locked { path: self.real_path(path), holder, hint });
            }
            // A new holder may not have written its record yet.
            let is_new = match (&reported, &holder) {
                (None, None) => started.elapsed() > Duration::from_millis(500),
                (Some(_), None) => false,
                (reported, holder) => reported != holder,
            };
            if is_new {
                let holder = holder.unwrap_or_else(|| UNKNOWN_HOLDER.to_owned());
                waiting(&holder);
                reported = Some(holder);
            }
            if let Some(signal) = self.pending_signal() {
                return Err(Error::Interrupted { signal });
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn try_lock_named(&self, path: &Path) -> Result<LockAttempt> {
        self.make_parents(path)?;
        let (dir, name) = self.open_parent_checked(path)?;
        let file = match dir.open_or_create(name, 0o600) {
            // The directory was removed just now, as the last one to use a cache does.
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(LockAttempt::Unnamed),
            opened => check_private(opened.map_err(|e| self.lock_error(path, e))?, &dir.path_of(name))?,
        };
        if !try_flock(&file).map_err(|e| self.lock_error(path, e))? {
            return Ok(LockAttempt::Held);
        }
        match is_named(&file, &dir, name) {
            Ok(true) => Ok(LockAttempt::Acquired(Lock { file, named: Some((dir, name.to_owned())) })),
            Ok(false) => Ok(LockAttempt::Unnamed),
            Err(e) => Err(self.lock_error(path, e)),
        }
    }

    fn lock_error(&self, path: &Path, error: io::Error) -> Error {
        Error::io("lock", &self.real_path(path), error)
    }
}

/// Description of a holder that is not recorded.
const UNKNOWN_HOLDER: &str = "an unknown process";

/// Checks that only root, or the user of this process, can open the file. Its mode is corrected if root has changed it.
fn check_private(file: File, real: &Path) -> Result<File> {
    let failed = |e| Error::io("lock", real, e);
    let meta = file.metadata().map_err(failed)?;
    if !meta.is_file() {
        return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")));
    }
    if trust::is_untrusted_uid(meta.uid()) {
        return Err(TrustError::Owner { path: real.to_owned(), uid: meta.uid() }.into());
    }
    if meta.mode() & 0o077 != 0 {
        file.set_permissions(Permissions::from_mode(0o600)).map_err(failed)?;
    }
    Ok(file)
}

/// Whether `name` in the directory is this file.
fn is_named(file: &File, dir: &Dir, name: &OsStr) -> io::Result<bool> {
    Ok(dir.file_id(name)? == Some(FileId::from_metadata(&file.metadata()?)))
}

/// Returns whether the lock was free.
fn try_flock(file: &File) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(e)) => Err(e),
    }
}

/// Returns whether the lock was free.
fn try_lock_record(file: &File) -> io::Result<bool> {
    match fcntl(file, FcntlArg::F_OFD_SETLK(&whole_file(libc::F_WRLCK))) {
        Ok(_) => Ok(true),
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
        Err(e) => Err(e.into()),
    }
}

fn whole_file(kind: i32) -> libc::flock {
    // The constants are 0, 1 and 2 (fcntl.h).
    let l_type = libc::c_short::try_from(kind).unwrap_or_default();
    libc::flock { l_type, l_whence: 0, l_start: 0, l_len: 0, l_pid: 0 }
}
