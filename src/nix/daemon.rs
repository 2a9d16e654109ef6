//! Restarts the nix-daemon, which reads its settings only when it starts.

use std::path::Path;

use crate::host::{self, Host};

/// The result of a restart of the daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DaemonRestart {
    /// No daemon runs: the next one reads the new settings.
    NotRunning,
    /// The daemon was restarted with this command.
    Done(String),
    /// The daemon runs and has to be restarted manually, for this reason.
    ByHand(String),
}

/// Restarts a running nix-daemon through the machine's init system.
pub fn restart_daemon(host: &Host) -> DaemonRestart {
    if !host.is_live() {
        return DaemonRestart::NotRunning;
    }
    if host.exists(Path::new("/run/systemd/system")) {
        return restart_with_systemd();
    }
    let Some(pid) = find_daemon(host) else {
        return DaemonRestart::NotRunning;
    };
    if host.exists(Path::new("/run/openrc")) && host.exists(Path::new("/etc/init.d/nix-daemon")) {
        return run_restart_command("/sbin/rc-service", &["nix-daemon", "restart"]);
    }
    DaemonRestart::ByHand(format!("nix-daemon (process {pid}) reads its settings only when it starts; restart it"))
}

fn restart_with_systemd() -> DaemonRestart {
    let systemctl = Path::new("/usr/bin/systemctl");
    // `try-restart` does not start a stopped unit, but does not report whether it restarted one.
    match host::process::run_program(systemctl, &["is-active", "--quiet", "nix-daemon.service"]) {
        Ok(output) if output.status.success() => {
            run_restart_command("/usr/bin/systemctl", &["restart", "nix-daemon.service"])
        }
        _ => DaemonRestart::NotRunning,
    }
}

fn run_restart_command(program: &str, args: &[&str]) -> DaemonRestart {
    let line = format!("{program} {}", args.join(" "));
    match host::process::run_program(Path::new(program), args) {
        Ok(output) if output.status.success() => DaemonRestart::Done(line),
        Ok(output) => DaemonRestart::ByHand(format!("{line} failed ({}): {}", output.status, output.stderr.trim())),
        Err(e) => DaemonRestart::ByHand(format!("{line} failed: {e}")),
    }
}

/// Finds the process id of a nix-daemon by its name in /proc/PID/cmdline.
fn find_daemon(host: &Host) -> Option<u32> {
    let names = host.list_dir(Path::new("/proc")).ok()?;
    names.iter().find_map(|name| {
        let pid: u32 = name.to_str()?.parse().ok()?;
        let words = host.read_lossy(&Path::new("/proc").join(name).join("cmdline"))?;
        let first = words.split('\0').next()?;
        (Path::new(first).file_name()? == "nix-daemon" || words.starts_with("nix\0daemon")).then_some(pid)
    })
}
