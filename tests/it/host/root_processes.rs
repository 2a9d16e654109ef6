//! Which processes count as root's nix-daemon, and which programs of the machine root starts.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;
use std::process::{Child, Stdio};

use crate::binfmt::userns::memory;
use crate::diagnose::doctor::running_host::{live, start_daemon};
use crate::support::output::{Done, tool, tool_path};
use crate::support::sandbox::{SCRATCH, itself};
use crate::support::{qemu, skip};

/// A process that is killed when this is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Starts a process of another user that executes `program` with this `argv[0]`.
fn start_stranger(program: &Path, arg0: &str) -> Running {
    let script = format!("exec -a '{arg0}' '{}' 600", program.display());
    let mut command = itself("stranger").unwrap();
    command.args(["/bin/bash", "-c", &script]).stdin(Stdio::null()).stdout(Stdio::null());
    let child = command.spawn().unwrap();
    let link = format!("/proc/{}/exe", child.id());
    let running = Running(child);
    crate::support::watcher::until("the stranger's program runs", || {
        fs::read_link(&link).is_ok_and(|executed| executed == program)
    });
    running
}

#[track_caller]
fn run(words: &[&str]) -> Done {
    tool(words).stdin(Stdio::null()).output().unwrap().into()
}

/// Registers a system, which restarts the daemon of Nix, and unregisters it.
#[track_caller]
fn register() -> Done {
    let qemu = qemu("aarch64");
    let done = run(&["register", "aarch64", "--nix", "--qemu", qemu.to_str().unwrap()]);
    let undone = run(&["unregister", "all"]);
    assert_eq!(done.code, undone.code, "{done:#?} {undone:#?}");
    done
}

/// A machine with Nix, whose settings are newer than every process.
fn machine_with_nix() {
    live();
    if !Path::new("/bin/bash").exists() {
        skip("bash", "there is no /bin/bash");
    }
    fs::write("/etc/nix/nix.conf", "").unwrap();
}

fn change_settings() {
    std::thread::sleep(std::time::Duration::from_millis(300));
    fs::write("/etc/nix/nix.conf", "sandbox = true\n").unwrap();
}

/// Copies a program that runs as long as its argument says.
fn sleeper(path: &str, mode: u32) -> &Path {
    fs::create_dir_all(Path::new(path).parent().unwrap()).unwrap();
    fs::copy("/usr/bin/sleep", path).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    Path::new(path)
}

#[sandboxed]
fn a_process_of_another_user_is_not_the_daemon() {
    machine_with_nix();
    fs::set_permissions(SCRATCH, fs::Permissions::from_mode(0o755)).unwrap();
    let strangers = [
        start_stranger(Path::new("/usr/bin/sleep"), "nix-daemon"),
        start_stranger(sleeper("/scratch/a/nix", 0o755), "/usr/bin/nix-daemon"),
        start_stranger(sleeper("/scratch/b/nix-daemon", 0o755), "nix-daemon"),
        start_stranger(sleeper("/scratch/c/determinate-nixd", 0o755), "nix-daemon"),
        // Its effective uid is 0, and its name in the process list is root's.
        start_stranger(sleeper("/scratch/d/nix", 0o4755), "nix-daemon"),
    ];
    change_settings();
    run(&["doctor"]).exits(0).omits("daemon-not-restarted");
    register().exits(0).omits("restart it");
    drop(strangers);
}

/// A process of root with the daemon's name that executes another file, and other commands of Nix.
#[sandboxed]
fn another_process_of_root_is_not_the_daemon() {
    machine_with_nix();
    let others = [
        start_daemon("vim", &["nix-daemon"]),
        start_daemon("nix", &["nix", "build", "daemon"]),
        start_daemon("nix", &["nix-daemon", "--stdio"]),
        start_daemon("determinate-nixd", &["determinate-nixd", "status"]),
    ]
    .map(Running);
    change_settings();
    run(&["doctor"]).exits(0).omits("daemon-not-restarted");
    register().exits(0).omits("restart it");
    drop(others);
}

#[sandboxed]
fn each_daemon_of_root_is_found() {
    machine_with_nix();
    for (executable, words) in [
        ("nix", &["nix-daemon"][..]),
        ("nix", &["/nix/var/nix/profiles/default/bin/nix-daemon", "--daemon"]),
        ("nix-daemon", &["nix-daemon"]),
        ("nix", &["nix", "daemon"]),
        ("nix", &["/usr/bin/nix", "daemon"]),
        ("nix", &["nix", "--extra-experimental-features", "nix-command", "daemon"]),
        ("determinate-nixd", &["determinate-nixd", "--nix-bin", "/nix/bin", "daemon"]),
    ] {
        fs::write("/etc/nix/nix.conf", "").unwrap();
        let daemon = Running(start_daemon(executable, words));
        change_settings();
        let pid = daemon.0.id();
        run(&["doctor"]).exits(3).prints("daemon-not-restarted").prints(&format!("(process {pid})"));
        run(&["doctor", "--fix"]).exits(3).says(&format!("nix-daemon (process {pid})")).says("restart it");
    }
    let daemon = Running(start_daemon("nix", &["nix-daemon"]));
    register().exits(3).says(&format!("nix-daemon (process {})", daemon.0.id())).says("restart it");
}

