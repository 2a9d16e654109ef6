//! Running a program in a directory of its own, and everything that it leaves: output, exit status, and files.

use std::ffi::{OsStr, OsString};
use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use rustix::fs::{CWD, Mode, OFlags};

use super::memfd::{create_input, create_scratch};
use super::process::{later, wait_for_exit};
use super::regular_file::read_limited;

use crate::sorted;

/// Largest output of one stream, and of one file.
const MAX_OUTPUT: u64 = 64 << 20;

/// A program, and how it is started.
#[derive(Debug)]
pub struct CapturedCommand<'a> {
    /// Path of the program.
    pub program: &'a Path,
    /// Arguments, beginning with `argv[0]`.
    pub words: Vec<OsString>,
    /// The whole environment.
    pub environment: Vec<(String, OsString)>,
    /// Directory in which it runs.
    pub directory: &'a Path,
    /// Standard input.
    pub input: &'a [u8],
    /// Time after which it is killed.
    pub timeout: Duration,
}

/// What a program wrote, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CapturedOutput {
    /// Exit status.
    pub status: ExitStatus,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
}

/// A file, directory or symbolic link below a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CapturedFile {
    /// Path below the directory.
    pub path: PathBuf,
    /// Type and permission bits.
    pub mode: u32,
    /// Content of a file, or target of a symbolic link.
    pub content: Vec<u8>,
}

/// Runs a program until it ends, or kills it at the end of its time: then the error is [`io::ErrorKind::TimedOut`].
pub fn run_captured(command: &CapturedCommand) -> io::Result<CapturedOutput> {
    let (stdin, stdout, stderr) = (create_input(command.input)?, create_scratch()?, create_scratch()?);
    let mut child = Command::new(command.program)
        .arg0(command.words.first().map_or(OsStr::new(""), OsString::as_os_str))
        .args(command.words.get(1..).unwrap_or_default())
        .env_clear()
        .envs(command.environment.iter().map(|(name, value)| (name, value)))
        .current_dir(command.directory)
        .stdin(stdin)
        .stdout(stdout.try_clone()?)
        .stderr(stderr.try_clone()?)
        .spawn()?;
    let status = wait_for_exit(&mut child, later(command.timeout))?;
    let read = |mut file: File| {
        file.rewind()?;
        read_limited(&file, MAX_OUTPUT)
    };
    Ok(CapturedOutput { status, stdout: read(stdout)?, stderr: read(stderr)? })
}

/// Creates a directory with these files. A name that ends with a slash is a directory.
pub fn create_filled_dir(dir: &Path, files: &[(String, &[u8])]) -> io::Result<()> {
    DirBuilder::new().mode(0o755).create(dir)?;
    for (name, content) in files {
        let path = dir.join(name);
        if name.ends_with('/') {
            DirBuilder::new().mode(0o755).create(&path)?;
        } else {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(&path)?;
            file.write_all(content)?;
        }
    }
    Ok(())
}

/// Reads everything below a directory, sorted by path, and removes the directory.
pub fn take_dir(dir: &Path) -> io::Result<Vec<CapturedFile>> {
    let mut files = Vec::new();
    collect(dir, Path::new(""), &mut files)?;
    sorted::sort_by_key(&mut files, |file| file.path.clone());
    std::fs::remove_dir_all(dir)?;
    Ok(files)
}

fn collect(dir: &Path, below: &Path, files: &mut Vec<CapturedFile>) -> io::Result<()> {
    for entry in std::fs::read_dir(dir.join(below))? {
        let path = below.join(entry?.file_name());
        let real = dir.join(&path);
        let meta = std::fs::symlink_metadata(&real)?;
        let mut content = Vec::new();
        if meta.is_dir() {
            collect(dir, &path, files)?;
        } else if meta.is_symlink() {
            content = std::os::unix::ffi::OsStringExt::into_vec(std::fs::read_link(&real)?.into_os_string());
        } else if meta.is_file() {
            // The program may have removed the right to read.
            std::fs::set_permissions(&real, Permissions::from_mode(meta.mode() | 0o400))?;
            content = read_limited(&open_without_proc(&real)?, MAX_OUTPUT)?;
        }
        files.push(CapturedFile { path, mode: meta.mode(), content });
    }
    Ok(())
}

/// Opens a regular file where /proc, which [`super::regular_file`] needs, is not mounted. The directory is on a file system
/// without devices.
fn open_without_proc(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::openat(CWD, path, flags, Mode::empty())?);
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::ErrorKind::InvalidInput.into()) }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn run(words: &[&str], directory: &Path, timeout: Duration) -> io::Result<CapturedOutput> {
        run_captured(&CapturedCommand {
            program: Path::new("/bin/sh"),
            words: words.iter().map(OsString::from).collect(),
            environment: vec![("A".to_owned(), "5".into())],
            directory,
            input: b"in\xff",
            timeout,
        })
    }

    #[test]
    fn everything_that_a_program_leaves_is_captured() {
        let dir = tempfile::tempdir().unwrap();
        let work = dir.path().join("work");
        create_filled_dir(&work, &[("d/".to_owned(), b""), ("d/f".to_owned(), b"1")]).unwrap();
        let script = "cat; echo $0 $A >&2; ln -s x l; chmod 0 d/f; exit 3";
        let output = run(&["name", "-c", script], &work, Duration::from_secs(300)).unwrap();
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(3), b"in\xff".as_slice()));
        assert_eq!(output.stderr, b"name 5\n");
        let files = take_dir(&work).unwrap();
        let files: Vec<_> = files.iter().map(|file| (file.path.to_str().unwrap(), file.mode, &*file.content)).collect();
        assert_eq!(files, [("d", 0o40755, &b""[..]), ("d/f", 0o100_000, b"1"), ("l", 0o120_777, b"x")]);
        assert!(!work.exists());
    }

    #[test]
    fn a_program_that_hangs_is_killed() {
        let dir = tempfile::tempdir().unwrap();
        let error = run(&["sh", "-c", "sleep 600"], dir.path(), Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
