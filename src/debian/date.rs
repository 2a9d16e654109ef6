//! Moments, as Debian writes them: `Sat, 21 Nov 2026 09:15:44 UTC`. Pure.

use std::fmt;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

/// A moment: seconds since 1970, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Date(pub u64);

const DAY: u64 = 86_400;
const LAST_YEAR: u64 = 9999;
const MONTHS: [(&str, u64); 12] = [
    ("Jan", 31),
    ("Feb", 28),
    ("Mar", 31),
    ("Apr", 30),
    ("May", 31),
    ("Jun", 30),
    ("Jul", 31),
    ("Aug", 31),
    ("Sep", 30),
    ("Oct", 31),
    ("Nov", 30),
    ("Dec", 31),
];

impl Date {
    /// Reads a date of a Release file. The repository format wants RFC 5322's, in UTC; its day of the week is not
    /// needed.
    pub fn parse(text: &str) -> Option<Self> {
        let words: Vec<_> = text.split_whitespace().collect();
        let [weekday, day, month, year, time, "UTC" | "GMT" | "+0000"] = *words.as_slice() else { return None };
        if weekday.len() != 4 || !weekday.ends_with(',') {
            return None;
        }
        let year = number(year).filter(|year| (1970..=LAST_YEAR).contains(year))?;
        let at = MONTHS.iter().position(|(name, _)| *name == month)?;
        let day = number(day).filter(|day| (1..=days_of(year).nth(at).unwrap_or(0)).contains(day))?;
        let before: u64 = (1970..year).flat_map(days_of).chain(days_of(year).take(at)).sum();
        let seconds = before.checked_add(day)?.checked_sub(1)?.checked_mul(DAY)?;
        Some(Self(seconds.checked_add(of_day(time)?)?))
    }

    /// How long this was before `now`; nothing if it is still to come.
    pub fn age(self, now: Self) -> Duration {
        Duration::from_secs(now.0.saturating_sub(self.0))
    }
}

/// The seconds of `09:15:44`. There is no leap second in the kernel's clock.
fn of_day(time: &str) -> Option<u64> {
    let parts: Vec<_> = time.split(':').map(number).collect::<Option<_>>()?;
    match *parts.as_slice() {
        [h @ 0..24, m @ 0..60, s @ 0..60] => h.checked_mul(3600)?.checked_add(m.checked_mul(60)?)?.checked_add(s),
        _ => None,
    }
}

/// Digits alone, and few.
fn number(digits: &str) -> Option<u64> {
    let plain = (1..=4).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    if plain { digits.parse().ok() } else { None }
}

/// How many days each month of a year has.
fn days_of(year: u64) -> impl Iterator<Item = u64> {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    MONTHS.iter().map(move |(name, days)| if leap && *name == "Feb" { 29 } else { *days })
}

impl From<SystemTime> for Date {
    fn from(time: SystemTime) -> Self {
        Self(time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs()))
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut days, second) = (self.0 / DAY, self.0 % DAY);
        for year in 1970..=LAST_YEAR {
            for (month, length) in (1..).zip(days_of(year)) {
                let Some(left) = days.checked_sub(length) else {
                    let day = days.saturating_add(1);
                    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
                    return write!(f, "{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC");
                };
                days = left;
            }
        }
        write!(f, "after the year {LAST_YEAR}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debians_dates_are_read() {
        let date = Date::parse("Sat, 21 Nov 2026 09:15:44 UTC");
        assert_eq!(date, Some(Date(1_795_252_544)));
        assert_eq!(date.map(|date| date.to_string()).as_deref(), Some("2026-11-21 09:15:44 UTC"));
        assert_eq!(Date::parse("Thu,  1 Jan 1970 00:00:00 +0000"), Some(Date(0)));
        assert_eq!(Date::parse("Tue, 29 Feb 2000 23:59:59 GMT"), Some(Date(951_868_799)));
    }

    #[test]
    fn others_are_not() {
        for text in [
            "",
            "Sat, 21 Nov 2026 09:15:44",
            "Sat, 21 Nov 2026 09:15:44 CET",
            "Sat, 21 Nov 2026 09:15:60 UTC",
            "Sat, 21 Nov 2026 24:15:00 UTC",
            "Sat, 31 Nov 2026 09:15:44 UTC",
            "Sat, 0 Nov 2026 09:15:44 UTC",
            "Sun, 29 Feb 2100 09:15:44 UTC",
            "Sat, +1 Nov 2026 09:15:44 UTC",
            "Sat, 21 nov 2026 09:15:44 UTC",
            "Sat, 21 Nov 1969 09:15:44 UTC",
            "Sat, 21 Nov 20266 09:15:44 UTC",
        ] {
            assert_eq!(Date::parse(text), None, "{text}");
        }
        assert_eq!(Date(u64::MAX).to_string(), "after the year 9999");
    }
}
