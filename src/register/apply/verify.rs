//! Verification of entries: before registration, that a rule cannot brick the machine; after it, that the entry works.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use binfmt_magic::{Arch, Rule, WINDOW};

use crate::binfmt::access;
use crate::binfmt::harm::NativePrograms;
use crate::binfmt::probe;
use crate::binfmt::probe::isolated::PROBE_PATH;
use crate::binfmt::probe::{PROBE_ARGV0, ProbeResult};
use crate::binfmt::selinux::{ExecmemDenied, Selinux};
use crate::binfmt::table;
use crate::error::{Error, Result};
use crate::host::{self, Host, INTERNAL, StoppedChild};
use crate::paths;
use crate::qemu::binary;
use crate::register::apply::emulator::{FileVersion, InstalledEmulator};
use crate::register::emulated::EmulatedSystem;
use crate::register::own_rule;
use crate::register::subject::Subject;
use crate::sanitize::{AsText as _, text_of_bytes};

/// Name of the `internal` subcommand that enters a chroot and executes the probe.
pub const EXEC_IN_CHROOT: &str = "chroot-exec";

/// Evaluates the rule, as the kernel does, against the interpreter and against native programs of this machine. A match
/// would make the kernel start the interpreter to start the interpreter (ELOOP), for every program.
pub(super) fn check_rule_is_safe(rule: &Rule, interpreter_head: &[u8]) -> Result<()> {
    let name = text_of_bytes(rule.name.as_bytes());
    let breaks_host = |what: &str| Error::RuleBreaksHost { name: name.clone(), what: what.to_owned() };
    if rule.matches_file(&rule.interpreter, interpreter_head) {
        return Err(breaks_host("the interpreter itself"));
    }
    let machine = host::env::kernel_release().0;
    NativePrograms::read(&machine).taken_by(rule).map_or(Ok(()), |what| Err(breaks_host(what)))
}

/// Checks that programs of this machine still run with an own rule, and runs the probe of its system if it has one, which
/// is returned.
pub(super) fn verify_rule(name: &str, rule: &Rule) -> Result<Option<EmulatedSystem>> {
    verify_native(rule)?;
    let system = EmulatedSystem::of_rule(name);
    system.map_or(Ok(()), |system| verify_other(system, rule)).map(|()| system)
}

/// Runs the probe of a system through the entry of its rule, if only root can change the interpreter.
pub fn verify_again(system: EmulatedSystem, rule: &Rule) -> Result<()> {
    InstalledEmulator::open(&own_rule::interpreter_path(rule))?;
    verify_other(system, rule)
}

/// Starts a program of this machine, which no rule may take.
fn verify_native(rule: &Rule) -> Result<()> {
    let not_working = |e: io::Error| Error::NotWorking {
        name: text_of_bytes(rule.name.as_bytes()),
        why: ProbeError::Native(e).to_string(),
    };
    let child = StoppedChild::spawn(Path::new("/proc/self/exe"), &[OsStr::new("--version")], None);
    let (status, ..) = child.and_then(StoppedChild::finish).map_err(not_working)?;
    if status.success() { Ok(()) } else { Err(not_working(io::Error::other(status.to_string()))) }
}

/// Starts a file that the user named, through the entry of an own rule: as the user `nobody`, without arguments, and with a
/// time limit. Its exit status has to be 0.
pub(super) fn verify_file(host: &Host, rule: &Rule, file: &Path) -> Result<()> {
    let name = text_of_bytes(rule.name.as_bytes());
    let not_working = |why: String| Error::NotWorking { name: name.clone(), why };
    let head = host::user_files::read_path_head(file, WINDOW as u64).map_err(|e| Error::io("read", file, e))?;
    let table = table::read_table(host)?;
    let taker = table.matching_entry_for_path(file.as_os_str().as_bytes(), &head).map(table::entry_name);
    if taker.as_ref() != Some(&name) {
        let taker = taker.unwrap_or_else(|| "no entry".into());
        return Err(not_working(format!("the kernel uses {taker} for {}", file.as_text())));
    }
    let path = file.as_text();
    let child = StoppedChild::spawn_as_nobody(file, &[], None);
    let ended = child.and_then(StoppedChild::finish).map_err(|e| not_working(format!("{path} cannot be run: {e}")))?;
    let (status, _, complaints) = ended;
    let last = complaints.trim().lines().last().map(|line| format!(": {line}")).unwrap_or_default();
    if status.success() { Ok(()) } else { Err(not_working(format!("{path} ended with {status}{last}"))) }
}

