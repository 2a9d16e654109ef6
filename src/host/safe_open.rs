//! The checked walk to a directory.
//!
//! A user with write access to a directory can replace everything in it. So every directory that is written to, or from which
//! root runs a program, is opened by this walk. The walk starts at the root prefix. Each component is opened by itself
//! without following a symbolic link (openat(2), `O_NOFOLLOW`). Owner and mode of the opened directory are checked: it
//! is trusted only if no user except root, or the user of this process, can change it. All later operations are
//! relative to the last directory that was opened, whatever its path refers to by then.
//!
//! A symbolic link on the walk is followed if root, or the user of this process, owns it: ostree has /usr/local →
//! ../var/usrlocal. The walk to its target is checked in the same way.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::io::Errno;

use super::Host;
use super::dir_fd::Dir;
use super::trust::check_trust;
use crate::error::{Error, Result, TrustError};
use crate::sanitize::AsText as _;

/// Largest number of symbolic links on a walk; the kernel has the same limit (path_resolution(7)).
const MAX_LINKS: u32 = 40;

impl Host {
    /// Opens a directory by the checked walk.
    pub(super) fn open_dir_checked(&self, path: &Path) -> Result<Dir> {
        let root = Dir::open(&self.root).map_err(|e| Error::io("open", &self.root, e))?;
        let mut walk = PathWalk { root: &self.root, current_dir: check_traversable(root)?, parents: Vec::new() };
        let mut remaining = components(path);
        let mut links = 0_u32;
        while let Some(name) = remaining.pop() {
            if let Some(target) = walk.step_into(&name)? {
                links = links.saturating_add(1);
                if links > MAX_LINKS {
                    return Err(Error::io("follow the links to", &self.real_path(path), Errno::LOOP.into()));
                }
                remaining.extend(components(walk.remaining_target(&name, &target)?));
            }
        }
        match check_trust(walk.current_dir.real_path(), &dir_metadata(&walk.current_dir)?) {
            Some(why) => Err(why.into()),
            None => Ok(walk.current_dir),
        }
    }

    /// Opens a program by the checked walk. A symbolic link instead of the program is followed if root, or the
    /// user of this process, owns it, and if only they can create one there. The walk to its target is checked in the
    /// same way.
    pub fn open_trusted_through_links(&self, path: &Path) -> Result<File> {
        let mut current = path.to_owned();
        for _ in 0..MAX_LINKS {
            let Some(target) = self.read_trusted_link(&current)? else {
                return self.open_trusted(&current);
            };
            current = target;
        }
        Err(Error::io("follow the links to", &self.real_path(path), Errno::LOOP.into()))
    }

    /// Returns the path that `path` leads to if the tree were the root directory: an absolute symbolic link leads to a file
    /// of the tree. `None` if nothing is there. Nothing is opened, and nothing is checked.
    pub fn follow_links_in_tree(&self, path: &Path) -> Option<PathBuf> {
        let mut current = PathBuf::from("/");
        let mut remaining = components(path);
        let mut links = 0_u32;
        while let Some(name) = remaining.pop() {
            if name == ".." {
                current.pop();
                continue;
            }
            let next = current.join(&name);
            let Some(target) = self.read_link(&next) else {
                current = next;
                continue;
            };
            links = links.saturating_add(1);
            if links > MAX_LINKS {
                return None;
            }
            if target.is_absolute() {
                current = PathBuf::from("/");
            }
            remaining.extend(components(&target));
        }
        self.exists(&current).then_some(current)
    }

    /// Opens the regular file `below` in the directory `dir`, whose content another user may control: no symbolic link
    /// below `dir` is followed.
    pub fn open_without_links(&self, dir: &Path, below: &Path) -> io::Result<File> {
        let mut current_dir = Dir::open(&self.real_path(dir))?;
        for parent in components(below.parent().unwrap_or(below)).iter().rev() {
            current_dir = current_dir.open_child(parent)?;
        }
        current_dir.open_file(below.file_name().unwrap_or_default())
    }

