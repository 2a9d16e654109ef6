//! The nix-daemon reads its settings when it starts; a change needs a restart.

use std::path::Path;

use crate::host::{self, Host};

/// What became of the daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DaemonRestart {
    /// None runs: the next one reads the new settings.
    NotRunning,
    /// Restarted, by this command.
    Done(String),
    /// It runs, and has to be restarted by hand.
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
    DaemonRestart::ByHand(format!("nix-daemon (process {pid}) reads its settings only when it starts: restart it"))
}

fn restart_with_systemd() -> DaemonRestart {
    let systemctl = Path::new("/usr/bin/systemctl");
    // `try-restart` leaves a stopped unit alone, but to say so we have to ask.
    match host::process::run_program(systemctl, &["is-active", "--quiet", "nix-daemon.service"]) {
        Ok(answer) if answer.status.success() => {
            run_restart_command("/usr/bin/systemctl", &["restart", "nix-daemon.service"])
        }
        _ => DaemonRestart::NotRunning,
    }
}

fn run_restart_command(program: &str, args: &[&str]) -> DaemonRestart {
    let line = format!("{program} {}", args.join(" "));
    match host::process::run_program(Path::new(program), args) {
        Ok(done) if done.status.success() => DaemonRestart::Done(line),
        Ok(done) => DaemonRestart::ByHand(format!("{line} failed ({}): {}", done.status, done.stderr.trim())),
        Err(e) => DaemonRestart::ByHand(format!("{line} failed: {e}")),
    }
}

/// The process number of a nix-daemon, by the name in /proc/PID/cmdline.
fn find_daemon(host: &Host) -> Option<u32> {
    let names = host.list_dir(Path::new("/proc")).ok()?;
    names.iter().find_map(|name| {
        let pid: u32 = name.to_str()?.parse().ok()?;
        let words = host.read_lossy(&Path::new("/proc").join(name).join("cmdline"))?;
        let first = words.split('\0').next()?;
        (Path::new(first).file_name()? == "nix-daemon" || words.starts_with("nix\0daemon")).then_some(pid)
    })
}
