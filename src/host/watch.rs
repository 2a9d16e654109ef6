//! Waiting until something happens: in a directory, to the mounts, or to this process.

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

use super::{FileId, Host};
use crate::error::{Error, Result};

/// What ended a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WakeReason {
    /// A signal came: [`Host::pending_signal`] says which.
    Signal,
    /// Something was removed from the directory, or written to a file in it.
    Changed,
    /// Something was mounted or unmounted, wherever.
    MountsChanged,
    /// The time is over.
    Timeout,
}

/// A directory that is watched. It is held open, so that its file system lives on when it is unmounted (lazily: while
/// it is open, any other unmount is refused).
///
/// A write to a file in it is an event of the directory, in the kernel's own file systems too (`vfs_write` calls
/// `fsnotify_modify`, fs/read_write.c), and so is a removal; an entry of binfmt_misc that appears because something was
/// written to `register` is none by itself (measured on Linux 6.18).
#[derive(Debug)]
pub struct DirWatch {
    path: PathBuf,
    dir: File,
    events: Inotify,
    /// Readable by poll(2) as POLLPRI once anything is mounted or unmounted in this mount namespace (proc(5)).
    mounts: File,
    signals: UnixStream,
}

/// What a directory can be watched with.
#[derive(Debug)]
pub struct InotifyInstance(Inotify);

impl Host {
    /// Begins to watch a directory. From now on no signal that [`Host::catch_signals`] catches is lost between a question
    /// whether one came and a wait: each makes a pipe readable that the wait looks at.
    pub fn watch(&self, path: &Path, InotifyInstance(events): InotifyInstance) -> Result<DirWatch> {
        let real = self.real_path(path);
        let failed = |e: io::Error| Error::io("watch", &real, e);
        let (signals, end) = UnixStream::pair().map_err(failed)?;
        for signal in [SIGTERM, SIGINT, SIGHUP] {
            let end: OwnedFd = end.try_clone().map_err(failed)?.into();
            pipe::register(signal, end).map_err(failed)?;
        }
        let dir = File::open(&real).map_err(failed)?;
        let mounts = File::open("/proc/self/mountinfo").map_err(failed)?;
        let watch = DirWatch { path: real.clone(), dir, events, mounts, signals };
        watch.add().map_err(failed)?;
        Ok(watch)
    }
}

/// What [`Host::watch`] needs and may not get: a user may have so many of them and no more (inotify(7),
/// `max_user_instances`).
pub fn create_watcher() -> Result<InotifyInstance> {
    let init = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK);
    let failed = |e: Errno| Error::Unsupported {
        what: format!("cannot watch directories: {}", e.desc()),
        hint: "root has used up its inotify instances: sysctl fs.inotify.max_user_instances allows more".into(),
    };
    init.map(InotifyInstance).map_err(failed)
}

impl DirWatch {
    /// Goes over to the directory that is there by now, if it is another one.
    pub fn reopen_if_replaced(&mut self) -> io::Result<()> {
        let now = File::open(&self.path)?;
        if FileId::from_metadata(&now.metadata()?) != FileId::from_metadata(&self.dir.metadata()?) {
            self.dir = now;
            self.add()?;
        }
        Ok(())
    }

    /// Waits, no longer than this.
    pub fn wait_for_event(&self, at_most: Duration) -> io::Result<WakeReason> {
        let mut sources = [
            PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.events.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.mounts.as_fd(), PollFlags::POLLPRI),
        ];
        // A part of a millisecond is one, lest the end of a wait be missed again and again.
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

    /// Forgets what has happened so far: who looks next sees what came of it.
    pub fn discard_events(&self) -> io::Result<()> {
        loop {
            match self.events.read_events() {
                Ok(_) => {}
                Err(Errno::EAGAIN) => return Ok(()),
                Err(e) => return Err(e.into()),
            }
        }
    }

    fn add(&self) -> io::Result<()> {
        let what = AddWatchFlags::IN_DELETE | AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_ONLYDIR;
        self.events.add_watch(&self.path, what)?;
        Ok(())
    }
}
