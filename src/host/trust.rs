//! Checks that only root, or the user of this process, can change a file or a directory.

use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::Host;
use crate::error::{Error, Result, TrustError};

impl Host {
    /// Checks an open file, and every directory that leads to `path`, from the root prefix down. Returns the reason if
    /// one is not trusted.
    pub fn check_file_trust(&self, path: &Path, file: &File) -> Result<Option<TrustError>> {
        let real = self.real_path(path);
        let meta = file.metadata().map_err(|e| Error::io("look at", &real, e))?;
        Ok(check_trust(&real, &meta).or(self.check_parents_trust(path)?))
    }

    /// Returns the first of `places` on the running machine that leads, through any symbolic links, to a program which
    /// only root can replace.
    pub fn find_trusted_program(&self, places: &[&str]) -> Option<PathBuf> {
        let trusted = |place: &&Path| {
            let real = place.canonicalize().ok()?;
            let file = super::regular_file::open(&real).ok()?;
            matches!(self.check_file_trust(&real, &file), Ok(None)).then_some(())
        };
        let mut places = places.iter().map(Path::new).filter(|_| self.is_live());
        // The path is not resolved: Nix and busybox choose their function by the name.
        places.find(|place| trusted(place).is_some()).map(Path::to_owned)
    }

    /// Returns the reason if creating `path` is not safe: an existing directory above it, or a symbolic link on the
    /// way, can be changed by a user other than root.
    pub fn check_creation_trust(&self, path: &Path) -> Result<Option<TrustError>> {
        let mut above = path.ancestors().skip(1);
        let Some(existing) = above.find(|dir| self.exists(dir)) else { return Ok(None) };
        match self.open_dir_checked(existing) {
            Err(Error::Untrusted(why)) => Ok(Some(why)),
            other => other.map(|_| None),
        }
    }

    /// Checks every directory above `path`. A sticky directory such as /nix/store (1775) lets other users add names,
    /// but not replace files of root. So it is accepted: the file in it exists and is checked by itself.
    fn check_parents_trust(&self, path: &Path) -> Result<Option<TrustError>> {
        let above: Vec<_> = path.ancestors().skip(1).collect();
        for dir in above.into_iter().rev() {
            let real = self.real_path(dir);
            let meta = std::fs::metadata(&real).map_err(|e| Error::io("look at", &real, e))?;
            let is_sticky = meta.mode() & 0o1000 != 0;
            match check_trust(&real, &meta) {
                None => {}
                Some(TrustError::Writable { .. }) if is_sticky => {}
                why => return Ok(why),
            }
        }
        Ok(None)
    }
}

pub(super) fn check_trust(path: &Path, meta: &Metadata) -> Option<TrustError> {
    let path = path.to_owned();
    if is_untrusted_uid(meta.uid()) {
        Some(TrustError::Owner { path, uid: meta.uid() })
    } else if meta.mode() & 0o022 != 0 && !is_private_group(meta) {
        Some(TrustError::Writable { path, mode: meta.mode() & 0o7777 })
    } else {
        None
    }
}

/// Whether only the group may write, and it is the private group of an ordinary user: where the umask is 002, each user
/// has a group with the same number.
fn is_private_group(meta: &Metadata) -> bool {
    meta.mode() & 0o002 == 0 && meta.uid() != 0 && meta.gid() == meta.uid()
}

/// Whether this user is neither root nor the user of this process.
pub(super) fn is_untrusted_uid(uid: u32) -> bool {
    uid != 0 && uid != nix::unistd::geteuid().as_raw()
}
