//! Which mirror is asked next, and how long to wait before. Pure.
//!
//! All are asked in their order, so that a mirror that fails costs no wait while there is another. Only when none
//! gave it, those that failed for a reason that passes are asked again, after a pause.

use std::time::Duration;

use super::MirrorFailure;

/// How often the mirrors that may do better are asked again.
const EXTRA_ROUNDS: u32 = 2;
/// How often one mirror is asked at most.
pub const MAX_ATTEMPTS: usize = 3;
/// Nobody is waited for longer, whatever it asks for.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// The order in which so many mirrors are asked.
#[derive(Debug)]
pub struct RetrySchedule {
    /// How long is waited before the second round; four times that before the third.
    pause: Duration,
    round: u32,
    /// Who is looked at next in this round.
    next: usize,
    /// Nothing was asked in this round yet.
    is_round_start: bool,
    /// For each mirror, whether it is worth a further turn, and from when on.
    retry_waits: Vec<Option<Duration>>,
    /// Whose turn it is.
    current: Option<usize>,
}

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// Whose it is.
    pub mirror: usize,
    /// How long is waited before.
    pub wait: Duration,
}

impl RetrySchedule {
    /// Nobody was asked yet.
    pub fn new(mirrors: usize, pause: Duration) -> Self {
        let last = vec![Some(Duration::ZERO); mirrors];
        Self { pause, round: 0, next: 0, is_round_start: true, retry_waits: last, current: None }
    }

    /// The next turn, if there is one more.
    pub fn next_attempt(&mut self) -> Option<Attempt> {
        while self.round <= EXTRA_ROUNDS {
            let mirror = self.next;
            let Some(&asked_for) = self.retry_waits.get(mirror) else {
                self.round = self.round.saturating_add(1);
                (self.next, self.is_round_start) = (0, true);
                continue;
            };
            self.next = mirror.saturating_add(1);
            let Some(asked_for) = asked_for else { continue };
            let wait = asked_for.max(if self.is_round_start { self.next_pause() } else { Duration::ZERO });
            self.is_round_start = false;
            self.current = Some(mirror);
            return Some(Attempt { mirror, wait });
        }
        None
    }

    /// The one whose turn it was gave up.
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

    /// Who is asked, and after how many milliseconds, if each fails for the reason of its own.
    fn asked(reasons: &[MirrorFailure]) -> Vec<(usize, u128)> {
        let mut turns = RetrySchedule::new(reasons.len(), PAUSE);
        let mut asked = Vec::new();
        while let Some(turn) = turns.next_attempt() {
            asked.push((turn.mirror, turn.wait.as_millis()));
            turns.record_failure(&reasons[turn.mirror]);
        }
        asked
    }

    #[test]
    fn what_passes_is_tried_three_times_and_nothing_else_is() {
        let broken = || MirrorFailure::Broken("reset".into());
        let gone = || MirrorFailure::Status { code: 404 };
        assert_eq!(asked(&[]), []);
        assert_eq!(asked(&[gone(), gone()]), [(0, 0), (1, 0)]);
        assert_eq!(asked(&[gone(), broken()]), [(0, 0), (1, 0), (1, 500), (1, 2000)]);
        assert_eq!(asked(&[broken(), broken()]), [(0, 0), (1, 0), (0, 500), (1, 0), (0, 2000), (1, 0)]);
        for passes in [500, 502, 503, 504, 408] {
            assert_eq!(asked(&[MirrorFailure::Status { code: passes }]).len(), 3, "{passes}");
        }
        for stays in [301, 400, 401, 403, 404, 410, 416, 501, 505] {
            assert_eq!(asked(&[MirrorFailure::Status { code: stays }]).len(), 1, "{stays}");
        }
    }

    #[test]
    fn who_names_a_time_is_not_asked_before_it_nor_waited_for_too_long() {
        let busy = |seconds| MirrorFailure::Busy { code: 429, after: Some(seconds) };
        assert_eq!(asked(&[busy(7)]), [(0, 0), (0, 7000), (0, 7000)]);
        assert_eq!(asked(&[busy(0)]), [(0, 0), (0, 500), (0, 2000)]);
        assert_eq!(asked(&[busy(61)]), [(0, 0)]);
        assert_eq!(asked(&[MirrorFailure::Busy { code: 503, after: None }]), [(0, 0), (0, 500), (0, 2000)]);
    }
}
