//! Running programs for the user who called sudo(8): root changes a child process to that user first.

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::time::Duration;

use nix::unistd::{Gid, Uid};

use super::process::{ProcessOutput, clean_command, run_until};
use super::user_rights::User;
use super::{Host, INTERNAL, env, namespaces};

/// Time that a program of Nix may take unless it builds for the user.
pub const SHORT: Duration = Duration::from_secs(120);
/// Time that a build for the user may take.
pub const LONG: Duration = Duration::from_secs(30 * 24 * 3600);

/// Runs a program of Nix for the calling user. Ends it after `timeout`, or when a caught signal arrives: then the error is
/// [`io::ErrorKind::Interrupted`].
///
/// The caller's settings of Nix can make Nix execute any code (`plugin-files` in nix.conf(5)). The variables that have
/// them, or lead to them, are kept only for a process that has the caller's own rights: that of an ordinary user, of
/// root in that user's namespace, or, in a process that sudo(8) started as root, a process that changes to `user` first.
/// Root's own processes get no variable of the caller; `config` is their value of `NIX_CONFIG`, if they have one.
pub fn run_for_caller(
    host: &Host,
    user: Option<&User>,
    config: Option<&str>,
    program: &Path,
    args: &[&str],
    timeout: Duration,
) -> io::Result<ProcessOutput> {
    let is_cancelled = || host.pending_signal().is_some();
    let kept = |names: &[&'static str]| {
        let values = names.iter().filter_map(|name| Some((*name, env::var(name)?)));
        values.collect::<Vec<_>>()
    };
    let settings = ["NIX_CONFIG", "NIX_REMOTE", "NIX_USER_CONF_FILES", "XDG_CONFIG_HOME", "XDG_CONFIG_DIRS"];
    if let Some(user) = user {
        let mut command = clean_command(Path::new("/proc/self/exe"));
        command.args([INTERNAL, EXEC_AS_USER]).args(user.id_arguments()).arg(program).args(args);
        command.env("HOME", &user.home).envs(kept(&settings));
        return run_until(&mut command, timeout, &is_cancelled);
    }
    let mut command = clean_command(program);
    command.args(args);
    if env::effective_ids().0 != 0 {
        command.envs(kept(&[&settings[..], &["HOME"]].concat()));
    } else if namespaces::is_root_an_ordinary_user() {
        command.envs(kept(&settings));
    } else {
        command.envs(config.map(|config| ("NIX_CONFIG", config)));
    }
    run_until(&mut command, timeout, &is_cancelled)
}

/// Internal command that calls [`exec_as_user`].
pub const EXEC_AS_USER: &str = "exec-as-user";

/// Changes this process to a user, and replaces it by `program`. Returns only if that fails.
pub fn exec_as_user(uid: u32, gid: u32, groups: &str, program: &Path, args: &[OsString]) -> io::Error {
    let groups: Result<Vec<u32>, _> = groups.split(',').map(str::parse).collect();
    let groups = groups.map_err(|_| io::ErrorKind::InvalidInput.into());
    match groups.and_then(|groups| become_user(uid, gid, &groups)) {
        Ok(()) => super::exec::exec_program(program, args),
        Err(e) => e,
    }
}

/// Changes this process to a user for ever.
fn become_user(uid: u32, gid: u32, groups: &[u32]) -> io::Result<()> {
    let groups: Vec<_> = groups.iter().copied().map(Gid::from_raw).collect();
    nix::unistd::setgroups(&groups)?;
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    nix::unistd::setresgid(gid, gid, gid)?;
    Ok(nix::unistd::setresuid(uid, uid, uid)?)
}
