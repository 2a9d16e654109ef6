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
    _file: File,
}

impl Host {
    /// Takes the lock file at `path`, waiting up to `patience` for another
    /// process that holds it. `waiting` is told once, with the holder's words.
    pub fn lock(&self, path: &Path, patience: Duration, waiting: &mut dyn FnMut(&str)) -> Result<Lock> {
        let real = self.at(path);
        let failed = |e| Error::io("lock", &real, e);
        self.make_parents(path)?;
        let (dir, name) = self.dir_of(path)?;
        let mut file = dir.open_or_create(name, 0o644).map_err(failed)?;
        let since = Instant::now();
        let mut told = false;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::Error(e)) => return Err(failed(e)),
                Err(TryLockError::WouldBlock) if since.elapsed() >= patience => {
                    let holder = holder(&mut file);
                    return Err(Error::Locked { path: real, holder });
                }
                Err(TryLockError::WouldBlock) => {
                    if !told {
                        waiting(&holder(&mut file));
                        told = true;
                    }
                    if let Some(signal) = self.interrupted() {
                        return Err(Error::Interrupted { signal });
                    }
                    std::thread::sleep(Duration::from_millis(50));
                }
            }
        }
        // On a full disk whoever waits is told less: what is swept next may free it.
        drop(sign(&mut file));
        Ok(Lock { _file: file })
    }
}

/// Writes who holds the lock, for whoever has to wait.
fn sign(file: &mut File) -> std::io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "process {}", std::process::id())
}

fn holder(file: &mut File) -> String {
    let mut text = String::new();
    let read = file.rewind().and_then(|()| file.take(64).read_to_string(&mut text));
    match read {
        Ok(_) if !text.trim().is_empty() => text.trim().to_owned(),
        _ => "a process that just started".to_owned(),
    }
}
