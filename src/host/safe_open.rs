//! The checked walk to a directory.
//!
//! Who can write a directory can put something else in the place of whatever is
//! in it. So the walk to every place that is written to, or that root will run
//! something from, goes from the root prefix down: each component is opened by
//! itself without following a link (openat(2), `O_NOFOLLOW`), looked at through
//! what was opened, and trusted only if nobody but root, or who runs us, can
//! change it. What is done then is done relative to the last of them, whatever
//! its name may have come to mean by then.
//!
//! A symbolic link on the walk is followed if it is root's: ostree has
//! /usr/local → ../var/usrlocal. The walk behind it is checked no less.

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

/// So many links are followed by the kernel too (path_resolution(7)).
const MOST_LINKS: u32 = 40;

impl Host {
    /// Opens a directory by the checked walk.
    pub(super) fn open_dir_checked(&self, path: &Path) -> Result<Dir> {
        let root = Dir::open(&self.root).map_err(|e| Error::io("open", &self.root, e))?;
        let mut walk = PathWalk { root: &self.root, here: check_traversable(root)?, above: Vec::new() };
        let mut ahead = components(path);
        let mut links = 0_u32;
        while let Some(name) = ahead.pop() {
            if let Some(target) = walk.step_into(&name)? {
                links = links.saturating_add(1);
                if links > MOST_LINKS {
                    return Err(Error::io("follow the links to", &self.real_path(path), Errno::LOOP.into()));
                }
                ahead.extend(components(walk.remaining_target(&name, &target)?));
            }
        }
        match check_trust(walk.here.real_path(), &dir_metadata(&walk.here)?) {
            Some(why) => Err(why.into()),
            None => Ok(walk.here),
        }
    }

    /// Opens a program by the checked walk. A link in its place is followed if it is root's, or ours, and lies where only
    /// they can put one; the walk behind it is checked no less.
    pub fn open_trusted_through_links(&self, path: &Path) -> Result<File> {
        let mut at = path.to_owned();
        for _ in 0..MOST_LINKS {
            let Some(target) = self.read_trusted_link(&at)? else {
                return self.open_trusted(&at);
            };
            at = target;
        }
        Err(Error::io("follow the links to", &self.real_path(path), Errno::LOOP.into()))
    }

    /// Where the link at `path` leads; `None` if there is no link.
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
        let inside = inside.strip_prefix(&self.root).map_err(|_| leads_out(&real, &target))?;
        Ok(Some(Path::new("/").join(inside)))
    }

    /// The directory that holds `path`, and the name that `path` has in it.
    pub(super) fn open_parent_checked<'p>(&self, path: &'p Path) -> Result<(Dir, &'p OsStr)> {
        match (path.parent(), path.file_name()) {
            (Some(parent), Some(name)) => Ok((self.open_dir_checked(parent)?, name)),
            _ => Err(Error::io("write", &self.real_path(path), io::ErrorKind::IsADirectory.into())),
        }
    }
}

struct PathWalk<'a> {
    root: &'a Path,
    here: Dir,
    above: Vec<Dir>,
}

impl PathWalk<'_> {
    /// Goes on to `name`; or returns where it leads, if it is a link.
    fn step_into(&mut self, name: &OsStr) -> Result<Option<PathBuf>> {
        if name == ".." {
            self.here = self.above.pop().ok_or_else(|| self.leads_out(name, Path::new("..")))?;
            return Ok(None);
        }
        let real = self.here.path_of(name);
        match self.here.open_child(name) {
            Ok(child) => {
                let here = std::mem::replace(&mut self.here, check_traversable(child)?);
                self.above.push(here);
                Ok(None)
            }
            Err(e) if e.kind() == io::ErrorKind::NotADirectory => self.link(name).map(Some),
            Err(e) => Err(Error::io("open", &real, e)),
        }
    }

    fn link(&self, name: &OsStr) -> Result<PathBuf> {
        let real = self.here.path_of(name);
        let failed = |e| Error::io("open", &real, e);
        let target = self.here.read_link(name).map_err(failed)?;
        // What is no link either is a file where a directory has to be.
        let target = target.ok_or_else(|| failed(io::ErrorKind::NotADirectory.into()))?;
        let uid = self.here.owner_of(name).map_err(failed)?;
        if super::trust::is_untrusted_uid(uid) {
            return Err(TrustError::Owner { path: real, uid }.into());
        }
        Ok(target)
    }

    /// The part of a link's target that is still ahead.
    fn remaining_target<'t>(&mut self, name: &OsStr, target: &'t Path) -> Result<&'t Path> {
        if target.is_relative() {
            return Ok(target);
        }
        let inside = target.strip_prefix(self.root).map_err(|_| self.leads_out(name, target))?;
        if let Some(root) = self.above.drain(..).next() {
            self.here = root;
        }
        Ok(inside)
    }

    fn leads_out(&self, name: &OsStr, target: &Path) -> Error {
        leads_out(&self.here.path_of(name), target)
    }
}

fn leads_out(real: &Path, target: &Path) -> Error {
    let e = io::Error::other(format!("a link leads out of the root directory, to {}", target.display()));
    Error::io("open", real, e)
}

/// The names in a path, the first of them last.
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

/// A sticky directory lets others add names, but not take away or replace what
/// is root's or ours: it may be passed, as what is in it is looked at as well.
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
