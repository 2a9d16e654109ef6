//! The lock: only one binfmt-nix at a time changes a machine.

use std::fs::{File, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use super::Host;
use crate::error::{Error, Result};

/// A held lock. The kernel releases it when the process ends, however it ends. So the lock file is never deleted and
/// never stale.
#[derive(Debug)]
pub struct Lock {
    file: File,
    is_recorded: bool,
}

impl Lock {
    /// Adds text to the record of the current holder.
    pub fn write_owner(&mut self, more: &str) -> std::io::Result<()> {
        if self.is_recorded { write_owner(&mut self.file, more) } else { Ok(()) }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Clear our record, so that a waiting process does not take the next holder for us before it has written its
        // own.
        if self.is_recorded {
            drop(self.file.set_len(0));
        }
    }
}

impl Host {
    /// Locks the lock file at `path`, which is created if it is missing. Waits up to `patience` for another process
    /// that holds it. `waiting` is called once, with the holder's record.
    pub fn lock(&self, path: &Path, patience: Duration, waiting: &mut dyn FnMut(&str)) -> Result<Lock> {
        let real = self.real_path(path);
        let failed = |e| Error::io("lock", &real, e);
        self.make_parents(path)?;
        let (dir, name) = self.open_parent_checked(path)?;
        let mut file = dir.open_or_create(name, 0o644).map_err(failed)?;
        self.wait_for_lock(&mut file, &real, patience, waiting, read_owner)?;
        // On a full disk the record stays empty: that is not an error, because this run may be about to free space.
        drop(write_owner(&mut file, ""));
        Ok(Lock { file, is_recorded: true })
    }

    /// Locks the file or directory at `path` itself. The holder is not recorded.
    pub fn lock_path(&self, path: &Path, patience: Duration, waiting: &mut dyn FnMut(&str)) -> Result<Lock> {
        let real = self.real_path(path);
        let mut file = File::open(&real).map_err(|e| Error::io("lock", &real, e))?;
        self.wait_for_lock(&mut file, &real, patience, waiting, |_| None)?;
        Ok(Lock { file, is_recorded: false })
    }

    fn wait_for_lock(
        &self,
        file: &mut File,
        real: &Path,
        patience: Duration,
        waiting: &mut dyn FnMut(&str),
        read_owner: fn(&mut File) -> Option<String>,
    ) -> Result<()> {
        let started = Instant::now();
        let mut reported = false;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(()),
                Err(TryLockError::Error(e)) => return Err(Error::io("lock", real, e)),
                Err(TryLockError::WouldBlock) if started.elapsed() >= patience => {
                    let holder = read_owner(file).unwrap_or_else(|| UNKNOWN_HOLDER.to_owned());
                    return Err(Error::Locked { path: real.to_owned(), holder });
                }
                Err(TryLockError::WouldBlock) => {
                    // A new holder may not have written its record yet.
                    match read_owner(file) {
                        Some(holder) if !reported => {
                            waiting(&holder);
                            reported = true;
                        }
                        None if !reported && started.elapsed() > Duration::from_millis(500) => {
                            waiting(UNKNOWN_HOLDER);
                            reported = true;
                        }
                        _ => {}
                    }
                    if let Some(signal) = self.pending_signal() {
                        return Err(Error::Interrupted { signal });
                    }
                    std::thread::sleep(Duration::from_millis(50));
                }
            }
        }
    }
}

impl Host {
    /// Whether a process holds the lock that [`Host::lock_path`] takes.
    pub fn is_locked(&self, path: &Path) -> bool {
        File::open(self.real_path(path))
            .is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }

    /// The current holder of the lock, as recorded in the file; does not block.
    pub fn lock_owner(&self, path: &Path) -> Option<String> {
        let mut file = self.open_nofollow(path).ok()?;
        // A holder that exits cleanly clears its record; one that was killed leaves it behind.
        let holder = read_owner(&mut file)?;
        matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)).then_some(holder)
    }
}

/// Records this process as the holder, for processes that wait.
fn write_owner(file: &mut File, more: &str) -> std::io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(format!("process {}{more}\n", std::process::id()).as_bytes())
}

/// Description of a holder that left no record.
const UNKNOWN_HOLDER: &str = "an unknown process";

fn read_owner(file: &mut File) -> Option<String> {
    let mut text = String::new();
    file.rewind().and_then(|()| file.take(1024).read_to_string(&mut text)).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}
