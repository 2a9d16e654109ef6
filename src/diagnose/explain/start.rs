//! How the kernel starts the interpreter of an entry: the model that `explain`, `status`, `test` and `doctor` share.
//!
//! The interpreter need not be an emulator. A script, a small program that starts the emulator, or a dispatcher that
//! chooses one are common (box64, binfmt-dispatcher, run-detectors, `qemu-…-binfmt-P`). The kernel starts the
//! interpreter; for a script, that is the script's own interpreter, which the kernel looks for in the root directory of
//! the calling process, flag F or not. What these programs run afterwards is seen by a probe only.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use binfmt_magic::Entry;
use nix::errno::Errno;

use super::execve::{ExecveWalk, WalkEnd, no_file};
use super::{AccessProblem, FileLookup, Handler, Linking, MachineFacts, elf, script};
use crate::binfmt::table::entry_name;
use crate::sanitize::{bytes_of, text_of_bytes};

/// How the kernel starts the interpreter of an entry, by the file at the interpreter's path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterpreterStart {
    /// The kind of that file.
    pub kind: InterpreterFileKind,
    /// The result on this machine.
    pub here: StartResult,
    /// The result in a root directory that has no file: an empty chroot, a container, a sandbox.
    pub elsewhere: StartResult,
    /// Whether starting it here leads back to the same entry: the rule takes its own interpreter, or a file with which the
    /// kernel would start that. Flag F makes no difference (measured on 6.18).
    pub loops: bool,
}

/// The kind of an interpreter's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InterpreterFileKind {
    /// A program that needs no other file.
    Static,
    /// A program that needs this loader.
    Dynamic(String),
    /// A script, which this interpreter runs.
    Script(String),
    /// A file of another kind, or one that cannot be read.
    Other,
}

/// Whether the kernel starts an interpreter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartResult {
    /// It does.
    Starts,
    /// It does not, for this reason, in words that follow the path of the interpreter.
    Fails(String),
    /// Whether it does is unknown.
    Unknown,
}

impl InterpreterStart {
    /// Returns the path of the file whose process shows that the kernel started the interpreter: for a script, that is the
    /// script's own interpreter. `path` is the path in the entry.
    pub fn executed_path(&self, path: &Path) -> PathBuf {
        match &self.kind {
            InterpreterFileKind::Script(shell) => OsString::from_vec(bytes_of(shell)).into(),
            InterpreterFileKind::Static | InterpreterFileKind::Dynamic(_) | InterpreterFileKind::Other => {
                path.to_owned()
            }
        }
    }
}

impl StartResult {
    /// Returns the reason why the kernel does not start the interpreter.
    pub fn failure(&self) -> Option<&str> {
        match self {
            Self::Fails(why) => Some(why),
            Self::Starts | Self::Unknown => None,
        }
    }
}

/// Follows the interpreter of an entry; `lookup` opens files of this machine.
pub fn follow_interpreter(machine: &MachineFacts, entry: &Entry, lookup: &FileLookup) -> InterpreterStart {
    let (here, loops) = match lookup(&entry.rule.interpreter) {
        // The kernel may still hold the file that was there before.
        Err(AccessProblem { errno: Some(Errno::EACCES), why, .. }) => (StartResult::Fails(why), false),
        _ => walk(machine, entry, lookup, lookup),
    };
    let (elsewhere, _) = walk(machine, entry, &no_file, lookup);
    InterpreterStart { kind: find_kind(entry, lookup), here, elsewhere, loops }
}

fn find_kind(entry: &Entry, lookup: &FileLookup) -> InterpreterFileKind {
    let Ok(file) = lookup(&entry.rule.interpreter) else { return InterpreterFileKind::Other };
    match (script::parse_if_script(&file.head), elf::detect_linking(&file, lookup)) {
        (Some(Ok(line)), _) => InterpreterFileKind::Script(text_of_bytes(&line.path)),
        (_, Some(Linking::Static)) => InterpreterFileKind::Static,
        (_, Some(Linking::Dynamic { loader, .. })) => InterpreterFileKind::Dynamic(loader),
        _ => InterpreterFileKind::Other,
    }
}

