//! Cache of downloads, by digest.
//!
//! The cache has a directory for each digest. It contains the emulators that were unpacked from the bytes with that digest
//! (`qemu-TARGET`), the targets that an archive lacks (`absent`), or the bytes themselves as far as they are downloaded
//! (`download`). An emulator gets its name only after it was verified, and only the user and root can write to the cache (see [`crate::host`]). So an emulator that only the user
//! will run is not hashed again.
//!
//! The cache of a user is `$XDG_CACHE_HOME/binfmt-nix`, else `~/.cache/binfmt-nix` (XDG Base Directory Specification 0.8). The
//! cache of root is `/var/cache/binfmt-nix` (FHS 3.0 §5.5), because `HOME` may be that of the user who called sudo. `register`
//! reads the cache, but leaves nothing in it when it is done, because it installs the emulators elsewhere.

use std::ffi::OsStr;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use binfmt_magic::Arch;

use crate::error::{Error, Result};
use crate::host::{self, Host};
use crate::sanitize::AsText as _;
use crate::sha256::Sha256;
use crate::sorted;

/// File name of a partial download.
const PARTIAL_NAME: &str = "download";
/// File name of the lock. It is not "lock", which earlier versions created with a mode that let other users lock it.
pub const LOCK: &str = "cache.lock";
/// File name of the list of targets that an archive lacks.
const ABSENT_NAME: &str = "absent";
const ROOT_CACHE_DIR: &str = "/var/cache/binfmt-nix";

/// Maximum size of that list: ten times the names of all targets.
const MAX_ABSENT: u64 = 4 << 10;

/// A cache of downloads. Its directory need not exist yet.
#[derive(Debug, Clone)]
pub struct DownloadCache {
    dir: PathBuf,
}

/// A file in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachedFile {
    /// Digest of the bytes that the file came from.
    pub sha256: Sha256,
    /// File name: `qemu-TARGET`, `absent` or `download`.
    pub name: String,
    /// Size in bytes.
    pub size: u64,
    /// Time of the last change.
    pub modified: Option<SystemTime>,
}

impl DownloadCache {
    /// Finds the cache of the user who runs this program. Returns none if the user has no home directory.
    pub fn for_user(host: &Host) -> Option<Self> {
        let absolute = |name: &str| host::env::var(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let dir = match absolute("XDG_CACHE_HOME") {
            Some(named) => named.join("binfmt-nix"),
            None if !host.is_live()
                || (host::env::effective_ids().0 == 0 && !host::namespaces::is_in_user_namespace()) =>
            {
                let dir = PathBuf::from(ROOT_CACHE_DIR);
                // Undo would not remove a parent directory, so it is not created.
                host.exists(dir.parent()?).then_some(dir)?
            }
            None => absolute("HOME")?.join(".cache/binfmt-nix"),
        };
        Some(Self { dir })
    }

    /// Returns the directory of the cache.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether the directory of the cache exists.
    pub fn exists(&self, host: &Host) -> bool {
        host.exists(&self.dir)
    }

    /// Returns the directory for this digest.
    pub fn entry_dir(&self, sha256: Sha256) -> PathBuf {
        self.dir.join(sha256.to_string())
    }

    /// Returns the path of the emulator for `target` that came from bytes with this digest.
    pub fn emulator_path(&self, sha256: Sha256, target: &str) -> PathBuf {
        self.entry_dir(sha256).join(format!("qemu-{target}"))
    }

    /// Returns the path of the list of targets that the archive with this digest lacks.
    pub fn absent_path(&self, sha256: Sha256) -> PathBuf {
        self.entry_dir(sha256).join(ABSENT_NAME)
    }

    /// Returns the targets that the archive with this digest lacks, as far as that is known.
    pub fn read_absent(&self, host: &Host, sha256: Sha256) -> Vec<String> {
        let file = host.open_trusted(&self.absent_path(sha256)).ok();
        let bytes = file.and_then(|file| host::regular_file::read_limited(&file, MAX_ABSENT).ok()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect()
    }

    /// Opens a partial download, and locks it for this process. Returns none if another process is using it, or if the cache
    /// cannot be written.
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

    /// Lists the files that this tool made in the cache, in the order of digests and names.
    pub fn list_files(&self, host: &Host) -> Result<Vec<CachedFile>> {
        let mut files = Vec::new();
        for name in host.list_dir(&self.dir)? {
            let Some(sha256) = name.to_str().and_then(|name| name.parse::<Sha256>().ok()) else { continue };
            for name in host.list_dir(&self.entry_dir(sha256))? {
                let meta = host.lstat(&self.entry_dir(sha256).join(&name))?.filter(|_| is_own_name(&name));
                let Some(meta) = meta.filter(std::fs::Metadata::is_file) else { continue };
                let name = name.as_text();
                files.push(CachedFile { sha256, name, size: meta.len(), modified: meta.modified().ok() });
            }
        }
        sorted::sort_by_key(&mut files, |file| (file.sha256.to_string(), file.name.clone()));
        Ok(files)
    }

    /// Removes the temporary files of killed runs. The caller holds the lock of the cache.
    pub fn remove_stale(&self, host: &Host) -> Result<()> {
        host.remove_stale_temp_files(&self.dir)?;
        for name in host.list_dir(&self.dir)? {
            if let Some(sha256) = name.to_str().and_then(|name| name.parse::<Sha256>().ok()) {
                host.remove_stale_temp_files(&self.entry_dir(sha256))?;
            }
        }
        Ok(())
    }

    /// Removes one file, and its directory if that is empty afterwards.
    pub fn remove_file(&self, host: &Host, file: &CachedFile) -> Result<()> {
        let dir = self.entry_dir(file.sha256);
        host.remove_file(&dir.join(&file.name))?;
        host.remove_dir(&dir).map(drop)
    }

    /// Removes the directory of the cache if it is empty.
    pub fn remove_if_empty(&self, host: &Host) {
        // A directory that cannot be removed is in use, or belongs to another user.
        drop(host.remove_dir(&self.dir));
    }
}

/// Whether a file of this name, in the directory of a digest, is one that this tool makes.
fn is_own_name(name: &OsStr) -> bool {
    let target = name.to_str().and_then(|name| name.strip_prefix("qemu-"));
    name == PARTIAL_NAME || name == ABSENT_NAME || target.and_then(Arch::by_target).is_some()
}

/// A download that may be interrupted and continued later.
#[derive(Debug)]
pub struct PartialDownload {
    /// Open and locked file with the bytes so far.
    pub file: File,
    path: PathBuf,
    cache: DownloadCache,
}

impl PartialDownload {
    /// Removes the name of a download that is complete or useless. The open file remains usable.
    pub fn finish(self, host: &Host, sha256: Sha256) -> Result<File> {
        host.remove_file(&self.path)?;
        drop(host.remove_dir(&self.cache.entry_dir(sha256)));
        self.cache.remove_if_empty(host);
        Ok(self.file)
    }

    /// Keeps the bytes for a later run. Returns whether there are any.
    pub fn keep_for_later(self, host: &Host, sha256: Sha256) -> Result<bool> {
        let has_bytes = self.file.metadata().map_err(|e| Error::io("look at", &self.path, e))?.len() > 0;
        if !has_bytes {
            self.finish(host, sha256)?;
        }
        Ok(has_bytes)
    }
}
