//! A kernel without Landlock and seccomp: the download continues, and the user gets a note. The tests simulate such a
//! kernel by a filter that fails their system calls with ENOSYS.

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode, Output};
use std::sync::Arc;

use nix::libc;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, apply_filter,
};

use crate::support::output::tool_path;
use crate::support::server::{Manner, Server};
use crate::support::skip;

/// The role of a process that executes the tool on such a kernel.
pub(crate) const ROLE: &str = "on-an-old-kernel";

const NEWER: [libc::c_long; 4] = [
    libc::SYS_landlock_create_ruleset,
    libc::SYS_landlock_add_rule,
    libc::SYS_landlock_restrict_self,
    libc::SYS_seccomp,
];

pub(crate) fn child(words: &[&str]) -> ExitCode {
    let none: BTreeMap<_, _> = NEWER.map(|call| (call, vec![])).into();
    let machine = TargetArch::try_from(std::env::consts::ARCH).unwrap();
    let absent = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
    let filter = SeccompFilter::new(none, SeccompAction::Allow, absent, machine).unwrap();
    apply_filter(&BpfProgram::try_from(filter).unwrap()).unwrap();
    eprintln!("{}", Command::new(tool_path()).args(words).exec());
    ExitCode::FAILURE
}

/// The role of a process that executes a program for which renameat2(2) exchanges no files, as on some file systems.
pub(crate) const WITHOUT_EXCHANGE: &str = "without-exchange";

pub(crate) fn child_without_exchange(program: &str, words: &[&str]) -> ExitCode {
    let exchanges = SeccompCondition::new(4, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(2), 2).unwrap();
    let rules: BTreeMap<_, _> = [(libc::SYS_renameat2, vec![SeccompRule::new(vec![exchanges]).unwrap()])].into();
    let machine = TargetArch::try_from(std::env::consts::ARCH).unwrap();
    let invalid = SeccompAction::Errno(libc::EINVAL.unsigned_abs());
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, invalid, machine).unwrap();
    apply_filter(&BpfProgram::try_from(filter).unwrap()).unwrap();
    eprintln!("{}", Command::new(program).args(words).exec());
    ExitCode::FAILURE
}

/// Runs a download by the tool, which `program` starts, with these arguments before its own.
fn run_download(program: &str, before: &[&str]) -> Output {
    let Some(path) = std::env::var_os("BINFMT_NIX_TEST_DEB") else {
        skip("deb", "BINFMT_NIX_TEST_DEB names no qemu-user_10.0.13…_amd64.deb");
    };
    let server = Server::start(&Arc::new(std::fs::read(path).unwrap()), Manner::Ranges);
    let root = tempfile::tempdir().unwrap();
    let done = Command::new(program)
        .args(before)
        .arg("--root")
        .arg(root.path())
        .args(["--json", "register", "aarch64", "--source", "download", "--no-nix", "--no-persist", "--mirror"])
        .arg(server.url())
        .env_clear()
        .env("NO_PROXY", "127.0.0.1")
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert!(root.path().join("usr/local/libexec/binfmt-nix/bin/qemu-aarch64").exists());
    done
}

#[test]
fn a_note_names_the_missing_protections() {
    let itself = std::env::current_exe().unwrap();
    let done = run_download(itself.to_str().unwrap(), &[ROLE]);
    let note = "this kernel or container has no Landlock and no seccomp filters: the download worker could not \
                give up all its rights";
    for text in [done.stderr, done.stdout] {
        assert_eq!(String::from_utf8(text).unwrap().matches(note).count(), 1);
    }
}

#[test]
fn a_complete_kernel_gets_no_note() {
    let done = run_download(tool_path(), &[]);
    let stderr = String::from_utf8(done.stderr).unwrap();
    if stderr.contains("this kernel or container has no") {
        skip("kernel", stderr);
    }
}
