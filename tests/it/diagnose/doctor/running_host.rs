//! `doctor` on a running machine, which the sandbox of the test is: its own table, the daemon of Nix, namespaces.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::mount::{MsFlags, mount};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::binfmt::userns::{bind, memory};
use crate::diagnose::doctor::reports::{finding, finding_ids};
use crate::diagnose::situations::commands::paste;
use crate::support::output::{Done, tool};
use crate::support::proposals::report_executed;
use crate::support::sandbox::with_all_users;
use crate::support::table::line;
use crate::support::{qemu, skip};

pub(crate) const TABLE: &str = "/proc/sys/fs/binfmt_misc";

/// Mounts private directories over those with settings, and a private table.
pub(crate) fn live() {
    with_all_users();
    for dir in ["/etc/nix", "/usr/local", "/var/lib", "/home"] {
        if Path::new(dir).exists() {
            memory(Path::new(dir));
        }
    }
    // A machine without /etc/nix gets an empty /etc. These tests need no other file in it.
    if !Path::new("/etc/nix").exists() {
        memory(Path::new("/etc"));
        fs::create_dir("/etc/nix").unwrap();
    }
    memory(Path::new("/run"));
    usual_proc();
    // The machine's own table, if it is mounted, must not appear where a test unmounts its own.
    if Path::new(TABLE).join("register").exists() {
        memory(Path::new(TABLE));
    }
    mount(None::<&str>, TABLE, Some("binfmt_misc"), MsFlags::empty(), None::<&str>).unwrap();
}

pub(crate) fn usual_proc() {
    let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(None::<&str>, "/proc", None::<&str>, flags, None::<&str>).unwrap();
}

#[track_caller]
fn doctor(words: &[&str]) -> Done {
    tool(&[&["doctor"], words].concat()).stdin(Stdio::null()).output().unwrap().into()
}

#[track_caller]
fn finds(expected: &[&str]) -> Value {
    let found = doctor(&["--json"]).exits(if expected.is_empty() { 0 } else { 3 }).json();
    assert_eq!(finding_ids(&found), expected, "{found:#}");
    found
}

fn register_rule(line: &str) {
    fs::write(Path::new(TABLE).join("register"), line).unwrap();
}

/// An entry in the table of a user namespace has no effect outside.
#[sandboxed]
fn a_table_of_a_user_namespace_is_found() {
    live();
    finds(&[]);
    fs::write("/etc/nix/nix.conf", "extra-extra-platforms = aarch64-linux\n").unwrap();
    register_rule(&line("qemu-aarch64", "aarch64", &copy_qemu_for_root(), "PF"));
    let found = finds(&["own-table"]);
    assert!(finding(&found, "own-table")["what"].as_str().unwrap().contains("user namespace"), "{found:#}");
    fs::write(Path::new(TABLE).join("qemu-aarch64"), "-1").unwrap();
    fs::write("/etc/nix/nix.conf", "").unwrap();
    finds(&[]);
}

#[sandboxed]
fn a_table_of_a_rootless_container_is_found() {
    live();
    fs::write("/run/.containerenv", "").unwrap();
    fs::write("/etc/nix/nix.conf", "extra-extra-platforms = aarch64-linux\n").unwrap();
    register_rule(&line("qemu-aarch64", "aarch64", &copy_qemu_for_root(), "PF"));
    let found = finds(&["own-table"]);
    assert!(finding(&found, "own-table")["what"].as_str().unwrap().contains("podman"), "{found:#}");
}

/// Copies the emulator to a directory in which only root can write.
fn copy_qemu_for_root() -> PathBuf {
    let path = PathBuf::from("/usr/local/qemu-aarch64");
    fs::copy(qemu("aarch64"), &path).unwrap();
    path
}

