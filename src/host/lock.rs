//! One binfmt-nix at a time changes a machine.

use std::fs::{File, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use super::Host;
use crate::error::{Error, Result};

/// Held while the machine is changed; the kernel drops it with the process,
/// however that ends, so the file is never deleted and never stale.
#[derive(Debug)]
pub struct Lock {
    file: File,
    signed: bool,
}

impl Lock {
    /// Says more about the holder.
    pub fn write_owner(&mut self, more: &str) -> std::io::Result<()> {
        if self.signed { write_owner(&mut self.file, more) } else { Ok(()) }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Who takes it next is not taken for us until he has signed.
        if self.signed {
            drop(self.file.set_len(0));
        }
    }
}

impl Host {
    /// Takes the lock file at `path`, waiting up to `patience` for another
    /// process that holds it. `waiting` is told once, with the holder's words.
    pub fn lock(&self, path: &Path, patience: Duration, waiting: &mut dyn FnMut(&str)) -> Result<Lock> {
        let real = self.at(path);
        let failed = |e| Error::io("lock", &real, e);
        self.make_parents(path)?;
        let (dir, name) = self.open_parent_checked(path)?;
        let mut file = dir.open_or_create(name, 0o644).map_err(failed)?;
        self.wait_for_lock(&mut file, &real, patience, waiting, read_owner)?;
        // On a full disk whoever waits is told less: what is swept next may free it.
        drop(write_owner(&mut file, ""));
        Ok(Lock { file, signed: true })
    }

    /// Locks what is at `path` itself, a directory say: nobody can sign there.
    pub fn lock_path(&self, path: &Path, patience: Duration, waiting: &mut dyn FnMut(&str)) -> Result<Lock> {
        let real = self.at(path);
        let mut file = File::open(&real).map_err(|e| Error::io("lock", &real, e))?;
        self.wait_for_lock(&mut file, &real, patience, waiting, |_| None)?;
        Ok(Lock { file, signed: false })
    }

    fn wait_for_lock(
        &self,
        file: &mut File,
        real: &Path,
        patience: Duration,
        waiting: &mut dyn FnMut(&str),
        read_owner: fn(&mut File) -> Option<String>,
    ) -> Result<()> {
        let since = Instant::now();
        let mut told = false;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(()),
                Err(TryLockError::Error(e)) => return Err(Error::io("lock", real, e)),
                Err(TryLockError::WouldBlock) if since.elapsed() >= patience => {
                    let holder = read_owner(file).unwrap_or_else(|| UNSIGNED.to_owned());
                    return Err(Error::Locked { path: real.to_owned(), holder });
                }
                Err(TryLockError::WouldBlock) => {
                    // Who has just taken it has not signed yet.
                    match read_owner(file) {
                        Some(holder) if !told => {
                            waiting(&holder);
                            told = true;
                        }
                        None if !told && since.elapsed() > Duration::from_millis(500) => {
                            waiting(UNSIGNED);
                            told = true;
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
    /// Does anybody hold the lock that [`Host::lock_path`] takes?
    pub fn is_locked(&self, path: &Path) -> bool {
        File::open(self.at(path)).is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }

    /// Who holds the lock file at `path`, in his own words; looked at without waiting.
    pub fn lock_owner(&self, path: &Path) -> Option<String> {
        let mut file = self.open_nofollow(path).ok()?;
        // Who lets go of it takes his words away; those of one who was killed stay.
        let words = read_owner(&mut file)?;
        matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)).then_some(words)
    }
}

/// Writes who holds the lock, for whoever has to wait.
fn write_owner(file: &mut File, more: &str) -> std::io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(format!("process {}{more}\n", std::process::id()).as_bytes())
}

/// What is said of a holder who did not sign.
const UNSIGNED: &str = "a process that did not say which";

fn read_owner(file: &mut File) -> Option<String> {
    let mut text = String::new();
    file.rewind().and_then(|()| file.take(1024).read_to_string(&mut text)).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}
