//! One run of the tool with a fault at one of its changes.

use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;

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
    let args = run.args(Emulators::Small);
    start_with(tree, &args.iter().map(String::as_str).collect::<Vec<_>>(), action, number)
}

/// Starts the tool with these arguments in the same way.
pub(crate) fn start_with(tree: &Tree, args: &[&str], action: &str, number: usize) -> Child {
    let mut command = Command::new(TOOL_WITH_FAILPOINTS);
    command.arg("--root").arg(tree.path("")).args(args);
    command.env_clear().env("PATH", "/usr/bin:/bin").env("BINFMT_NIX_FAILPOINT", format!("{action}@{number}"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits until the process is stopped or has ended, and leaves its exit status to the next wait.
pub(crate) fn is_stopped(child: &Child) -> bool {
    let flags = WaitPidFlag::WSTOPPED | WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
    matches!(waitid(Id::Pid(pid(child)), flags).unwrap(), WaitStatus::Stopped(..))
}

/// Lets a stopped process run to its end.
pub(crate) fn proceed(child: Child) -> Done {
    kill(pid(&child), Signal::SIGCONT).unwrap();
    Done::from(child.wait_with_output().unwrap())
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(child.id().cast_signed())
}
