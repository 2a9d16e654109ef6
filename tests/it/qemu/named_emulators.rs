//! Emulators that the user names: they are programs of a stranger, and are asked for their release without any right.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use binfmt_magic::Arch;
use binfmt_nix::qemu::version_query::{VersionQuery, query_version};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use tempfile::TempDir;

use crate::support::emulators::{endless, spy};
use crate::support::output::tool_path;
use crate::support::{qemu, skip};

/// The longest wait for a program to start.
const LIMIT: Duration = Duration::from_secs(300);

/// A directory that every user may write to, with a tree for `--root`.
fn place() -> TempDir {
    if !geteuid().is_root() {
        skip("users", "not root: there is no other user to become");
    }
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), Permissions::from_mode(0o777)).unwrap();
    fs::create_dir_all(dir.path().join("root/etc")).unwrap();
    dir
}

/// Writes a program that only root may read and execute.
fn program(dir: &Path, bytes: &[u8]) -> PathBuf {
    let path = dir.join("qemu-aarch64");
    fs::write(&path, bytes).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o700)).unwrap();
    path
}

fn register(dir: &Path) -> Command {
    let mut tool = Command::new(tool_path());
    tool.arg("--root").arg(dir.join("root")).args(["register", "aarch64", "--no-nix", "--no-persist"]).env_clear();
    tool
}

#[track_caller]
fn stdout(done: &Output) -> String {
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).into_owned()
}

#[test]
fn a_named_emulator_is_asked_as_nobody() {
    let dir = place();
    let emulator = program(dir.path(), &endless());
    let mut tool = register(dir.path()).arg("--qemu").arg(&emulator).stderr(Stdio::piped()).spawn().unwrap();
    let (id, own) = (tool.id(), fs::read_link(format!("/proc/{}/exe", tool.id())).unwrap());
    let deadline = Instant::now() + LIMIT;
    // The worker, once it is the emulator.
    let asked = loop {
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
        let child = children.split_whitespace().next().map(|child| child.parse::<i32>().unwrap());
        if let Some(child) =
            child.filter(|child| fs::read_link(format!("/proc/{child}/exe")).is_ok_and(|exe| exe != own))
        {
            break child;
        }
        assert!(Instant::now() < deadline && tool.try_wait().unwrap().is_none(), "it was never asked");
        sleep(Duration::from_millis(2));
    };
    let status = fs::read_to_string(format!("/proc/{asked}/status")).unwrap();
    let limits = fs::read_to_string(format!("/proc/{asked}/limits")).unwrap();
    kill(Pid::from_raw(asked), Signal::SIGKILL).unwrap();
    let done = tool.wait_with_output().unwrap();
    let ids = "65534\t65534\t65534\t65534\n";
    let (uid, gid) = (format!("Uid:\t{ids}"), format!("Gid:\t{ids}"));
    for line in [
        &uid,
        &gid,
        "Groups:\t \n",
        "CapEff:\t0000000000000000\n",
        "CapPrm:\t0000000000000000\n",
        "NoNewPrivs:\t1\n",
        "Seccomp:\t2\n",
    ] {
        assert!(status.contains(line), "{line:?} is missing: {status}");
    }
    for (limit, value) in [("Max address space", "1073741824"), ("Max file size", "65536"), ("Max core file size", "0")]
    {
        let line = limits.lines().find(|line| line.starts_with(limit)).unwrap();
        assert!(line.split_whitespace().any(|word| word == value), "{line}");
    }
    let stderr = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.code() == Some(1) && stderr.contains("--version failed with signal: 9"), "{stderr}");
}

#[test]
fn a_named_emulator_writes_nothing_when_it_is_asked() {
    let dir = place();
    let marker = dir.path().join("marker");
    let emulator = program(dir.path(), &spy(&marker, "", "qemu-aarch64 version 10.0.13"));
    for (option, source) in [("--qemu", emulator.as_path()), ("--from", dir.path()), ("--from", emulator.as_path())] {
        stdout(&register(dir.path()).arg(option).arg(source).output().unwrap());
        assert!(!marker.exists(), "{option} {}", source.display());
        fs::remove_dir_all(dir.path().join("root")).unwrap();
        fs::create_dir_all(dir.path().join("root/etc")).unwrap();
    }
    // The program can do it, so its failure above was a refusal.
    stdout(&Command::new(&emulator).arg("--version").output().unwrap());
    assert!(marker.exists());
}

/// The program prints another release than its bytes contain, so the plan shows whether it was started.
#[test]
fn a_dry_run_starts_no_named_emulator() {
    let dir = place();
    let program_bytes = spy(&dir.path().join("marker"), "qemu-aarch64 version 9.9.9", "qemu-aarch64 version 8.8.8");
    let emulator = program(dir.path(), &program_bytes);
    for (option, source) in [("--qemu", emulator.as_path()), ("--from", dir.path()), ("--from", emulator.as_path())] {
        let mut dry_run = register(dir.path());
        dry_run.args(["--json", "--dry-run", option]).arg(source);
        let plan = stdout(&dry_run.output().unwrap());
        assert!(plan.contains("9.9.9") && !plan.contains("8.8.8"), "{option} {}: {plan}", source.display());
    }
    let plan = stdout(&register(dir.path()).args(["--json", "--qemu"]).arg(&emulator).output().unwrap());
    assert!(plan.contains("8.8.8") && !plan.contains("9.9.9"), "{plan}");
}

#[test]
fn a_dry_run_needs_the_release_in_the_bytes() {
    let dir = place();
    let emulator = program(dir.path(), &endless());
    let done = register(dir.path()).args(["--dry-run", "--qemu"]).arg(&emulator).output().unwrap();
    let stderr = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.code() == Some(1) && stderr.contains("a dry run does not start it"), "{stderr}");
}

/// Each of Debian's emulators answers within the limits of the worker, and its bytes contain the same answer.
#[test]
fn every_emulator_answers_without_rights() {
    let mut answers = 0;
    let dir = qemu("aarch64").parent().unwrap().to_owned();
    for arch in Arch::ALL {
        let Ok(file) = File::open(dir.join(format!("qemu-{}", arch.target))) else { continue };
        let run = query_version(arch, &file, VersionQuery::Run).unwrap();
        let scan = query_version(arch, &file, VersionQuery::Scan).unwrap();
        assert_eq!(run.version, scan.version, "{}", arch.target);
        answers += 1;
    }
    assert!(answers > 20, "{answers}");
}
