//! Dates in Debian's format: `Sat, 21 Nov 2026 09:15:44 UTC`. Pure.

use std::fmt;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

/// Point in time: seconds since 1970, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Date(pub u64);

/// First second that [`humantime`] and [`httpdate`] do not support.
const AFTER_9999: u64 = 253_402_300_800;

impl Date {
    /// Parses a date of a Release file. The repository format demands RFC 5322's format, in UTC. HTTP's format (RFC
    /// 9110 §5.6.7) differs from it only in the name of the zone, the width of the day, and the number of blanks. The
    /// day of the week must match the date (RFC 5322 §3.3).
    pub fn parse(text: &str) -> Option<Self> {
        let words: Vec<_> = text.split_whitespace().collect();
        let [weekday, day, month, year, time, "UTC" | "GMT" | "+0000"] = *words.as_slice() else { return None };
        let time = httpdate::parse_http_date(&format!("{weekday} {day:0>2} {month} {year} {time} GMT"));
        Some(Self::from(time.ok()?))
    }

    /// Returns the time from this date to `now`, or 0 if the date is in the future.
    pub fn age_at(self, now: Self) -> Duration {
        Duration::from_secs(now.0.saturating_sub(self.0))
    }
}

impl From<SystemTime> for Date {
    fn from(time: SystemTime) -> Self {
        Self(time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs()))
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(self.0));
        match time.filter(|_| self.0 < AFTER_9999) {
            Some(time) => {
                let text = humantime::format_rfc3339_seconds(time).to_string();
                f.write_str(&text.replace('T', " ").replace('Z', " UTC"))
            }
            None => f.write_str("after the year 9999"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debians_dates_are_parsed() {
        let date = Date::parse("Sat, 21 Nov 2026 09:15:44 UTC");
        assert_eq!(date, Some(Date(1_795_252_544)));
        assert_eq!(date.map(|date| date.to_string()).as_deref(), Some("2026-11-21 09:15:44 UTC"));
        assert_eq!(Date::parse("Thu,  1 Jan 1970 00:00:00 +0000"), Some(Date(0)));
        assert_eq!(Date::parse("Tue, 29 Feb 2000 23:59:59 GMT"), Some(Date(951_868_799)));
    }

    #[test]
    fn other_formats_are_refused() {
        for text in [
            "",
            "Sat, 21 Nov 2026 09:15:44",
            "Sat, 21 Nov 2026 09:15:44 CET",
            "Sat, 21 Nov 2026 09:15:60 UTC",
            "Sat, 21 Nov 2026 24:15:00 UTC",
            "Sat, 31 Nov 2026 09:15:44 UTC",
            "Sat, 0 Nov 2026 09:15:44 UTC",
            "Sun, 21 Nov 2026 09:15:44 UTC",
            "Saturday, 21 Nov 2026 09:15:44 UTC",
            "Saturday, 21-Nov-26 09:15:44 GMT",
            "Sun, 29 Feb 2100 09:15:44 UTC",
            "Sat, +1 Nov 2026 09:15:44 UTC",
            "Sat, 21 nov 2026 09:15:44 UTC",
            "Sat, 21 Nov 1969 09:15:44 UTC",
            "Sat, 21 Nov 20266 09:15:44 UTC",
        ] {
            assert_eq!(Date::parse(text), None, "{text}");
        }
        assert_eq!(Date(AFTER_9999 - 1).to_string(), "9999-12-31 23:59:59 UTC");
        assert_eq!(Date(AFTER_9999).to_string(), "after the year 9999");
        assert_eq!(Date(u64::MAX).to_string(), "after the year 9999");
    }
}