/// Returns the result, and whether the entry takes a file on the way.
fn walk(machine: &MachineFacts, entry: &Entry, lookup: &FileLookup, held: &FileLookup) -> (StartResult, bool) {
    let mut walk = ExecveWalk::new(machine, lookup, held);
    let end = walk.walk_entry(entry);
    let name = entry_name(entry);
    let loops =
        walk.steps.iter().any(|step| matches!(&step.taken_by, Handler::Entry { name: taker } if *taker == name));
    let result = match end {
        WalkEnd::Runs => StartResult::Starts,
        WalkEnd::Unknown(_) => StartResult::Unknown,
        WalkEnd::Fails(_, why) if loops => StartResult::Fails(format!("leads back to the entry {name}: {why}")),
        WalkEnd::Fails(_, why) => StartResult::Fails(describe_failure(entry, &walk, lookup, why)),
    };
    (result, loops)
}

fn describe_failure(entry: &Entry, walk: &ExecveWalk, lookup: &FileLookup, why: String) -> String {
    let Some(first) = walk.steps.first() else {
        // The interpreter itself cannot be executed.
        let problem = lookup(&entry.rule.interpreter).map_or_else(Some, |file| file.obstacle);
        return problem.map_or(why, |problem| problem.why);
    };
    match (&first.taken_by, first.elf.as_ref().and_then(|elf| elf.linking.as_ref())) {
        (Handler::Script, _) => format!("is a script, and {why}"),
        (Handler::Elf, Some(Linking::Dynamic { .. })) => format!("is dynamically linked, and {why}"),
        _ => format!("cannot be executed: {why}"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::binfmt::table::Table;
    use crate::diagnose::explain::execve::explain_exec;
    use crate::diagnose::explain::{ExecVerdict, OpenedFile};
    use binfmt_magic::{Arch, Rule};

    const SCRIPT: &[u8] = b"#!/bin/sh\nexec /q \"$@\"\n";

    fn opened(content: &[u8]) -> OpenedFile {
        let bytes = content.to_vec();
        let read = move |offset: u64, size: usize| {
            let rest = usize::try_from(offset).ok().and_then(|offset| bytes.get(offset..)).unwrap_or_default();
            rest.iter().take(size).copied().collect()
        };
        OpenedFile { head: content.to_vec(), size: content.len() as u64, obstacle: None, read: Box::new(read) }
    }

    /// The start of the interpreter `/i` with these flags, on an x86_64 machine that has these files.
    fn start(files: &[(&str, &[u8])], flags: &str) -> InterpreterStart {
        start_by("E::x", files, flags)
    }

    /// The same for an entry of the table that takes these files.
    fn start_by(takes: &str, files: &[(&str, &[u8])], flags: &str) -> InterpreterStart {
        start_among(&[&format!(":x:{takes}::/i:{flags}")], files)
    }

    /// The same for the first of these entries.
    fn start_among(lines: &[&str], files: &[(&str, &[u8])]) -> InterpreterStart {
        let rule = |line: &&str| Rule::parse(line.as_bytes()).unwrap_or_else(|e| panic!("{e}"));
        let entries: Vec<Entry> = lines.iter().map(|line| Entry { enabled: true, rule: rule(line) }).collect();
        let entry = entries[0].clone();
        let table = Table::of_entries(entries);
        let machine = MachineFacts::with_all_loaders("x86_64", table);
        let files: BTreeMap<&[u8], &[u8]> = files.iter().map(|(path, content)| (path.as_bytes(), *content)).collect();
        let lookup = |path: &[u8]| -> Result<OpenedFile, AccessProblem> {
            files.get(path).map_or_else(|| no_file(path), |content| Ok(opened(content)))
        };
        follow_interpreter(&machine, &entry, &lookup)
    }

    fn native() -> &'static [u8] {
        Arch::by_target("x86_64").and_then(Arch::probe).unwrap_or_default()
    }

    #[test]
    fn flag_f_holds_a_script_but_not_its_interpreter() {
        for flags in ["", "F"] {
            let files = [("/i", SCRIPT), ("/bin/sh", native())];
            let script = start(&files, flags);
            assert_eq!(script.kind, InterpreterFileKind::Script("/bin/sh".into()));
            assert_eq!(script.here, StartResult::Starts);
            assert_eq!(script.executed_path(Path::new("/i")), Path::new("/bin/sh"));
            let why =
                if flags == "F" { "is a script, and its interpreter /bin/sh does not exist" } else { "does not exist" };
            assert_eq!(script.elsewhere.failure(), Some(why));
            assert_eq!(
                start(&files[..1], flags).here.failure(),
                Some("is a script, and its interpreter /bin/sh does not exist")
            );
        }
        let open = start(&[("/i", SCRIPT), ("/bin/sh", native())], "OF");
        assert!(open.here.failure().is_some_and(|why| why.contains("after an entry with flag O")), "{open:?}");
    }

    #[test]
    fn a_static_program_starts_anywhere_if_the_kernel_holds_it() {
        let files = [("/i", native())];
        assert_eq!(start(&files, "F").elsewhere, StartResult::Starts);
        assert_eq!(start(&files, "").elsewhere.failure(), Some("does not exist"));
        assert_eq!(start(&files, "").executed_path(Path::new("/i")), Path::new("/i"));
        let foreign = Arch::by_target("riscv64").and_then(Arch::probe).unwrap_or_default();
        let why = start(&[("/i", foreign)], "F").here;
        assert!(why.failure().is_some_and(|why| why.starts_with("cannot be executed: this x86_64 machine")), "{why:?}");
        assert_eq!(start(&[], "").here.failure(), Some("does not exist"));
    }

    /// What execve(2) does with `/p`, which the entry `:x:E::p::/i:FLAGS` takes.
    fn verdict(flags: &str, program: &[u8], interpreter: Option<&[u8]>) -> (ExecVerdict, String) {
        let rule = Rule::parse(format!(":x:E::p::/i:{flags}").as_bytes()).unwrap_or_else(|e| panic!("{e}"));
        let older = Rule::parse(b":y:E::p::/bin/sh:PF").unwrap_or_else(|e| panic!("{e}"));
        let entries = [rule, older].map(|rule| Entry { enabled: true, rule }).to_vec();
        let machine = MachineFacts::with_all_loaders("x86_64", Table::of_entries(entries));
        let lookup = |path: &[u8]| -> Result<OpenedFile, AccessProblem> {
            match (path, interpreter) {
                (b"/f.p", _) => Ok(opened(program)),
                (b"/i", Some(interpreter)) => Ok(opened(interpreter)),
                (b"/bin/sh", _) => Ok(opened(native())),
                _ => no_file(path),
            }
        };
        let explanation = explain_exec(b"/f.p", &machine, &lookup);
        (explanation.verdict, explanation.why)
    }

    /// As measured on Linux 7.3.4.
    #[test]
    fn flag_l_runs_no_foreign_program_and_hides_older_entries() {
        let foreign = Arch::by_target("aarch64").and_then(Arch::probe).unwrap_or_default();
        let (end, why) = verdict("L", foreign, Some(native()));
        assert!(end == ExecVerdict::Refused && why.contains("entry x has flag L"), "{end:?} {why}");
        for unaffected in [native(), b"#!/bin/sh\n".as_slice()] {
            assert_eq!(verdict("L", unaffected, Some(native())).0, ExecVerdict::Native);
        }
        let (end, why) = verdict("L", native(), None);
        assert!(end == ExecVerdict::Refused && why.contains("its interpreter /i does not exist"), "{end:?} {why}");
    }

    #[test]
    fn flag_t_needs_an_interpreter_that_is_made_for_it() {
        let foreign = Arch::by_target("aarch64").and_then(Arch::probe).unwrap_or_default();
        let (end, why) = verdict("TF", foreign, Some(native()));
        assert!(end == ExecVerdict::Unknown && why.contains("flag T"), "{end:?} {why}");
    }

    #[test]
    fn an_entry_that_takes_its_own_interpreter_loops() {
        let files = [("/i", SCRIPT), ("/bin/sh", native())];
        for (takes, flags, loops) in [
            ("M::#!/bin/sh", "", true),
            ("M::#!/bin/sh", "F", true),
            ("M::#!/bin/sh", "OF", true),
            // The entry takes the interpreter of its script.
            (r"M::\x7fELF", "", true),
            ("M::#!/bin/bash", "F", false),
        ] {
            let start = start_by(takes, &files, flags);
            let leads_back = start.here.failure().is_some_and(|why| why.starts_with("leads back to the entry x: "));
            assert_eq!((start.loops, leads_back), (loops, loops), "{takes} {flags}: {start:?}");
        }
        // Two entries take each other's interpreters. The third one takes only its own.
        let others = [":x:E::x::/i.y:F", ":y:E::y::/j.x:F"];
        let files = [("/i.y", native()), ("/j.x", native()), ("/k.z", native())];
        assert!(start_among(&others, &files).loops);
        let first_of_two = start_among(&[":x:E::x::/k.z:F", ":z:E::z::/k.z:F"], &files);
        assert!(!first_of_two.loops && first_of_two.here.failure().is_some(), "{first_of_two:?}");
    }
}
