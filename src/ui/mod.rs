//! Output to users and programs: results go to stdout, everything else to stderr.
//!
//! Only this room prints. Colours follow NO_COLOR, CLICOLOR and the terminal (anstream).
//!
//! A function of [`Ui`] prints one line. Line ends, control characters and direction marks in its text are shown as
//! escapes, and passwords of URLs are hidden ([`sanitize`](crate::sanitize)), whatever text the caller put into it.

pub mod event;
pub mod quantity;
pub mod table;

use std::fmt::Display;
use std::io::{self, ErrorKind, IsTerminal as _, Write as _};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use anstyle::{AnsiColor, Style};
use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::error::{Error, ErrorReport, ExitCode};
use crate::sanitize::secrets::{Secret, find_secrets, hide_logins};
use crate::sanitize::{escape_line, sanitize_json};
use crate::ui::event::{LogEvent, LogLevel};
use crate::ui::table::TextTable;

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
    /// What is the same for all clones of this output
    shared: Arc<SharedState>,
}

#[derive(Debug, Default)]
struct SharedState {
    /// Passwords and queries of URLs that the user gave
    secrets: Vec<Secret>,
    /// Whether a write to standard output failed, other than to a closed pipe
    has_failed: OnceLock<()>,
}

impl Ui {
    /// Creates an output. With `json`, stdout gets one JSON document and nothing else. Passwords in `words`, which are
    /// those of the command line, are not printed.
    pub fn new(json: bool, words: &[String]) -> Self {
        let secrets = words.iter().flat_map(|word| find_secrets(word)).collect();
        let shared = Arc::new(SharedState { secrets, has_failed: OnceLock::new() });
        Self { json, lines: false, log: false, shared }
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
            self.print_raw(&self.hide_secrets(&event.to_json(&time)));
        } else {
            // A closed stderr cannot be reported.
            drop(writeln!(anstream::stderr().lock(), "{}", self.hide_secrets(&event.to_logfmt(&time))));
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
        self.print_message(VERB, &format!("{verb:>10}"), &what.to_string());
    }

    /// Prints a note: a fact that the user should know.
    pub fn print_note(&self, text: &str) {
        if self.log {
            return self.log_event(&LogEvent::info("note").with_field("text", text));
        }
        self.print_message(NOTE, "note:", text);
    }

    /// Prints a warning: something that the user should change.
    pub fn print_warning(&self, text: &str) {
        if self.log {
            return self.log_event(&LogEvent::new(LogLevel::Warning, "warning").with_field("text", text));
        }
        self.print_message(WARNING, "warning:", text);
    }

    /// Prints an error and the hint that repairs it.
    pub fn print_error(&self, error: &Error) {
        self.print_message(FAILURE, "error:", &error.to_string());
        for line in error.details() {
            print_styled(FAILURE, "", &format!(" {}", self.clean_line(&line)));
        }
        if let Some(hint) = error.hint() {
            self.print_message(NOTE, "help:", &hint);
        }
        if let Some(alternative) = error.alternative() {
            self.print_message(NOTE, "help:", &format!("or {alternative}"));
        }
    }

    /// Prints the error that ends the command. With `--json`, stdout gets it, too, as one line.
    pub fn print_failure(&self, error: &Error) {
        self.print_error(error);
        if self.json {
            self.print_error_document(&error.report());
        }
    }

    /// Prints an error as one line of JSON.
    fn print_error_document(&self, report: &ErrorReport) {
        let clean = |text: &String| self.hide_secrets(text);
        let report = ErrorReport {
            error: clean(&report.error),
            details: report.details.iter().map(clean).collect(),
            help: report.help.iter().map(clean).collect(),
            ..*report
        };
        self.as_json_lines().print_json(&report);
    }

    /// Prints what clap rendered: help and version on stdout, a wrong command line on stderr. Returns the exit status.
    pub fn print_usage(&self, error: &clap::Error) -> ExitCode {
        let rendered = error.render();
        if !error.use_stderr() {
            self.print_raw(rendered.ansi().to_string().trim_end());
            return self.finish(ExitCode::Ok, false);
        }
        let plain = rendered.to_string();
        let escaped: String = plain.lines().map(|line| escape_line(line) + "\n").collect();
        let text = if escaped == plain { rendered.ansi().to_string() } else { escaped };
        // A closed stderr cannot be reported.
        drop(write!(anstream::stderr().lock(), "{}", self.hide_secrets(&text)));
        if self.json {
            let plain = anstream::adapter::strip_str(&text).to_string();
            let (what, help) = split_usage_error(&plain);
            self.print_error_document(&ErrorReport::new(what, help, ExitCode::Usage));
        }
        ExitCode::Usage
    }

    /// Prints a line of the result, if stdout is for users.
    pub fn print_result(&self, text: &impl Display) {
        if !self.json {
            self.print_raw(&self.clean_line(&text.to_string()));
        }
    }

    /// Prints a line of the result, whose verdict is coloured on a terminal.
    pub fn print_verdict(&self, text: &impl Display) {
        if !self.json {
            self.print_raw(&colour_verdict(&self.clean_line(&text.to_string())));
        }
    }

    /// Prints a table, whose verdicts are coloured on a terminal.
    pub fn print_table(&self, table: &TextTable) {
        for line in table.to_lines() {
            self.print_verdict(&line);
        }
    }

    /// Prints a part of the result for users and programs. The text is not sanitized, so it must come from this tool.
    ///
    /// A reader may close the pipe early, which is not an error. Any other failure is reported at once, and
    /// [`Ui::finish`] makes it the result of the command.
    pub fn print_raw(&self, text: &str) {
        let mut stdout = anstream::stdout().lock();
        let written = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
        if let Err(e) = written
            && e.kind() != ErrorKind::BrokenPipe
            && self.shared.has_failed.set(()).is_ok()
        {
            print_styled(FAILURE, "error:", &format!("cannot write to standard output: {e}"));
        }
    }