    /// Returns the target of the symbolic link at `path`, or `None` if there is no symbolic link.
    fn read_trusted_link(&self, path: &Path) -> Result<Option<PathBuf>> {
        let (dir, name) = self.open_parent_checked(path)?;
        let real = dir.path_of(name);
        let failed = |e| Error::io("open", &real, e);
        let Some(target) = dir.read_link(name).map_err(failed)? else {
            return Ok(None);
        };
        let uid = dir.owner_of(name).map_err(failed)?;
        if super::trust::is_untrusted_uid(uid) {
            return Err(TrustError::Owner { path: real, uid }.into());
        }
        let inside = dir.real_path().join(&target);
        let inside = inside.strip_prefix(&self.root).map_err(|_| leaves_root_error(&real, &target))?;
        Ok(Some(Path::new("/").join(inside)))
    }

    /// Opens the directory that holds `path` by the checked walk. Returns it with the name of `path` in it.
    pub(super) fn open_parent_checked<'p>(&self, path: &'p Path) -> Result<(Dir, &'p OsStr)> {
        match (path.parent(), path.file_name()) {
            (Some(parent), Some(name)) => Ok((self.open_dir_checked(parent)?, name)),
            _ => Err(Error::io("write", &self.real_path(path), io::ErrorKind::IsADirectory.into())),
        }
    }
}

struct PathWalk<'a> {
    root: &'a Path,
    current_dir: Dir,
    parents: Vec<Dir>,
}

impl PathWalk<'_> {
    /// Continues the walk with `name`. Returns the target instead if `name` is a symbolic link.
    fn step_into(&mut self, name: &OsStr) -> Result<Option<PathBuf>> {
        if name == ".." {
            self.current_dir = self.parents.pop().ok_or_else(|| self.leaves_root_error(name, Path::new("..")))?;
            return Ok(None);
        }
        let real = self.current_dir.path_of(name);
        match self.current_dir.open_child(name) {
            Ok(child) => {
                let parent = std::mem::replace(&mut self.current_dir, check_traversable(child)?);
                self.parents.push(parent);
                Ok(None)
            }
            Err(e) if e.kind() == io::ErrorKind::NotADirectory => self.read_trusted_link(name).map(Some),
            Err(e) => Err(Error::io("open", &real, e)),
        }
    }

    fn read_trusted_link(&self, name: &OsStr) -> Result<PathBuf> {
        let real = self.current_dir.path_of(name);
        let failed = |e| Error::io("open", &real, e);
        let target = self.current_dir.read_link(name).map_err(failed)?;
        // Neither a directory nor a symbolic link.
        let target = target.ok_or_else(|| failed(io::ErrorKind::NotADirectory.into()))?;
        let uid = self.current_dir.owner_of(name).map_err(failed)?;
        if super::trust::is_untrusted_uid(uid) {
            return Err(TrustError::Owner { path: real, uid }.into());
        }
        Ok(target)
    }

    /// Returns the part of a symbolic link's target that has to be walked. For an absolute target the walk restarts at
    /// the root prefix.
    fn remaining_target<'t>(&mut self, name: &OsStr, target: &'t Path) -> Result<&'t Path> {
        if target.is_relative() {
            return Ok(target);
        }
        let inside = target.strip_prefix(self.root).map_err(|_| self.leaves_root_error(name, target))?;
        if let Some(root) = self.parents.drain(..).next() {
            self.current_dir = root;
        }
        Ok(inside)
    }

    fn leaves_root_error(&self, name: &OsStr, target: &Path) -> Error {
        leaves_root_error(&self.current_dir.path_of(name), target)
    }
}

fn leaves_root_error(real: &Path, target: &Path) -> Error {
    let e = io::Error::other(format!("a symbolic link leads out of the root directory, to {}", target.as_text()));
    Error::io("open", real, e)
}

/// Returns the components of a path in reverse order.
fn components(path: &Path) -> Vec<OsString> {
    let names = path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from_vec(b"..".to_vec())),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    let mut names: Vec<_> = names.collect();
    names.reverse();
    names
}

/// Checks a directory on the way. A sticky directory lets other users add names, but not remove or replace what root or
/// the user of this process owns. So the walk may pass it: its entries are checked as well.
fn check_traversable(dir: Dir) -> Result<Dir> {
    let meta = dir_metadata(&dir)?;
    match check_trust(dir.real_path(), &meta) {
        Some(TrustError::Writable { .. }) if meta.mode() & 0o1000 != 0 => Ok(dir),
        Some(why) => Err(why.into()),
        None => Ok(dir),
    }
}

fn dir_metadata(dir: &Dir) -> Result<Metadata> {
    dir.metadata().map_err(|e| Error::io("look at", dir.real_path(), e))
}
