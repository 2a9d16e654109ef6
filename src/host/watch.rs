//! Waiting for an event: a change in a directory, a mount, or a signal.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::low_level::pipe;

use super::dir_fd::Dir;
use super::{FileId, Host};
use crate::error::{Error, Result};

/// Reason why a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WakeReason {
    /// A signal arrived; [`Host::pending_signal`] returns it
    Signal,
    /// A file was removed from the directory, or written
    Changed,
    /// A file system was mounted or unmounted anywhere
    MountsChanged,
    /// The time limit was reached
    Timeout,
}

/// A watched directory. It is held open, so that its file system stays alive when it is unmounted lazily; any other
/// unmount is refused while it is open.
///
/// A write to a file in the directory is an event of the directory, in the kernel's own file systems too (`vfs_write`
/// calls `fsnotify_modify`, fs/read_write.c). So is a removal. An entry of binfmt_misc that appears because of a write
/// to `register` causes no event by itself (measured on Linux 6.18).
#[derive(Debug)]
pub struct DirWatch {
    path: PathBuf,
    dir: File,
    events: Inotify,
    /// Mount table of this mount namespace. poll(2) returns POLLPRI for it after any mount or unmount (proc(5)).
    mounts: File,
    signals: UnixStream,
}

/// An inotify instance, with which a directory can be watched.
#[derive(Debug)]
pub struct InotifyInstance(Inotify);

impl Host {
    /// Starts watching a directory. From now on no signal that [`Host::catch_signals`] catches is lost between a check
    /// for a pending signal and a wait: each signal makes a pipe readable, and the wait polls that pipe.
    pub fn watch(&self, path: &Path, InotifyInstance(events): InotifyInstance) -> Result<DirWatch> {
        let real = self.real_path(path);
        let failed = |e: io::Error| Error::io("watch", &real, e);
        let (signals, write_end) = UnixStream::pair().map_err(failed)?;
        for signal in [SIGTERM, SIGINT, SIGHUP] {
            let write_end: OwnedFd = write_end.try_clone().map_err(failed)?.into();
            pipe::register(signal, write_end).map_err(failed)?;
        }
        let dir = Dir::open(&real).map_err(failed)?.into_file();
        let mounts = File::open("/proc/self/mountinfo").map_err(failed)?;
        let watch = DirWatch { path: real.clone(), dir, events, mounts, signals };
        watch.add_watch().map_err(failed)?;
        Ok(watch)
    }
}

/// Creates the inotify instance that [`Host::watch`] needs. It may fail, because the number of instances of each user
/// is limited (inotify(7), `max_user_instances`).
pub fn create_watcher() -> Result<InotifyInstance> {
    let init = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK);
    let failed = |e: Errno| Error::Unsupported {
        what: format!("cannot watch directories: {}", e.desc()),
        hint: "all inotify instances of root are in use; raise the limit: sysctl fs.inotify.max_user_instances=N"
            .into(),
    };
    init.map(InotifyInstance).map_err(failed)
}

impl DirWatch {
    /// Watches the directory that is now at the path, if it is another one than before.
    pub fn reopen_if_replaced(&mut self) -> io::Result<()> {
        let current = Dir::open(&self.path)?.into_file();
        if FileId::from_metadata(&current.metadata()?) != FileId::from_metadata(&self.dir.metadata()?) {
            self.dir = current;
            self.add_watch()?;
        }
        Ok(())
    }

    /// Waits for an event, at most as long as `at_most`.
    pub fn wait_for_event(&self, at_most: Duration) -> io::Result<WakeReason> {
        let mut sources = [
            PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.events.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.mounts.as_fd(), PollFlags::POLLPRI),
        ];
        // Part of a millisecond is rounded up; otherwise the wait would end too early again and again.
        let timeout = PollTimeout::try_from(at_most.as_millis().saturating_add(1)).unwrap_or(PollTimeout::MAX);
        match poll(&mut sources, timeout) {
            Ok(_) => {}
            Err(Errno::EINTR) => return Ok(WakeReason::Signal),
            Err(e) => return Err(e.into()),
        }
        let [signals, events, mounts] = sources.map(|source| source.revents().is_some_and(|events| !events.is_empty()));
        Ok(match (signals, events, mounts) {
            (true, ..) => WakeReason::Signal,
            (_, true, _) => {
                self.discard_events()?;
                WakeReason::Changed
            }
            (.., true) => WakeReason::MountsChanged,
            _ => WakeReason::Timeout,
        })
    }

    /// Discards all events so far. A caller that reads the directory afterwards sees their effects.
    pub fn discard_events(&self) -> io::Result<()> {
        loop {
            match self.events.read_events() {
                Ok(_) => {}
                Err(Errno::EAGAIN) => return Ok(()),
                Err(e) => return Err(e.into()),
            }
        }
    }

    fn add_watch(&self) -> io::Result<()> {
        let mask = AddWatchFlags::IN_DELETE | AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_ONLYDIR;
        self.events.add_watch(&self.path, mask)?;
        Ok(())
    }
}
