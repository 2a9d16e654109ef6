//! Where the tests make a change fail, or the process die.
//!
//! Compiled in by the cargo feature `failpoints` alone; without it nothing here
//! does anything, and no variable of the environment is read. With it,
//! `BINFMT_NIX_FAILPOINT=ACTION@N` acts at the N-th change that the process
//! makes to the machine, counted from 1: `kill` ends it by SIGKILL, `torn` too,
//! but a write is half done by then; `eio`, `enospc` and `erofs` let the change
//! fail, once, with that error.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

/// The next change is about to be made.
pub(super) fn begin_change(what: &str, path: &Path) -> io::Result<()> {
    active::reach(what, path, &mut || Ok(()))
}

/// Writes all of `bytes`, as one change.
pub(super) fn write_all(file: &mut File, bytes: &[u8], path: &Path) -> io::Result<()> {
    let half = bytes.get(..bytes.len() / 2).unwrap_or_default();
    active::reach("write", path, &mut || file.write_all(half))?;
    file.write_all(bytes)
}

#[cfg(not(feature = "failpoints"))]
mod active {
    use std::io;
    use std::path::Path;

    #[inline]
    #[expect(clippy::unnecessary_wraps, reason = "with the feature it fails")]
    pub(super) fn reach(_: &str, _: &Path, _: &mut dyn FnMut() -> io::Result<()>) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(feature = "failpoints")]
mod active {
    use std::io::{self, Write as _};
    use std::path::Path;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    use nix::errno::Errno;
    use nix::sys::signal::{Signal, kill};

    #[derive(Clone, Copy)]
    enum Action {
        Kill,
        Torn,
        Fail(Errno),
    }

    /// `half` is what a torn write does before the end.
    pub(super) fn reach(what: &str, path: &Path, half: &mut dyn FnMut() -> io::Result<()>) -> io::Result<()> {
        static CHANGES: AtomicU64 = AtomicU64::new(0);
        static ASKED: OnceLock<Option<(Action, u64)>> = OnceLock::new();
        let number = CHANGES.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let Some((action, at)) = *ASKED.get_or_init(asked) else { return Ok(()) };
        if number != at {
            return Ok(());
        }
        // The terminal's rules are `ui`'s business; this is a line for a test.
        drop(writeln!(io::stderr().lock(), "failpoint {number}: {what} {}", path.display()));
        match action {
            Action::Fail(errno) => return Err(errno.into()),
            Action::Kill => {}
            Action::Torn => half()?,
        }
        kill(nix::unistd::getpid(), Signal::SIGKILL)?;
        Ok(())
    }

    fn asked() -> Option<(Action, u64)> {
        let text = std::env::var("BINFMT_NIX_FAILPOINT").ok()?;
        let (action, number) = text.split_once('@')?;
        let action = match action {
            "kill" => Action::Kill,
            "torn" => Action::Torn,
            "eio" => Action::Fail(Errno::EIO),
            "enospc" => Action::Fail(Errno::ENOSPC),
            "erofs" => Action::Fail(Errno::EROFS),
            _ => return None,
        };
        Some((action, number.parse().ok()?))
    }
}
