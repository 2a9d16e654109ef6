//! One run of the tool with a fault at one of its changes.

use std::collections::HashSet;
use std::hash::Hash;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;

use crate::sandbox::old_kernel;
use crate::support::output::{Done, TOOL_WITH_FAILPOINTS};
use crate::support::runs::{Emulators, Run};
use crate::support::{Tree, is_full};

/// A fault that is injected at a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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
    /// Its number, counted from 1.
    pub(crate) number: usize,
    /// Kind of the change: "write", "rename", …
    pub(crate) what: String,
    pub(crate) path: String,
}

impl Change {
    /// Parses a line of `src/host/failpoint.rs`.
    fn parse(line: &str) -> Option<Self> {
        let (number, rest) = line.strip_prefix("failpoint ")?.split_once(": ")?;
        let (what, path) = rest.split_at(rest.find('/')?);
        let number = number.parse().unwrap();
        Some(Self { number, what: what.trim_end().to_owned(), path: path.to_owned() })
    }
}

/// Without `tests/run --full`, one of so many faults at every change is tried. The number has no common factor with the
/// number of recoveries (2) and of errors (3), so that each of them is tried at some changes.
const STEP: usize = 5;

/// Selects the faults that are tried: all with `tests/run --full`, otherwise each fifth one, the first, the last, and the
/// first of each kind.
pub(crate) fn sample<T, K: Eq + Hash>(faults: Vec<T>, kind: impl Fn(&T) -> K) -> Vec<T> {
    let (last, mut kinds) = (faults.len().saturating_sub(1), HashSet::new());
    let numbered = faults.into_iter().enumerate();
    let is_tried = |(number, fault): &(usize, T)| {
        let is_first_of_kind = kinds.insert(kind(fault));
        is_full() || is_first_of_kind || number.is_multiple_of(STEP) || *number == last
    };
    let tried: Vec<T> = numbered.filter(is_tried).map(|(_, fault)| fault).collect();
    assert!(tried.len() * STEP > last, "{} of {}", tried.len(), last + 1);
    tried
}

/// Returns every change of a successful run, in its order. The first one has number 1.
pub(crate) fn changes(tree: &Tree, run: Run) -> Vec<Change> {
    list(start(tree, run, "list", 0))
}

/// Reads every change of a run that was started with the action `list`.
pub(crate) fn list(child: Child) -> Vec<Change> {
    let done = Done::from(child.wait_with_output().unwrap()).exits(0);
    let changes: Vec<_> = done.err.lines().filter_map(Change::parse).collect();
    let is_counted = changes.iter().enumerate().all(|(index, change)| change.number == index + 1);
    assert!(is_counted && changes.len() > 7, "is the tool built with the feature failpoints? {changes:?}");
    changes
}

/// Runs the tool with a fault at the change of this number. `None`: the run has fewer changes and was successful.
pub(crate) fn run(tree: &Tree, run: Run, fault: Fault, number: usize) -> (Option<Change>, Done) {
    let action = match fault {
        Fault::Kill => "kill",
        Fault::Torn => "torn",
        Fault::Fails(error) => error,
    };
    read(start(tree, run, action, number), number)
}

/// Waits for the end of a run, and reads the change at which the fault was injected.
pub(crate) fn read(child: Child, number: usize) -> (Option<Change>, Done) {
    let done = Done::from(child.wait_with_output().unwrap()).omits("panicked");
    let change = done.err.lines().find_map(Change::parse);
    assert!(change.iter().all(|change| change.number == number));
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
    start_by(Command::new(TOOL_WITH_FAILPOINTS), tree, args, action, number)
}

/// Starts the tool in the same way, but where no file system can exchange two files.
pub(crate) fn start_without_exchange(tree: &Tree, args: &[&str], action: &str, number: usize) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([old_kernel::WITHOUT_EXCHANGE, TOOL_WITH_FAILPOINTS]);
    start_by(command, tree, args, action, number)
}

fn start_by(mut command: Command, tree: &Tree, args: &[&str], action: &str, number: usize) -> Child {
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
