//! The nix-daemon: finds its process, and restarts it, because it reads its settings only when it starts.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::host::{Host, procfs};
use crate::sanitize::{AsText as _, command, shell_quote};

/// The result of a restart of the daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DaemonRestart {
    /// No daemon runs: the next one reads the new settings.
    NotRunning,
    /// The daemon was restarted with this command.
    Done(String),
    /// The daemon runs and has to be restarted manually, for this reason.
    ByHand {
        /// The process of the daemon; `None` if it was not found.
        daemon: Option<OutdatedDaemon>,
        /// The reason.
        why: String,
    },
}

/// A daemon that was not restarted after a change of its settings. Every user can see whether it still runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct OutdatedDaemon {
    /// The process id.
    pub pid: u32,
    /// The start of the process, in clock ticks after the boot.
    started: u64,
    /// The id of the boot.
    boot: String,
    /// The command that restarts the daemon, as root.
    pub restart: String,
}

impl OutdatedDaemon {
    fn identify(host: &Host, pid: u32) -> Option<Self> {
        let started = procfs::start_ticks(pid)?;
        Some(Self { pid, started, boot: procfs::boot_id(), restart: restart_command(host, pid) })
    }

    /// Whether the process still runs, so that it was not restarted.
    pub fn is_running(&self) -> bool {
        procfs::start_ticks(self.pid) == Some(self.started) && procfs::boot_id() == self.boot
    }

    /// Returns what the user should know about the daemon, and the command.
    pub fn describe(&self) -> String {
        format!(
            "nix-daemon (process {}) reads its settings only when it starts, and was not restarted since they were \
             changed; to restart it: {}",
            self.pid,
            command::shell_line_as_root(&self.restart)
        )
    }
}

const SYSTEMCTL: &str = "/usr/bin/systemctl";
const UNIT: &str = "nix-daemon.service";
const RC_SERVICE: &str = "/sbin/rc-service";

/// Restarts a running nix-daemon through the machine's init system.
pub fn restart_daemon(host: &Host) -> DaemonRestart {
    if !host.is_live() {
        return DaemonRestart::NotRunning;
    }
    let running = find_daemon(host);
    let unit = find_unit(host);
    if matches!(unit, Ok(Some(_))) && !running.is_some_and(|pid| is_outside_unit(&unit, pid)) {
        return run_restart_command(host, SYSTEMCTL, &["restart", UNIT]);
    }
    let Some(pid) = running else { return DaemonRestart::NotRunning };
    if is_openrc_service(host) {
        return run_restart_command(host, RC_SERVICE, &["nix-daemon", "restart"]);
    }
    let daemon = OutdatedDaemon::identify(host, pid);
    let mut why = daemon.as_ref().map_or_else(|| "the nix-daemon was not restarted".into(), OutdatedDaemon::describe);
    if let Err(error) = unit {
        why = format!("{SYSTEMCTL} was not started: {error}; {why}");
    }
    DaemonRestart::ByHand { daemon, why }
}

/// Returns the command of root that restarts the daemon with this process id: the machine's init system or, for a
/// daemon that was started by hand or if another user can replace the program of the init system, the end of that process and its command line again.
pub fn restart_command(host: &Host, pid: u32) -> String {
    let unit = find_unit(host);
    if matches!(unit, Ok(Some(_))) && !is_outside_unit(&unit, pid) {
        format!("systemctl restart {UNIT}")
    } else if is_openrc_service(host) && host.open_trusted_through_links(Path::new(RC_SERVICE)).is_ok() {
        "rc-service nix-daemon restart".to_owned()
    } else {
        manual_restart_command(host, pid)
    }
}

fn is_openrc_service(host: &Host) -> bool {
    host.exists(Path::new("/run/openrc")) && host.exists(Path::new("/etc/init.d/nix-daemon"))
}

/// The active unit of the daemon.
#[derive(Debug)]
struct ActiveUnit {
    /// The main process, if systemd names one.
    main_pid: Option<u32>,
}

