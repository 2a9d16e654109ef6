//! Catches Ctrl-C, SIGTERM and SIGHUP, so that changes are rolled back before the process ends.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

use super::Host;

/// Makes a write beyond the limit of the size of files (`ulimit -f`, RLIMIT_FSIZE) an ordinary error, EFBIG, instead of
/// the end of the process by SIGXFSZ (setrlimit(2)). A handler does it, because programs that this one starts would
/// inherit an ignored signal (execve(2)).
pub fn survive_file_size_limit() {
    // Without the handler the signal ends the process; the next run then completes or reverts the changes.
    drop(flag::register(nix::libc::SIGXFSZ, Arc::new(AtomicBool::new(false))));
}

/// The signals that a host has caught; shared by all clones of the host.
#[derive(Debug, Clone, Default)]
pub(super) struct SignalState {
    /// Number of the signal that arrived last, or 0
    pending: Arc<AtomicUsize>,
    /// Whether the handlers are installed
    installed: Arc<AtomicBool>,
}

impl Host {
    /// Installs handlers for SIGINT, SIGTERM and SIGHUP. From now on the first signal does not end the process; safe
    /// points check for it by [`Host::pending_signal`]. A second signal ends the process at once; the receipt then
    /// lists the changes that remain.
    pub fn catch_signals(&self) -> io::Result<()> {
        if self.signals.installed.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        let was_signalled = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            // The order matters: at the first signal the flag is not set yet.
            flag::register_conditional_shutdown(signal, signal.saturating_add(128), Arc::clone(&was_signalled))?;
            flag::register(signal, Arc::clone(&was_signalled))?;
            let number = usize::try_from(signal).unwrap_or_default();
            flag::register_usize(signal, Arc::clone(&self.signals.pending), number)?;
        }
        Ok(())
    }

    /// Returns the number of the signal that arrived, if one did.
    pub fn pending_signal(&self) -> Option<usize> {
        Some(self.signals.pending.load(Ordering::Relaxed)).filter(|signal| *signal != 0)
    }

    /// Like [`Host::pending_signal`], and clears the signal, because the caller is about to end the process. A second
    /// signal still ends it at once.
    pub fn take_pending_signal(&self) -> Option<usize> {
        Some(self.signals.pending.swap(0, Ordering::Relaxed)).filter(|signal| *signal != 0)
    }
}
