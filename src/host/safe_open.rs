//! The checked way to a directory.
//!
//! Who can write a directory can put something else in the place of whatever is
//! in it. So the way to every place that is written to, or that root will run
//! something from, goes from the root prefix down: each component is opened by
//! itself without following a link (openat(2), `O_NOFOLLOW`), looked at through
//! what was opened, and trusted only if nobody but root, or who runs us, can
//! change it. What is done then is done relative to the last of them, whatever
//! its name may have come to mean by then.
//!
//! A symbolic link on the way is followed if it is root's: ostree has
//! /usr/local → ../var/usrlocal. The way behind it is checked no less.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::io::Errno;

use super::Host;
use super::dir_fd::Dir;
use super::trust::judge;
use crate::error::{Distrust, Error, Result};

/// So many links are followed by the kernel too (path_resolution(7)).
const MOST_LINKS: u32 = 40;

impl Host {
    /// Opens a directory by the checked way.
    pub(super) fn dir(&self, path: &Path) -> Result<Dir> {
        let root = Dir::open(&self.root).map_err(|e| Error::io("open", &self.root, e))?;
        let mut way = Way { root: &self.root, here: passable(root)?, above: Vec::new() };
        let mut ahead = components(path);
        let mut links = 0_u32;
        while let Some(name) = ahead.pop() {
            if let Some(target) = way.step(&name)? {
                links = links.saturating_add(1);
                if links > MOST_LINKS {
                    return Err(Error::io("follow the links to", &self.at(path), Errno::LOOP.into()));
                }
                ahead.extend(components(way.behind(&name, &target)?));
            }
        }
        match judge(way.here.real(), &look(&way.here)?) {
            Some(why) => Err(why.into()),
            None => Ok(way.here),
        }
    }

    /// Opens a program by the checked way. A link in its place is followed if it is root's, or ours, and lies where only
    /// they can put one; the way behind it is checked no less.
    pub fn open_trusted_through_links(&self, path: &Path) -> Result<File> {
        let mut at = path.to_owned();
        for _ in 0..MOST_LINKS {
            let Some(target) = self.link_of_ours(&at)? else {
                return self.open_trusted(&at);
            };
            at = target;
        }
        Err(Error::io("follow the links to", &self.at(path), Errno::LOOP.into()))
    }

    /// Where the link at `path` leads; `None` if there is no link.
    fn link_of_ours(&self, path: &Path) -> Result<Option<PathBuf>> {
        let (dir, name) = self.dir_of(path)?;
        let real = dir.path(name);
        let failed = |e| Error::io("open", &real, e);
        let Some(target) = dir.link(name).map_err(failed)? else {
            return Ok(None);
        };
        let uid = dir.owner(name).map_err(failed)?;
        if super::trust::is_foreign(uid) {
            return Err(Distrust::Owner { path: real, uid }.into());
        }
        let inside = dir.real().join(&target);
        let inside = inside.strip_prefix(&self.root).map_err(|_| leads_out(&real, &target))?;
        Ok(Some(Path::new("/").join(inside)))
    }

    /// The directory that holds `path`, and the name that `path` has in it.
    pub(super) fn dir_of<'p>(&self, path: &'p Path) -> Result<(Dir, &'p OsStr)> {
        match (path.parent(), path.file_name()) {
            (Some(parent), Some(name)) => Ok((self.dir(parent)?, name)),
            _ => Err(Error::io("write", &self.at(path), io::ErrorKind::IsADirectory.into())),
        }
    }
}

struct Way<'a> {
    root: &'a Path,
    here: Dir,
    above: Vec<Dir>,
}

impl Way<'_> {
    /// Goes on to `name`; or returns where it leads, if it is a link.
    fn step(&mut self, name: &OsStr) -> Result<Option<PathBuf>> {
        if name == ".." {
            self.here = self.above.pop().ok_or_else(|| self.leads_out(name, Path::new("..")))?;
            return Ok(None);
        }
        let real = self.here.path(name);
        match self.here.child(name) {
            Ok(child) => {
                let here = std::mem::replace(&mut self.here, passable(child)?);
                self.above.push(here);
                Ok(None)
            }
            Err(e) if e.kind() == io::ErrorKind::NotADirectory => self.link(name).map(Some),
            Err(e) => Err(Error::io("open", &real, e)),
        }
    }

    fn link(&self, name: &OsStr) -> Result<PathBuf> {
        let real = self.here.path(name);
        let failed = |e| Error::io("open", &real, e);
        let target = self.here.link(name).map_err(failed)?;
        // What is no link either is a file where a directory has to be.
        let target = target.ok_or_else(|| failed(io::ErrorKind::NotADirectory.into()))?;
        let uid = self.here.owner(name).map_err(failed)?;
        if super::trust::is_foreign(uid) {
            return Err(Distrust::Owner { path: real, uid }.into());
        }
        Ok(target)
    }

    /// The part of a link's target that is still ahead.
    fn behind<'t>(&mut self, name: &OsStr, target: &'t Path) -> Result<&'t Path> {
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
        leads_out(&self.here.path(name), target)
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
fn passable(dir: Dir) -> Result<Dir> {
    let meta = look(&dir)?;
    match judge(dir.real(), &meta) {
        Some(Distrust::Writable { .. }) if meta.mode() & 0o1000 != 0 => Ok(dir),
        Some(why) => Err(why.into()),
        None => Ok(dir),
    }
}

fn look(dir: &Dir) -> Result<Metadata> {
    dir.look().map_err(|e| Error::io("look at", dir.real(), e))
}
