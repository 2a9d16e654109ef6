//! One run with a fault in it.

use std::process::Stdio;

use crate::support::Tree;
use crate::support::output::{Done, tool};
use crate::support::runs::Run;

/// What happens at a change.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Fault {
    Kill,
    /// Killed when half of the bytes are written.
    Torn,
    /// It fails with this error.
    Fails(&'static str),
}

/// Where a fault came: which change it was.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    /// "write", "rename", …
    pub(crate) what: String,
    pub(crate) path: String,
}

/// Runs it with a fault at its change of this number. `None`: it has not so many, and came to its end.
pub(crate) fn run(tree: &Tree, run: Run, fault: Fault, number: usize) -> (Option<Change>, Done) {
    let action = match fault {
        Fault::Kill => "kill",
        Fault::Torn => "torn",
        Fault::Fails(error) => error,
    };
    let args = run.args();
    let mut command = tool(&["--root", tree.path("").to_str().unwrap()]);
    command.args(args).env("BINFMT_NIX_FAILPOINT", format!("{action}@{number}")).stdin(Stdio::null());
    let done = Done::from(command.output().unwrap()).omits("panicked");
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
