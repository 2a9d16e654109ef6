//! Schedule of the table checks. Pure: the caller passes the current time.

use std::time::{Duration, Instant};

/// Time without changes before a check. A restart of systemd-binfmt removes all entries and then registers many, one by
/// one. The expected entries are registered after the last of them.
const QUIET_PERIOD: Duration = Duration::from_millis(500);
/// Longest delay of a check while changes continue.
const MAX_DELAY: Duration = Duration::from_secs(10);
/// Delays of the checks after a registration. The process that removed entries may remove more of them.
const FOLLOW_UP_DELAYS: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(5)];
/// Interval of regular checks. Events can be lost when the queue is full (inotify(7), IN_Q_OVERFLOW).
const CHECK_INTERVAL: Duration = Duration::from_secs(30);

/// Times of the next checks.
#[derive(Debug)]
pub(super) struct Schedule {
    next_check: Instant,
    /// Start of the current burst of changes, and the time at which it counts as ended.
    burst: Option<(Instant, Instant)>,
    follow_ups: Vec<Instant>,
}

impl Schedule {
    /// Starts a schedule after a check at `now`.
    pub(super) fn new(now: Instant) -> Self {
        Self { next_check: saturating_add(now, CHECK_INTERVAL), burst: None, follow_ups: Vec::new() }
    }

    /// Notes that the table changed.
    pub(super) fn note_change(&mut self, now: Instant) {
        let burst_start = self.burst.map_or(now, |(burst_start, _)| burst_start);
        self.burst = Some((burst_start, saturating_add(now, QUIET_PERIOD).min(saturating_add(burst_start, MAX_DELAY))));
    }

    /// Notes that entries were registered.
    pub(super) fn note_registration(&mut self, now: Instant) {
        self.follow_ups = FOLLOW_UP_DELAYS.iter().map(|delay| saturating_add(now, *delay)).collect();
    }

    /// Notes that the table was checked.
    pub(super) fn note_check(&mut self, now: Instant) {
        self.burst = None;
        self.follow_ups.retain(|due| *due > now);
        self.next_check = saturating_add(now, CHECK_INTERVAL);
    }

    /// Time until the next check is due.
    pub(super) fn time_until_check(&self, now: Instant) -> Duration {
        let burst = self.burst.map(|(_, burst_end)| burst_end);
        // No check takes place during a burst.
        let due = burst.unwrap_or_else(|| self.follow_ups.iter().copied().fold(self.next_check, Instant::min));
        due.saturating_duration_since(now)
    }
}

fn saturating_add(now: Instant, delay: Duration) -> Instant {
    now.checked_add(delay).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_check_is_due_after_a_quiet_period_or_the_longest_delay() {
        let start = Instant::now();
        let mut schedule = Schedule::new(start);
        assert_eq!(schedule.time_until_check(start), CHECK_INTERVAL);
        schedule.note_change(start);
        schedule.note_change(start + ms(400));
        assert_eq!(schedule.time_until_check(start + ms(400)), QUIET_PERIOD);
        for step in 0..100 {
            schedule.note_change(start + ms(400 * step));
        }
        assert_eq!(schedule.time_until_check(start), MAX_DELAY);
        schedule.note_check(start + MAX_DELAY);
        assert_eq!(schedule.time_until_check(start + MAX_DELAY), CHECK_INTERVAL);
    }

    #[test]
    fn two_checks_follow_a_registration() {
        let start = Instant::now();
        let mut schedule = Schedule::new(start);
        schedule.note_registration(start);
        let mut now = start;
        let mut waits = Vec::new();
        for _ in 0..3 {
            let idle = schedule.time_until_check(now);
            waits.push(idle);
            now += idle;
            schedule.note_check(now);
        }
        assert_eq!(waits, [ms(2000), ms(3000), CHECK_INTERVAL]);
    }
}
