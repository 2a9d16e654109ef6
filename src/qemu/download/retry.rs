//! Schedule of attempts: which mirror is tried next, and after which wait. Pure.
//!
//! The first round tries all mirrors in order without a wait, so that a failing mirror costs no time while another one is
//! left. If all failed, those with a transient failure are tried again after a pause.

use std::time::Duration;

use super::MirrorFailure;

/// Number of additional rounds for mirrors with a transient failure.
const EXTRA_ROUNDS: u32 = 2;
/// Most attempts at one mirror.
pub const MAX_ATTEMPTS: usize = 3;
/// Longest wait for one mirror. A mirror that requests a longer delay is not tried again.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// Schedule of the attempts of one download.
#[derive(Debug)]
pub struct RetrySchedule {
    /// Pause before the second round; the pause before the third is four times as long.
    pause: Duration,
    round: u32,
    /// Index of the next mirror in this round.
    next: usize,
    /// Whether no mirror has been tried in this round yet.
    is_round_start: bool,
    /// For each mirror, the wait before its next attempt; none if there is no further attempt.
    retry_waits: Vec<Option<Duration>>,
    /// Index of the mirror that is being tried.
    current: Option<usize>,
}

/// An attempt at one mirror.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// Index of the mirror.
    pub mirror: usize,
    /// Wait before the attempt.
    pub wait: Duration,
}

impl RetrySchedule {
    /// Creates a schedule for this number of mirrors.
    pub fn new(mirrors: usize, pause: Duration) -> Self {
        let last = vec![Some(Duration::ZERO); mirrors];
        Self { pause, round: 0, next: 0, is_round_start: true, retry_waits: last, current: None }
    }

    /// Returns the next attempt, if there is one.
    pub fn next_attempt(&mut self) -> Option<Attempt> {
        while self.round <= EXTRA_ROUNDS {
            let mirror = self.next;
            let Some(&requested_wait) = self.retry_waits.get(mirror) else {
                self.round = self.round.saturating_add(1);
                (self.next, self.is_round_start) = (0, true);
                continue;
            };
            self.next = mirror.saturating_add(1);
            let Some(requested_wait) = requested_wait else { continue };
            let wait = requested_wait.max(if self.is_round_start { self.next_pause() } else { Duration::ZERO });
            self.is_round_start = false;
            self.current = Some(mirror);
            return Some(Attempt { mirror, wait });
        }
        None
    }

    /// Records that the current attempt failed.
    pub fn record_failure(&mut self, reason: &MirrorFailure) {
        let last = self.current.take().and_then(|mirror| self.retry_waits.get_mut(mirror));
        if let Some(last) = last {
            let wait = reason.retry_after().unwrap_or_default();
            *last = (reason.is_transient() && wait <= MAX_WAIT).then_some(wait);
        }
    }

    fn next_pause(&self) -> Duration {
        match self.round {
            0 => Duration::ZERO,
            1 => self.pause,
            _ => self.pause.saturating_mul(4),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_millis(500);

    /// Lists the tried mirrors, and the wait in milliseconds, if each mirror always fails for its reason.
    fn attempts(reasons: &[MirrorFailure]) -> Vec<(usize, u128)> {
        let mut schedule = RetrySchedule::new(reasons.len(), PAUSE);
        let mut attempts = Vec::new();
        while let Some(attempt) = schedule.next_attempt() {
            attempts.push((attempt.mirror, attempt.wait.as_millis()));
            schedule.record_failure(&reasons[attempt.mirror]);
        }
        attempts
    }

    #[test]
    fn only_transient_failures_are_tried_three_times() {
        let broken = || MirrorFailure::Broken("reset".into());
        let gone = || MirrorFailure::Status { code: 404 };
        assert_eq!(attempts(&[]), []);
        assert_eq!(attempts(&[gone(), gone()]), [(0, 0), (1, 0)]);
        assert_eq!(attempts(&[gone(), broken()]), [(0, 0), (1, 0), (1, 500), (1, 2000)]);
        assert_eq!(attempts(&[broken(), broken()]), [(0, 0), (1, 0), (0, 500), (1, 0), (0, 2000), (1, 0)]);
        for transient in [500, 502, 503, 504, 408] {
            assert_eq!(attempts(&[MirrorFailure::Status { code: transient }]).len(), 3, "{transient}");
        }
        for permanent in [301, 400, 401, 403, 404, 410, 416, 501, 505] {
            assert_eq!(attempts(&[MirrorFailure::Status { code: permanent }]).len(), 1, "{permanent}");
        }
    }

    #[test]
    fn a_requested_delay_is_respected_up_to_the_limit() {
        let busy = |seconds| MirrorFailure::Busy { code: 429, after: Some(seconds) };
        assert_eq!(attempts(&[busy(7)]), [(0, 0), (0, 7000), (0, 7000)]);
        assert_eq!(attempts(&[busy(0)]), [(0, 0), (0, 500), (0, 2000)]);
        assert_eq!(attempts(&[busy(61)]), [(0, 0)]);
        assert_eq!(attempts(&[MirrorFailure::Busy { code: 503, after: None }]), [(0, 0), (0, 500), (0, 2000)]);
    }
}
