//! What was downloaded, by digest, so that it is not downloaded again.
//!
//! A directory for each digest, and in it the emulators that came of the bytes that have it (`qemu-TARGET`), or the bytes
//! themselves, as far as they were downloaded (`download`). Emulators get their names only after they were verified, and nobody but
//! the user and root can write here (see [`crate::host`]), so for the user alone they are not hashed again.
//!
//! A user's is `$XDG_CACHE_HOME/binfmt-nix`, else `~/.cache/binfmt-nix` (XDG Base Directory Specification 0.8). Root's
//! is `/var/cache/binfmt-nix` (FHS 3.0 §5.5), for `HOME` may be that of who called sudo. `register` uses what is there
//! and keeps nothing there once it is done: what it installs has a place of its own.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::error::{Error, Result};
use crate::host::{self, Host};
use crate::sha256::Sha256;

/// What there is of the bytes themselves.
const PARTIAL_NAME: &str = "download";
/// See [`crate::binfmt::userns`].
pub const LOCK: &str = "lock";
const ROOT_CACHE_DIR: &str = "/var/cache/binfmt-nix";

/// A cache, which need not exist yet.
#[derive(Debug, Clone)]
pub struct DownloadCache {
    dir: PathBuf,
}

/// One thing in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachedFile {
    /// Of the bytes it came from.
    pub sha256: Sha256,
    /// `qemu-TARGET`, or `download`.
    pub name: String,
    /// In bytes.
    pub size: u64,
    /// When it was written.
    pub modified: Option<SystemTime>,
}

impl DownloadCache {
    /// That of who runs us; none if he has no home.
    pub fn for_user(host: &Host) -> Option<Self> {
        let absolute = |name: &str| host::env::var(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let dir = match absolute("XDG_CACHE_HOME") {
            Some(named) => named.join("binfmt-nix"),
            None if !host.is_live()
                || (host::env::effective_ids().0 == 0 && !host::namespaces::is_in_user_namespace()) =>
            {
                let dir = PathBuf::from(ROOT_CACHE_DIR);
                // What is above is not ours to make: it would stay.
                host.exists(dir.parent()?).then_some(dir)?
            }
            None => absolute("HOME")?.join(".cache/binfmt-nix"),
        };
        Some(Self { dir })
    }

    /// Where it is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether its directory exists.
    pub fn exists(&self, host: &Host) -> bool {
        host.exists(&self.dir)
    }

    /// The directory of what has this digest.
    pub fn entry_dir(&self, sha256: Sha256) -> PathBuf {
        self.dir.join(sha256.to_string())
    }

    /// Where the emulator of a target is that came of what has this digest.
    pub fn emulator_path(&self, sha256: Sha256, target: &str) -> PathBuf {
        self.entry_dir(sha256).join(format!("qemu-{target}"))
    }

    /// Opens what there is of a download, for this process alone. None if another one is at it, or if nothing can
    /// be kept here.
    pub fn open_partial(&self, host: &Host, sha256: Sha256) -> Option<PartialDownload> {
        let dir = self.entry_dir(sha256);
        let path = dir.join(PARTIAL_NAME);
        let open = || -> Result<File> {
            host.make_parents(&path)?;
            host.open_private_file(&path)
        };
        let file = open().ok()?;
        match file.try_lock() {
            Ok(()) => Some(PartialDownload { file, path, cache: self.clone() }),
            Err(TryLockError::WouldBlock | TryLockError::Error(_)) => None,
        }
    }

    /// All that is kept, in the order of digests and names.
    pub fn list_files(&self, host: &Host) -> Result<Vec<CachedFile>> {
        let mut kept = Vec::new();
        for name in host.list_dir(&self.dir)? {
            let Some(sha256) = name.to_str().and_then(|name| name.parse::<Sha256>().ok()) else { continue };
            for name in host.list_dir(&self.entry_dir(sha256))? {
                let Some(meta) = host.lstat(&self.entry_dir(sha256).join(&name))? else { continue };
                let name = name.to_string_lossy().into_owned();
                kept.push(CachedFile { sha256, name, size: meta.len(), modified: meta.modified().ok() });
            }
        }
        kept.sort_by_key(|kept| (kept.sha256.to_string(), kept.name.clone()));
        Ok(kept)
    }

    /// Removes one thing, and its directory with the last one.
    pub fn remove_file(&self, host: &Host, kept: &CachedFile) -> Result<()> {
        let dir = self.entry_dir(kept.sha256);
        host.remove_file(&dir.join(&kept.name))?;
        host.remove_dir(&dir).map(drop)
    }

    /// Removes the directory itself, if nothing is in it.
    pub fn remove_if_empty(&self, host: &Host) {
        // What does not go is in use, or somebody else's.
        drop(host.remove_dir(&self.dir));
    }
}

/// A download that may be cut short.
#[derive(Debug)]
pub struct PartialDownload {
    /// What there is of it; locked.
    pub file: File,
    path: PathBuf,
    cache: DownloadCache,
}

impl PartialDownload {
    /// Takes its name away: it is complete, or worth nothing. The open file stays.
    pub fn finish(self, host: &Host, sha256: Sha256) -> Result<File> {
        host.remove_file(&self.path)?;
        drop(host.remove_dir(&self.cache.entry_dir(sha256)));
        self.cache.remove_if_empty(host);
        Ok(self.file)
    }

    /// Leaves it for the next time, if there is anything of it.
    pub fn keep_for_later(self, host: &Host, sha256: Sha256) -> Result<bool> {
        let has_bytes = self.file.metadata().map_err(|e| Error::io("look at", &self.path, e))?.len() > 0;
        if !has_bytes {
            self.finish(host, sha256)?;
        }
        Ok(has_bytes)
    }
}
