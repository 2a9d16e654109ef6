//! What identifies a file: size, time, build ID and digest, and the first bytes, which the kernel compares.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::accelerate::elf;
use crate::binfmt::launcher::{FileIdentity, Inode};
use crate::error::{Error, Result};
use crate::host::{Host, regular_file};
use crate::sha256::Sha256;

/// Number of bytes at the start of a file that an entry compares: the ELF header. The kernel could compare 256, but each
/// entry is read by every command, and the launcher identifies the file in any case.
pub const HEAD_SIZE: usize = 64;
/// Largest tool. GCC's compilers have about 35 MB.
const MAX_TOOL: u64 = 256 << 20;

/// A program as it was read: its identity, and its bytes.
#[derive(Debug, Clone)]
pub struct ToolFile {
    /// What identifies it.
    pub identity: FileIdentity,
    /// All of its bytes.
    pub bytes: Vec<u8>,
    /// Permission bits.
    pub mode: u32,
}

impl ToolFile {
    /// First bytes of the file, at most [`HEAD_SIZE`].
    pub fn head(&self) -> &[u8] {
        self.bytes.get(..HEAD_SIZE).unwrap_or(&self.bytes)
    }
}

/// Reads a program of a host or tree. Symbolic links are followed inside the tree, and the identity has the path that they
/// lead to. The file is opened once, by the checked walk: only root, or the user of this process, can change it.
///
/// # Errors
/// The file does not exist, is not a regular file, is too large, or another user can change it.
pub fn read_tool(host: &Host, path: &Path) -> Result<ToolFile> {
    let missing = || Error::io("find", &host.real_path(path), io::ErrorKind::NotFound.into());
    let path = host.follow_links_in_tree(path).ok_or_else(missing)?;
    let file = host.open_trusted(&path)?;
    let failed = |e| Error::io("read", &host.real_path(&path), e);
    let meta = file.metadata().map_err(failed)?;
    let bytes = regular_file::read_limited(&file, MAX_TOOL).map_err(failed)?;
    let time = |seconds: i64, nanoseconds: i64| (seconds, u32::try_from(nanoseconds).unwrap_or(0));
    let identity = FileIdentity {
        path: path.clone(),
        size: meta.len(),
        mtime: time(meta.mtime(), meta.mtime_nsec()),
        inode: Some(Inode { device: meta.dev(), number: meta.ino(), ctime: time(meta.ctime(), meta.ctime_nsec()) }),
        build_id: elf::read_build_id(&bytes),
        sha256: Sha256::of_bytes(&bytes),
    };
    Ok(ToolFile { identity, bytes, mode: meta.mode() & 0o7777 })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test fails by panicking, and makes files")]

    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn a_tool_is_read_through_links_of_the_tree() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::new(dir.path()).unwrap();
        fs::write(dir.path().join("tool"), [7; 300]).unwrap();
        symlink("/tool", dir.path().join("absolute")).unwrap();
        let read = read_tool(&host, Path::new("/absolute")).unwrap();
        assert_eq!(read.identity.path, Path::new("/tool"));
        assert_eq!((read.identity.size, read.head(), read.bytes.len()), (300, [7; 64].as_slice(), 300));
        assert_eq!(read.identity.sha256, Sha256::of_bytes(&[7; 300]));
        nix::unistd::mkfifo(&dir.path().join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        for bad in ["/fifo", "/", "/none", "/absolute/x"] {
            assert!(read_tool(&host, Path::new(bad)).is_err(), "{bad}");
        }
        fs::set_permissions(dir.path().join("tool"), fs::Permissions::from_mode(0o666)).unwrap();
        assert!(read_tool(&host, Path::new("/tool")).is_err());
    }
}