/// Finds the active unit of systemd that runs the daemon.
fn find_unit(host: &Host) -> Result<Option<ActiveUnit>> {
    if !host.exists(Path::new("/run/systemd/system")) {
        return Ok(None);
    }
    // `try-restart` does not start a stopped unit, but does not report whether it restarted one.
    let answer = host.run_trusted_program(SYSTEMCTL, &["is-active", "--quiet", UNIT])?;
    if !answer.status.success() {
        return Ok(None);
    }
    let shown = host.run_trusted_program(SYSTEMCTL, &["show", "--property=MainPID", "--value", UNIT])?;
    Ok(Some(ActiveUnit { main_pid: shown.stdout.trim().parse().ok().filter(|pid| *pid != 0) }))
}

/// Whether the process is certainly not that of the unit.
fn is_outside_unit(unit: &Result<Option<ActiveUnit>>, pid: u32) -> bool {
    matches!(unit, Ok(Some(ActiveUnit { main_pid: Some(main) })) if *main != pid)
}

/// Returns the command that ends a process and starts the same program with the same arguments.
fn manual_restart_command(host: &Host, pid: u32) -> String {
    let words = procfs::command_line(pid);
    let [name, args @ ..] = words.as_slice() else { return format!("kill {pid}") };
    let executable = procfs::open_executable(pid).map(|(_, path)| path.as_text()).unwrap_or_default();
    let executable = Path::new(executable.strip_suffix(" (deleted)").unwrap_or(&executable));
    // Nix chooses its function by the name: `nix-daemon` is a symbolic link to `nix`.
    let called = executable.with_file_name(name.rsplit('/').next().unwrap_or_default());
    let program = if Path::new(name).is_absolute() { Path::new(name) } else { &called };
    let command_of = |first: &str| {
        let words = std::iter::once(first).chain(args.iter().map(String::as_str));
        words.map(shell_quote).collect::<Vec<_>>().join(" ")
    };
    let start = if host.exists(program) {
        command_of(&program.as_text())
    } else {
        let run = format!("exec -a {} {}", shell_quote(name), command_of(&executable.as_text()));
        format!("bash -c {}", shell_quote(&run))
    };
    format!("kill {pid} && setsid -f {start} < /dev/null > /dev/null 2>&1")
}

fn run_restart_command(host: &Host, program: &str, args: &[&str]) -> DaemonRestart {
    let line = format!("{program} {}", args.join(" "));
    match host.run_trusted_program(program, args) {
        Ok(output) if output.status.success() => DaemonRestart::Done(line),
        Ok(output) => by_hand(host, &format!("{line} failed ({}): {}", output.status, output.stderr.trim())),
        // The line would not be safe for the user either.
        Err(Error::Untrusted(why)) => by_hand(host, &format!("{program} was not started: {why}")),
        Err(error) => by_hand(host, &format!("{line} failed: {error}")),
    }
}

fn by_hand(host: &Host, failure: &str) -> DaemonRestart {
    let daemon = find_daemon(host).and_then(|pid| OutdatedDaemon::identify(host, pid));
    let why = daemon.as_ref().map_or_else(|| "restart the nix-daemon".into(), OutdatedDaemon::describe);
    DaemonRestart::ByHand { daemon, why: format!("{failure}; {why}") }
}

/// Finds the process id of this machine's daemon, not that of a container. The oldest process is the daemon: the
/// processes that serve one client each are its children.
///
/// Any user can start a process with any name. So the daemon is a process of root, by all its uids, that executes a
/// file of Nix without a setuid bit: only root can have started that. Returns `None` to a caller who is not root and
/// so may not see which file another user's process executes (proc(5), `/proc/PID/exe`).
pub fn find_daemon(host: &Host) -> Option<u32> {
    let names = host.is_live().then(|| host.list_dir(Path::new("/proc")).ok())??;
    let pids = names.iter().filter_map(|name| name.to_str()?.parse::<u32>().ok());
    pids.filter(|pid| is_daemon(host, *pid)).min_by_key(|pid| (procfs::start_ticks(*pid), *pid))
}

