//! A run of the tool that has ended, and what can be asked of it.

use std::process::{Command, Output};

/// The compiled tool.
pub(crate) const TOOL: &str = env!("CARGO_BIN_EXE_binfmt-nix");

/// The tool with these arguments, in an environment that is nobody's.
pub(crate) fn tool(args: &[&str]) -> Command {
    let mut command = Command::new(TOOL);
    command.args(args).env_clear().env("PATH", "/usr/bin:/bin");
    command
}

/// What came of a run. Every method that takes `self` gives it back, for the next question.
#[derive(Debug)]
pub(crate) struct Done {
    /// the exit status; none after a signal
    pub(crate) code: Option<i32>,
    /// stdout
    pub(crate) out: String,
    /// stderr
    pub(crate) err: String,
}

impl From<Output> for Done {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Done {
    /// The exit status.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "the exit status of {self:#?}");
        self
    }

    /// One of these.
    #[track_caller]
    pub(crate) fn exits_with(self, codes: &[i32]) -> Self {
        assert!(self.code.is_some_and(|code| codes.contains(&code)), "the exit status, of {codes:?}, of {self:#?}");
        self
    }

    /// On stderr.
    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        assert!(self.err.contains(text), "does not say {text:?}: {self:#?}");
        self
    }

    /// On stdout.
    #[track_caller]
    pub(crate) fn prints(self, text: &str) -> Self {
        assert!(self.out.contains(text), "does not print {text:?}: {self:#?}");
        self
    }

    /// On neither.
    #[track_caller]
    pub(crate) fn omits(self, text: &str) -> Self {
        assert!(!self.out.contains(text) && !self.err.contains(text), "mentions {text:?}: {self:#?}");
        self
    }

    /// All of stdout as one JSON document of version 1, which is as its schema says.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        let value: serde_json::Value = match serde_json::from_str(&self.out) {
            Ok(value) => value,
            Err(error) => panic!("stdout is not one JSON document: {error}: {self:#?}"),
        };
        assert_eq!(value["version"], 1, "{value:#}");
        super::schema::holds(&value);
        value
    }
}
