//! The files of one of the kernel's directories.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::dir_fd::Dir;
use super::{Host, failpoint};
use crate::error::{Error, Result};

/// More than a page, which is the most that such a file has.
const LONGEST: usize = 1 << 16;

/// Names, and the texts of those that were wanted.
pub type DirContents = Vec<(OsString, Option<Vec<u8>>)>;

impl Host {
    /// Opens a file of the kernel for both, never creating it.
    pub fn open_kernel_file(&self, path: &Path) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).open(self.real_path(path))
    }

    /// Exactly one `write(2)` to a file of the kernel, never creating it.
    pub fn write_kernel_file(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).open(self.real_path(path))?;
        write_once(&mut file, bytes, path)
    }

    /// What is in a directory, in the file system's order, with the texts of the files that are `wanted`, each of one
    /// read(2). All of it is of one directory, whatever is mounted or unmounted there meanwhile; a file that goes
    /// meanwhile is left out. `None` if there is no directory.
    pub fn read_kernel_dir(&self, path: &Path, wanted: impl Fn(&OsStr) -> bool) -> Result<Option<DirContents>> {
        let real = self.real_path(path);
        let dir = match Dir::open(&real) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(|e| Error::io("list", &real, e))?,
        };
        let mut texts = Vec::new();
        for name in dir.list_names().map_err(|e| Error::io("list", &real, e))? {
            if !wanted(&name) {
                texts.push((name, None));
                continue;
            }
            match dir.open_file(&name).and_then(|file| read_once(&file)) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(Error::io("read", &dir.path_of(&name), e)),
                Ok(text) => texts.push((name, Some(text))),
            }
        }
        Ok(Some(texts))
    }
}

/// Exactly one `read(2)` of an open file of the kernel, from its start: it makes the text anew for each, so that two
/// could give halves of different ones.
pub fn read_once(file: &File) -> io::Result<Vec<u8>> {
    let mut text = vec![0; LONGEST];
    let length = file.read_at(&mut text, 0)?;
    text.truncate(length);
    Ok(text)
}

/// Exactly one `write(2)` to an open file of the kernel.
pub fn write_once(file: &mut File, bytes: &[u8], path: &Path) -> io::Result<()> {
    failpoint::begin_change("tell the kernel", path)?;
    match file.write(bytes)? {
        n if n == bytes.len() => Ok(()),
        _ => Err(io::ErrorKind::WriteZero.into()),
    }
}
