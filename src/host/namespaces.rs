//! User and mount namespaces of this process. In them a process without privilege becomes root, with power over its own
//! mounts only.

use std::fs::OpenOptions;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use nix::sched::{CloneFlags, unshare};

use super::{Host, INTERNAL};
use crate::error::{Error, Result};
use crate::sanitize::AsText as _;

/// Failure of one step of making a namespace.
#[derive(Debug)]
pub struct NamespaceError {
    /// Step that failed, as a verb with its object: "make a user namespace"
    pub step: &'static str,
    /// Error of the kernel
    pub source: io::Error,
}

/// One line of a uid_map or gid_map (user_namespaces(7)): first id inside, first id outside, number of ids.
pub type IdRange = (u32, u32, u32);

/// Whether this process is in another user namespace than the initial one, which maps every id to itself
/// (user_namespaces(7)).
pub fn is_in_user_namespace() -> bool {
    let map = Host::live().read_lossy(Path::new("/proc/self/uid_map")).unwrap_or_default();
    !map.split_whitespace().eq(["0", "0", "4294967295"])
}

/// Whether root of this namespace is an ordinary user outside, alone, as in the namespaces of `run --map-root` and of
/// rootless containers. Then this process has no more rights than that user.
pub fn is_root_an_ordinary_user() -> bool {
    let map = Host::live().read_lossy(Path::new("/proc/self/uid_map")).unwrap_or_default();
    let is_alone = |line: &str| match line.split_whitespace().collect::<Vec<_>>().as_slice() {
        ["0", outside, "1"] => *outside != "0",
        _ => false,
    };
    map.lines().any(is_alone)
}

/// Moves this process into a new user and mount namespace. It has no ids there until they are mapped.
///
/// The kernel refuses this to a process with a second thread (EINVAL).
pub fn unshare_users_and_mounts() -> std::result::Result<(), NamespaceError> {
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS).map_err(step_failed("make a user namespace"))
}

/// Moves this process into a new user namespace below the present one. There it can have the caller's uid again, while
/// it keeps the mounts and the binfmt_misc table of the present one.
pub fn unshare_users() -> std::result::Result<(), NamespaceError> {
    unshare(CloneFlags::CLONE_NEWUSER).map_err(step_failed("make a second user namespace"))
}

/// Maps ids of this process's new user namespace. Without privilege outside, one uid and one gid can be mapped, the
/// caller's own, and the gid only after setgroups(2) was disabled.
pub fn map_own_ids(
    uids: &[IdRange],
    gids: &[IdRange],
    give_up_setgroups: bool,
) -> std::result::Result<(), NamespaceError> {
    let map = |ranges: &[IdRange]| {
        let lines = ranges.iter().map(|(inside, outside, count)| format!("{inside} {outside} {count}\n"));
        lines.collect::<String>()
    };
    if give_up_setgroups {
        write_own_proc_file("setgroups", "deny").map_err(step_failed("give up setgroups"))?;
    }
    write_own_proc_file("uid_map", &map(uids)).map_err(step_failed("map the user id"))?;
    write_own_proc_file("gid_map", &map(gids)).map_err(step_failed("map the group id"))
}

/// Returns the ids that this process's user namespace has, as they are seen from inside, so that a namespace below it
/// can have the same ids.
pub fn own_id_ranges(map: &str) -> Vec<IdRange> {
    let text = Host::live().read_lossy(&Path::new("/proc/self").join(map)).unwrap_or_default();
    let range = |line: &str| {
        let mut numbers = line.split_whitespace().map(str::parse);
        let (inside, _, count) = (numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next()?.ok()?);
        Some((inside, inside, count))
    };
    text.lines().filter_map(range).collect()
}

fn write_own_proc_file(name: &str, text: &str) -> io::Result<()> {
    let path = Path::new("/proc/self").join(name);
    let mut file = OpenOptions::new().write(true).open(&path)?;
    super::kernel_files::write_once(&mut file, text.as_bytes(), &path)
}

/// A helper process that stays outside of the new namespace, where it may map ids.
#[derive(Debug)]
pub struct IdMapper {
    child: Child,
    start_signal: ChildStdin,
}

/// Starts this program as the internal command `command`, which calls [`map_ids_of`]: it maps these ids for this
/// process, by itself or by `programs`, the paths of newuidmap(1) and newgidmap(1).
pub fn start_mapper(
    command: &str,
    programs: Option<[&Path; 2]>,
    uids: &[IdRange],
    gids: &[IdRange],
) -> Result<IdMapper> {
    let ranges =
        |ranges: &[IdRange]| ranges.iter().map(|(a, b, n)| format!("{a} {b} {n}")).collect::<Vec<_>>().join(" ");
    let mut mapper = Command::new("/proc/self/exe");
    mapper.env_clear().args([INTERNAL, command]).arg(std::process::id().to_string()).args([ranges(uids), ranges(gids)]);
    mapper.args(programs.into_iter().flatten());
    let started = mapper.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    let failed = |e| Error::io("start", &super::env::own_path(), e);
    let mut child = started.map_err(failed)?;
    let start_signal = child.stdin.take().ok_or_else(|| failed(io::ErrorKind::BrokenPipe.into()))?;
    Ok(IdMapper { child, start_signal })
}

/// Maps ids for the process `pid`. Runs in the helper process: waits on standard input until that process is in its new
/// namespace, then maps the ids, by `programs` if they are given.
pub fn map_ids_of(pid: u32, uids: &str, gids: &str, programs: &[PathBuf]) -> io::Result<()> {
    // Standard input ends without a byte if the other process ended instead.
    if io::stdin().read(&mut [0])? == 0 {
        return Ok(());
    }
    let maps = [("uid_map", uids, programs.first()), ("gid_map", gids, programs.get(1))];
    for (map, ranges, program) in maps {
        let ranges: Vec<&str> = ranges.split(' ').collect();
        if let Some(program) = program {
            let done = Command::new(program).arg(pid.to_string()).args(&ranges).env_clear().status()?;
            if !done.success() {
                return Err(io::Error::other(format!("{} ended with {done}", program.as_text())));
            }
        } else {
            let path = Path::new("/proc").join(pid.to_string()).join(map);
            let mut file = OpenOptions::new().write(true).open(&path)?;
            let lines: String = ranges.chunks(3).map(|range| range.join(" ") + "\n").collect();
            super::kernel_files::write_once(&mut file, lines.as_bytes(), &path)?;
        }
    }
    Ok(())
}

impl IdMapper {
    /// Lets the helper map the ids, now that this process is in its new namespace.
    pub fn map_ids(self) -> Result<()> {
        let Self { child, mut start_signal } = self;
        let done = start_signal.write_all(b"\n").and_then(|()| {
            drop(start_signal);
            child.wait_with_output()
        });
        let done = done.map_err(|e| Error::io("map ids by", Path::new("/proc/self/exe"), e))?;
        if done.status.success() {
            return Ok(());
        }
        let why = String::from_utf8_lossy(&done.stderr);
        let why = why.trim().trim_start_matches("error: ");
        Err(Error::Unsupported {
            what: format!("the ids of the new user namespace could not be mapped: {why}"),
            hint: "see /etc/subuid and /etc/subgid, and whether newuidmap is setuid root or has its capability".into(),
        })
    }
}

fn step_failed<E: Into<io::Error>>(step: &'static str) -> impl FnOnce(E) -> NamespaceError {
    move |e| NamespaceError { step, source: e.into() }
}
