//! Failpoints: tests make a change fail, or kill the process at a change.
//!
//! Only the cargo feature `failpoints` compiles them in. Without it this module does nothing and reads no environment
//! variable.
//!
//! With it, `BINFMT_NIX_FAILPOINT=ACTION@N` acts at the N-th change that the process makes to the machine, counted
//! from 1. The action `kill` ends the process by SIGKILL. `torn` does the same, but writes half of the bytes first if the
//! change is a write. `eio`, `enospc` and `erofs` make the change fail once, with that error. `stop` stops the process by
//! SIGSTOP before the change, so that the test can change the machine meanwhile. `list@0` prints every change.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

/// Counts a change that is about to be made; fails, or does not return, if the test asked for that.
pub(super) fn begin_change(what: &str, path: &Path) -> io::Result<()> {
    active::count_change(what, path, &mut || Ok(()))
}

/// Writes all of `bytes`; counts as one change.
pub(super) fn write_all(file: &mut File, bytes: &[u8], path: &Path) -> io::Result<()> {
    let half = bytes.get(..bytes.len() / 2).unwrap_or_default();
    active::count_change("write", path, &mut || file.write_all(half))?;
    file.write_all(bytes)
}

#[cfg(not(feature = "failpoints"))]
mod active {
    use std::io;
    use std::path::Path;

    #[inline]
    #[expect(clippy::unnecessary_wraps, reason = "with the feature it fails")]
    pub(super) fn count_change(_: &str, _: &Path, _: &mut dyn FnMut() -> io::Result<()>) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(feature = "failpoints")]
mod active {
    use std::io::{self, Write as _};
    use std::path::Path;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    use nix::sys::signal::{Signal, kill};
    use rustix::io::Errno;

    #[derive(Clone, Copy)]
    enum Action {
        List,
        Kill,
        Torn,
        Stop,
        Fail(Errno),
    }

    /// Counts a change and acts if its number was asked for. `half` is called before the process is killed by `torn`.
    pub(super) fn count_change(what: &str, path: &Path, half: &mut dyn FnMut() -> io::Result<()>) -> io::Result<()> {
        static CHANGES: AtomicU64 = AtomicU64::new(0);
        static REQUEST: OnceLock<Option<(Action, u64)>> = OnceLock::new();
        let number = CHANGES.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let Some((action, wanted)) = *REQUEST.get_or_init(read_request) else { return Ok(()) };
        if number != wanted && !matches!(action, Action::List) {
            return Ok(());
        }
        // Not printed by `ui`: only the test reads this line.
        drop(writeln!(io::stderr().lock(), "failpoint {number}: {what} {}", path.display()));
        match action {
            Action::List => return Ok(()),
            Action::Fail(errno) => return Err(errno.into()),
            Action::Stop => return Ok(kill(nix::unistd::getpid(), Signal::SIGSTOP)?),
            Action::Kill => {}
            Action::Torn => half()?,
        }
        kill(nix::unistd::getpid(), Signal::SIGKILL)?;
        Ok(())
    }

    fn read_request() -> Option<(Action, u64)> {
        let text = std::env::var("BINFMT_NIX_FAILPOINT").ok()?;
        let (action, number) = text.split_once('@')?;
        let action = match action {
            "list" => Action::List,
            "kill" => Action::Kill,
            "torn" => Action::Torn,
            "stop" => Action::Stop,
            "eio" => Action::Fail(Errno::IO),
            "enospc" => Action::Fail(Errno::NOSPC),
            "erofs" => Action::Fail(Errno::ROFS),
            _ => return None,
        };
        Some((action, number.parse().ok()?))
    }
}