/// Variables that name a new directory to Wine: its files, and that the files of Windows are not made, which takes long
/// (`is_prefix_bootstrap`, Wine's `dlls/ntdll/unix/loader.c`; seen with 8.0).
const HOME_VARIABLES: [&str; 2] = ["WINEPREFIX", "WINEBOOTSTRAPMODE"];

/// Runs the probe of a system that another emulator than QEMU runs, through its new entry. A probe of Linux prints the name
/// with which it was started.
fn verify_other(system: EmulatedSystem, rule: &Rule) -> Result<()> {
    let not_working = |why: String| Error::NotWorking { name: system.rule_name(), why };
    let (probe, expected) = system.probe();
    let ended = host::isolation::run_alone(probe, &own_rule::interpreter_path(rule), &HOME_VARIABLES);
    let ended = ended.map_err(|e| not_working(format!("the probe cannot be run: {e}")))?;
    let prints = matches!(system, EmulatedSystem::Linux(..));
    if ended.status.code() == Some(expected) && (!prints || ended.stdout.contains(PROBE_PATH)) {
        return Ok(());
    }
    let hint = if system.system() == "i686-windows" { "; a Wine without support of 32 bits cannot run it" } else { "" };
    // wasmedge reports errors on standard output.
    let texts = [&ended.stdout, &ended.stderr];
    let last = texts.iter().filter_map(|text| text.trim().lines().last()).next_back();
    let last = last.map(|line| format!(" ({line})")).unwrap_or_default();
    Err(not_working(format!("the probe ended with {}{last}{hint}", ended.status)))
}

/// Registers a rule whose emulator was verified and proven earlier.
pub fn restore_entry(host: &Host, subject: &Subject, emulator: &Path, rule: &Rule) -> Result<()> {
    access::check_writable(host)?;
    let file = match subject {
        Subject::System(_) => host.open_trusted(emulator)?,
        Subject::Rule(_) => Host::live().open_trusted_through_links(&own_rule::interpreter_path(rule))?,
    };
    let head = host::user_files::read_head(&file, binary::HEAD_SIZE)
        .map_err(|e| Error::io("read", &host.real_path(emulator), e))?;
    check_rule_is_safe(rule, &head)?;
    table::add_entry(host, rule)
}

/// Runs a program of `arch` in an empty chroot. After any error the caller removes the entry.
///
/// The helper that enters the chroot is this program, so a native program is executed too. The calling process executes
/// nothing itself, so it can remove the entry even if no program can be executed any more.
pub(super) fn verify_entry(
    host: &Host,
    arch: &'static Arch,
    name: &str,
    emulator: Option<&FileVersion>,
    keeps_argv0: bool,
) -> Result<()> {
    let not_working = |why: String| Error::NotWorking { name: name.to_owned(), why };
    let probe = arch.probe().ok_or_else(|| not_working("binfmt-nix has no probe for this system".into()))?;
    let dir = make_probe_root(host, probe)?;
    let result = verify_probe_run(&host.real_path(&dir), emulator, keeps_argv0);
    host.remove_tree(&dir);
    result.map_err(|e| match (&e, ExecmemDenied::for_entry(name, &Selinux::read(host))) {
        (ProbeError::Jit(_), Some(denied)) => Error::other(denied),
        _ => not_working(e.to_string()),
    })
}

