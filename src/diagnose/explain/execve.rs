//! Follows execve(2): from a file through its interpreters to the result.

use binfmt_magic::{Arch, Entry, WINDOW};
use nix::errno::Errno;

use super::loader::{self, LoadResult, Loader, LoaderSupport};
use super::{Elf, FileKind, MachineFacts, ScriptLine, elf, entries, file_kind, flaw, repair, script};
use crate::binfmt::script::InvalidScriptLine;
use crate::binfmt::table::{Table, entry_name};
use crate::diagnose::explain::report::{
    AccessProblem, ExecStep, ExecVerdict, Explanation, FileLookup, Handler, InterpreterReport, Linking, OpenedFile,
    TableState,
};
use crate::sanitize::text_of_bytes;

/// The maximum number of interpreters in a chain; with one more, `exec_binprm` returns ELOOP. (The comment in the
/// kernel mentions four; the code compares with five.)
const MAX_REWRITES: usize = 5;

/// Explains what execve(2) does with `file` on this machine; `lookup` opens files.
pub fn explain_exec(file: &[u8], machine: &MachineFacts, lookup: &FileLookup) -> Explanation {
    explain_exec_below(file, machine, lookup, lookup)
}

/// The same for a process whose root directory need not be the one of the process that registered the entries: `lookup`
/// opens files by the paths of the first, and `held` by those of the second, which the kernel holds since then.
pub fn explain_exec_below(file: &[u8], machine: &MachineFacts, lookup: &FileLookup, held: &FileLookup) -> Explanation {
    let mut walk = ExecveWalk { compares_roots: true, ..ExecveWalk::new(machine, lookup, held) };
    let opened = lookup(file);
    let obstacle = match &opened {
        Ok(opened_file) => opened_file.obstacle.clone(),
        Err(obstacle) => Some(obstacle.clone()),
    };
    let end = match opened {
        // The result without the problem of its mode is useful, too.
        Ok(opened_file) => walk.walk_interpreters(file, opened_file),
        Err(_) => WalkEnd::Runs,
    };
    walk.finish(file, end, obstacle.as_ref())
}

pub(super) struct ExecveWalk<'a> {
    machine: &'a MachineFacts,
    lookup: &'a FileLookup<'a>,
    /// Opens the interpreters that the kernel holds.
    held: &'a FileLookup<'a>,
    pub(super) steps: Vec<ExecStep>,
    /// Whether an entry with flag O was taken: the file is kept open for the interpreter.
    opens_binary: bool,
    /// Whether each entry's interpreter is also followed in an empty root directory.
    compares_roots: bool,
}

/// The end of the chain.
pub(super) enum WalkEnd {
    /// A loader of the kernel runs the last file.
    Runs,
    /// execve(2) fails with this error, for this reason.
    Fails(Errno, String),
    /// The reason why the end is unknown.
    Unknown(String),
}

/// The result for one file of the chain.
pub(super) enum NextFile {
    End(WalkEnd),
    /// The interpreter of the file, and whether the kernel holds it.
    Interpreter(Vec<u8>, Result<OpenedFile, AccessProblem>, bool),
}

impl<'a> ExecveWalk<'a> {
    pub(super) fn new(machine: &'a MachineFacts, lookup: &'a FileLookup<'a>, held: &'a FileLookup<'a>) -> Self {
        Self { machine, lookup, held, steps: Vec::new(), opens_binary: false, compares_roots: false }
    }

    fn walk_interpreters(&mut self, file: &[u8], mut first: OpenedFile) -> WalkEnd {
        first.head.truncate(WINDOW);
        let next = self.handle_file(file, &first);
        self.follow(next)
    }

    /// Follows an entry's interpreter, as if the entry had taken a file.
    pub(super) fn walk_entry(&mut self, entry: &Entry) -> WalkEnd {
        let next = self.open_entry(entry);
        self.follow(next)
    }

