//! The files of one of the kernel's directories.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;

use super::Host;
use super::dir_fd::Dir;
use crate::error::{Error, Result};

/// Names, and the texts of those that were wanted.
pub type Texts = Vec<(OsString, Option<Vec<u8>>)>;

impl Host {
    /// What is in a directory, in the file system's order, with the texts of the files that are `wanted`, each of one
    /// read(2). All of it is of one directory, whatever is mounted or unmounted there meanwhile; a file that goes
    /// meanwhile is left out. `None` if there is no directory.
    pub fn texts(&self, path: &Path, wanted: impl Fn(&OsStr) -> bool) -> Result<Option<Texts>> {
        let real = self.at(path);
        let dir = match Dir::open(&real) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(|e| Error::io("list", &real, e))?,
        };
        let mut texts = Vec::new();
        for name in dir.names().map_err(|e| Error::io("list", &real, e))? {
            if !wanted(&name) {
                texts.push((name, None));
                continue;
            }
            match dir.read(&name).and_then(|file| self.read_once(&file)) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(Error::io("read", &dir.path(&name), e)),
                Ok(text) => texts.push((name, Some(text))),
            }
        }
        Ok(Some(texts))
    }
}
