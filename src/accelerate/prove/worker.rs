//! The worker of a proof: enters the root directory, gives up its rights, and runs the cases.

use std::io::{self, Write as _};
use std::path::Path;

use super::cases::Bench;
use super::{Job, PairRefusal, ProofMessage};
use crate::error::{Error, ExitCode, Result};
use crate::host::composed_root::{RootPlan, mount_composed_root};
use crate::host::unprivileged::OwnProgram;
use crate::host::{self, isolation, parallel, process};
use crate::sandbox::frame;
use crate::sandbox::session::read_job;

/// Name of the internal command.
pub const PROVE_COMMAND: &str = "prove";
/// First stage: makes the root directory and the namespaces.
pub(super) const ENTER: &str = "enter";
/// Second stage: the first process of the new PID namespace.
const RUN: &str = "run";

/// Path of the emulator in the root directory.
pub(super) const EMULATOR: &str = "/.binfmt-nix/emulator";
/// Directory of the cases in the root directory.
pub(super) const WORK_DIR: &str = "/.binfmt-nix/work";
/// Size of the directory of the cases, and of /tmp, in megabytes.
const WORK_SIZE: u32 = 1024;

/// Runs the internal command.
///
/// # Errors
/// The kernel refuses a namespace or a mount, or the job cannot be read.
pub fn run_worker(stage: &str, root: &Path) -> Result<ExitCode> {
    match stage {
        ENTER => enter(),
        RUN => run(root),
        _ => Err(Error::Usage(format!("unknown stage {stage:?} for internal {PROVE_COMMAND}"))),
    }
}

fn enter() -> Result<ExitCode> {
    isolation::die_with_parent().map_err(|e| step_error("arrange for this process to end with its parent", &e))?;
    let job: Job = read_job()?;
    process::rewind_stdin().map_err(|e| step_error("read its job again", &e))?;
    let program = OwnProgram::open().map_err(|e| step_error("open its own program", &e))?;
    isolation::unshare_mounts().map_err(|e| step_error(e.step, &e.source))?;
    let work_dir = Path::new(WORK_DIR.trim_start_matches('/'));
    let plan = RootPlan { tree: &job.tree, parts: &job.parts, copies: &job.copies, work_dir: (work_dir, WORK_SIZE) };
    let root = mount_composed_root(&plan).map_err(|e| step_error("show the guest's files", &e))?;
    isolation::unshare_sandbox().map_err(|e| step_error(e.step, &e.source))?;
    let root = root.to_string_lossy();
    let status = isolation::respawn_as_init(&program, &[PROVE_COMMAND, RUN, &root]);
    let status = status.map_err(|e| step_error("start itself in a new PID namespace", &e))?;
    if status.success() {
        Ok(ExitCode::Ok)
    } else {
        Err(step_error("run the cases", &io::Error::other(status.to_string())))
    }
}

fn run(root: &Path) -> Result<ExitCode> {
    isolation::die_with_parent().map_err(|e| step_error("arrange for this process to end with its parent", &e))?;
    let job: Job = read_job()?;
    // In a user namespace, root is an ordinary user already. Afterwards, /proc cannot be read.
    let changes_user = host::unprivileged::is_available();
    isolation::enter_chroot(root).map_err(|e| step_error("enter the guest's root directory", &e))?;
    if changes_user {
        host::unprivileged::become_nobody().map_err(|e| step_error("become another user", &e.into()))?;
    }
    process::forbid_core_dumps().map_err(|e| step_error("forbid core dumps", &e))?;
    prove_all(&job).map_err(|e| step_error("report", &e))?;
    Ok(ExitCode::Ok)
}

fn step_error(what: &str, source: &io::Error) -> Error {
    Error::Unsupported { what: format!("cannot {what}: {source}"), hint: String::new() }
}

fn send(message: &ProofMessage) -> io::Result<()> {
    let mut bytes = Vec::new();
    frame::write_message(&mut bytes, message)?;
    // One write, so that messages of several threads are not mixed.
    let mut out = io::stdout().lock();
    out.write_all(&bytes)?;
    out.flush()
}

fn prove_all(job: &Job) -> io::Result<()> {
    let bench = Bench::new(job);
    let tasks = bench.tasks();
    let all = u32::try_from(tasks.len()).unwrap_or(u32::MAX);
    let done = std::sync::Mutex::new(0_u32);
    let results = parallel::map(tasks, |task| {
        bench.run(&task);
        // In the order of the numbers.
        let mut done = done.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *done = done.saturating_add(1);
        send(&ProofMessage::Progress(*done, all))
    });
    results.into_iter().collect::<io::Result<Vec<()>>>()?;
    for (pair, result) in bench.into_results().into_iter().enumerate() {
        let (runs, bytes) = (result.runs, result.bytes);
        let message = match result.refusal {
            Some(refusal) => ProofMessage::Refused { pair, refusal },
            None if runs == 0 => {
                ProofMessage::Refused { pair, refusal: PairRefusal::new("", "no case of the corpus runs it") }
            }
            None => {
                ProofMessage::Proven { pair, runs, bytes, arguments: result.arguments, environment: result.environment }
            }
        };
        send(&message)?;
    }
    send(&ProofMessage::Done)
}
