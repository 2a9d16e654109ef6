//! Another user of the machine, who opens every file and directory that may be opened, and locks it (flock(2), and
//! fcntl(2) for reading).

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

use super::sandbox::itself;

/// A running blocker, which ends when this is dropped.
pub(crate) struct Blocker {
    child: Child,
    gate: Option<ChildStdin>,
    /// Number of files and directories that were locked at first.
    pub(crate) locked: usize,
}

impl Blocker {
    /// Starts to lock everything below these directories, also what is created later. Waits until all that exists is
    /// locked.
    pub(crate) fn start(dirs: &[&Path]) -> Self {
        let mut command = itself("blocker").unwrap();
        let mut child = command.args(dirs).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let gate = child.stdin.take();
        Self { child, gate, locked: line.trim().parse().unwrap() }
    }
}

impl Drop for Blocker {
    fn drop(&mut self) {
        drop(self.gate.take());
        drop(self.child.wait());
    }
}

/// The process of a blocker, which has dropped its rights already: works until its standard input ends.
pub(crate) fn block(dirs: &[OsString]) -> io::Result<()> {
    static ENDED: AtomicBool = AtomicBool::new(false);
    std::thread::spawn(|| {
        drop(io::stdin().read(&mut [0]));
        ENDED.store(true, Ordering::Relaxed);
    });
    let (mut held, mut known) = (Vec::new(), BTreeSet::new());
    let lock_all = |held: &mut Vec<File>, known: &mut BTreeSet<(u64, u64)>| {
        for dir in dirs {
            lock_below(Path::new(dir), held, known);
        }
    };
    lock_all(&mut held, &mut known);
    writeln!(io::stdout(), "{}", held.len())?;
    while !ENDED.load(Ordering::Relaxed) {
        lock_all(&mut held, &mut known);
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

fn lock_below(path: &Path, held: &mut Vec<File>, known: &mut BTreeSet<(u64, u64)>) {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let open = |read, write| OpenOptions::new().read(read).write(write).custom_flags(flags).open(path);
    if let Ok(file) = open(true, false).or_else(|_| open(false, true))
        && let Ok(meta) = file.metadata()
        && !known.contains(&(meta.dev(), meta.ino()))
        && file.try_lock().is_ok()
    {
        let l_type = libc::c_short::try_from(libc::F_RDLCK).unwrap();
        let whole = libc::flock { l_type, l_whence: 0, l_start: 0, l_len: 0, l_pid: 0 };
        // A file that is open for writing only cannot be locked for reading.
        let _: nix::Result<i32> = fcntl(&file, FcntlArg::F_OFD_SETLK(&whole));
        known.insert((meta.dev(), meta.ino()));
        held.push(file);
    }
    let inner = fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    for path in inner.collect::<Vec<PathBuf>>() {
        lock_below(&path, held, known);
    }
}
