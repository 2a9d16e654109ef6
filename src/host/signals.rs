//! Catches Ctrl-C, SIGTERM and SIGHUP, so that changes are rolled back before the process ends.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

use super::Host;

/// The signal that came, if one did, and whether that is looked at; shared by all clones of a host.
#[derive(Debug, Clone, Default)]
pub(super) struct SignalState(Arc<AtomicUsize>, Arc<AtomicBool>);

impl Host {
    /// From now on SIGINT, SIGTERM and SIGHUP do not end the process, but are
    /// asked for at safe points. A second one ends it at once: the receipt says
    /// what is left then.
    pub fn catch_signals(&self) -> io::Result<()> {
        if self.signals.1.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        let once = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            // In this order: the first signal finds the flag unset.
            flag::register_conditional_shutdown(signal, signal.saturating_add(128), Arc::clone(&once))?;
            flag::register(signal, Arc::clone(&once))?;
            let number = usize::try_from(signal).unwrap_or_default();
            flag::register_usize(signal, Arc::clone(&self.signals.0), number)?;
        }
        Ok(())
    }

    /// The number of the signal that came, if one did.
    pub fn pending_signal(&self) -> Option<usize> {
        Some(self.signals.0.load(Ordering::Relaxed)).filter(|signal| *signal != 0)
    }

    /// The same, and from now on none did: its end has been taken in hand. A second one still ends the process at once.
    pub fn take_pending_signal(&self) -> Option<usize> {
        Some(self.signals.0.swap(0, Ordering::Relaxed)).filter(|signal| *signal != 0)
    }
}
