//! Opening files that another user may control.
//!
//! Another user can put a FIFO at a path, which blocks, a link to a device, which acts when it is opened, or an endless
//! file. That user can also exchange the file between a check and its use. So a file is opened in two steps. `O_PATH`
//! opens the path without opening the file (open(2)). If fstat(2) shows a regular file, the same file is opened again
//! through /proc/self/fd, whatever its path leads to by then. Nothing else is ever opened, and reads are limited.

use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// Largest text that is read. The largest real one is `modules.dep`, of about a megabyte.
pub const MAX_TEXT: u64 = 8 << 20;

/// Largest program that is read or hashed as a whole. QEMU's largest static program has about 30 MB.
pub const MAX_PROGRAM: u64 = 1 << 30;

/// How often a walk below a root directory is repeated because a directory was renamed.
const MAX_RENAMES: usize = 32;

/// Opens a regular file for reading. Symbolic links are followed.
pub fn open(path: &Path) -> io::Result<File> {
    reopen(&pin(CWD, path.as_os_str(), OFlags::empty())?, OFlags::RDONLY)
}

/// Opens a regular file for reading as a process finds it whose root directory is `root`: absolute symbolic links lead to
/// files below `root`, and so does `..` (openat2(2), `RESOLVE_IN_ROOT`). Before Linux 5.6, links are followed as those of
/// this process.
pub fn open_in_root(root: &Path, path: &OsStr) -> io::Result<File> {
    let root_dir = rustix::fs::openat(CWD, root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    // The kernel gives up if a directory is renamed during the walk, and asks callers to repeat it.
    let mut opened = Err(Errno::AGAIN);
    for _ in 0..MAX_RENAMES {
        opened = rustix::fs::openat2(&root_dir, path, flags, Mode::empty(), ResolveFlags::IN_ROOT);
        if !matches!(opened, Err(Errno::AGAIN)) {
            break;
        }
    }
    match opened {
        // Seccomp filters of old container engines answer EPERM for calls that they do not know.
        Err(Errno::NOSYS | Errno::PERM) => {
            let below = [root.as_os_str().as_bytes(), b"/", path.as_bytes()].concat();
            open(Path::new(OsStr::from_bytes(&below)))
        }
        opened => reopen(&check_regular(opened?.into())?, OFlags::RDONLY),
    }
}

/// Opens a regular file for reading. A symbolic link as the last component is an error.
pub fn open_nofollow(path: &Path) -> io::Result<File> {
    reopen(&pin(CWD, path.as_os_str(), OFlags::NOFOLLOW)?, OFlags::RDONLY)
}

/// Opens the regular file `name` in an open directory for reading. A symbolic link is an error.
pub(super) fn open_in(dir: &File, name: &OsStr) -> io::Result<File> {
    use std::os::fd::AsFd as _;
    reopen(&pin(dir.as_fd(), name, OFlags::NOFOLLOW)?, OFlags::RDONLY)
}

/// Opens an existing regular file for writing, and also for reading if `read` is set. Symbolic links are followed.
pub(super) fn open_for_writing(path: &Path, read: bool) -> io::Result<File> {
    let mode = if read { OFlags::RDWR } else { OFlags::WRONLY };
    reopen(&pin(CWD, path.as_os_str(), OFlags::empty())?, mode)
}

/// Reads an open file to its end. Fails if it has more than `limit` bytes.
pub fn read_limited(file: &File, limit: u64) -> io::Result<Vec<u8>> {
    // Files of the kernel have no size, and a buffer without one grows from 32 bytes on.
    let size = file.metadata()?.len().clamp(4095, limit.max(4095)).saturating_add(1);
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit { Err(too_large(limit)) } else { Ok(bytes) }
}

/// Copies an open program. Fails if it has more bytes than any emulator: its owner may change it meanwhile.
pub fn copy_program(from: &File, to: &mut File) -> io::Result<()> {
    check_program_size(&from.metadata()?)?;
    let copied = io::copy(&mut from.take(MAX_PROGRAM.saturating_add(1)), to)?;
    if copied > MAX_PROGRAM { Err(too_large(MAX_PROGRAM)) } else { Ok(()) }
}

/// Fails if an open file has more bytes than any emulator.
pub fn check_program_size(meta: &Metadata) -> io::Result<()> {
    if meta.len() > MAX_PROGRAM { Err(too_large(MAX_PROGRAM)) } else { Ok(()) }
}

pub(super) fn too_large(limit: u64) -> io::Error {
    io::Error::new(io::ErrorKind::FileTooLarge, format!("it is larger than {limit} B"))
}

/// Opens a path without opening the file, and checks that it is a regular file.
fn pin(dir: BorrowedFd<'_>, path: &OsStr, links: OFlags) -> io::Result<File> {
    check_regular(rustix::fs::openat(dir, path, OFlags::PATH | OFlags::CLOEXEC | links, Mode::empty())?.into())
}

fn check_regular(pinned: File) -> io::Result<File> {
    let meta = pinned.metadata()?;
    if meta.is_file() {
        Ok(pinned)
    } else if meta.is_symlink() {
        Err(Errno::LOOP.into())
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"))
    }
}

/// Returns a path of an open file that leads to this file, whatever happens to its names.
pub(super) fn path_of_open(file: &File) -> PathBuf {
    Path::new("/proc/self/fd").join(file.as_raw_fd().to_string())
}

fn reopen(pinned: &File, mode: OFlags) -> io::Result<File> {
    let link = path_of_open(pinned);
    let flags = mode | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    match rustix::fs::openat(CWD, &link, flags, Mode::empty()) {
        // A process whose file in /proc this is may have ended. Without /proc no file may seem to be missing.
        Err(Errno::NOENT) if std::fs::symlink_metadata(&link).is_err() => {
            Err(io::Error::other("it cannot be opened safely, because /proc is not mounted"))
        }
        opened => Ok(opened?.into()),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::io::ErrorKind;
    use std::os::unix::fs::symlink;

    use super::*;

    /// `open(2)` of a FIFO without `O_NONBLOCK` blocks until another process writes to it.
    #[test]
    fn opens_regular_files_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        std::fs::write(path("file"), "text").unwrap();
        nix::unistd::mkfifo(&path("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        symlink("/dev/zero", path("zero")).unwrap();
        symlink("file", path("link")).unwrap();
        for other in ["fifo", "zero", "."] {
            assert_eq!(open(&path(other)).unwrap_err().kind(), ErrorKind::InvalidInput, "{other}");
            assert_eq!(open_for_writing(&path(other), true).unwrap_err().kind(), ErrorKind::InvalidInput, "{other}");
        }
        assert_eq!(open(&path("none")).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(open_nofollow(&path("link")).unwrap_err().raw_os_error(), Some(Errno::LOOP.raw_os_error()));
        symlink("/file", path("absolute")).unwrap();
        symlink("../../file", path("outside")).unwrap();
        for name in ["file", "/file", "//link", "absolute", "/outside", "../absolute"] {
            assert!(open_in_root(dir.path(), OsStr::new(name)).is_ok(), "{name}");
        }
        assert_eq!(open_in_root(dir.path(), OsStr::new("zero")).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(open_in_root(dir.path(), OsStr::new("/fifo")).unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(open_in_root(dir.path(), OsStr::new("/file/")).unwrap_err().kind(), ErrorKind::NotADirectory);
        assert_eq!(read_limited(&open(&path("link")).unwrap(), 4).unwrap(), b"text");
        assert_eq!(read_limited(&open(&path("file")).unwrap(), 3).unwrap_err().kind(), ErrorKind::FileTooLarge);
    }

    #[test]
    fn copies_no_more_than_the_largest_program() {
        let dir = tempfile::tempdir().unwrap();
        let create = |name: &str| File::create_new(dir.path().join(name)).unwrap();
        let read = |name: &str| open(&dir.path().join(name)).unwrap();
        create("hole").set_len(MAX_PROGRAM + 1).unwrap();
        assert_eq!(copy_program(&read("hole"), &mut create("none")).unwrap_err().kind(), ErrorKind::FileTooLarge);
        assert_eq!(read("none").metadata().unwrap().len(), 0);
        std::fs::write(dir.path().join("file"), "text").unwrap();
        copy_program(&read("file"), &mut create("copy")).unwrap();
        assert_eq!(std::fs::read(dir.path().join("copy")).unwrap(), b"text");
    }
}