    fn follow(&mut self, mut next: NextFile) -> WalkEnd {
        let mut is_kept_open = false;
        for rewrites in 0..=MAX_REWRITES {
            let (path, opened, held) = match next {
                NextFile::End(end) => return end,
                NextFile::Interpreter(path, opened, held) => (path, opened, held),
            };
            let mut opened_file = match opened {
                Ok(OpenedFile { obstacle: Some(obstacle), .. }) if !held => return failed_end(&path, &obstacle),
                Ok(opened_file) => opened_file,
                // The file was a program when it was registered; nothing else is known.
                Err(_) if held => return WalkEnd::Runs,
                Err(obstacle) => return failed_end(&path, &obstacle),
            };
            if self.opens_binary && std::mem::replace(&mut is_kept_open, true) {
                return WalkEnd::Fails(
                    Errno::ENOEXEC,
                    "after an entry with flag O, the kernel accepts no further interpreter".into(),
                );
            }
            if rewrites == MAX_REWRITES {
                break;
            }
            opened_file.head.truncate(WINDOW);
            next = self.handle_file(&path, &opened_file);
        }
        WalkEnd::Fails(Errno::ELOOP, format!("the chain has more than {MAX_REWRITES} interpreters"))
    }

    /// One iteration of `search_binary_handler`: the table, then `#!`, then ELF.
    fn handle_file(&mut self, path: &[u8], file: &OpenedFile) -> NextFile {
        let line = script::parse_if_script(&file.head);
        let step = ExecStep {
            path: text_of_bytes(path),
            what: FileKind::of(file),
            processors: file_kind::processors_of(file),
            elf: elf::describe_elf(file, self.lookup),
            script: line.as_ref().and_then(|line| line.as_ref().ok()).cloned(),
            entries: entries::compare_entries(self.machine, path, &file.head),
            taken_by: Handler::Unhandled,
            interpreter: None,
        };
        let entry = entries::matching_entry(&self.machine.table, path, &file.head);
        let (step, next) = match (entry, line) {
            (Some(entry), line) if entry.rule.flags.loader => self.handle_with_loader(entry, line, file, step),
            (Some(entry), _) => self.handle_with_entry(entry, step),
            (None, Some(line)) => self.handle_as_script(line, step),
            (None, None) => self.handle_as_elf(file, step),
        };
        self.steps.push(step);
        next
    }

    /// An entry with flag L gives another loader to a native program, and no other entry is tried. The kernel opens that
    /// loader first; for a script and a static program it has no effect (Linux 7.3 `load_misc_binary`).
    fn handle_with_loader(
        &self,
        entry: &Entry,
        line: Option<Result<ScriptLine, InvalidScriptLine>>,
        file: &OpenedFile,
        step: ExecStep,
    ) -> (ExecStep, NextFile) {
        let (path, name, flags) = (&entry.rule.interpreter, entry_name(entry), entry.rule.flags);
        let opened = if flags.fix_binary { (self.held)(path) } else { (self.lookup)(path) };
        let taken_by = Handler::Entry { name: name.clone() };
        let interpreter = Some(self.interpreter_report(path, &opened, Some(flags.to_string()), flags.fix_binary));
        let obstacle = opened.map_or_else(Some, |opened| opened.obstacle).filter(|_| !flags.fix_binary);
        if let Some(obstacle) = obstacle {
            return (ExecStep { taken_by, interpreter, ..step }, NextFile::End(failed_end(path, &obstacle)));
        }
        if let Some(line) = line {
            return self.handle_as_script(line, step);
        }
        let end = match loader::try_loaders(&self.machine.loaders, file, self.lookup) {
            LoadResult::WrongFormat(_) => WalkEnd::Fails(
                Errno::ENOEXEC,
                format!("entry {name} has flag L, which only gives another loader to programs of this machine"),
            ),
            _ if matches!(step.elf, Some(Elf { linking: Some(Linking::Dynamic { .. }), .. })) => {
                let path = text_of_bytes(path);
                WalkEnd::Unknown(format!("entry {name} replaces its loader by {path} (flag L), which need not fit"))
            }
            _ => return self.handle_as_elf(file, step),
        };
        (ExecStep { taken_by, interpreter, ..step }, NextFile::End(end))
    }

