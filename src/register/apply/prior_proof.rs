//! Proof of an entry before it is in force: its rule is registered in a table of its own, in a user namespace, and proven
//! there as it will be on the machine. An emulator that fails takes no program away from the entry that runs it now.
//!
//! Where the kernel gives a namespace no table (before Linux 6.7) or makes no namespace, the emulator of a system is started
//! with the probe instead.

use std::ffi::OsStr;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use binfmt_magic::{Arch, Rule};

use super::verify;
use crate::binfmt::probe::{self, ProbeResult};
use crate::binfmt::table;
use crate::binfmt::userns::enter::{enter_namespace, keep_all_ids};
use crate::binfmt::userns::inherit::inheritable_rules;
use crate::binfmt::userns::run_table::RunTable;
use crate::error::{Error, ExitCode, Result};
use crate::host::{Host, INTERNAL, StoppedChild};
use crate::register::apply::emulator::InstalledEmulator;
use crate::register::own_rule;
use crate::register::subject::Subject;
use crate::sanitize::text_of_bytes;

/// Name of the `internal` subcommand that proves a rule in a table of its own.
pub const PROVE_RULE: &str = "prove-rule";

/// Start of the line by which that subcommand reports that the rule does not work.
const NOT_WORKING: &str = "not working: ";

/// Proves a rule without any effect on other processes. A rule that cannot be tried this way passes.
pub(super) fn prove_rule(host: &Host, subject: &Subject, rule: &Rule, files: &[PathBuf]) -> Result<()> {
    let (root, line) = (host.real_path(Path::new("/")), rule.to_line()?);
    let words = [OsStr::new("--root"), root.as_os_str(), OsStr::new(INTERNAL), OsStr::new(PROVE_RULE)];
    let target = [subject.kind(), subject.name()].map(OsStr::new);
    let files = files.iter().map(|file| file.as_os_str());
    let args: Vec<_> = words.into_iter().chain(target).chain([OsStr::from_bytes(&line)]).chain(files).collect();
    let (status, _, complaints) = match StoppedChild::spawn(Path::new("/proc/self/exe"), &args, None) {
        Ok(child) => child.finish().map_err(|e| not_proven(subject, e.to_string()))?,
        // The proof on the machine reports it.
        Err(_) => return Ok(()),
    };
    if let Some(why) = complaints.lines().find_map(|line| line.strip_prefix(NOT_WORKING)) {
        return Err(not_proven(subject, why.to_owned()));
    }
    match subject {
        Subject::System(arch) if !status.success() => prove_directly(arch, &own_rule::interpreter_path(rule)),
        _ => Ok(()),
    }
}

/// Starts an emulator with the probe of its system.
pub(super) fn prove_directly(arch: &'static Arch, emulator: &Path) -> Result<()> {
    match probe::run_by_emulator(arch, emulator) {
        ProbeResult::Failed(why) => Err(not_proven(&Subject::System(arch), why)),
        // The proof on the machine names what the kernel or its policy refuses.
        ProbeResult::Ran(_) | ProbeResult::Refused(_) | ProbeResult::JitRefused(_) | ProbeResult::NotRun(_) => Ok(()),
    }
}

fn not_proven(subject: &Subject, why: String) -> Error {
    Error::NotProven { name: subject.name().to_owned(), is_system: subject.arch().is_some(), why }
}

/// Runs the subcommand: moves this process into a namespace whose table has the rule above the entries of the machine.
/// Exits with another status than 0 and 1 if that is not possible.
pub fn run_in_own_table(host: &Host, kind: &str, name: &str, line: &OsStr, files: &[PathBuf]) -> Result<ExitCode> {
    let rule = Rule::parse(line.as_bytes())?;
    let arch = Arch::by_target(name).filter(|_| kind == "system");
    let subject = arch.map_or_else(|| Subject::Rule(name.to_owned()), Subject::System);
    let table = table::read_table(host)?;
    let own = [rule];
    let entered = enter_namespace(host, &keep_all_ids(), &RunTable::default(), &inheritable_rules(&table, &own), &own);
    entered.map_err(|error| Error::Unsupported { what: error.to_string(), hint: String::new() })?;
    let [rule] = own;
    match prove(host, &subject, &rule, files) {
        Ok(()) => Ok(ExitCode::Ok),
        Err(Error::NotWorking { why, .. }) => {
            // Without the line, the proof on the machine has the result.
            drop(writeln!(std::io::stderr().lock(), "{NOT_WORKING}{}", why.replace('\n', ", ")));
            Ok(ExitCode::Failed)
        }
        Err(error) => Err(Error::Unsupported { what: error.to_string(), hint: String::new() }),
    }
}

fn prove(host: &Host, subject: &Subject, rule: &Rule, files: &[PathBuf]) -> Result<()> {
    match subject {
        Subject::System(arch) => {
            let emulator = InstalledEmulator::open(&own_rule::interpreter_path(rule))?.version;
            let name = text_of_bytes(rule.name.as_bytes());
            verify::verify_entry(host, arch, &name, Some(&emulator), rule.flags.preserve_argv0)
        }
        Subject::Rule(name) => {
            verify::verify_rule(name, rule)?;
            files.iter().try_for_each(|file| verify::verify_file(host, rule, file))
        }
    }
}
