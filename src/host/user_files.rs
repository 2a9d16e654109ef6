//! Files that the user names, as he names them: outside the root prefix, symbolic links followed.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use nix::sys::statvfs::{FsFlags, statvfs};
use rustix::fs::{Access, AtFlags, CWD};

use super::{check_regular, staging};
use crate::error::{Error, Result};

/// Is it a directory?
pub fn is_dir(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|meta| meta.is_dir())
}

/// The last `longest` bytes of what is on standard input, as text.
pub fn read_stdin_tail(longest: u64) -> Result<String> {
    let io = |e| Error::io("read", Path::new("/dev/stdin"), e);
    let (mut kept, mut chunk) = (Vec::new(), vec![0; 1 << 16]);
    let longest = usize::try_from(longest).unwrap_or(usize::MAX);
    let mut input = io::stdin().lock();
    loop {
        let read = io::Read::read(&mut input, &mut chunk).map_err(io)?;
        kept.extend_from_slice(chunk.get(..read).unwrap_or_default());
        kept.drain(..kept.len().saturating_sub(longest));
        if read == 0 {
            return Ok(String::from_utf8_lossy(&kept).into_owned());
        }
    }
}

/// Is there anything by that name?
pub fn path_exists(path: &Path) -> bool {
    std::fs::metadata(path).is_ok()
}

/// A file that gets the name `path` once it is complete. What is no regular file is not replaced: /dev/null, say.
pub fn create_output(path: &Path) -> Result<OutputFile> {
    let io = |e| Error::io("write", path, e);
    match std::fs::symlink_metadata(path) {
        Ok(meta) if !meta.is_file() => {
            return Err(io(io::Error::new(io::ErrorKind::AlreadyExists, "it is there, and no regular file")));
        }
        _ if path.file_name().is_none() => return Err(io(io::ErrorKind::InvalidInput.into())),
        _ => {}
    }
    let temp = path.with_file_name(staging::unique_name());
    let file = OpenOptions::new().write(true).create_new(true).open(&temp).map_err(io)?;
    Ok(OutputFile { file, temp: Some(temp), path: path.to_owned() })
}

/// A file that is being written under a temporary name. Dropped unplaced, it is deleted.
#[derive(Debug)]
pub struct OutputFile {
    file: File,
    temp: Option<PathBuf>,
    path: PathBuf,
}

impl OutputFile {
    /// The handle it was created with.
    pub fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Gives it its name, in the place of whatever file has it.
    pub fn place(mut self) -> Result<()> {
        let io = |e| Error::io("write", &self.path, e);
        self.file.sync_all().map_err(io)?;
        if let Some(temp) = &self.temp {
            std::fs::rename(temp, &self.path).map_err(io)?;
        }
        self.temp = None;
        Ok(())
    }
}

impl Drop for OutputFile {
    fn drop(&mut self) {
        if let Some(temp) = &self.temp {
            // It has a name that says what it is.
            drop(std::fs::remove_file(temp));
        }
    }
}

/// Opens a file that the user named, as he names it: outside the root
/// prefix, symbolic links followed.
pub fn open_regular(path: &Path) -> Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(nix::libc::O_NONBLOCK)
        .open(path)
        .map_err(|e| Error::io("open", path, e))?;
    check_regular(file, path)
}

/// Does a path that somebody named lead nowhere? Outside the root prefix, symbolic links followed.
pub fn path_is_missing(path: &Path) -> bool {
    matches!(path.try_exists(), Ok(false))
}

/// The first `n` bytes of a file of the running machine.
pub fn read_path_head(path: &Path, n: u64) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    File::open(path)?.take(n).read_to_end(&mut head)?;
    Ok(head)
}

/// The first `n` bytes of an open file.
pub fn read_head(file: &File, n: u64) -> io::Result<Vec<u8>> {
    let mut file = file;
    let mut bytes = Vec::new();
    file.rewind()?;
    file.take(n).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A file that an environment variable of the user names; `None` if it
/// cannot be read.
pub fn read_if_readable(path: &Path) -> Option<Vec<u8>> {
    std::fs::read(path).ok()
}

/// Opens a regular file of the running machine for reading. What is something else is not opened at all: that could
/// block, or do something.
pub fn open_program(path: &Path) -> io::Result<File> {
    let no_file = || io::Error::new(io::ErrorKind::InvalidInput, "not a regular file");
    if !std::fs::metadata(path)?.is_file() {
        return Err(no_file());
    }
    let file = OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(no_file()) }
}

/// Fails if a file that the user named is not there, or not to be looked at.
pub fn stat_path(path: &Path) -> Result<()> {
    std::fs::metadata(path).map(drop).map_err(|e| Error::io("look at", path, e))
}

/// Would the kernel let us execute it: its mode, and its mount (access(2))?
pub fn check_executable(path: &Path) -> io::Result<()> {
    Ok(rustix::fs::accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS)?)
}

/// Is it on a file system that is mounted noexec?
pub fn is_on_noexec_mount(path: &Path) -> bool {
    statvfs(path).is_ok_and(|fs| fs.flags().contains(FsFlags::ST_NOEXEC))
}
