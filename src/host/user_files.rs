//! Files that the user names: their paths are used as given, outside the root prefix, and symbolic links are followed.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, StatVfsMountFlags, fstatvfs};

use super::{regular_file, staging};
use crate::error::{Error, Result};

/// Whether the path is a directory.
pub fn is_dir(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|meta| meta.is_dir())
}

/// Reads an open text file. Fails if it has more than [`regular_file::MAX_TEXT`] bytes.
pub fn read_text_file(file: &File) -> io::Result<Vec<u8>> {
    regular_file::read_limited(file, regular_file::MAX_TEXT)
}

/// Reads standard input to its end. Fails if it has more than [`regular_file::MAX_TEXT`] bytes.
pub fn read_stdin() -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let limit = regular_file::MAX_TEXT;
    let input = io::stdin().lock().take(limit.saturating_add(1)).read_to_end(&mut bytes);
    let checked =
        input.and_then(|length| if length as u64 > limit { Err(regular_file::too_large(limit)) } else { Ok(bytes) });
    checked.map_err(|e| Error::io("read", Path::new("/dev/stdin"), e))
}

/// Reads standard input to its end, and returns the last `max_length` bytes as text.
pub fn read_stdin_tail(max_length: u64) -> Result<String> {
    let io = |e| Error::io("read", Path::new("/dev/stdin"), e);
    let (mut kept, mut chunk) = (Vec::new(), vec![0; 1 << 16]);
    let max_length = usize::try_from(max_length).unwrap_or(usize::MAX);
    let mut input = io::stdin().lock();
    loop {
        let length = io::Read::read(&mut input, &mut chunk).map_err(io)?;
        kept.extend_from_slice(chunk.get(..length).unwrap_or_default());
        kept.drain(..kept.len().saturating_sub(max_length));
        if length == 0 {
            return Ok(String::from_utf8_lossy(&kept).into_owned());
        }
    }
}

/// Whether the path exists.
pub fn path_exists(path: &Path) -> bool {
    std::fs::metadata(path).is_ok()
}

/// Creates an output file that gets the name `path` once it is complete. Anything but a regular file, such as
/// /dev/null, is not replaced.
pub fn create_output(path: &Path) -> Result<OutputFile> {
    let io = |e| Error::io("write", path, e);
    match std::fs::symlink_metadata(path) {
        Ok(meta) if !meta.is_file() => {
            return Err(io(io::Error::new(io::ErrorKind::AlreadyExists, "it exists and is not a regular file")));
        }
        _ if path.file_name().is_none() => return Err(io(io::ErrorKind::InvalidInput.into())),
        _ => {}
    }
    let temp = path.with_file_name(staging::unique_name());
    let file = OpenOptions::new().write(true).create_new(true).open(&temp).map_err(io)?;
    Ok(OutputFile { file, temp: Some(temp), path: path.to_owned() })
}

/// A file that is being written under a temporary name. It is removed when it is dropped unplaced.
#[derive(Debug)]
pub struct OutputFile {
    file: File,
    temp: Option<PathBuf>,
    path: PathBuf,
}

impl OutputFile {
    /// Returns the open file.
    pub fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Renames the file to its final name. An existing file is replaced.
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
            // If this fails, the name of the file shows where it comes from.
            drop(std::fs::remove_file(temp));
        }
    }
}

/// Opens a regular file for reading.
pub fn open_regular(path: &Path) -> Result<File> {
    regular_file::open(path).map_err(|e| Error::io("open", path, e))
}

/// Whether the path does not exist.
pub fn path_is_missing(path: &Path) -> bool {
    matches!(path.try_exists(), Ok(false))
}

/// Reads the first `n` bytes of the regular file at `path`.
pub fn read_path_head(path: &Path, n: u64) -> io::Result<Vec<u8>> {
    read_head(&regular_file::open(path)?, n)
}

/// Reads the first `n` bytes of an open file.
pub fn read_head(file: &File, n: u64) -> io::Result<Vec<u8>> {
    let mut file = file;
    let mut bytes = Vec::new();
    file.rewind()?;
    file.take(n).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Checks whether this process may execute an open file, by its mode and its mount (access(2)).
pub fn check_executable(file: &File) -> io::Result<()> {
    Ok(rustix::fs::accessat(CWD, regular_file::path_of_open(file), Access::EXEC_OK, AtFlags::EACCESS)?)
}

/// Whether this process may change the mode of an open file: it belongs to this process's user, or to root (chmod(2)).
pub fn may_change_mode(file: &File) -> bool {
    let (uid, _) = super::env::effective_ids();
    uid == 0 || file.metadata().is_ok_and(|meta| meta.uid() == uid)
}

/// Whether an open file is on a file system that is mounted noexec.
pub fn is_on_noexec_mount(file: &File) -> bool {
    fstatvfs(file).is_ok_and(|fs| fs.f_flag.contains(StatVfsMountFlags::NOEXEC))
}