/// Only root can see which file a process executes, so the doctor of another user does not claim anything about the
/// daemon.
#[sandboxed]
fn another_user_learns_that_the_daemon_is_unknown() {
    machine_with_nix();
    fs::create_dir_all("/run/nix/store").unwrap();
    if fs::create_dir("/nix").is_err() && !Path::new("/nix/store").exists() {
        skip("store", "/nix cannot be created here");
    }
    fs::create_dir_all("/nix/store").unwrap();
    let daemon = Running(start_daemon("nix", &["nix-daemon"]));
    change_settings();
    let output =
        itself("stranger").unwrap().args([tool_path(), "doctor"]).env("PATH", "/usr/bin:/bin").output().unwrap();
    let done = Done::from(output).exits(0).omits("daemon-not-restarted");
    let words: Vec<_> = done.out.split_whitespace().collect();
    assert!(
        words.join(" ").contains("not examined: whether the nix-daemon has read its settings: only root can see that"),
        "{done:#?}"
    );
    drop(daemon);
}

/// Where the programs of the machine write that they were started.
const STARTED: &str = "/scratch/started";

/// A machine on which only these programs are in the directories of programs. Each reports its start.
fn machine_with_programs(programs: &[&str]) {
    live();
    fs::copy("/bin/bash", "/scratch/sh").unwrap();
    for dir in ["/usr/bin", "/usr/sbin", "/sys/fs"] {
        memory(Path::new(dir));
    }
    fs::create_dir("/sys/fs/selinux").unwrap();
    fs::write("/sys/fs/selinux/enforce", "0").unwrap();
    for program in programs {
        fs::write(program, format!("#!/scratch/sh\necho \"$0 $*\" >> {STARTED}\n")).unwrap();
        fs::set_permissions(program, fs::Permissions::from_mode(0o755)).unwrap();
    }
    fs::write("/etc/nix/nix.conf", "").unwrap();
}

fn started() -> String {
    let text = fs::read_to_string(STARTED).unwrap_or_default();
    drop(fs::remove_file(STARTED));
    text
}

/// Calls `check` while another user can replace the program, in one way after the other.
fn replaceable(program: &str, mut check: impl FnMut()) {
    let dir = Path::new(program).parent().unwrap();
    chown(program, Some(1000), None).unwrap();
    check();
    chown(program, Some(0), None).unwrap();
    fs::set_permissions(program, fs::Permissions::from_mode(0o757)).unwrap();
    check();
    fs::set_permissions(program, fs::Permissions::from_mode(0o755)).unwrap();
    chown(dir, Some(1000), None).unwrap();
    check();
    chown(dir, Some(0), None).unwrap();
    fs::set_permissions(dir, fs::Permissions::from_mode(0o777)).unwrap();
    check();
    // The program itself is safe, and another user may replace the link to it.
    let real = Path::new("/scratch/real");
    fs::rename(program, real).or_else(|_| fs::copy(program, real).and_then(|_| fs::remove_file(program))).unwrap();
    std::os::unix::fs::symlink(real, program).unwrap();
    check();
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).unwrap();
    std::os::unix::fs::lchown(program, Some(1000), None).unwrap();
    check();
    std::os::unix::fs::lchown(program, Some(0), None).unwrap();
}

#[sandboxed]
fn systemctl_is_started_only_if_no_other_user_can_replace_it() {
    machine_with_programs(&["/usr/bin/systemctl"]);
    fs::create_dir_all("/run/systemd/system").unwrap();
    let daemon = Running(start_daemon("nix", &["nix-daemon"]));
    replaceable("/usr/bin/systemctl", || {
        register().exits(3).says("restart it").says("/usr/bin/systemctl was not started: not safe");
        assert_eq!(started(), "");
    });
    register().exits(0).says("restarted the nix-daemon (/usr/bin/systemctl restart nix-daemon.service)");
    assert!(started().contains("/usr/bin/systemctl is-active --quiet nix-daemon.service"));
    drop(daemon);
    // Without a daemon there is nothing to restart, and nothing to report.
    chown("/usr/bin/systemctl", Some(1000), None).unwrap();
    std::os::unix::fs::lchown("/usr/bin/systemctl", Some(1000), None).unwrap();
    register().exits(0).omits("systemctl");
    assert_eq!(started(), "");
}

#[sandboxed]
fn rc_service_is_started_only_if_no_other_user_can_replace_it() {
    machine_with_programs(&["/usr/sbin/rc-service"]);
    if fs::create_dir_all("/etc/init.d").and_then(|()| fs::write("/etc/init.d/nix-daemon", "")).is_err() {
        skip("openrc", "/etc/init.d cannot be written here");
    }
    if fs::canonicalize("/sbin").ok().as_deref() != Some(Path::new("/usr/sbin")) {
        skip("openrc", "/sbin is not a link to /usr/sbin here");
    }
    fs::create_dir_all("/run/openrc").unwrap();
    let daemon = Running(start_daemon("nix", &["nix-daemon"]));
    replaceable("/usr/sbin/rc-service", || {
        register().exits(3).says("/sbin/rc-service was not started: ").says("to restart it: kill ");
        assert_eq!(started(), "");
    });
    register().exits(0).says("restarted the nix-daemon (/sbin/rc-service nix-daemon restart)");
    assert!(started().contains("rc-service nix-daemon restart"));
    drop(daemon);
}

#[sandboxed]
fn restorecon_is_started_only_if_no_other_user_can_replace_it() {
    machine_with_programs(&["/usr/sbin/restorecon"]);
    replaceable("/usr/sbin/restorecon", || {
        register().exits(0);
        assert_eq!(started(), "");
    });
    register().exits(0);
    assert!(started().contains("/usr/sbin/restorecon -F /usr/local/libexec/binfmt-nix/bin/qemu-aarch64"));
}

/// A program that is missing is not an error.
#[sandboxed]
fn a_machine_without_systemctl_needs_no_restart() {
    machine_with_programs(&[]);
    fs::create_dir_all("/run/systemd/system").unwrap();
    register().exits(0).omits("systemctl");
}
