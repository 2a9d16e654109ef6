//! Files that the user names, as he names them: outside the root prefix, symbolic links followed.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::{Host, OpenOptions, staging};
use crate::error::{Error, Result};

impl Host {
    /// Is it a directory?
    pub fn is_dir_given(&self, path: &Path) -> bool {
        std::fs::metadata(path).is_ok_and(|meta| meta.is_dir())
    }

    /// The last `longest` bytes of what is on standard input, as text.
    pub fn standard_input(&self, longest: u64) -> Result<String> {
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
    pub fn is_there_given(&self, path: &Path) -> bool {
        std::fs::metadata(path).is_ok()
    }

    /// A file that gets the name `path` once it is complete. What is no regular file is not replaced: /dev/null, say.
    pub fn create_given(&self, path: &Path) -> Result<Given> {
        let io = |e| Error::io("write", path, e);
        match std::fs::symlink_metadata(path) {
            Ok(meta) if !meta.is_file() => {
                return Err(io(io::Error::new(io::ErrorKind::AlreadyExists, "it is there, and no regular file")));
            }
            _ if path.file_name().is_none() => return Err(io(io::ErrorKind::InvalidInput.into())),
            _ => {}
        }
        let temp = path.with_file_name(staging::name());
        let file = OpenOptions::new().write(true).create_new(true).open(&temp).map_err(io)?;
        Ok(Given { file, temp: Some(temp), path: path.to_owned() })
    }
}

/// A file that is being written under a temporary name. Dropped unplaced, it is deleted.
#[derive(Debug)]
pub struct Given {
    file: File,
    temp: Option<PathBuf>,
    path: PathBuf,
}

impl Given {
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

impl Drop for Given {
    fn drop(&mut self) {
        if let Some(temp) = &self.temp {
            // It has a name that says what it is.
            drop(std::fs::remove_file(temp));
        }
    }
}
