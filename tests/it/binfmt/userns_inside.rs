//! The tool inside of `run`: the commands that read answer there as they do outside, for root and for an ordinary user.
//! The ordinary user sees files of root as files of `nobody`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use crate::binfmt::userns::{done, running, shown, usual_proc};
use crate::diagnose::doctor::reports::finding_ids;
use crate::diagnose::doctor::running_host::live;
use crate::support::output::{Done, tool, tool_path};
use crate::support::table::probe;
use crate::support::{LiarBehavior, emulators, liar, qemu, settings_nix};

/// A machine on which `register` ran, so that there is a receipt of root. Its Nix is not configured for aarch64.
fn machine() {
    live();
    settings_nix::install("");
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
fn assert_commands_work(run: fn(&[&str]) -> Command) {
    machine();
    let program = probe("aarch64");
    let inside = |args: &str| -> Done {
        let tool = shown(Path::new(tool_path()));
        let words: Vec<&str> = [tool.to_str().unwrap()].into_iter().chain(args.split(' ')).collect();
        done(&mut run(&words)).omits("chown")
    };
    let status = inside("status --json").exits(0).json();
    let system = |target: &str| {
        let mut systems = status["systems"].as_array().unwrap().iter();
        systems.find(|system| system["system"] == target).unwrap_or_else(|| panic!("{status:#}")).clone()
    };
    assert_eq!((&system("aarch64")["state"], &system("aarch64")["in_chroot"]), (&"works".into(), &true.into()));
    assert_eq!((&system("aarch64")["by"], &system("aarch64")["nix_knows"]), (&"run".into(), &true.into()));
    // The entry of the machine was copied, and the receipt of root is read.
    assert_eq!((&system("riscv64")["by"], &system("riscv64")["state"]), (&"binfmt-nix".into(), &"works".into()));
    inside("status").exits(0).prints("aarch64  works  qemu-aarch64").prints("run         untried");
    inside("status --check aarch64").exits(0).prints("aarch64: works");
    let doctor = inside("doctor --json").exits(0).json();
    assert_eq!(finding_ids(&doctor), Vec::<&str>::new(), "{doctor:#}");
    let test = inside("test aarch64 --json").exits(0).json();
    assert_eq!((&test["proven"], test["systems"][0]["proofs"].as_array().unwrap().len()), (&true.into(), 4));
    inside("nix-conf")
        .exits(0)
        .prints("extra-extra-platforms = riscv64-linux\n")
        .says("run itself configures Nix inside");
    // What `run` emulates is not there for other hosts.
    let machines = inside("nix-conf --builder build").exits(0).says("aarch64: emulated inside of this run only");
    assert!(machines.out.lines().any(|line| line.starts_with("ssh-ng://build riscv64-linux ")), "{machines:#?}");
    let explained = inside(&format!("explain {}", program.display())).exits(0);
    explained.prints("the table of this user namespace, newest entry first").prints("runs by emulation");
    // Another `run` is what works inside.
    let foreign = inside(&format!("explain {}", probe("s390x").display())).exits(3).omits("register");
    foreign.prints(" run -s s390x\n").prints(&format!(" run -s s390x -- {}", probe("s390x").display()));
    inside("test s390x").exits(3).prints(" run -s s390x\n").omits("register");
    // Without the lines of `run`, Nix refuses the builds, and the repair appends them.
    let repaired = |config: &str| {
        let script = "export NIX_CONFIG=\"$1\"; \"$0\" doctor --json; eval \"$(\"$0\" doctor | grep 'export ')\"; \
                      echo \"$NIX_CONFIG\"; \"$0\" doctor";
        let tool = shown(Path::new(tool_path()));
        let done = done(&mut run(&["sh", "-c", script, tool.to_str().unwrap(), config])).exits(0);
        done.prints("nothing is wrong")
    };
    let done = repaired("cores = 1").prints("\"nix-not-told\"");
    done.prints("cores = 1\nextra-extra-platforms = aarch64-linux\n");
}

/// A setting of the user in `NIX_CONFIG` is removed without the lines of `run`.
#[sandboxed]
fn the_repair_of_nix_config_keeps_the_lines_of_run() {
    machine();
    let tool = shown(Path::new(tool_path()));
    let script =
        "\"$0\" doctor --json; eval \"$(\"$0\" doctor | grep 'export ')\"; echo \"$NIX_CONFIG\"; \"$0\" doctor";
    let mut command = running("aarch64", &["sh", "-c", script, tool.to_str().unwrap()]);
    let done = done(command.env("NIX_CONFIG", "max-jobs = 0")).exits(0);
    done.prints("nix-no-local-jobs").prints("\nextra-extra-platforms = aarch64-linux\n").prints("nothing is wrong");
}

#[sandboxed]
fn commands_work_inside_for_an_ordinary_user() {
    assert_commands_work(|words| running("aarch64", words));
}

#[sandboxed]
fn commands_work_inside_for_root() {
    assert_commands_work(as_root);
}

/// Root's Nix gets the lists of `NIX_CONFIG`, and no setting with which it would execute code.
#[sandboxed]
fn root_passes_only_lists_to_nix_inside() {
    machine();
    let nix = Path::new(settings_nix::BIN).join("nix");
    fs::write(&nix, "#!/bin/sh\nprintf '%s\\n' \"$NIX_CONFIG\" >> /scratch/config\necho extra-platforms =\n").unwrap();
    let tool = shown(Path::new(tool_path()));
    let mut command = as_root(&[tool.to_str().unwrap(), "status"]);
    done(command.env("NIX_CONFIG", "plugin-files = /scratch/x.so\nextra-extra-platforms = i686-linux")).exits(0);
    let given = fs::read_to_string("/scratch/config").unwrap();
    assert_eq!(given, "extra-extra-platforms = i686-linux\nextra-extra-platforms = aarch64-linux\n");
}

/// A directory that other users may change is still refused.
#[sandboxed]
fn a_directory_that_others_may_change_is_refused_inside() {
    machine();
    fs::set_permissions("/var/lib/binfmt-nix", fs::Permissions::from_mode(0o777)).unwrap();
    let tool = shown(Path::new(tool_path()));
    done(&mut running("aarch64", &[tool.to_str().unwrap(), "status"])).exits(1).says("/var/lib/binfmt-nix");
}
