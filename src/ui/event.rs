//! What is told while a registration is held: one line an event.
//!
//! For people and journals, logfmt on stderr:
//!
//! ```text
//! 2026-11-24T18:00:00Z info registered system=aarch64 entry=binfmt-nix-aarch64
//! ```
//!
//! With `--json`, one object a line on stdout, after the usual result of `register`, which is one line too:
//!
//! ```text
//! {"version":1,"time":"2026-11-24T18:00:00Z","level":"info","event":"registered","system":"aarch64","entry":"…"}
//! ```
//!
//! The JSON form is a contract: events and fields are added, not changed, within one `version`. What a reader does not
//! know, he passes over. Every field but `version` is a string.
//!
//! | event | level | fields | what happened |
//! |---|---|---|---|
//! | `holding` | info | `systems`, `pid` | all is in place, and watched from now on |
//! | `removed` | warning | `system`, `entry` | somebody removed the entry, or put another in its place |
//! | `registered` | info | `system`, `entry` | it was put back, and proven |
//! | `adopted` | info | `system`, `entry` | somebody else's entry does the same by now, and is watched instead |
//! | `failed` | error | `what`, `error`, `hint` | it could not be put back, mounted or undone; it is tried again |
//! | `shadowed` | warning | `system`, `entry`, `by` | a newer entry takes the system's programs: left as it is |
//! | `disabled` | warning | `system`, `entry` | somebody wrote 0 to the entry: left as it is |
//! | `switched-off` | warning | | somebody wrote 0 to the table's `status`: left as it is |
//! | `unmounted` | warning | | the table is not mounted any more |
//! | `mounted` | info | | it is mounted again |
//! | `resolved` | info | `what`, and those of the event `what` | that is over, and it was not us |
//! | `note` | info | `text` | something worth knowing of a registration |
//! | `warning` | warning | `text` | something of it that is not as it should be |
//! | `stopping` | info | `signal` | the end was asked for |
//! | `left` | info | `system`, `entry`, perhaps `text` | the entry stays |
//! | `expired` | info | `system`, `entry` | nobody else has the table mounted, so the entry ends with this process |
//! | `unregistered` | info | `system` | it was taken away |

use std::fmt::Write as _;

use serde_json::{Map, Value};

use crate::sanitize::{remove_controls, sanitize_json};

/// How much it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// As it should be.
    Info,
    /// Not as it should be.
    Warning,
    /// Something was tried, and failed.
    Error,
}

impl LogLevel {
    fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEvent {
    level: LogLevel,
    name: &'static str,
    fields: Vec<(&'static str, String)>,
}

impl LogEvent {
    /// An event without fields.
    pub fn new(level: LogLevel, name: &'static str) -> Self {
        Self { level, name, fields: Vec::new() }
    }

    /// All is as it should be.
    pub fn info(name: &'static str) -> Self {
        Self::new(LogLevel::Info, name)
    }

    /// With one more field.
    #[must_use]
    pub fn with_field(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.fields.push((key, value.into()));
        self
    }

    /// The line for people and journals.
    pub fn to_logfmt(&self, time: &str) -> String {
        let mut line = format!("{time} {} {}", self.level.as_str(), self.name);
        for (key, value) in &self.fields {
            // A String takes everything.
            let _ = write!(line, " {key}={}", quote_value(value));
        }
        line
    }

    /// The line for programs.
    pub fn to_json(&self, time: &str) -> String {
        let text = |text: &str| Value::String(text.to_owned());
        let head = [
            ("version", Value::from(1)),
            ("time", text(time)),
            ("level", text(self.level.as_str())),
            ("event", text(self.name)),
        ];
        let fields = self.fields.iter().map(|(key, value)| (*key, text(value)));
        let object: Map<String, Value> =
            head.into_iter().chain(fields).map(|(key, value)| (key.to_owned(), value)).collect();
        sanitize_json(&Value::Object(object).to_string())
    }
}

/// A word as it is; everything else in quotes, on one line.
fn quote_value(value: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-:,+@%".contains(c);
    if !value.is_empty() && value.chars().all(plain) {
        return value.to_owned();
    }
    let escaped = value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n").replace('\t', r"\t");
    format!("\"{}\"", remove_controls(&escaped))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_line_whatever_is_in_it() {
        let event = LogEvent::new(LogLevel::Error, "failed")
            .with_field("what", "register")
            .with_field("error", "a \"b\"\n\\\tc\u{1b}=d");
        let line = event.to_logfmt("T");
        assert_eq!(line, "T error failed what=register error=\"a \\\"b\\\"\\n\\\\\\tc\u{fffd}=d\"");
        let json: Value = serde_json::from_str(&event.to_json("T")).unwrap_or_default();
        assert_eq!((&json["version"], &json["level"]), (&Value::from(1), &"error".into()));
        assert_eq!(json["error"], "a \"b\"\n\\\tc\u{1b}=d");
        assert!(!event.to_json("T").contains(['\n', '\u{1b}']));
    }

    #[test]
    fn a_word_needs_no_quotes() {
        let event = LogEvent::info("left")
            .with_field("entry", "qemu-aarch64")
            .with_field("text", "")
            .with_field("path", "/a/b");
        assert_eq!(event.to_logfmt("T"), "T info left entry=qemu-aarch64 text=\"\" path=/a/b");
    }
}
