//! The user that Nix runs as when this tool builds, and the programs of Nix that this user runs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::binfmt::userns::run_table::RunTable;
use crate::host::user_rights::{User, calling_user};
use crate::host::{self, Host, ProcessOutput, run_as_user};
use crate::nix::program::NoNixError;
use crate::nix::{env, program};
use crate::sanitize::AsText as _;

/// The socket of the nix-daemon (nix-daemon(8)).
const DAEMON_SOCKET: &str = "/nix/var/nix/daemon-socket/socket";
const STORE: &str = "/nix/store";

/// The user that Nix runs as, and how that user reaches the store.
#[derive(Debug)]
pub struct BuildUser {
    /// The user to change to; `None` if Nix runs as the user of this process.
    user: Option<User>,
    /// The name of the user.
    pub name: String,
    /// The `nix` of this user. Its other programs are beside it.
    nix: PathBuf,
    /// Whether the builds go through the nix-daemon.
    pub through_daemon: bool,
}

/// The error of a Nix command that could not be run.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", program.as_text())]
pub struct NixCommandError {
    program: PathBuf,
    /// The error of the system. It is [`Interrupted`](std::io::ErrorKind::Interrupted) if a signal arrived.
    pub source: std::io::Error,
}

/// Returns the ordinary user who owns the store, and who alone can build without a daemon.
pub fn store_owner(host: &Host) -> Option<User> {
    User::owner_of_dir(host, Path::new(STORE))
}

impl BuildUser {
    /// Chooses the user: through a daemon, the one who called sudo(8), whose builds the result is about. Without a
    /// daemon only the owner of the store can build, and another user's files would damage it.
    ///
    /// # Errors
    /// There is no Nix that may be run as this user.
    pub fn choose(host: &Host) -> Result<Self, NoNixError> {
        let is_root = host::env::effective_ids().0 == 0;
        let is_in_run = RunTable::find(host).is_some();
        // Inside of `run`, root uses the store directly, and the builds are made inside.
        let is_direct = is_in_run && host::trust::is_process_of_machine_root();
        let through_daemon = !is_direct && host.is_listening(Path::new(DAEMON_SOCKET));
        let user = match through_daemon {
            _ if !is_root => None,
            true if is_in_run => None,
            true => calling_user(),
            false => store_owner(host),
        };
        let named = user.clone().unwrap_or_else(User::current);
        // Files in a user's home are started only as that user.
        let is_ordinary = user.is_some() || !is_root;
        let nix = if is_ordinary { program::find_nix_of_user(host, &named.home)? } else { program::find_nix(host)? };
        Ok(Self { user, name: named.name, nix, through_daemon })
    }

    /// Chooses a user who reaches the store without a daemon: root, or the owner of the store. `None` if the user of this
    /// process has to use the daemon. A daemon ignores restricted settings of users that it does not trust, 2.8 without a
    /// message, and does not pass on the exit status of a build.
    ///
    /// # Errors
    /// There is no Nix that may be run as this user.
    pub fn choose_direct(host: &Host) -> Result<Option<Self>, NoNixError> {
        let chosen = Self::choose(host)?;
        match (chosen.through_daemon, host::env::effective_ids().0) {
            (false, _) => Ok(Some(chosen)),
            (true, 0) => {
                let (user, nix) = (None, program::find_nix(host)?);
                Ok(Some(Self { user, name: User::current().name, nix, through_daemon: false }))
            }
            (true, _) => Ok(None),
        }
    }

    /// Runs a program of Nix, such as `nix-store`, as this user. Ends it after two minutes.
    pub fn run(&self, host: &Host, program: &str, args: &[&str]) -> Result<ProcessOutput, NixCommandError> {
        self.run_within(host, program, args, run_as_user::SHORT)
    }

    /// Runs a program of Nix that builds something of the user, as this user.
    pub fn build(&self, host: &Host, program: &str, args: &[&str]) -> Result<ProcessOutput, NixCommandError> {
        self.run_within(host, program, args, run_as_user::LONG)
    }

    fn run_within(
        &self,
        host: &Host,
        program: &str,
        args: &[&str],
        timeout: Duration,
    ) -> Result<ProcessOutput, NixCommandError> {
        let program = self.nix.with_file_name(program);
        // Nix uses the daemon by itself only if it cannot write to the store (Nix 2.36, `store-open.cc`).
        let is_direct = self.user.is_none() && host::env::effective_ids().0 == 0;
        let store: &[&str] = if self.through_daemon && is_direct { &["--option", "store", "daemon"] } else { &[] };
        let config = env::config_for_root_in_run(host);
        let args = [args, store].concat();
        let output = run_as_user::run_for_caller(host, self.user.as_ref(), config.as_deref(), &program, &args, timeout)
            .map_err(|source| NixCommandError { program, source })?;
        // Nix colours some of its errors even if the output is not a terminal.
        let plain = |text: &str| anstream::adapter::strip_str(text).to_string();
        Ok(ProcessOutput { stdout: plain(&output.stdout), stderr: plain(&output.stderr), ..output })
    }
}
