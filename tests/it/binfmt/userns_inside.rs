//! The tool inside of `run`: the commands that read answer there as they do outside, for root and for an ordinary user.
//! The ordinary user sees files of root as files of `nobody`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use crate::binfmt::userns::{done, running, shown, usual_proc};
use crate::diagnose::doctor::reports::finding_ids;
use crate::diagnose::doctor::running_host::live;
use crate::support::output::{Done, TOOL, tool};
use crate::support::table::probe;
use crate::support::{LiarBehavior, emulators, liar, qemu};

/// A machine on which `register` ran, so that there is a receipt of root. Its Nix builds for aarch64, too.
fn machine() {
    live();
    fs::write("/etc/nix/nix.conf", "extra-extra-platforms = aarch64-linux\n").unwrap();
    fs::create_dir_all("/usr/local/libexec").unwrap();
    let riscv64 = emulators::outside("qemu-riscv64", &liar("qemu-riscv64 version 10.0.13", LiarBehavior::RightOutput));
    let args = ["register", "riscv64", "--qemu", riscv64.to_str().unwrap()];
    done(&mut tool(&args)).exits(0).prints("riscv64: registered, proven");
}

fn as_root(words: &[&str]) -> Command {
    usual_proc();
    let mut command = tool(&["run", "--system", "aarch64", "--qemu"]);
    command.arg(qemu("aarch64")).arg("--").args(words);
    command
}

/// Runs every command that reads, inside of `run` for aarch64.
fn assert_commands_work(run: fn(&[&str]) -> Command, findings: &[&str]) {
    machine();
    let program = probe("aarch64");
    let inside = |args: &str| -> Done {
        let tool = shown(Path::new(TOOL));
        let words: Vec<&str> = [tool.to_str().unwrap()].into_iter().chain(args.split(' ')).collect();
        done(&mut run(&words)).omits("chown")
    };
    let status = inside("status --json").exits(0).json();
    let system = |target: &str| {
        let mut systems = status["systems"].as_array().unwrap().iter();
        systems.find(|system| system["system"] == target).unwrap_or_else(|| panic!("{status:#}")).clone()
    };
    assert_eq!((&system("aarch64")["state"], &system("aarch64")["in_chroot"]), (&"works".into(), &true.into()));
    // The entry of the machine was copied, and the receipt of root is read.
    assert_eq!((&system("riscv64")["by"], &system("riscv64")["state"]), (&"binfmt-nix".into(), &"works".into()));
    inside("status").exits(0).prints("aarch64  works  qemu-aarch64");
    inside("status --check aarch64").exits(0).prints("aarch64: works");
    let doctor = inside("doctor --json").exits(if findings.is_empty() { 0 } else { 3 }).json();
    assert_eq!(finding_ids(&doctor), findings, "{doctor:#}");
    let test = inside("test aarch64 --json").exits(0).json();
    assert_eq!((&test["proven"], test["systems"][0]["proofs"].as_array().unwrap().len()), (&true.into(), 4));
    inside("nix-conf").exits(0).prints("extra-extra-platforms = riscv64-linux\n");
    let machines = inside("nix-conf --builder build").exits(0);
    assert!(machines.out.lines().any(|line| line.starts_with("ssh-ng://build aarch64-linux,riscv64-linux ")));
    let explained = inside(&format!("explain {}", program.display())).exits(0);
    explained.prints("the table of this user namespace, newest entry first").prints("runs by emulation");
}

#[sandboxed]
fn commands_work_inside_for_an_ordinary_user() {
    assert_commands_work(|words| running("aarch64", words), &[]);
}

/// Root of the namespace could register entries, which would end with it.
#[sandboxed]
fn commands_work_inside_for_root() {
    assert_commands_work(as_root, &["own-table"]);
}

/// A directory that other users may change is still refused.
#[sandboxed]
fn a_directory_that_others_may_change_is_refused_inside() {
    machine();
    fs::set_permissions("/var/lib/binfmt-nix", fs::Permissions::from_mode(0o777)).unwrap();
    let tool = shown(Path::new(TOOL));
    done(&mut running("aarch64", &[tool.to_str().unwrap(), "status"])).exits(1).says("/var/lib/binfmt-nix");
}
