//! One run of the tool with a fault at one of its changes.

use std::process::{Child, Command, Stdio};

use crate::support::Tree;
use crate::support::output::{Done, TOOL_WITH_FAILPOINTS};
use crate::support::runs::{Emulators, Run};

/// A fault that is injected at a change.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Fault {
    /// SIGKILL before the change.
    Kill,
    /// SIGKILL when half of the bytes are written.
    Torn,
    /// The change fails with this error.
    Fails(&'static str),
}

/// The change at which a fault was injected.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    /// Kind of the change: "write", "rename", …
    pub(crate) what: String,
    pub(crate) path: String,
}

/// Runs the tool with a fault at the change of this number. `None`: the run has fewer changes and was successful.
pub(crate) fn run(tree: &Tree, run: Run, fault: Fault, number: usize) -> (Option<Change>, Done) {
    let action = match fault {
        Fault::Kill => "kill",
        Fault::Torn => "torn",
        Fault::Fails(error) => error,
    };
    let done = Done::from(start(tree, run, action, number).wait_with_output().unwrap()).omits("panicked");
    let change = done.err.lines().find_map(|line| {
        let (found, rest) = line.strip_prefix("failpoint ")?.split_once(": ")?;
        assert_eq!(found, number.to_string());
        let (what, path) = rest.split_at(rest.find('/')?);
        Some(Change { what: what.trim_end().to_owned(), path: path.to_owned() })
    });
    if change.is_none() {
        return (None, done.exits(0));
    }
    (change, done)
}

/// Starts the tool of this build with an action at the change of this number: a fault, or `stop`.
pub(crate) fn start(tree: &Tree, run: Run, action: &str, number: usize) -> Child {
    let mut command = Command::new(TOOL_WITH_FAILPOINTS);
    command.arg("--root").arg(tree.path("")).args(run.args(Emulators::Small));
    command.env_clear().env("PATH", "/usr/bin:/bin").env("BINFMT_NIX_FAILPOINT", format!("{action}@{number}"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}