    /// Returns the exit status of a command with this result. If standard output could not be written, that is 1.
    /// `is_change` says whether the command has changed something, which stays.
    pub fn finish(&self, code: ExitCode, is_change: bool) -> ExitCode {
        if self.shared.has_failed.get().is_none() || !matches!(code, ExitCode::Ok | ExitCode::Findings) {
            return code;
        }
        if is_change {
            self.print_message(
                NOTE,
                "note:",
                "the command is done and its changes are kept, but its result could not be printed",
            );
        }
        ExitCode::Failed
    }

    /// Prints the result as JSON.
    pub fn print_json(&self, value: &impl serde::Serialize) {
        let text = if self.lines { serde_json::to_string(value) } else { serde_json::to_string_pretty(value) };
        match text {
            Ok(text) => self.print_raw(&sanitize_json(&text)),
            Err(e) => {
                let _ = self.shared.has_failed.set(());
                print_styled(FAILURE, "error:", &format!("cannot write the result as JSON: {e}"));
            }
        }
    }

    /// Makes one line of a text, without the secrets of the command line and of URLs.
    fn clean_line(&self, text: &str) -> String {
        escape_line(&self.hide_secrets(text))
    }

    fn hide_secrets(&self, text: &str) -> String {
        let text = self.shared.secrets.iter().fold(text.to_owned(), |text, secret| secret.hide_in(&text));
        hide_logins(&text).into_owned()
    }

    fn print_message(&self, style: Style, head: &str, text: &str) {
        print_styled(style, head, &self.clean_line(text));
    }

    /// Prints how much of a file was downloaded.
    pub fn print_download_summary(&self, moved: u64, whole: u64, url: &str) {
        let text = format!("{} of {} from {url}", HumanBytes(moved), HumanBytes(whole));
        if self.log {
            return self.log_event(&LogEvent::info("note").with_field("text", format!("got {text}")));
        }
        self.print_message(VERB, &format!("{:>10}", "got"), &text);
    }

    /// Starts a progress bar in bytes, which appears at the first byte. Nothing is shown if stderr is not a terminal.
    pub fn start_progress(&self) -> DownloadBar {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        let style = ProgressStyle::with_template(
            "{prefix:>10} [{bar:30}] {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {wide_msg}",
        );
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
        bar.set_prefix("get");
        DownloadBar { bar, ui: self.clone() }
    }
}

/// Progress bar of checks of several systems. It appears after half a second, and only if stderr is a terminal.
#[derive(Debug)]
pub struct CheckBar {
    bar: ProgressBar,
    began: Instant,
}

impl CheckBar {
    /// Starts to count.
    pub fn start() -> Self {
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::hidden());
        let style = ProgressStyle::with_template("{prefix:>10} [{bar:30}] {pos}/{len}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
        bar.set_prefix("check");
        Self { bar, began: Instant::now() }
    }

    /// Adds checks that will be made.
    pub fn expect(&self, checks: usize) {
        self.bar.inc_length(checks as u64);
    }

    /// Counts a check that was made.
    pub fn advance(&self) {
        if self.bar.is_hidden() && self.began.elapsed() >= CHECKS_WITHOUT_BAR && io::stderr().is_terminal() {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        self.bar.inc(1);
    }
}

impl Drop for CheckBar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Checks that take less show no bar.
const CHECKS_WITHOUT_BAR: Duration = Duration::from_millis(500);

/// Progress bar of a running download.
#[derive(Debug, Clone)]
pub struct DownloadBar {
    bar: ProgressBar,
    ui: Ui,
}

impl DownloadBar {
    /// Sets the URL that is used now.
    pub fn set_source(&self, url: &str) {
        self.bar.set_message(self.ui.clean_line(url));
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
        self.bar.suspend(|| self.ui.print_message(WARNING, "warning:", text));
    }

    /// Removes the bar.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

/// Splits what clap rendered into the error, which is the first paragraph, and lines of help. A list of all subcommands
/// also has the hidden ones, and is omitted.
fn split_usage_error(text: &str) -> (String, Vec<String>) {
    let text = text.trim().trim_start_matches("error: ");
    let (what, help) = text.split_once("\n\n").unwrap_or((text, ""));
    let lines = |text: &str| {
        let lines = text.lines().map(|line| line.trim().to_owned());
        lines.filter(|line| !line.is_empty() && !line.starts_with("[subcommands:")).collect::<Vec<_>>()
    };
    (lines(what).join(" "), lines(help))
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

/// Prints a line on stderr. The text has been cleaned, or comes from this tool.
fn print_styled(style: Style, head: &str, text: &str) {
    // A closed stderr cannot be reported.
    drop(writeln!(anstream::stderr().lock(), "{style}{head}{style:#} {text}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_of_a_wrong_command_line_has_its_whole_paragraph() {
        let text =
            "error: the following arguments were not provided:\n  <FILE>\n\nUsage: x <FILE>\n\nFor more, try --help\n";
        let help = vec!["Usage: x <FILE>".to_owned(), "For more, try --help".to_owned()];
        assert_eq!(split_usage_error(text), ("the following arguments were not provided: <FILE>".to_owned(), help));
        let text = "error: a subcommand is missing\n  [subcommands: a, internal]\n\nUsage: x\n";
        assert_eq!(split_usage_error(text), ("a subcommand is missing".to_owned(), vec!["Usage: x".to_owned()]));
    }

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
