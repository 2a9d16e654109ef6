//! Reading files with the rights of an ordinary user: root reads a user's file with no more rights than that user has.
//!
//! It is read by a thread that has given up root's rights: `setfsuid(2)`, the groups and the capabilities
//! are properties of a thread (credentials(7)). So the kernel decides what that user may read, through any symbolic
//! link. The real user stays root, so that the user cannot send a signal to the thread. The thread is abandoned if it
//! does not finish in time, because a file system of that user may never answer.

use std::cell::Cell;
use std::ffi::CString;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use nix::sys::prctl;
use nix::unistd::{Gid, Uid, setfsgid, setfsuid};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities, set_thread_groups};

use super::process::later;
use super::unprivileged::NOBODY_ID;
use super::{Host, env, namespaces, regular_file, user_files};
use crate::error::{Error, Result};

/// Most bytes of settings that are read for one user. Real ones have a few hundred.
const MAX_SETTINGS: u64 = 256 << 10;

/// Longest time for reading one file.
const TIMEOUT: Duration = Duration::from_secs(10);

/// An ordinary user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    uid: u32,
    gid: u32,
    groups: Vec<u32>,
    /// The name of the user; the number if passwd(5) has no name.
    pub name: String,
    /// The home directory in passwd(5).
    pub home: PathBuf,
}

impl User {
    fn unprivileged() -> Self {
        Self::without_name(NOBODY_ID, NOBODY_ID)
    }

    fn without_name(uid: u32, gid: u32) -> Self {
        Self { uid, gid, groups: vec![gid], name: uid.to_string(), home: PathBuf::from("/nonexistent") }
    }

    /// Returns the user of this process.
    pub fn current() -> Self {
        let (uid, gid) = env::effective_ids();
        Self::find(uid, gid)
    }

    /// Returns the user who owns a directory, if that is not root.
    pub fn owner_of_dir(host: &Host, dir: &Path) -> Option<Self> {
        let meta = host.lstat(dir).ok()??;
        (meta.uid() != 0).then(|| Self::find(meta.uid(), meta.gid()))
    }

    /// Finds the user's groups and home directory. A user that passwd(5) does not list has one group and no home.
    fn find(uid: u32, gid: u32) -> Self {
        let Ok(Some(known)) = nix::unistd::User::from_uid(Uid::from_raw(uid)) else {
            return Self::without_name(uid, gid);
        };
        let groups = CString::new(known.name.as_str()).ok();
        let groups = groups.and_then(|name| nix::unistd::getgrouplist(&name, Gid::from_raw(gid)).ok());
        let groups = groups.map_or_else(|| vec![gid], |groups| groups.into_iter().map(Gid::as_raw).collect());
        Self { uid, gid, groups, name: known.name, home: known.dir }
    }

    /// The ids of the user as text: user, group, and all groups, separated by commas.
    pub(super) fn id_arguments(&self) -> [String; 3] {
        let groups: Vec<_> = self.groups.iter().map(u32::to_string).collect();
        [self.uid.to_string(), self.gid.to_string(), groups.join(",")]
    }
}

/// Returns the ordinary user who started this root process by sudo(8), which sets `SUDO_UID` and `SUDO_GID`.
pub fn calling_user() -> Option<User> {
    let number = |name: &str| env::var(name)?.parse::<u32>().ok();
    let uid = number("SUDO_UID").filter(|uid| *uid != 0 && env::effective_ids().0 == 0)?;
    Some(User::find(uid, number("SUDO_GID").filter(|gid| *gid != 0).unwrap_or(uid)))
}