    fn handle_with_entry(&mut self, entry: &Entry, step: ExecStep) -> (ExecStep, NextFile) {
        let (path, flags) = (&entry.rule.interpreter, entry.rule.flags);
        let next = self.open_entry(entry);
        let interpreter = if let NextFile::Interpreter(_, opened, held) = &next {
            let report = self.interpreter_report(path, opened, Some(flags.to_string()), *held);
            Some(InterpreterReport { in_sandbox: self.compares_roots && self.starts_without_files(entry), ..report })
        } else {
            None
        };
        (ExecStep { taken_by: Handler::Entry { name: entry_name(entry) }, interpreter, ..step }, next)
    }

    /// Opens the interpreter of an entry that takes a file. The kernel holds it, or looks for it in the root directory of
    /// the process.
    fn open_entry(&mut self, entry: &Entry) -> NextFile {
        let (path, flags) = (&entry.rule.interpreter, entry.rule.flags);
        self.opens_binary |= flags.open_binary;
        let opened = if flags.fix_binary { (self.held)(path) } else { (self.lookup)(path) };
        NextFile::Interpreter(path.clone(), opened, flags.fix_binary)
    }

    /// Whether the entry's interpreter starts in a root directory that contains none of the files that it needs.
    fn starts_without_files(&self, entry: &Entry) -> bool {
        let end = ExecveWalk::new(self.machine, &no_file, self.held).walk_entry(entry);
        matches!(end, WalkEnd::Runs)
    }

    fn handle_as_script(&self, line: Result<ScriptLine, InvalidScriptLine>, step: ExecStep) -> (ExecStep, NextFile) {
        match line {
            Ok(script) => {
                let opened = (self.lookup)(&script.path);
                let interpreter = self.interpreter_report(&script.path, &opened, None, false);
                let step = ExecStep { taken_by: Handler::Script, interpreter: Some(interpreter), ..step };
                (step, NextFile::Interpreter(script.path, opened, false))
            }
            Err(why) => (step, NextFile::End(WalkEnd::Fails(Errno::ENOEXEC, why.to_string()))),
        }
    }

    fn handle_as_elf(&self, file: &OpenedFile, step: ExecStep) -> (ExecStep, NextFile) {
        let (taken_by, end) = match loader::try_loaders(&self.machine.loaders, file, self.lookup) {
            LoadResult::Runs => (Handler::Elf, WalkEnd::Runs),
            LoadResult::Fails(errno, why) => {
                let more = match &step.elf {
                    Some(Elf { os: Some(os), .. }) => format!("; it is a program of {}", os.name()),
                    Some(elf) if elf.is_cut_off() => format!("; it {}", flaw::cut_off_text(elf)),
                    _ => String::new(),
                };
                (Handler::Elf, WalkEnd::Fails(errno, format!("{why}{more}")))
            }
            LoadResult::Unknown(why) => {
                let why = format!("cannot find out whether this machine runs such programs natively: {why}");
                (Handler::Unhandled, WalkEnd::Unknown(why))
            }
            LoadResult::WrongFormat(why) => match self.machine.table.unsupported_entries() {
                [] => (Handler::Unhandled, WalkEnd::Fails(Errno::ENOEXEC, self.unhandled_reason(why, &step))),
                names => {
                    let why = format!(
                        "{}, unless one of these entries does, whose files cannot be known: {}",
                        self.unhandled_reason(why, &step),
                        names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
                    );
                    (Handler::Unhandled, WalkEnd::Unknown(why))
                }
            },
        };
        (ExecStep { taken_by, ..step }, NextFile::End(end))
    }

    fn interpreter_report(
        &self,
        path: &[u8],
        opened: &Result<OpenedFile, AccessProblem>,
        flags: Option<String>,
        held: bool,
    ) -> InterpreterReport {
        let (linking, obstacle) = match opened {
            Ok(opened_file) => (elf::detect_linking(opened_file, self.lookup), opened_file.obstacle.as_ref()),
            Err(obstacle) => (None, Some(obstacle)),
        };
        let refused = obstacle.filter(|_| !held);
        InterpreterReport {
            path: text_of_bytes(path),
            flags,
            held,
            is_the_file: None,
            opens: refused.is_none(),
            errno: refused.and_then(|obstacle| obstacle.errno).map(|errno| format!("{errno:?}")),
            detail: obstacle.map(|obstacle| format!("it {}", obstacle.why)),
            in_sandbox: false,
            linking,
        }
    }

