//! Limits on the time that the parent gives to a worker. Pure.
//!
//! A worker that is slow, stuck or hostile does not keep its parent waiting: it has to make progress, and to end. What
//! counts as progress is the decision of the worker's supervisor: bytes that the parent accepts, never bytes of the
//! protocol. So a message that never ends, one byte a second, and the same message for ever are all the same: nothing.

use std::time::Duration;

use crate::ui::quantity::count;

/// Limits on a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PaceLimits {
    /// Longest time in which the progress may stay below `least`
    pub window: Duration,
    /// Least progress in such a time, in bytes
    pub least: u64,
    /// Longest time of all work together
    pub whole: Duration,
}

impl Default for PaceLimits {
    /// A correct worker gives up on a server long before: see `ClientOptions` in `qemu::download`.
    fn default() -> Self {
        Self { window: Duration::from_secs(300), least: MIN_PROGRESS, whole: Duration::from_secs(3600) }
    }
}

/// Least progress of a worker in one window, in bytes; and the progress that an event such as a new attempt counts as.
pub const MIN_PROGRESS: u64 = 512 << 10;

/// Violation of the limits by a worker.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PaceError {
    /// Too little progress
    #[error("made too little progress: {} in {} s", count(*progress, "byte"), time.as_secs_f32())]
    Slow {
        /// Progress in bytes
        progress: u64,
        /// Time in which it was made
        time: Duration,
    },
    /// Too much time
    #[error("did not finish within {} s", .0.as_secs_f32())]
    Long(Duration),
}

/// Time and progress of one worker.
#[derive(Debug)]
pub struct Pace {
    limits: PaceLimits,
    /// Time so far
    elapsed: Duration,
    /// Time at the start of the window
    window_start: Duration,
    /// Progress at the start of the window
    window_progress: u64,
}

impl Pace {
    /// Starts with no time and no progress.
    pub fn new(limits: PaceLimits) -> Self {
        Self { limits, elapsed: Duration::ZERO, window_start: Duration::ZERO, window_progress: 0 }
    }

    /// Adds time, and notes the progress so far. Fails if a limit is exceeded.
    pub fn advance(&mut self, time: Duration, progress: u64) -> Result<(), PaceError> {
        self.elapsed = self.elapsed.saturating_add(time);
        if self.elapsed > self.limits.whole {
            return Err(PaceError::Long(self.limits.whole));
        }
        let in_window = progress.saturating_sub(self.window_progress);
        if in_window >= self.limits.least {
            (self.window_start, self.window_progress) = (self.elapsed, progress);
            return Ok(());
        }
        if self.elapsed.saturating_sub(self.window_start) > self.limits.window {
            return Err(PaceError::Slow { progress: in_window, time: self.limits.window });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const LIMITS: PaceLimits =
        PaceLimits { window: Duration::from_secs(10), least: 100, whole: Duration::from_secs(60) };

    /// The number of seconds that a worker gets which makes this progress in each of them.
    fn seconds(progress: impl Fn(u64) -> u64) -> Option<(u64, PaceError)> {
        let mut pace = Pace::new(LIMITS);
        (0..100).find_map(|second| Some((second, pace.advance(SECOND, progress(second)).err()?)))
    }

    #[test]
    fn a_worker_without_progress_gets_one_window() {
        let slow = |progress| PaceError::Slow { progress, time: LIMITS.window };
        assert_eq!(seconds(|_| 0), Some((10, slow(0))));
        assert_eq!(seconds(|second| second * 9), Some((10, slow(90))));
        // The first window begins anew with each 100 bytes; the last one has none.
        assert_eq!(seconds(|second| second.min(10) * 20), Some((21, slow(0))));
    }

    #[test]
    fn a_worker_with_progress_gets_the_whole_time() {
        assert_eq!(seconds(|second| second * 10), Some((60, PaceError::Long(LIMITS.whole))));
        assert_eq!(seconds(|second| second * 1_000_000), Some((60, PaceError::Long(LIMITS.whole))));
    }
}
