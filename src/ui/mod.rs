//! Output to users and programs: results go to stdout, everything else to stderr.
//!
//! Only this room prints. Colours follow NO_COLOR, CLICOLOR and the terminal (anstream). A closed pipe is not an error.
//! Text from the system is sanitized ([`sanitize`](crate::sanitize)) before it reaches a terminal.

pub mod event;
pub mod table;

use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};
use std::time::SystemTime;

use anstyle::{AnsiColor, Style};
use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::error::Error;
use crate::sanitize::{remove_controls, sanitize_json};
use crate::ui::event::{LogEvent, LogLevel};

const VERB: Style = AnsiColor::Green.on_default().bold();
const NOTE: Style = AnsiColor::Cyan.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const FAILURE: Style = AnsiColor::Red.on_default().bold();

/// The user's terminal, or the pipes and files that replace it.
#[derive(Debug, Clone)]
pub struct Ui {
    json: bool,
    /// Whether each JSON document is one line, because more of them follow
    lines: bool,
    /// Whether messages to the user become log events, because the process keeps running in the background
    log: bool,
}

impl Ui {
    /// Creates an output. With `json`, stdout gets one JSON document and nothing else.
    pub fn new(json: bool) -> Self {
        Self { json, lines: false, log: false }
    }

    /// Returns an output that prints each JSON document as one line.
    #[must_use]
    pub fn as_json_lines(&self) -> Self {
        Self { lines: true, ..self.clone() }
    }

    /// Returns an output for a process that keeps running: messages to the user become log events.
    #[must_use]
    pub fn as_log(&self) -> Self {
        Self { log: true, ..self.clone() }
    }

    /// Prints an event: as JSON on stdout, or as logfmt on stderr for users and journals.
    pub fn log_event(&self, event: &LogEvent) {
        let time = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
        if self.json {
            self.print_raw(&event.to_json(&time));
        } else {
            // A closed stderr cannot be reported.
            drop(writeln!(anstream::stderr().lock(), "{}", event.to_logfmt(&time)));
        }
    }

    /// Whether stdout is for programs.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// Prints a change that is about to be made: the verb and its object.
    pub fn print_step(&self, verb: &str, what: &dyn Display) {
        if self.log {
            return;
        }
        print_styled(VERB, &format!("{verb:>10}"), &what.to_string());
    }

    /// Prints a note: a fact that the user should know.
    pub fn print_note(&self, text: &str) {
        if self.log {
            return self.log_event(&LogEvent::info("note").with_field("text", text));
        }
        print_styled(NOTE, "note:", text);
    }

    /// Prints a warning: something that the user should change.
    pub fn print_warning(&self, text: &str) {
        if self.log {
            return self.log_event(&LogEvent::new(LogLevel::Warning, "warning").with_field("text", text));
        }
        print_styled(WARNING, "warning:", text);
    }

    /// Prints an error and the hint that repairs it.
    pub fn print_error(&self, error: &Error) {
        print_styled(FAILURE, "error:", &error.to_string());
        if let Some(hint) = error.hint() {
            print_styled(NOTE, "help:", &hint);
        }
    }

    /// Prints a line of the result, if stdout is for users.
    pub fn print_result(&self, text: &impl Display) {
        if !self.json {
            self.print_raw(&remove_controls(&text.to_string()));
        }
    }

    /// Prints lines of the result, whose verdicts are coloured on a terminal.
    pub fn print_verdicts(&self, text: &impl Display) {
        if !self.json {
            let lines: Vec<_> = remove_controls(&text.to_string()).lines().map(colour_verdict).collect();
            self.print_raw(&lines.join("\n"));
        }
    }

    /// Prints a part of the result for users and programs. The text is not sanitized, so it must come from this tool.
    pub fn print_raw(&self, text: &str) {
        // A reader may close the pipe early. That is not an error.
        drop(writeln!(anstream::stdout().lock(), "{text}"));
    }

