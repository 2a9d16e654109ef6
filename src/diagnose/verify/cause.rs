//! Finds out why a probe failed, and what repairs that. Pure.

use std::io;

use binfmt_magic::{Arch, Entry};
use nix::errno::Errno;

use crate::binfmt::probe::{ProbeOutput, ProbeResult};
use crate::binfmt::selinux::Selinux;
use crate::binfmt::table::{Table, entry_name};
use crate::diagnose::explain::InterpreterStart;
use crate::diagnose::repair::RepairFacts;
use crate::diagnose::running_binary::interpreter_path;
use crate::qemu::binary::{FIRST_WITH_ARGV0, KERNEL_PASSES_ARGV0, QemuVersion};
use crate::sanitize::AsText as _;

/// The facts about a system whose probe failed.
#[derive(Debug)]
pub struct VerifyContext<'a> {
    /// The system.
    pub arch: &'static Arch,
    /// The facts that decide which commands can work, among them the kernel's table.
    pub repairs: RepairFacts<'a>,
    /// The entry that the kernel picks, if any.
    pub entry: Option<&'a Entry>,
    /// Whether this tool made the entry.
    pub is_ours: bool,
    /// Whether `disable` turned the system off.
    pub is_disabled: bool,
    /// How the kernel starts the entry's interpreter; `None` without an entry, or if the interpreter is in memory.
    pub start: Option<InterpreterStart>,
    /// Major and minor number of the kernel.
    pub kernel: (u32, u32),
    /// State of SELinux.
    pub selinux: Selinux,
}

/// A cause and its repair.
#[derive(Debug, PartialEq, Eq)]
pub struct Cause {
    /// The cause.
    pub why: String,
    /// The commands that repair it, in order; empty if none are known.
    pub repair: Vec<String>,
}

/// The cause for all systems if `status` of the table is "disabled".
const SWITCHED_OFF: &str = "the whole table is switched off";