/// Creates a directory that contains only the probe. It is below one of this tool's directories, because /tmp may be
/// mounted noexec.
fn make_probe_root(host: &Host, probe: &[u8]) -> Result<PathBuf> {
    let parents = [paths::EMULATOR_DIR, paths::RECEIPT_DIR].map(Path::new);
    let parent = parents.iter().find(|parent| host.exists(parent)).unwrap_or(&parents[0]);
    let dir = host.make_temp_dir(parent)?;
    let placed = host.stage_file(&dir).and_then(|mut staged| {
        let path = dir.join(paths::PROBE_NAME);
        let filled = io::Write::write_all(staged.file(), probe).and_then(|()| staged.into_program());
        let ready = filled.map_err(|e| Error::io("write", &host.real_path(&path), e))?;
        host.place_program(ready, &path)
    });
    match placed {
        Ok(()) => Ok(dir),
        Err(error) => {
            host.remove_tree(&dir);
            Err(error)
        }
    }
}

/// Reason why an entry does not work.
#[derive(Debug, thiserror::Error)]
enum ProbeError {
    /// This program could not be started as a native program.
    #[error("a native program cannot be started any more: {0}")]
    Native(io::Error),
    /// The kernel refused to execute the probe.
    #[error("the probe cannot be started: {0}")]
    Refused(io::Error),
    /// The probe failed, or could not be run.
    #[error("{0}")]
    Ended(String),
    /// The emulator may not make its code executable.
    #[error("the emulator ended: {0}")]
    Jit(String),
    /// The emulator passed another argv[0] to the program.
    #[error("the probe received argv[0] {0:?} instead of {PROBE_ARGV0:?}")]
    Argv0(String),
    /// The kernel started another file than the verified emulator.
    #[error("the kernel runs the probe with a file other than the verified emulator")]
    OtherFile,
    /// The process of the probe cannot be inspected.
    #[error("the probe cannot be observed: {0}")]
    Watch(#[from] io::Error),
}

/// Starts the probe, and compares the file that the kernel runs it with to the verified emulator.
fn verify_probe_run(
    root: &Path,
    emulator: Option<&FileVersion>,
    keeps_argv0: bool,
) -> std::result::Result<(), ProbeError> {
    let args = [
        OsStr::new(INTERNAL),
        OsStr::new(EXEC_IN_CHROOT),
        root.as_os_str(),
        OsStr::new(PROBE_PATH),
        OsStr::new(PROBE_ARGV0),
    ];
    // The emulator of another tool's entry was not verified, and another user may control it.
    let as_nobody = [OsStr::new("--as-nobody")];
    let args = if emulator.is_some() { args.to_vec() } else { [&args[..], &as_nobody].concat() };
    let started = StoppedChild::spawn(Path::new("/proc/self/exe"), &args, None);
    let child = started.map_err(ProbeError::Native)?;
    let output = match probe::finish_probe(child, Path::new(PROBE_PATH))? {
        ProbeResult::Ran(output) => output,
        ProbeResult::Refused(e) => return Err(ProbeError::Refused(e)),
        ProbeResult::JitRefused(why) => return Err(ProbeError::Jit(why)),
        ProbeResult::Failed(why) | ProbeResult::NotRun(why) => return Err(ProbeError::Ended(why)),
    };
    if keeps_argv0 && !output.has_original_argv0() {
        return Err(ProbeError::Argv0(output.argv0));
    }
    let verified = match (output.program, emulator) {
        (Some(running), Some(expected)) => FileVersion::from_metadata(&running.file.metadata()?) == *expected,
        // The emulator of another tool's entry was not verified, so it is not compared.
        (_, None) => true,
        (None, Some(_)) => false,
    };
    if verified { Ok(()) } else { Err(ProbeError::OtherFile) }
}
