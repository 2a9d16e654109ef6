//! A running `register --watch`, and the lines that it has printed.

use std::io::{BufRead as _, BufReader, Read};
use std::process::Child;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::output::Done;
use super::{Tree, qemu, schema};

/// The longest wait for anything that a `register --watch` does.
pub(crate) const LIMIT: Duration = Duration::from_secs(600);

/// A running `register --watch`, which is killed when this is dropped.
pub(crate) struct Watch {
    child: Child,
    lines: Receiver<(bool, String)>,
    /// Lines of stdout.
    out: Vec<String>,
    /// Lines of stderr.
    err: Vec<String>,
    /// Numbers of lines of stderr and of stdout that were already matched.
    matched: [usize; 2],
}

impl Watch {
    /// Starts `register SYSTEM --watch` with the real QEMU, and waits until it holds the system.
    #[track_caller]
    pub(crate) fn begin(tree: &Tree, system: &str, options: &[&str]) -> Self {
        let mut watch = Self::begin_in(tree, system, options, &[]);
        watch.says(" info holding systems=");
        watch
    }

    /// Starts the same with these variables, without waiting.
    pub(crate) fn begin_in(tree: &Tree, system: &str, options: &[&str], variables: &[(&str, &str)]) -> Self {
        let qemu = qemu(system);
        Self::start(tree, &[&[system, "--qemu", qemu.to_str().unwrap()], options].concat(), variables)
    }

    /// Starts `register --watch` with these arguments.
    pub(crate) fn start(tree: &Tree, words: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut child = tree.start_in(&[&["register", "--watch"], words].concat(), variables);
        let (sender, lines) = channel();
        listen(true, child.stdout.take().unwrap(), sender.clone());
        listen(false, child.stderr.take().unwrap(), sender);
        Self { child, lines, out: Vec::new(), err: Vec::new(), matched: [0; 2] }
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap())
    }

    /// Waits for a line on stderr with this text, after the lines that were already matched; returns it.
    #[track_caller]
    pub(crate) fn says(&mut self, text: &str) -> String {
        self.line(false, text)
    }

    /// Waits for such a line on stdout.
    #[track_caller]
    pub(crate) fn prints(&mut self, text: &str) -> String {
        self.line(true, text)
    }

    #[track_caller]
    fn line(&mut self, out: bool, text: &str) -> String {
        let since = Instant::now();
        loop {
            let (lines, matched) =
                if out { (&self.out, &mut self.matched[1]) } else { (&self.err, &mut self.matched[0]) };
            if let Some(at) = lines.iter().skip(*matched).position(|line| line.contains(text)) {
                *matched += at + 1;
                return lines[*matched - 1].clone();
            }
            match self.lines.recv_timeout(LIMIT.saturating_sub(since.elapsed())) {
                Ok((true, line)) => self.out.push(line),
                Ok((false, line)) => self.err.push(line),
                Err(RecvTimeoutError::Timeout) => panic!("no line with {text:?}: {:#?}", (&self.out, &self.err)),
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("the process ended without {text:?}: {:#?}", (&self.out, &self.err))
                }
            }
        }
    }

    /// Sends a signal and waits for the end of the process.
    #[track_caller]
    pub(crate) fn ends_by(self, signal: Signal) -> Done {
        kill(self.pid(), signal).unwrap();
        self.ends()
    }

    /// Waits for the end of the process.
    #[track_caller]
    pub(crate) fn ends(mut self) -> Done {
        let status = self.child.wait().unwrap();
        for (out, line) in &self.lines {
            if out { self.out.push(line) } else { self.err.push(line) }
        }
        for line in self.out.iter().filter(|line| line.starts_with("{\"")) {
            schema::holds(&serde_json::from_str(line).unwrap());
        }
        Done { code: status.code(), out: self.out.join("\n"), err: self.err.join("\n") }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn listen(out: bool, pipe: impl Read + Send + 'static, sender: Sender<(bool, String)>) {
    spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            drop(sender.send((out, line)));
        }
    });
}

/// Waits until the condition holds.
#[track_caller]
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let since = Instant::now();
    while !holds() {
        assert!(since.elapsed() < LIMIT, "still not: {what}");
        sleep(Duration::from_millis(20));
    }
}
