//! Interpreters that another user controls: the kernel starts one for every program of its system, also for the probes
//! of this tool. No probe gives such a file the rights of root.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::diagnose::doctor::running_host::{TABLE, live};
use crate::support::emulators::{endless, outside, spy};
use crate::support::output::{Done, tool};
use crate::support::sandbox::SCRATCH;
use crate::support::table::{line, probe};
use crate::support::{qemu, skip};

const JOE: u32 = 1000;
const NOBODY_ID: u32 = 65534;
/// The longest wait for a program to start.
const LIMIT: Duration = Duration::from_secs(300);

/// A machine with an entry whose interpreter belongs to joe.
fn machine_with(interpreter: &[u8], flags: &str) -> PathBuf {
    live();
    fs::set_permissions(SCRATCH, fs::Permissions::from_mode(0o777)).unwrap();
    let path = outside("joes", interpreter);
    chown(&path, Some(JOE), Some(JOE)).unwrap();
    fs::write(Path::new(TABLE).join("register"), line("qemu-aarch64", "aarch64", &path, flags)).unwrap();
    path
}

#[track_caller]
fn run(args: &[&str]) -> Done {
    tool(args).stdin(Stdio::null()).output().unwrap().into()
}

/// The program writes a file, whose owner shows with which rights it ran.
#[sandboxed]
fn no_command_starts_the_interpreter_of_another_user_as_root() {
    let marker = Path::new(SCRATCH).join("marker");
    machine_with(&spy(&marker, "", "nothing"), "PF");
    let (program, emulator) = (probe("aarch64"), qemu("aarch64"));
    let commands: [&[&str]; 8] = [
        &["test", "aarch64"],
        &["status"],
        &["status", "--check", "aarch64"],
        &["doctor"],
        &["doctor", "cannot execute binary file: Exec format error"],
        &["explain", program.to_str().unwrap()],
        &["register", "aarch64", "--no-nix", "--qemu", emulator.to_str().unwrap()],
        &["register", "aarch64", "--no-nix", "--dry-run", "--qemu", emulator.to_str().unwrap()],
    ];
    let mut started = 0;
    for args in commands {
        drop(run(args).omits("panicked"));
        if let Ok(meta) = fs::metadata(&marker) {
            assert_eq!((meta.uid(), meta.gid()), (NOBODY_ID, NOBODY_ID), "{args:?}");
            fs::remove_file(&marker).unwrap();
            started += 1;
        }
    }
    // Elsewhere it runs in a chroot, in which it cannot write.
    assert!(started >= 4, "{started} commands started it");
    // Root's own programs still run with the rights of root.
    drop(Done::from(std::process::Command::new(&program).output().unwrap()));
    assert_eq!(fs::metadata(&marker).unwrap().uid(), 0);
}

/// Finds a process that executes the file, below another one.
fn find_descendant(pid: u32, executes: &Path) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    children.split_whitespace().filter_map(|child| child.parse().ok()).find_map(|child: u32| {
        let is_it = fs::read_link(format!("/proc/{child}/exe")).is_ok_and(|exe| exe == executes);
        if is_it { Some(child) } else { find_descendant(child, executes) }
    })
}

/// Waits until the file is executed, returns the status of that process (proc(5)), and ends it.
#[track_caller]
fn status_of_interpreter(tool: &mut Child, path: &Path) -> String {
    let deadline = Instant::now() + LIMIT;
    let is_it = |pid: u32| fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == path);
    loop {
        // A process that isolated itself becomes the interpreter.
        let found = Some(tool.id()).filter(|pid| is_it(*pid)).or_else(|| find_descendant(tool.id(), path));
        if let Some(pid) = found {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
            kill(Pid::from_raw(i32::try_from(pid).unwrap()), Signal::SIGKILL).unwrap();
            return status;
        }
        assert!(Instant::now() < deadline && tool.try_wait().unwrap().is_none(), "it was never started");
        sleep(Duration::from_millis(2));
    }
}

/// Root in a user namespace of root may still write what belongs to root, such as `/proc/sys/kernel/core_pattern`.
#[sandboxed]
fn an_isolated_interpreter_is_started_as_nobody() {
    let path = machine_with(&endless(), "PF");
    let chroot = Path::new(SCRATCH).join("chroot");
    fs::create_dir(&chroot).unwrap();
    fs::copy(probe("aarch64"), chroot.join("probe")).unwrap();
    let rooms: [&[&str]; 4] = [
        &["internal", "probe", "open", "aarch64"],
        &["internal", "probe", "chroot", "aarch64"],
        &["internal", "probe", "sandbox", "aarch64"],
        &["internal", "chroot-exec", "/scratch/chroot", "/probe", "argv0", "--as-nobody"],
    ];
    for args in rooms {
        let mut command = tool(args);
        let mut tool = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let status = status_of_interpreter(&mut tool, &path);
        drop(tool.wait());
        let ids = format!("\t{NOBODY_ID}\t{NOBODY_ID}\t{NOBODY_ID}\t{NOBODY_ID}\n");
        for id in ["Uid", "Gid"] {
            assert!(status.contains(&format!("{id}:{ids}")), "{args:?}: {status}");
        }
        // In the sandbox it is root of a namespace of its own.
        let none = "CapEff:\t0000000000000000\n";
        assert!(args.contains(&"sandbox") || status.contains(none), "{args:?}: {status}");
    }
}

/// Root in a container without capabilities cannot become another user. The probes run as before.
#[sandboxed]
fn probes_run_for_root_without_capabilities() {
    machine_with(&fs::read(qemu("aarch64")).unwrap(), "PF");
    let setpriv = Path::new("/usr/bin/setpriv");
    if !setpriv.exists() {
        skip("setpriv", "there is no setpriv (util-linux)");
    }
    let mut command = std::process::Command::new(setpriv);
    command.args([
        "--bounding-set=-all",
        "--inh-caps=-all",
        crate::support::output::tool_path(),
        "status",
        "--check",
        "aarch64",
    ]);
    drop(Done::from(command.env_clear().output().unwrap()).exits(0));
}

/// A program that only root may start runs the probes, too: `nobody` starts a copy of it.
#[sandboxed]
fn probes_run_if_only_root_may_start_this_program() {
    let path = machine_with(&fs::read(qemu("aarch64")).unwrap(), "PF");
    let own = outside("only-root", &fs::read(crate::support::output::tool_path()).unwrap());
    fs::set_permissions(&own, fs::Permissions::from_mode(0o700)).unwrap();
    let output = std::process::Command::new(&own).args(["test", "aarch64"]).env_clear().output().unwrap();
    let done = Done::from(output).exits(0);
    assert_eq!(done.out.matches("proven").count(), 4, "{done:#?}");
    // An entry that works for every user works for the tool.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    drop(run(&["status", "--check", "aarch64"]).exits(0));
}
