//! Follows execve(2): from a file through its interpreters to the result.

use binfmt_magic::{Entry, WINDOW};
use nix::errno::Errno;

use super::loader::{self, Taken};
use super::script::InvalidScriptLine;
use super::types::{Explanation, Interpreter, Linking, Look, Looked, Obstacle, Step, TableState, Taker, Verdict, What};
use super::{Machine, Script, elf, entries, repair, script, text};
use crate::binfmt_misc::{Table, name_of};

/// The maximum number of interpreters in a chain; with one more, `exec_binprm` returns ELOOP. (Its comment says four; the
/// code compares with five.)
const MOST_REWRITES: usize = 5;

/// Explains what execve(2) does with `file` on this machine; `look` opens files.
pub fn explain(file: &[u8], machine: &Machine, look: &Look) -> Explanation {
    let mut walk = Walk { machine, look, steps: Vec::new(), opens_binary: false };
    let opened = look(file);
    let obstacle = match &opened {
        Ok(looked) => looked.obstacle.clone(),
        Err(obstacle) => Some(obstacle.clone()),
    };
    let end = match opened {
        // The result without the problem of its mode is useful, too.
        Ok(looked) => walk.go(file, looked),
        Err(_) => End::Runs,
    };
    walk.conclude(file, end, obstacle.as_ref())
}

struct Walk<'a> {
    machine: &'a Machine,
    look: &'a Look<'a>,
    steps: Vec<Step>,
    /// Whether an entry with flag O was taken: the file is kept open for the interpreter.
    opens_binary: bool,
}

/// The end of the chain.
enum End {
    Runs,
    Fails(Errno, String),
    Unknown(String),
}

/// The result for one file of the chain.
enum Next {
    End(End),
    /// The interpreter of the file, and whether the kernel holds it.
    Interpreter(Vec<u8>, Result<Looked, Obstacle>, bool),
}

