//! Before and after an entry: that it cannot brick the machine, and that it works.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use binfmt_magic::{Arch, Rule};

use crate::binfmt::probe;
use crate::binfmt::probe::{PROBE_ARGV0, ProbeResult};
use crate::error::{Error, Result};
use crate::host::{self, FileId, Host, INTERNAL, StoppedChild, TEMP_PREFIX};
use crate::paths;
use crate::sha256::Sha256;

/// The `internal` subcommand that enters a chroot and becomes the probe.
pub const EXEC_IN_CHROOT: &str = "chroot-exec";

/// Evaluates the rule, as the kernel will, against the interpreter and against
/// what this machine runs by itself: a match would make the kernel start the
/// interpreter to start the interpreter (ELOOP), for every program.
pub(super) fn check_rule_is_safe(rule: &Rule, interpreter_head: &[u8]) -> Result<()> {
    let name = String::from_utf8_lossy(rule.name.as_bytes()).into_owned();
    let bricking = |what: &str| Error::RuleBreaksHost { name: name.clone(), what: what.to_owned() };
    if rule.matches(interpreter_head) {
        return Err(bricking("the interpreter itself"));
    }
    let natives = [("/proc/self/exe", "this very program"), ("/bin/sh", "/bin/sh"), ("/sbin/init", "/sbin/init")];
    for (path, what) in natives {
        let head = host::user_files::read_path_head(Path::new(path), binfmt_magic::WINDOW as u64);
        if head.is_ok_and(|head| rule.matches(&head)) {
            return Err(bricking(what));
        }
    }
    Ok(())
}

/// Runs a program of `arch` in an empty chroot. Whatever fails, the caller takes the entry out again.
///
/// The helper that enters the chroot is this program, so that a native program
/// is executed too; the process that started it stays as it is, and can remove
/// the entry even if nothing can be executed any more.
pub(super) fn verify_entry(
    host: &Host,
    arch: &'static Arch,
    name: &str,
    emulator: Option<(FileId, Sha256)>,
    keeps_argv0: bool,
) -> Result<()> {
    let broken = |why: String| Error::NotWorking { name: name.to_owned(), why };
    let probe = arch.probe().ok_or_else(|| broken("there is no probe for it".into()))?;
    let dir = make_probe_root(host, probe)?;
    let result = verify_probe_run(&host.real_path(&dir), emulator, keeps_argv0);
    host.remove_tree(&dir);
    result.map_err(|e| broken(e.to_string()))
}

/// A new directory with nothing but the probe, below a directory of ours: /tmp
/// may be mounted noexec.
fn make_probe_root(host: &Host, probe: &[u8]) -> Result<PathBuf> {
    let parents = [paths::EMULATOR_DIR, paths::RECEIPT_DIR].map(Path::new);
    let parent = parents.iter().find(|parent| host.exists(parent)).unwrap_or(&parents[0]);
    let dir = parent.join(format!("{TEMP_PREFIX}probe-{}", std::process::id()));
    host.make_dir(&dir)?;
    let placed = host.stage_file(&dir).and_then(|mut staged| {
        let path = dir.join("probe");
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

/// Why a new entry does not work.
#[derive(Debug, thiserror::Error)]
enum ProbeError {
    /// This program cannot be started again.
    #[error("a native program cannot be started any more: {0}")]
    Native(io::Error),
    /// The kernel does not start the probe.
    #[error("the probe cannot be started: {0}")]
    Refused(io::Error),
    /// The probe ended, or could not be tried.
    #[error("{0}")]
    Ended(String),
    /// The emulator gives another name to the program.
    #[error("the probe was given argv[0] {0:?} instead of {PROBE_ARGV0:?}")]
    Argv0(String),
    /// Another emulator runs.
    #[error("the kernel runs the probe with another file than the one that was verified")]
    OtherFile,
    /// The process cannot be looked at.
    #[error("the probe cannot be watched: {0}")]
    Watch(#[from] io::Error),
}

/// Starts the probe, and compares what it is run by with what was verified.
fn verify_probe_run(
    room: &Path,
    emulator: Option<(FileId, Sha256)>,
    keeps_argv0: bool,
) -> std::result::Result<(), ProbeError> {
    let words = [
        OsStr::new(INTERNAL),
        OsStr::new(EXEC_IN_CHROOT),
        room.as_os_str(),
        OsStr::new("/probe"),
        OsStr::new(PROBE_ARGV0),
    ];
    let started = StoppedChild::spawn(Path::new("/proc/self/exe"), &words, None);
    let child = started.map_err(ProbeError::Native)?;
    let output = match probe::finish_probe(child)? {
        ProbeResult::Ran(output) => output,
        ProbeResult::Refused(e) => return Err(ProbeError::Refused(e)),
        ProbeResult::Failed(why) | ProbeResult::NotRun(why) => return Err(ProbeError::Ended(why)),
    };
    if keeps_argv0 && !output.has_original_argv0() {
        return Err(ProbeError::Argv0(output.argv0));
    }
    let verified = match (output.program, emulator) {
        (Some(mut running), Some((expected, sha256))) => {
            let inode = FileId::from_metadata(&running.metadata()?);
            inode == expected && Sha256::of_reader(&mut running)? == sha256
        }
        // Somebody else's entry: there is nothing to compare with.
        (_, None) => true,
        (None, Some(_)) => false,
    };
    if verified { Ok(()) } else { Err(ProbeError::OtherFile) }
}