    /// Describes why neither an entry nor a loader takes a file.
    fn unhandled_reason(&self, wrong: Option<&'static str>, step: &ExecStep) -> String {
        let no_entry = if self.machine.table.entries().is_empty() { "there is no entry" } else { "no entry takes it" };
        match (&step.elf, wrong) {
            // The loader of 64-bit programs takes the machine's number for its own, and reads the header as that of a 64-bit program.
            (Some(elf), Some(_)) if elf.is_x32() && !self.machine.may_load_x32() => self.foreign_reason(elf, no_entry),
            (Some(elf), Some(_)) if elf.is_cut_off() => {
                format!("it is for this machine, but {}", flaw::cut_off_text(elf))
            }
            (_, Some(wrong)) => wrong.into(),
            (Some(elf), None) => self.foreign_reason(elf, no_entry),
            (None, None) if step.what.may_have_entry() => format!("it is {}, and {no_entry}", step.content_text()),
            (None, None) => format!("it is {}", step.content_text()),
        }
    }

    /// Describes why no loader takes an ELF file of another machine or system.
    fn foreign_reason(&self, elf: &Elf, no_entry: &str) -> String {
        let machine = &self.machine.name;
        if elf.is_appimage {
            return format!("{no_entry}: bytes 8 to 10 mark it as an AppImage, and rules require 0 there");
        }
        if !elf.is_program_or_library() {
            return format!("it is {} for {}, which no machine executes", elf.content_name(), elf.machine);
        }
        if elf.e_machine == 0 {
            return "its header names no machine".to_owned();
        }
        if let Some(os) = elf.os.filter(|_| elf.is_for_other_os()) {
            return format!(
                "it is a program of {} for {}, which Linux does not run, and {no_entry}",
                os.name(),
                elf.machine
            );
        }
        let abi = elf.abi.as_ref().filter(|_| elf.is_narrow_abi()).map(|abi| format!("{abi} ")).unwrap_or_default();
        let guest = match elf.system {
            Some(_) => "",
            // arch/x86/Kconfig; Debian's kernels have it, and switch it off (`syscall.x32`).
            None if elf.is_x32() && machine == "x86_64" => {
                "; kernels with CONFIG_X86_X32_ABI do, and QEMU's user mode has no guest for it"
            }
            None => "; QEMU's user mode has no guest for it",
        };
        let flaw = if elf.is_cut_off() {
            format!("; it {}", flaw::cut_off_text(elf))
        } else if elf.is_library() {
            format!("; it {}", flaw::LIBRARY)
        } else {
            String::new()
        };
        format!("this {machine} machine does not run {abi}{} programs, and {no_entry}{guest}{flaw}", elf.machine)
    }

    fn finish(self, file: &[u8], end: WalkEnd, obstacle: Option<&AccessProblem>) -> Explanation {
        let chain_fails = matches!(end, WalkEnd::Fails(..));
        let (verdict, errno, why) = match (obstacle, end) {
            (Some(AccessProblem { errno: Some(errno), why, .. }), _) => {
                (ExecVerdict::Refused, Some(*errno), format!("it {why}"))
            }
            (Some(AccessProblem { why, .. }), _) => (ExecVerdict::Unknown, None, format!("it {why}")),
            (None, WalkEnd::Fails(errno, why)) => (ExecVerdict::Refused, Some(errno), why),
            (None, WalkEnd::Unknown(why)) => (ExecVerdict::Unknown, None, why),
            (None, WalkEnd::Runs) => self.runs_verdict(),
        };
        let mut explanation = Explanation {
            version: 1,
            file: text_of_bytes(file),
            verdict,
            runs: matches!(verdict, ExecVerdict::Native | ExecVerdict::Emulated | ExecVerdict::Interpreted),
            errno: errno.map(|errno| format!("{errno:?}")),
            why,
            table: table_state(&self.machine.table),
            in_user_namespace: self.machine.in_user_namespace,
            strange: self.machine.table.unsupported_entries().iter().map(|entry| entry.name.clone()).collect(),
            steps: self.steps,
            repairs: Vec::new(),
            without_root: None,
        };
        let obstacle = obstacle.and_then(|obstacle| obstacle.repair.clone());
        let proposal = repair::propose_commands(&explanation, self.machine, obstacle, chain_fails);
        (explanation.repairs, explanation.without_root) = (proposal.repairs, proposal.without_root);
        explanation
    }