impl Walk<'_> {
    fn go(&mut self, file: &[u8], first: Looked) -> End {
        let (mut path, mut looked) = (file.to_vec(), first);
        let mut kept_open = false;
        for _ in 0..=MOST_REWRITES {
            looked.head.truncate(WINDOW);
            let (next, opened, held) = match self.step(&path, &looked) {
                Next::End(end) => return end,
                Next::Interpreter(path, opened, held) => (path, opened, held),
            };
            looked = match opened {
                Ok(Looked { obstacle: Some(obstacle), .. }) if !held => return fails(&next, &obstacle),
                Ok(looked) => looked,
                // It was a program when it was registered; nothing else is known.
                Err(_) if held => return End::Runs,
                Err(obstacle) => return fails(&next, &obstacle),
            };
            if self.opens_binary && std::mem::replace(&mut kept_open, true) {
                return End::Fails(
                    Errno::ENOEXEC,
                    "behind an entry with flag O, no other interpreter can follow".into(),
                );
            }
            path = next;
        }
        End::Fails(Errno::ELOOP, format!("more than {MOST_REWRITES} interpreters would follow each other"))
    }

    /// One iteration of `search_binary_handler`: the table, then `#!`, then ELF.
    fn step(&mut self, path: &[u8], file: &Looked) -> Next {
        let line = script::parse(&file.head);
        let step = Step {
            path: text(path),
            what: what(&file.head),
            elf: elf::identify(file, self.look),
            script: line.as_ref().and_then(|line| line.as_ref().ok()).cloned(),
            entries: entries::compare(&self.machine.table, path, &file.head),
            taken_by: Taker::Nobody,
            interpreter: None,
        };
        let (step, next) = if let Some(entry) = entries::winner(&self.machine.table, path, &file.head) {
            self.by_entry(entry, step)
        } else if let Some(line) = line {
            self.by_line(line, step)
        } else {
            self.by_itself(file, step)
        };
        self.steps.push(step);
        next
    }

    fn by_entry(&mut self, entry: &Entry, step: Step) -> (Step, Next) {
        let (path, flags) = (&entry.rule.interpreter, entry.rule.flags);
        self.opens_binary |= flags.open_binary;
        let opened = (self.look)(path);
        let interpreter = self.interpreter(path, &opened, Some(flags.to_string()), flags.fix_binary);
        let taken_by = Taker::Entry { name: name_of(entry) };
        let next = Next::Interpreter(path.clone(), opened, flags.fix_binary);
        (Step { taken_by, interpreter: Some(interpreter), ..step }, next)
    }

    fn by_line(&self, line: Result<Script, InvalidScriptLine>, step: Step) -> (Step, Next) {
        match line {
            Ok(script) => {
                let opened = (self.look)(&script.path);
                let interpreter = self.interpreter(&script.path, &opened, None, false);
                let step = Step { taken_by: Taker::Script, interpreter: Some(interpreter), ..step };
                (step, Next::Interpreter(script.path, opened, false))
            }
            Err(why) => (step, Next::End(End::Fails(Errno::ENOEXEC, why.to_string()))),
        }
    }

    fn by_itself(&self, file: &Looked, step: Step) -> (Step, Next) {
        let (taken_by, end) = match loader::take(&self.machine.loaders, file, self.look) {
            Taken::Runs => (Taker::Elf, End::Runs),
            Taken::Fails(errno, why) => (Taker::Elf, End::Fails(errno, why)),
            Taken::Unknown(why) => {
                let why = format!("whether this machine runs such programs by itself could not be tried: {why}");
                (Taker::Nobody, End::Unknown(why))
            }
            Taken::NotOurs(why) => match self.machine.table.strange() {
                [] => (Taker::Nobody, End::Fails(Errno::ENOEXEC, self.nobody(why, &step))),
                names => {
                    let why =
                        format!("{}, unless one of another kind does: {}", self.nobody(why, &step), names.join(", "));
                    (Taker::Nobody, End::Unknown(why))
                }
            },
        };
        (Step { taken_by, ..step }, Next::End(end))
    }

    fn interpreter(
        &self,
        path: &[u8],
        opened: &Result<Looked, Obstacle>,
        flags: Option<String>,
        held: bool,
    ) -> Interpreter {
        let (linking, obstacle) = match opened {
            Ok(looked) => (elf::linking(looked, self.look), looked.obstacle.as_ref()),
            Err(obstacle) => (None, Some(obstacle)),
        };
        let refused = obstacle.filter(|_| !held);
        Interpreter {
            path: text(path),
            flags,
            held,
            is_the_file: None,
            opens: refused.is_none(),
            errno: refused.and_then(|obstacle| obstacle.errno).map(|errno| format!("{errno:?}")),
            detail: obstacle.map(|obstacle| format!("it {}", obstacle.why)),
            in_sandbox: held && !matches!(linking, Some(Linking::Dynamic { .. })),
            linking,
        }
    }

    /// Why nothing takes a file.
    fn nobody(&self, wrong: Option<&'static str>, step: &Step) -> String {
        if let Some(wrong) = wrong {
            return wrong.into();
        }
        let no_entry = if self.machine.table.entries().is_empty() { "there is no entry" } else { "no entry takes it" };
        match (&step.elf, step.what) {
            (Some(elf), _) if elf.is_appimage => {
                format!("{no_entry}: bytes 8 to 10 mark it as an AppImage, where rules want 0")
            }
            (Some(elf), _) => {
                format!("this {} machine does not run {} files, and {no_entry}", self.machine.name, elf.machine)
            }
            (None, What::Empty) => "it is empty".into(),
            (None, What::Text) => "it is a text without #! at its beginning".into(),
            (None, _) => format!("it is neither an ELF file nor a script, and {no_entry}"),
        }
    }

    fn conclude(self, file: &[u8], end: End, obstacle: Option<&Obstacle>) -> Explanation {
        let (verdict, errno, why) = match (obstacle, end) {
            (Some(Obstacle { errno: Some(errno), why, .. }), _) => {
                (Verdict::Refused, Some(*errno), format!("it {why}"))
            }
            (Some(Obstacle { why, .. }), _) => (Verdict::Unknown, None, format!("it {why}")),
            (None, End::Fails(errno, why)) => (Verdict::Refused, Some(errno), why),
            (None, End::Unknown(why)) => (Verdict::Unknown, None, why),
            (None, End::Runs) => self.runs(),
        };
        let mut explanation = Explanation {
            version: 1,
            file: text(file),
            verdict,
            runs: matches!(verdict, Verdict::Native | Verdict::Emulated),
            errno: errno.map(|errno| format!("{errno:?}")),
            why,
            table: state(&self.machine.table),
            in_user_namespace: self.machine.in_user_namespace,
            strange: self.machine.table.strange().to_vec(),
            steps: self.steps,
            repairs: Vec::new(),
        };
        explanation.repairs = repair::lines(&explanation, obstacle.and_then(|obstacle| obstacle.repair.clone()));
        explanation
    }

    /// Records an interpreter that the kernel starts; the next iteration finds out whether it can run.
    fn runs(&self) -> (Verdict, Option<Errno>, String) {
        let by_entry = |step: &&Step| matches!(step.taken_by, Taker::Entry { .. });
        let Some(step) = self.steps.iter().rev().find(by_entry) else {
            let why = match self.steps.split_last() {
                Some((last, [_, ..])) => format!("it is a script, and the kernel runs {} by itself", last.path),
                _ => "the kernel runs it by itself".into(),
            };
            return (Verdict::Native, None, why);
        };
        let interpreter = step.interpreter.as_ref().map_or("", |interpreter| interpreter.path.as_str());
        let name = if let Taker::Entry { name } = &step.taken_by { name } else { "" };
        if let Some(Linking::Dynamic { loader, present: false }) =
            step.elf.as_ref().and_then(|elf| elf.linking.as_ref())
            && interpreter.contains("qemu")
            && !self.machine.prefixes.iter().any(|prefix| (self.look)(format!("{prefix}{loader}").as_bytes()).is_ok())
        {
            let why = format!("{interpreter} starts, and does not find the program's loader {loader}");
            return (Verdict::LoaderMissing, None, why);
        }
        (Verdict::Emulated, None, format!("entry {name} runs it by {interpreter}"))
    }
}

fn fails(path: &[u8], obstacle: &Obstacle) -> End {
    let why = format!("its interpreter {} {}", text(path), obstacle.why);
    obstacle.errno.map_or_else(|| End::Unknown(why.clone()), |errno| End::Fails(errno, why.clone()))
}

fn state(table: &Table) -> TableState {
    match table {
        Table::Mounted { enabled: true, .. } => TableState::InForce,
        Table::Mounted { enabled: false, .. } => TableState::SwitchedOff,
        Table::NotMounted => TableState::NotMounted,
        Table::Offline => TableState::Offline,
    }
}

fn what(head: &[u8]) -> What {
    match head {
        [] => What::Empty,
        [b'#', b'!', ..] => What::Script,
        [0x7f, b'E', b'L', b'F', ..] => What::Elf,
        _ if head.iter().all(|byte| *byte >= b' ' || byte.is_ascii_whitespace()) => What::Text,
        _ => What::Data,
    }
}