/// Starts a process of root with this command line, which executes a file of this name. It runs until it is killed.
pub(crate) fn start_daemon(executable: &str, words: &[&str]) -> Child {
    let program = Path::new("/run/programs").join(executable);
    fs::create_dir_all("/run/programs").unwrap();
    if !program.exists() {
        fs::write(&program, "").unwrap();
        bind(&std::env::current_exe().unwrap(), &program);
    }
    let mut command = Command::new(program);
    command.arg0(words[0]).args(&words[1..]).env("BINFMT_NIX_TEST_ROLE", "idle");
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

#[sandboxed]
fn a_nix_daemon_with_old_settings_is_found() {
    live();
    fs::write("/etc/nix/nix.conf", "").unwrap();
    let mut running = start_daemon("nix", &["nix-daemon", "--daemon"]);
    finds(&[]);
    std::thread::sleep(Duration::from_millis(500));
    fs::write("/etc/nix/nix.conf", "sandbox = true\n").unwrap();
    let found = finds(&["daemon-not-restarted"]);
    assert!(finding(&found, "daemon-not-restarted")["what"].as_str().unwrap().contains(&running.id().to_string()));
    // No service manager can restart the daemon. The tool reports the command, and the finding remains.
    doctor(&["--fix"]).exits(3).says("restart it: kill ").prints("daemon-not-restarted");
    let repair = finding(&found, "daemon-not-restarted")["repair"][0].as_str().unwrap().to_owned();
    let mut shell = Command::new("/bin/sh");
    shell.args(["-ec", &repair]).env("BINFMT_NIX_TEST_ROLE", "service");
    assert!(shell.status().unwrap().success(), "{repair}");
    report_executed(&repair);
    running.wait().unwrap();
    let find = || {
        let pids = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
        let words = |pid: &i32| fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let program = |pid: &i32| fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
        let is_daemon =
            |pid: &i32| words(pid) == b"nix-daemon\0--daemon\0" && program(pid).starts_with("/run/programs");
        pids.into_iter().find(is_daemon)
    };
    crate::support::watcher::until("the daemon runs again", || find().is_some());
    finds(&[]);
    kill(Pid::from_raw(find().unwrap()), Signal::SIGKILL).unwrap();
}

/// systemd has an active unit whose process is another one: a restart of the unit would not restart the daemon.
#[sandboxed]
fn a_nix_daemon_started_by_hand_beside_a_unit_is_found() {
    live();
    if !Path::new("/bin/bash").exists() {
        skip("bash", "there is no /bin/bash");
    }
    fs::copy("/bin/bash", "/run/sh").unwrap();
    memory(Path::new("/usr/bin"));
    fs::create_dir_all("/run/systemd/system").unwrap();
    fs::write("/etc/nix/nix.conf", "").unwrap();
    let mut running = start_daemon("nix", &["/nix/bin/nix", "daemon"]);
    std::thread::sleep(Duration::from_millis(500));
    fs::write("/etc/nix/nix.conf", "sandbox = true\n").unwrap();
    for (main_pid, repair) in [(running.id(), "systemctl restart nix-daemon.service"), (1, "kill "), (0, "systemctl ")]
    {
        let script = format!("#!/run/sh\n[ $1 != show ] || echo {main_pid}\n");
        fs::write("/usr/bin/systemctl", script).unwrap();
        fs::set_permissions("/usr/bin/systemctl", fs::Permissions::from_mode(0o755)).unwrap();
        let found = doctor(&["--json"]).exits(3).json();
        let line = finding(&found, "daemon-not-restarted")["repair"][0].as_str().unwrap();
        assert!(line.starts_with(repair), "{main_pid}: {line}");
    }
    running.kill().unwrap();
    running.wait().unwrap();
}

/// The limit belongs to the user namespace of the test.
#[sandboxed]
fn a_silently_disabled_nix_sandbox_is_found() {
    live();
    fs::write("/etc/nix/nix.conf", "sandbox = true\n").unwrap();
    let limit = "/proc/sys/user/max_pid_namespaces";
    let before = fs::read_to_string(limit).unwrap();
    if !Path::new("/usr/bin/unshare").exists() {
        skip("unshare", "there is no /usr/bin/unshare");
    }
    finds(&[]);
    fs::write(limit, "0").unwrap();
    finds(&["sandbox-silently-off"]);
    fs::write("/etc/nix/nix.conf", "sandbox = true\nsandbox-fallback = false\n").unwrap();
    finds(&[]);
    fs::write("/etc/nix/nix.conf", "sandbox = false\n").unwrap();
    finds(&[]);
    fs::write("/etc/nix/nix.conf", "sandbox = true\n").unwrap();
    let found = finds(&["sandbox-silently-off"]);
    let repair = finding(&found, "sandbox-silently-off")["repair"][0].as_str().unwrap().to_owned();
    drop(paste(&repair).exits(0));
    assert_ne!(before.trim(), "0");
    finds(&[]);
}
