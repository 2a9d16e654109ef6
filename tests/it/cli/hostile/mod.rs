//! Hostile inputs: the program is run on generated arguments, files, receipts, configuration and trees.
//!
//! A [`Sweep`] runs the real program once for each input and checks what holds for every input: it ends by itself, with
//! an exit status that is documented; its output is text without control characters; and the machine is as before, or
//! as a complete run leaves it, which `unregister` can undo. The inputs depend only on a seed.

pub(crate) mod arguments;
pub(crate) mod documents;
pub(crate) mod environment;
pub(crate) mod messages;
pub(crate) mod pieces;
pub(crate) mod programs;
pub(crate) mod receipts;
pub(crate) mod trees;

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::emulators::outside;
use crate::support::output::{tool, tool_path};
use crate::support::sandbox::{SCRATCH, itself};
use crate::support::snapshot::Snapshot;
use crate::support::tree::ROOT;
use crate::support::{LiarBehavior, Tree, fault_table, liar};

/// A run takes some milliseconds. No machine is so slow that a longer one is not a hang.
const LIMIT: Duration = Duration::from_secs(60);

/// The exit statuses of all commands but `run`: see `ExitCode`.
const DOCUMENTED: [i32; 7] = [0, 1, 2, 3, 4, 5, 6];

/// Additional exit statuses of `run`.
const OF_A_COMMAND: [i32; 2] = [126, 127];

/// One input.
#[derive(Debug, Default)]
pub(crate) struct Input {
    args: Vec<OsString>,
    variables: Vec<(OsString, OsString)>,
    /// The file that is standard input; /dev/null by default.
    stdin: Option<PathBuf>,
    /// Whether an ordinary user runs the tool.
    stranger: bool,
    /// The rest of the input, for the report.
    note: String,
}

impl Input {
    fn new(args: &[&str]) -> Self {
        Self { args: args.iter().map(OsString::from).collect(), ..Self::default() }
    }

    /// An input on the tree of the test.
    fn on_tree(args: &[&str]) -> Self {
        Self::new(&[&["--root", ROOT], args].concat())
    }

    fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    fn bytes(self, arg: &[u8]) -> Self {
        self.arg(OsString::from_vec(arg.to_vec()))
    }

    fn variable(mut self, name: &str, value: &[u8]) -> Self {
        self.variables.push((name.into(), OsString::from_vec(value.to_vec())));
        self
    }

    fn noting(self, name: &str, content: &[u8]) -> Self {
        Self { note: format!("{name}: {}", content.escape_ascii()), ..self }
    }

    fn command(&self) -> Command {
        let mut command = if self.stranger {
            let mut command = itself("stranger").unwrap();
            command.arg(tool_path());
            command
        } else {
            tool(&[])
        };
        let stdin = self.stdin.as_ref().map_or_else(Stdio::null, |path| File::open(path).unwrap().into());
        command.args(&self.args).envs(self.variables.iter().cloned());
        command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn may_exit_with(&self, code: i32) -> bool {
        let runs_a_command = self.args.iter().any(|arg| ["run", "internal"].iter().any(|name| arg == name));
        DOCUMENTED.contains(&code) || runs_a_command && OF_A_COMMAND.contains(&code)
    }
}

/// A number of runs on hostile inputs, and everything that is wrong about them.
#[derive(Default)]
pub(crate) struct Sweep {
    runs: usize,
    violations: Vec<String>,
}

impl Sweep {
    /// Runs the tool. Returns its exit status if it ended by itself.
    fn run(&mut self, input: &Input) -> Option<i32> {
        self.runs += 1;
        let Some(output) = finish(input.command()) else {
            self.report(input, "does not end");
            return None;
        };
        for problem in describe_problems(input, &output) {
            let streams = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
            self.report(input, &format!("{problem}: {streams:?}"));
        }
        output.status.code()
    }

    /// Runs the tool and requires that it changes nothing.
    fn run_without_change(&mut self, input: &Input, tree: &Tree) {
        let before = tree.snapshot();
        self.run(input);
        self.require_restored(input, &before, tree);
    }

    /// Runs the tool, which may change the machine only if it is successful. Undoes such a change, so that the machine
    /// is as before the run in any case.
    fn run_and_undo(&mut self, input: &Input, tree: &Tree) {
        let before = tree.snapshot();
        let code = self.run(input);
        if matches!(code, Some(0 | 3)) && !before.unrestored_in(tree).is_empty() {
            self.run(&Input::on_tree(&["unregister", "all"]));
        }
        self.require_restored(input, &before, tree);
    }

    fn require_restored(&mut self, input: &Input, before: &Snapshot, tree: &Tree) {
        let differences = before.unrestored_in(tree);
        if !differences.is_empty() {
            self.report(input, &format!("changes the machine: {differences}"));
        }
    }

    fn report(&mut self, input: &Input, problem: &str) {
        let text = format!("{input:?} ({}) {problem}", input.note);
        self.violations.push(text.chars().take(4000).collect());
    }

    /// Requires that nothing was wrong, and that there were at least as many inputs as the table of faults has.
    #[track_caller]
    fn end(self, what: &str, floor: usize) {
        let some: Vec<_> = self.violations.iter().take(20).map(String::as_str).collect();
        assert!(some.is_empty(), "{} of {} inputs:\n\n{}", self.violations.len(), self.runs, some.join("\n\n"));
        fault_table::at_least(what, floor, self.runs);
    }
}

/// Waits for the end of a process; `None` if it does not end.
fn finish(mut command: Command) -> Option<Output> {
    let child = command.spawn().unwrap();
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(child.wait_with_output()));
    let ended = receiver.recv_timeout(LIMIT).ok();
    if ended.is_none() {
        kill(pid, Signal::SIGKILL).unwrap();
    }
    ended.map(|output| output.unwrap())
}

fn describe_problems(input: &Input, output: &Output) -> Vec<String> {
    let mut problems = Vec::new();
    if !output.status.code().is_some_and(|code| input.may_exit_with(code)) {
        problems.push(format!("ends with {}", output.status));
    }
    for (name, bytes) in [("stdout", &output.stdout), ("stderr", &output.stderr)] {
        match std::str::from_utf8(bytes) {
            Err(_) => problems.push(format!("{name} is not UTF-8")),
            Ok(text) if text.contains("panicked") => problems.push(format!("{name} has a panic")),
            Ok(text) => problems.extend(text.chars().find(|c| is_harmful(*c)).map(|c| format!("{name} has {c:?}"))),
        }
    }
    problems
}

/// Whether a terminal interprets the character, or does not show it.
fn is_harmful(c: char) -> bool {
    (c.is_control() && c != '\n' && c != '\t')
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// A file outside of the tree that passes every check of an emulator for aarch64, and is a thousand times smaller.
fn emulator() -> String {
    let program = liar("qemu-aarch64 version 10.0.13", LiarBehavior::RightOutput);
    outside("emulator-of-nothing", &program).to_str().unwrap().to_owned()
}

/// Writes a file outside of the tree.
fn scratch(name: &OsStr, content: &[u8]) -> PathBuf {
    let path = Path::new(SCRATCH).join(name);
    fs::write(&path, content).unwrap();
    path
}