/// Returns name and home directory of the user of this process. `HOME` is preferred, as Nix does (`getHome`).
pub fn current_user() -> (String, PathBuf) {
    let user = User::find(env::effective_ids().0, env::effective_ids().1);
    let home = env::var("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
    (user.name, home.unwrap_or(user.home))
}

/// Reads a file that an environment variable of the caller names.
///
/// Root reads it with its own rights only if no other user can change what the path leads to. Otherwise the file is read
/// with the rights of the calling user; without one, with those of the file's owner.
pub fn read_named_by_caller(path: &Path) -> Result<Vec<u8>> {
    let io = |e| Error::io("read", path, e);
    if env::effective_ids().0 != 0 {
        return regular_file::open(path).and_then(|file| user_files::read_text_file(&file)).map_err(io);
    }
    let host = Host::live();
    let trusted = Some(path).filter(|path| path.is_absolute()).map(|path| host.open_trusted_through_links(path));
    if let Some(Ok(file)) = trusted {
        return user_files::read_text_file(&file).map_err(io);
    }
    let (named, caller) = (path.to_owned(), calling_user());
    host.run_in_thread(later(TIMEOUT), move || {
        let user = match caller {
            Some(user) => user,
            None => owner_of(&named)?,
        };
        take_rights(&user)?;
        user_files::read_text_file(&regular_file::open(&named)?)
    })
    .map_err(io)
}

/// Returns the owner of a file or a directory. The user `nobody` stands for root, so that a user's path does not get
/// root's rights. Where root is an ordinary user outside, it has only that user's rights.
fn owner_of(path: &Path) -> io::Result<User> {
    let meta = std::fs::metadata(path)?;
    Ok(if meta.uid() == 0 && !namespaces::is_root_an_ordinary_user() {
        User::unprivileged()
    } else {
        User::find(meta.uid(), meta.gid())
    })
}

/// The settings files of one user. They are read with that user's rights.
#[derive(Debug)]
pub struct UserFiles {
    host: Host,
    uid: u32,
    remaining: Cell<u64>,
}

impl UserFiles {
    /// Reads a regular file that belongs to the user, or that belongs to root and is world-readable. Returns `None` for
    /// any other one, and once all files together have more than 256 KiB.
    pub fn read(&self, path: &Path) -> Option<String> {
        let file = regular_file::open(&self.host.real_path(path)).ok()?;
        let meta = file.metadata().ok()?;
        let is_allowed = meta.uid() == self.uid || (meta.uid() == 0 && meta.mode() & 0o004 != 0);
        let bytes = is_allowed.then(|| regular_file::read_limited(&file, self.remaining.get()).ok())??;
        self.remaining.set(self.remaining.get().saturating_sub(bytes.len() as u64));
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Whether the path leads to a file that the user may see.
    pub fn exists(&self, path: &Path) -> bool {
        std::fs::metadata(self.host.real_path(path)).is_ok()
    }

    /// Whether nothing has this path. What the user may not see is not missing.
    pub fn is_missing(&self, path: &Path) -> bool {
        let found = std::fs::symlink_metadata(self.host.real_path(path));
        found.is_err_and(|error| matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory))
    }
}

impl Host {
    /// Runs `work` with the rights of the user who owns the directory `home`, until `deadline` at most.
    pub fn read_files_of_owner<T: Send + 'static>(
        &self,
        home: &Path,
        deadline: Instant,
        work: impl FnOnce(&UserFiles) -> T + Send + 'static,
    ) -> io::Result<T> {
        let (host, home) = (self.clone(), self.real_path(home));
        self.run_in_thread(deadline, move || {
            let user = owner_of(&home)?;
            take_rights(&user)?;
            Ok(work(&UserFiles { host, uid: user.uid, remaining: Cell::new(MAX_SETTINGS) }))
        })
    }

    /// Runs `work` in a thread. Stops waiting for it at the deadline, or when a signal has arrived.
    fn run_in_thread<T: Send + 'static>(
        &self,
        deadline: Instant,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let (sender, receiver) = mpsc::channel();
        let thread = std::thread::Builder::new().spawn(move || {
            // Sending fails only if the result came too late.
            drop(sender.send(work()));
        })?;
        let result = loop {
            match receiver.recv_timeout(Duration::from_millis(20)) {
                Ok(result) => break result,
                Err(RecvTimeoutError::Disconnected) => break Err(io::Error::other("its thread ended early")),
                Err(RecvTimeoutError::Timeout) if Instant::now() >= deadline => {
                    return Err(io::Error::new(io::ErrorKind::TimedOut, "its file system does not answer"));
                }
                Err(RecvTimeoutError::Timeout) if self.pending_signal().is_some() => {
                    return Err(io::ErrorKind::Interrupted.into());
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        };
        // Some system calls need a process with one thread. A panic is reported above.
        drop(thread.join());
        result
    }
}

/// Replaces root's rights over files by those of a user, in this thread. An ordinary user has no other rights anyway.
fn take_rights(user: &User) -> io::Result<()> {
    if env::effective_ids().0 != 0 {
        return Ok(());
    }
    let was_dumpable = prctl::get_dumpable()?;
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    let groups: Vec<_> = user.groups.iter().copied().map(rustix::fs::Gid::from_raw).collect();
    let has_groups = set_thread_groups(&groups).is_ok();
    setfsgid(gid);
    setfsuid(uid);
    // Both calls return the previous id. A second call shows whether the first one had an effect.
    let is_changed = has_groups && setfsgid(gid) == gid && setfsuid(uid) == uid;
    // A namespace may lack this user. Root there has no rights over files of users that the namespace lacks.
    if !is_changed && !namespaces::is_in_user_namespace() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?;
    // The kernel clears this flag of the whole process (`commit_creds`); root in a namespace needs it for its own /proc.
    Ok(prctl::set_dumpable(was_dumpable)?)
}
