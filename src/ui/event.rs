//! Log events of `register --watch`: one line for each event.
//!
//! For users and journals, logfmt on stderr:
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
//! An event about an own rule (`register --rule`) has the field `rule` instead of `system`.
//!
//! The JSON form is a contract: within one `version`, events and fields are added and not changed. A reader ignores
//! events and fields that it does not know. Every field except `version` is a string.
//!
//! | event | level | fields | meaning |
//! |---|---|---|---|
//! | `holding` | info | `systems`, `pid` | all entries are registered, and are watched from now on |
//! | `removed` | warning | `system`, `entry` | the entry was removed or replaced by another process |
//! | `registered` | info | `system`, `entry` | the entry was registered again, and proven to work |
//! | `adopted` | info | `system`, `entry` | another tool's entry does the same, and is watched instead |
//! | `failed` | error | `what`, `error`, `hint` | registering, mounting or undoing failed; it is tried again |
//! | `shadowed` | warning | `system`, `entry`, `by` | a newer entry takes precedence for the system; it is not changed |
//! | `disabled` | warning | `system`, `entry` | 0 was written to the entry; it is not changed |
//! | `switched-off` | warning | | 0 was written to the table's `status`; it is not changed |
//! | `unmounted` | warning | | the table is not mounted any more |
//! | `mounted` | info | | the table is mounted again |
//! | `resolved` | info | `what`, and the fields of the event `what` | that event is over, without a change by this process |
//! | `note` | info | `text` | a fact about a registration |
//! | `warning` | warning | `text` | a problem of a registration |
//! | `stopping` | info | `signal` | a signal asked the process to end |
//! | `left` | info | `system`, `entry`, perhaps `text` | the entry stays registered |
//! | `expired` | info | `system`, `entry` | no other process has the table mounted, so the entry ends with this process |
//! | `unregistered` | info | `system` | the system was unregistered |

use std::fmt::Write as _;

use serde_json::{Map, Value};

use crate::sanitize::{escape_line, sanitize_json};

/// Severity of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// Expected
    Info,
    /// Unexpected, and possibly a fault
    Warning,
    /// An attempt failed
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

/// A log event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEvent {
    level: LogLevel,
    name: &'static str,
    fields: Vec<(&'static str, String)>,
}

impl LogEvent {
    /// Creates an event without fields.
    pub fn new(level: LogLevel, name: &'static str) -> Self {
        Self { level, name, fields: Vec::new() }
    }

    /// Creates an event of the level `info` without fields.
    pub fn info(name: &'static str) -> Self {
        Self::new(LogLevel::Info, name)
    }

    /// Adds a field.
    #[must_use]
    pub fn with_field(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.fields.push((key, value.into()));
        self
    }

    /// Formats the event as a line for users and journals.
    pub fn to_logfmt(&self, time: &str) -> String {
        let mut line = format!("{time} {} {}", self.level.as_str(), self.name);
        for (key, value) in &self.fields {
            // Writing to a String does not fail.
            let _ = write!(line, " {key}={}", quote_value(value));
        }
        line
    }

    /// Formats the event as a line for programs.
    pub fn to_json(&self, time: &str) -> String {
        let text = |text: &str| Value::String(text.to_owned());
        let head = [
            ("version", Value::from(1)),
            ("time", text(time)),
            ("level", text(self.level.as_str())),
            ("event", text(self.name)),
        ];
        let fields = self.fields.iter().map(|(key, value)| (*key, text(value)));
        let mut object = Map::new();
        object.extend(head.into_iter().chain(fields).map(|(key, value)| (key.to_owned(), value)));
        sanitize_json(&Value::Object(object).to_string())
    }
}

/// Returns a plain word unchanged, and quotes everything else, on one line.
fn quote_value(value: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-:,+@%".contains(c);
    if !value.is_empty() && value.chars().all(plain) {
        return value.to_owned();
    }
    format!("\"{}\"", escape_line(&value.replace('\\', r"\\").replace('"', "\\\"")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_is_one_line() {
        let event = LogEvent::new(LogLevel::Error, "failed")
            .with_field("what", "register")
            .with_field("error", "a \"b\"\n\\\tc\u{1b}=d");
        let line = event.to_logfmt("T");
        assert_eq!(line, "T error failed what=register error=\"a \\\"b\\\"\\n\\\\\\tc\\x1b=d\"");
        let json: Value = serde_json::from_str(&event.to_json("T")).unwrap_or_default();
        assert_eq!((&json["version"], &json["level"]), (&Value::from(1), &"error".into()));
        assert_eq!(json["error"], "a \"b\"\n\\\tc\u{1b}=d");
        assert!(!event.to_json("T").contains(['\n', '\u{1b}']));
    }

    #[test]
    fn plain_words_are_not_quoted() {
        let event = LogEvent::info("left")
            .with_field("entry", "qemu-aarch64")
            .with_field("text", "")
            .with_field("path", "/a/b");
        assert_eq!(event.to_logfmt("T"), "T info left entry=qemu-aarch64 text=\"\" path=/a/b");
    }
}