    /// Prints the result as JSON.
    pub fn print_json(&self, value: &impl serde::Serialize) {
        let text = if self.lines { serde_json::to_string(value) } else { serde_json::to_string_pretty(value) };
        match text {
            Ok(text) => self.print_raw(&sanitize_json(&text)),
            Err(e) => self.print_warning(&format!("cannot write JSON: {e}")),
        }
    }

    /// Prints how much of a file was downloaded.
    pub fn print_download_summary(&self, moved: u64, whole: u64, url: &str) {
        let text = format!("{} of {} from {url}", HumanBytes(moved), HumanBytes(whole));
        if self.log {
            return self.log_event(&LogEvent::info("note").with_field("text", format!("got {text}")));
        }
        print_styled(VERB, &format!("{:>10}", "got"), &text);
    }

    /// Starts a progress bar in bytes, which appears at the first byte. Nothing is shown if stderr is not a terminal.
    pub fn start_progress(&self) -> DownloadBar {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        let style = ProgressStyle::with_template(
            "{prefix:>10} [{bar:30}] {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {wide_msg}",
        );
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
        bar.set_prefix("get");
        DownloadBar { bar }
    }
}

/// Progress bar of a running download.
#[derive(Debug, Clone)]
pub struct DownloadBar {
    bar: ProgressBar,
}

impl DownloadBar {
    /// Sets the URL that is used now.
    pub fn set_source(&self, url: &str) {
        self.bar.set_message(remove_controls(url));
    }

    /// Sets the number of bytes so far, and the total.
    pub fn set_position(&self, bytes: u64, total: u64) {
        if self.bar.is_hidden() && io::stderr().is_terminal() {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        self.bar.set_length(total);
        self.bar.set_position(bytes);
    }

    /// Prints a warning above the bar.
    pub fn print_above(&self, text: &str) {
        self.bar.suspend(|| print_styled(WARNING, "warning:", text));
    }

    /// Removes the bar.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

/// Verdicts of `status`, `test`, `doctor` and `explain`, with their colours.
const VERDICTS: [(&[&str], Style); 3] = [
    (&["works", "proven", "runs", "nothing is wrong"], VERB),
    (&["partial", "fragile", "untried", "cannot be determined"], WARNING),
    (&["broken", "missing", "FAILED", "does not start", "does not run"], FAILURE),
];

/// Colours the verdict at the start of a line, or after its first word.
fn colour_verdict(line: &str) -> String {
    let is_verdict = |rest: &str, word: &str| {
        rest.strip_prefix(word).is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '-'))
    };
    let begin = line.trim_start();
    let second = begin.split_once([' ', ':']).map_or("", |(_, rest)| rest.trim_start_matches([' ', ':']));
    // An indented line continues the line above.
    let words = if line.starts_with("   ") { [""; 2] } else { [begin, second] };
    for (verdicts, style) in VERDICTS {
        for (rest, verdict) in words.iter().flat_map(|rest| verdicts.iter().map(move |verdict| (rest, verdict))) {
            if is_verdict(rest, verdict) {
                let before = line.strip_suffix(rest).unwrap_or_default();
                let after = rest.strip_prefix(verdict).unwrap_or_default();
                return format!("{before}{style}{verdict}{style:#}{after}");
            }
        }
    }
    line.to_owned()
}

fn print_styled(style: Style, head: &str, text: &str) {
    // A closed stderr cannot be reported.
    drop(writeln!(anstream::stderr().lock(), "{style}{head}{style:#} {}", remove_controls(text)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_verdicts_are_coloured() {
        let plain = |line: &str| anstream::adapter::strip_str(&colour_verdict(line)).to_string();
        for line in [
            "works",
            "aarch64  works  qemu-aarch64",
            "aarch64: missing: no entry",
            "  proven   a program ran",
            "broken: not-mounted: it is not",
            "does not start: execve fails",
        ] {
            assert!(colour_verdict(line).contains('\u{1b}'), "{line}");
            assert_eq!(plain(line), line);
        }
        for line in ["", "workshop", "a b works", "    missing file", "does it", "runs-on"] {
            assert_eq!(colour_verdict(line), line);
        }
    }
}
