//! Reading and writing files that the kernel generates, by exactly one system call each.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::dir_fd::Dir;
use super::{Host, failpoint, regular_file};
use crate::error::{Error, Result};

/// Largest text that is read. The text of an entry shows a line, which has less than 2 KB.
const MAX_TEXT: usize = 1 << 14;

/// Names in a directory, each with its text if the text was requested.
pub type DirContents = Vec<(OsString, Option<Vec<u8>>)>;

impl Host {
    /// Opens a kernel file for reading and writing. It is never created.
    pub fn open_kernel_file(&self, path: &Path) -> io::Result<File> {
        regular_file::open_for_writing(&self.real_path(path), true)
    }

    /// Opens a kernel file that only root can write to, for writing. This has no effect on the kernel: `register` of
    /// binfmt_misc has no open function and does nothing before a write (fs/binfmt_misc.c, `bm_register_operations`).
    pub(super) fn open_for_locking(&self, path: &Path) -> io::Result<File> {
        regular_file::open_for_writing(&self.real_path(path), false)
    }

    /// Writes to a kernel file by exactly one `write(2)`. The file is never created.
    pub fn write_kernel_file(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut file = regular_file::open_for_writing(&self.real_path(path), false)?;
        write_once(&mut file, bytes, path)
    }

    /// Lists a directory in the order of the file system, and reads the files that are `wanted`, each by one read(2).
    ///
    /// Names and texts come from the same directory even if something is mounted or unmounted on its path meanwhile. A
    /// file that disappears meanwhile is left out. Returns `None` if the directory does not exist.
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

/// Reads an open kernel file from its start by exactly one `read(2)`. The kernel generates the text anew for each call,
/// so two calls could return halves of different texts.
pub fn read_once(file: &File) -> io::Result<Vec<u8>> {
    let mut text = [0; MAX_TEXT];
    let length = file.read_at(&mut text, 0)?;
    Ok(text.get(..length).unwrap_or_default().to_vec())
}

/// Writes to an open kernel file by exactly one `write(2)`.
pub fn write_once(file: &mut File, bytes: &[u8], path: &Path) -> io::Result<()> {
    failpoint::begin_change("write to the kernel", path)?;
    match file.write(bytes)? {
        n if n == bytes.len() => Ok(()),
        _ => Err(io::ErrorKind::WriteZero.into()),
    }
}
