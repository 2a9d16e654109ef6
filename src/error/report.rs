//! Errors as documents for programs, and as one line for logs.

use serde::Serialize;

use super::{Error, ExitCode};

/// The error that ended a command, as `--json` prints it. Within one `version`, fields are added but not changed.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ErrorReport {
    /// Version of this format: 1.
    pub version: u32,
    /// What was tried, on what, and what failed.
    pub error: String,
    /// Lines that belong to the message: each server that was tried, for example.
    pub details: Vec<String>,
    /// What repairs the failure; several elements are alternatives.
    pub help: Vec<String>,
    /// Exit status of the command.
    pub exit_status: u8,
}

impl ErrorReport {
    /// Creates a report without details.
    pub fn new(error: String, help: Vec<String>, code: ExitCode) -> Self {
        Self { version: 1, error, details: Vec::new(), help, exit_status: code as u8 }
    }
}

impl Error {
    /// Returns lines that belong to the message: what failed in detail.
    pub fn details(&self) -> Vec<String> {
        match self {
            Self::Other(failure) => failure.details(),
            _ => Vec::new(),
        }
    }

    /// Returns the message with its details in one line.
    pub fn to_log_text(&self) -> String {
        let details = self.details();
        if details.is_empty() { self.to_string() } else { format!("{self}: {}", details.join("; ")) }
    }

    /// Returns the error as a document.
    pub fn report(&self) -> ErrorReport {
        let help = self.hint().into_iter().chain(self.alternative()).collect();
        ErrorReport { details: self.details(), ..ErrorReport::new(self.to_string(), help, self.exit_code()) }
    }
}
