//! A `register --watch` that runs, and what it has said so far.

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

/// Killed when it is dropped.
pub(crate) struct Held {
    child: Child,
    said: Receiver<(bool, String)>,
    /// what was read of stdout
    out: Vec<String>,
    /// and of stderr
    err: Vec<String>,
    /// so many lines of each were asked for
    asked: [usize; 2],
}

impl Held {
    /// `register SYSTEM --watch` with its real QEMU, once it holds.
    #[track_caller]
    pub(crate) fn begin(tree: &Tree, system: &str, options: &[&str]) -> Self {
        let mut held = Self::begin_in(tree, system, options, &[]);
        held.says(" info holding systems=");
        held
    }

    /// The same with these variables, as soon as it is started.
    pub(crate) fn begin_in(tree: &Tree, system: &str, options: &[&str], variables: &[(&str, &str)]) -> Self {
        let qemu = qemu(system);
        Self::start(tree, &[&[system, "--qemu", qemu.to_str().unwrap()], options].concat(), variables)
    }

    /// `register --watch` with these words.
    pub(crate) fn start(tree: &Tree, words: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut child = tree.start_in(&[&["register", "--watch"], words].concat(), variables);
        let (sender, said) = channel();
        listen(true, child.stdout.take().unwrap(), sender.clone());
        listen(false, child.stderr.take().unwrap(), sender);
        Self { child, said, out: Vec::new(), err: Vec::new(), asked: [0; 2] }
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap())
    }

    /// Waits for a line on stderr that has this text, after those that were asked for before; gives it back.
    #[track_caller]
    pub(crate) fn says(&mut self, text: &str) -> String {
        self.line(false, text)
    }

    /// The same on stdout.
    #[track_caller]
    pub(crate) fn prints(&mut self, text: &str) -> String {
        self.line(true, text)
    }

    #[track_caller]
    fn line(&mut self, out: bool, text: &str) -> String {
        let since = Instant::now();
        loop {
            let (lines, asked) = if out { (&self.out, &mut self.asked[1]) } else { (&self.err, &mut self.asked[0]) };
            if let Some(at) = lines.iter().skip(*asked).position(|line| line.contains(text)) {
                *asked += at + 1;
                return lines[*asked - 1].clone();
            }
            match self.said.recv_timeout(LIMIT.saturating_sub(since.elapsed())) {
                Ok((true, line)) => self.out.push(line),
                Ok((false, line)) => self.err.push(line),
                Err(RecvTimeoutError::Timeout) => panic!("{text:?} does not come: {:#?}", (&self.out, &self.err)),
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("it ended, and no {text:?}: {:#?}", (&self.out, &self.err))
                }
            }
        }
    }

    /// Sends it a signal and waits for its end.
    #[track_caller]
    pub(crate) fn ends_by(mut self, signal: Signal) -> Done {
        kill(self.pid(), signal).unwrap();
        let status = self.child.wait().unwrap();
        for (out, line) in &self.said {
            if out { self.out.push(line) } else { self.err.push(line) }
        }
        for line in self.out.iter().filter(|line| line.starts_with("{\"")) {
            schema::holds(&serde_json::from_str(line).unwrap());
        }
        Done { code: status.code(), out: self.out.join("\n"), err: self.err.join("\n") }
    }
}

impl Drop for Held {
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

/// Waits until something is so.
#[track_caller]
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let since = Instant::now();
    while !is_so() {
        assert!(since.elapsed() < LIMIT, "not so: {what}");
        sleep(Duration::from_millis(20));
    }
}