    /// Returns the verdict about a chain whose last file runs.
    fn runs_verdict(&self) -> (ExecVerdict, Option<Errno>, String) {
        if let Some((verdict, why)) = flaw::find_flaw(&self.steps) {
            return (verdict, None, why);
        }
        let is_by_entry = |step: &&ExecStep| matches!(step.taken_by, Handler::Entry { .. });
        let Some(step) = self.steps.iter().rev().find(is_by_entry) else {
            let why = match self.steps.split_last() {
                Some((last, [_, ..])) => format!("it is a script, and the kernel runs {} natively", last.path),
                _ => "the kernel runs it natively".into(),
            };
            return (ExecVerdict::Native, None, why);
        };
        let interpreter = step.interpreter.as_ref().map_or("", |interpreter| interpreter.path.as_str());
        let name = if let Handler::Entry { name } = &step.taken_by { name } else { "" };
        if let Some(Linking::Dynamic { loader, present: false }) =
            step.elf.as_ref().and_then(|elf| elf.linking.as_ref())
            && starts_qemu(step)
            && !self.machine.prefixes.iter().any(|prefix| (self.lookup)(format!("{prefix}{loader}").as_bytes()).is_ok())
        {
            let os =
                step.elf.as_ref().and_then(|elf| elf.os).map(|os| format!(" of {}", os.name())).unwrap_or_default();
            let why = format!("{interpreter} starts, but does not find the program's loader {loader}{os}");
            return (ExecVerdict::LoaderMissing, None, why);
        }
        if step.interpreter.as_ref().and_then(|interpreter| interpreter.flags.as_ref()).is_some_and(|f| f.contains('T'))
        {
            let why = format!(
                "entry {name} starts {interpreter} with flag T, for which an interpreter must be made \
                 (AT_FLAGS_TRANSPARENT_INTERP); whether this one is cannot be seen"
            );
            return (ExecVerdict::Unknown, None, why);
        }
        let verdict = if self.is_foreign(step) { ExecVerdict::Emulated } else { ExecVerdict::Interpreted };
        (verdict, None, format!("entry {name} runs it with {interpreter}"))
    }

    /// Whether the file of a step is a program that the machine does not run natively.
    fn is_foreign(&self, step: &ExecStep) -> bool {
        let Some(elf) = &step.elf else { return false };
        let Some(arch) = elf.system.and_then(Arch::by_target) else { return true };
        let is_for = |loader: &Loader| {
            loader.machines.contains(&arch.e_machine) && (loader.bits, loader.endian) == (arch.bits, arch.endian)
        };
        !self.machine.loaders.iter().any(|loader| is_for(loader) && loader.support == LoaderSupport::Yes)
    }
}

/// Whether an entry starts QEMU's user mode for the file; its name is the only fact available.
pub(super) fn starts_qemu(step: &ExecStep) -> bool {
    let is_qemu = |interpreter: &InterpreterReport| interpreter.path.contains("qemu");
    matches!(step.taken_by, Handler::Entry { .. }) && step.interpreter.as_ref().is_some_and(is_qemu)
}

/// The lookup of an empty root directory.
pub(super) fn no_file(_: &[u8]) -> Result<OpenedFile, AccessProblem> {
    Err(AccessProblem { errno: Some(Errno::ENOENT), why: "does not exist".into(), repair: None })
}

fn failed_end(path: &[u8], obstacle: &AccessProblem) -> WalkEnd {
    let why = format!("its interpreter {} {}", text_of_bytes(path), obstacle.why);
    obstacle.errno.map_or_else(|| WalkEnd::Unknown(why.clone()), |errno| WalkEnd::Fails(errno, why.clone()))
}

fn table_state(table: &Table) -> TableState {
    match table {
        Table::Mounted { enabled: true, .. } => TableState::InForce,
        Table::Mounted { enabled: false, .. } => TableState::SwitchedOff,
        Table::NotMounted => TableState::NotMounted,
        Table::Offline => TableState::Offline,
    }
}
