//! Results of finished runs of the tool, with checks that can be chained.

use std::env;
use std::process::{Command, Output};
use std::sync::LazyLock;

/// The tool of this build. Only this one has failpoints.
pub(crate) const TOOL_WITH_FAILPOINTS: &str = env!("CARGO_BIN_EXE_binfmt-nix");

/// Path of the tool that is tested: `BINFMT_NIX_TEST_TOOL`, which `tests/run` sets to the program of packaging/release,
/// or else the tool of this build.
pub(crate) fn tool_path() -> &'static str {
    static PATH: LazyLock<String> =
        LazyLock::new(|| env::var("BINFMT_NIX_TEST_TOOL").unwrap_or_else(|_| TOOL_WITH_FAILPOINTS.to_owned()));
    &PATH
}

/// The tool with these arguments, in an environment of only PATH.
pub(crate) fn tool(args: &[&str]) -> Command {
    let mut command = Command::new(tool_path());
    command.args(args).env_clear().env("PATH", "/usr/bin:/bin");
    command
}

/// The result of a run. Every method that takes `self` returns it for the next check.
#[derive(Debug)]
pub(crate) struct Done {
    /// Exit status; `None` after a signal.
    pub(crate) code: Option<i32>,
    /// Complete stdout.
    pub(crate) out: String,
    /// Complete stderr.
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

/// Commands in the output have the path of the tool, because it is in no directory of PATH.
fn contains(output: &str, text: &str) -> bool {
    output.contains(text) || output.replace(tool_path(), "binfmt-nix").contains(text)
}

impl Done {
    /// Checks the exit status.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "the exit status of {self:#?}");
        self
    }

    /// Checks that the exit status is one of these.
    #[track_caller]
    pub(crate) fn exits_with(self, codes: &[i32]) -> Self {
        assert!(self.code.is_some_and(|code| codes.contains(&code)), "the exit status, of {codes:?}, of {self:#?}");
        self
    }

    /// Checks that stderr contains the text. The text may have the name of the tool instead of its path.
    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        assert!(contains(&self.err, text), "does not say {text:?}: {self:#?}");
        self
    }

    /// Checks that stdout contains the text. The text may have the name of the tool instead of its path.
    #[track_caller]
    pub(crate) fn prints(self, text: &str) -> Self {
        assert!(contains(&self.out, text), "does not print {text:?}: {self:#?}");
        self
    }

    /// Checks that neither stdout nor stderr contains the text.
    #[track_caller]
    pub(crate) fn omits(self, text: &str) -> Self {
        assert!(!self.out.contains(text) && !self.err.contains(text), "mentions {text:?}: {self:#?}");
        self
    }

    /// All of stdout as one JSON document of version 1 that matches its schema, with the name of the tool instead of its
    /// path.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        let value: serde_json::Value = match serde_json::from_str(&self.out.replace(tool_path(), "binfmt-nix")) {
            Ok(value) => value,
            Err(error) => panic!("stdout is not one JSON document: {error}: {self:#?}"),
        };
        assert_eq!(value["version"], 1, "{value:#}");
        super::schema::holds(&value);
        value
    }
}