impl VerifyContext<'_> {
    /// Returns the cause for a program that was started directly.
    pub fn direct_cause(&self, result: &ProbeResult) -> Cause {
        let why = match result {
            ProbeResult::Refused(e) => self.loader_text().unwrap_or_else(|| self.exec_error_text(e)),
            ProbeResult::JitRefused(why) => self.jit_refusal_text(why),
            ProbeResult::Failed(why) => self.transparent_text(why).unwrap_or_else(|| why.clone()),
            ProbeResult::NotRun(why) => why.clone(),
            ProbeResult::Ran(_) => String::new(),
        };
        self.inactive_cause().unwrap_or_else(|| Cause { why, repair: self.repair_commands(result) })
    }

    /// Returns the cause if no entry is in force: the table is switched off, or the entry is disabled or missing.
    pub fn inactive_cause(&self) -> Option<Cause> {
        if self.is_disabled && self.entry.is_none() {
            let enable = self.repairs.shell.tool_command(format_args!("enable {}", self.arch.target));
            return Some(Cause { why: "the command disable turned it off".into(), repair: vec![enable] });
        }
        let why = self.inactive_reason()?;
        Some(Cause { why, repair: self.repairs.put_in_force(Some(self.arch), &|entry| self.takes(entry)) })
    }

    /// Returns the cause for a program that runs outside, but not in a chroot or sandbox.
    pub fn isolated_cause(&self, result: &ProbeResult) -> Cause {
        let why = match (self.entry, result) {
            (Some(entry), ProbeResult::Refused(_)) if !entry.rule.flags.fix_binary => format!(
                "{} has no flag F, so the kernel looks for {} inside, where that file is missing",
                entry_name(entry),
                interpreter_path(entry).as_text()
            ),
            (Some(entry), ProbeResult::Refused(e)) => {
                let path = interpreter_path(entry).as_text();
                let why = self.start.as_ref().and_then(|start| start.elsewhere.failure());
                why.map_or_else(
                    || format!("{path} cannot be started inside: {e}"),
                    |why| format!("inside, {path} {why}"),
                )
            }
            (None, ProbeResult::Refused(e)) => format!("the kernel does not start it inside: {e}"),
            (_, ProbeResult::JitRefused(why)) => self.jit_refusal_text(why),
            // The kernel starts it, so what it runs fails.
            (Some(entry), ProbeResult::Failed(why)) => {
                format!("{} starts inside, but does not run the program: {why}", interpreter_path(entry).as_text())
            }
            (None, ProbeResult::Failed(why)) | (_, ProbeResult::NotRun(why)) => why.clone(),
            (_, ProbeResult::Ran(_)) => String::new(),
        };
        Cause { why, repair: self.repair_commands(result) }
    }

    /// Returns the cause for a program that ran with another name than it was given.
    pub fn argv0_cause(&self, output: &ProbeOutput, qemu: Option<&str>) -> Cause {
        let release = qemu.and_then(QemuVersion::parse);
        let why = match self.entry {
            Some(entry) if !entry.rule.flags.preserve_argv0 => format!("{} has no flag P", entry_name(entry)),
            _ if release.is_some_and(|release| release < FIRST_WITH_ARGV0) => {
                format!("QEMU {} does not support flag P; QEMU 6.0 and later do", qemu.unwrap_or_default())
            }
            _ => "the emulator does not pass the name on".to_owned(),
        };
        let name = if output.argv0.is_empty() { "another name" } else { output.argv0.as_str() };
        Cause { why: format!("it saw {name:?} instead: {why}"), repair: self.register_commands() }
    }

    /// Describes a kernel on which no program can keep its name. No entry and no emulator changes that, so it is not a
    /// failure.
    pub fn describe_old_kernel(&self) -> Option<String> {
        let (major, minor) = self.kernel;
        (self.kernel < KERNEL_PASSES_ARGV0).then(|| {
            format!(
                "programs see their path as argv[0]: Linux {major}.{minor} does not report flag P to the emulator; Linux \
                 5.12 and later do"
            )
        })
    }

    /// Describes an entry with flag L, which runs no program of another machine, and hides the entries below it (measured
    /// on Linux 7.3.4).
    fn loader_text(&self) -> Option<String> {
        let entry = self.entry.filter(|entry| entry.rule.flags.loader)?;
        Some(format!(
            "{} has flag L, which only gives another loader to programs of this machine, and hides the entries below it",
            entry_name(entry)
        ))
    }

    /// Describes an entry with flag T, for which no QEMU is made: 10.0.13 takes the arguments of the program for its own
    /// (measured on Linux 7.3.4).
    fn transparent_text(&self, message: &str) -> Option<String> {
        let entry = self.entry.filter(|entry| entry.rule.flags.transparent)?;
        Some(format!("{} has flag T, for which its interpreter has to be made: {message}", entry_name(entry)))
    }

    /// Describes the cause of an error of execve(2).
    fn exec_error_text(&self, e: &io::Error) -> String {
        let Some(entry) = self.entry else {
            return format!("this machine has nothing that runs its programs ({e})");
        };
        let (name, path) = (entry_name(entry), interpreter_path(entry).as_text());
        if let Some(why) = self.start.as_ref().and_then(|start| start.here.failure()) {
            return format!("{name} names {path}, which {why}");
        }
        // The kernel holds another file than the one that is there now.
        match e.raw_os_error().map(Errno::from_raw) {
            Some(Errno::ENOENT) => format!("{name} names {path}: that file, or one that it needs, cannot be found"),
            Some(Errno::EACCES) => {
                let selinux = if self.selinux.is_enforcing { ", or SELinux forbids it" } else { "" };
                format!(
                    "{name} names {path}, which may not be executed: its mode forbids it, or its mount has noexec{selinux}"
                )
            }
            Some(Errno::ENOEXEC) => format!("{name} names {path}, which is not a program that this machine runs"),
            Some(Errno::ELOOP) => format!("{name} names {path}, which itself would need an emulator"),
            _ => format!("{name} takes its programs, but the kernel does not start {path}: {e}"),
        }
    }

    /// Describes why the emulator could not make its code executable.
    fn jit_refusal_text(&self, message: &str) -> String {
        self.selinux.describe_execmem().map_or_else(|| message.to_owned(), |why| format!("{message}: {why}"))
    }

    fn inactive_reason(&self) -> Option<String> {
        let table = self.repairs.table;
        if table.is_switched_off() {
            return Some(SWITCHED_OFF.into());
        }
        if self.entry.is_some() {
            return None;
        }
        if let Some(entry) = table.entries().iter().find(|entry| !entry.enabled && self.takes(entry)) {
            return Some(format!("{} is disabled", entry_name(entry)));
        }
        Some(match table {
            Table::NotMounted | Table::Offline => "nothing runs its programs: binfmt_misc is not mounted here".into(),
            Table::Mounted { .. } => "nothing runs its programs: no entry takes them".into(),
        })
    }

    fn takes(&self, entry: &Entry) -> bool {
        self.arch.headers().iter().any(|head| entry.rule.matches(head))
    }

    fn repair_commands(&self, result: &ProbeResult) -> Vec<String> {
        match result {
            ProbeResult::NotRun(_) if self.repairs.shell.is_process_root() => Vec::new(),
            ProbeResult::NotRun(_) => {
                vec![self.repairs.shell.tool_command(format_args!("test {}", self.arch.target))]
            }
            ProbeResult::JitRefused(_) if self.selinux.is_enforcing => {
                let command = self.selinux.execmem_command();
                command.map(|command| self.repairs.shell.as_root(command)).into_iter().collect()
            }
            _ => self.register_commands(),
        }
    }

    /// Returns the commands that make a working entry.
    fn register_commands(&self) -> Vec<String> {
        match (self.entry, self.is_ours) {
            (Some(_), true) => self.repairs.register_anew(self.arch, " --source download"),
            _ => self.repairs.register(self.arch, ""),
        }
    }
}
