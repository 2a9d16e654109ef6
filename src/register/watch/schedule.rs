//! When the table is looked at. Pure: the clock is whoever asks.

use std::time::{Duration, Instant};

/// So long nothing may have happened: what restarts systemd-binfmt removes all entries and puts many in, one by one,
/// and ours go in after the last of them.
const QUIET_PERIOD: Duration = Duration::from_millis(500);
/// So long that is waited for, if something happens all the time.
const MAX_DELAY: Duration = Duration::from_secs(10);
/// After entries were put in: whoever removed them may not have been at his end.
const FOLLOW_UP_DELAYS: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(5)];
/// Events can be lost: a full queue loses some (inotify(7), IN_Q_OVERFLOW).
const CHECK_INTERVAL: Duration = Duration::from_secs(30);

/// The looks that are due.
#[derive(Debug)]
pub(super) struct Schedule {
    next_check: Instant,
    /// When what is going on began, and when it is over, as far as can be seen.
    burst: Option<(Instant, Instant)>,
    follow_ups: Vec<Instant>,
}

impl Schedule {
    /// Somebody looked just now.
    pub(super) fn new(now: Instant) -> Self {
        Self { next_check: saturating_add(now, CHECK_INTERVAL), burst: None, follow_ups: Vec::new() }
    }

    /// Something happened to the table.
    pub(super) fn note_change(&mut self, now: Instant) {
        let burst_start = self.burst.map_or(now, |(burst_start, _)| burst_start);
        self.burst = Some((burst_start, saturating_add(now, QUIET_PERIOD).min(saturating_add(burst_start, MAX_DELAY))));
    }

    /// Entries were put in.
    pub(super) fn note_registration(&mut self, now: Instant) {
        self.follow_ups = FOLLOW_UP_DELAYS.iter().map(|wait| saturating_add(now, *wait)).collect();
    }

    /// Somebody looked.
    pub(super) fn note_check(&mut self, now: Instant) {
        self.burst = None;
        self.follow_ups.retain(|due| *due > now);
        self.next_check = saturating_add(now, CHECK_INTERVAL);
    }

    /// How long there is nothing to do.
    pub(super) fn time_until_check(&self, now: Instant) -> Duration {
        let burst = self.burst.map(|(_, burst_end)| burst_end);
        // Nobody looks while something is going on.
        let due = burst.unwrap_or_else(|| self.follow_ups.iter().copied().fold(self.next_check, Instant::min));
        due.saturating_duration_since(now)
    }
}

fn saturating_add(now: Instant, wait: Duration) -> Instant {
    now.checked_add(wait).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn it_looks_when_it_is_quiet_and_not_too_late() {
        let start = Instant::now();
        let mut pace = Schedule::new(start);
        assert_eq!(pace.time_until_check(start), CHECK_INTERVAL);
        pace.note_change(start);
        pace.note_change(start + ms(400));
        assert_eq!(pace.time_until_check(start + ms(400)), QUIET_PERIOD);
        for step in 0..100 {
            pace.note_change(start + ms(400 * step));
        }
        assert_eq!(pace.time_until_check(start), MAX_DELAY);
        pace.note_check(start + MAX_DELAY);
        assert_eq!(pace.time_until_check(start + MAX_DELAY), CHECK_INTERVAL);
    }

    #[test]
    fn it_looks_twice_more_after_it_registered() {
        let start = Instant::now();
        let mut pace = Schedule::new(start);
        pace.note_registration(start);
        let mut now = start;
        let mut waits = Vec::new();
        for _ in 0..3 {
            let idle = pace.time_until_check(now);
            waits.push(idle);
            now += idle;
            pace.note_check(now);
        }
        assert_eq!(waits, [ms(2000), ms(3000), CHECK_INTERVAL]);
    }
}