fn is_daemon(host: &Host, pid: u32) -> bool {
    // The mount namespace is not compared: Nix may create one for itself (2.8 does, measured).
    let is_here = |kind: &str| {
        let [its_own, ours] = [pid.to_string().as_str(), "self"].map(|process| host.namespace_link(process, kind));
        its_own.is_some() && its_own == ours
    };
    // The command line is read last: it lies in the memory of the process (`get_mm_cmdline`, fs/proc/base.c), and
    // another user could have that memory served by a file system which does not answer.
    procfs::all_uids(pid) == Some([0; 4])
        && procfs::unprivileged_executable(pid).is_some_and(|name| EXECUTABLES.contains(&name.as_str()))
        && is_here("user")
        && is_here("pid")
        && is_daemon_command(&procfs::command_line(pid))
}

/// File names of the daemon's executable. Since Nix 2.4 `nix-daemon` is a symbolic link to `nix`.
const EXECUTABLES: [&str; 3] = ["nix", "nix-daemon", "determinate-nixd"];

/// Whether a command line is that of a daemon which listens for clients: `nix-daemon`, `nix daemon` with any options
/// before `daemon`, or `determinate-nixd daemon`. `nix-daemon --stdio` serves one client (nix-daemon(8)).
fn is_daemon_command(words: &[String]) -> bool {
    let [program, args @ ..] = words else { return false };
    if args.iter().any(|word| word == "--stdio") {
        return false;
    }
    match program.rsplit('/').next() {
        Some("nix-daemon") => true,
        Some("nix" | "determinate-nixd") => find_subcommand(args) == Some("daemon"),
        _ => false,
    }
}

/// Returns the first word that is neither an option nor the value of one.
fn find_subcommand(args: &[String]) -> Option<&str> {
    // Nix's options without a value (nix(1), "Common options"). Each setting of nix.conf is an option with a value,
    // and those that are true or false also are options without one.
    const FLAGS: [&str; 9] = [
        "--verbose",
        "--debug",
        "--quiet",
        "--print-build-logs",
        "--offline",
        "--refresh",
        "--repair",
        "--impure",
        "--accept-flake-config",
    ];
    let mut args = args.iter().map(String::as_str);
    while let Some(word) = args.next() {
        let values = match word {
            "--option" => 2,
            _ if !word.starts_with('-') => return Some(word),
            _ if FLAGS.contains(&word) || word.starts_with("--no-") || word.contains('=') => 0,
            _ if word.starts_with("--") || word == "-j" || word == "-f" || word == "-I" => 1,
            _ => 0,
        };
        for _ in 0..values {
            args.next();
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn command_lines_of_daemons_are_recognised() {
        for line in [
            "nix-daemon",
            "nix-daemon --daemon",
            "/nix/var/nix/profiles/default/bin/nix-daemon --daemon",
            "nix-daemon 4242",
            "nix daemon",
            "/usr/bin/nix daemon",
            "nix --extra-experimental-features nix-command daemon",
            "nix --extra-experimental-features daemon daemon",
            "nix --option sandbox false -v --debug daemon --force-trusted",
            "determinate-nixd daemon",
            "/usr/local/bin/determinate-nixd --nix-bin /nix/var/nix/profiles/default/bin daemon",
        ] {
            assert!(is_daemon_command(&words(line)), "{line}");
        }
    }

    #[test]
    fn other_command_lines_are_not_daemons() {
        for line in [
            "",
            "nix",
            "nix build daemon",
            "nix -v build daemon",
            "nix run nixpkgs#hello -- daemon",
            "nix --store daemon build",
            "nix-daemon --stdio",
            "nix daemon --stdio",
            "nix-store --serve",
            "determinate-nixd status",
            "vim nix-daemon",
            "xnix-daemon",
        ] {
            assert!(!is_daemon_command(&words(line)), "{line}");
        }
    }
}
