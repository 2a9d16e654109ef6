//! `status`: what the kernel really runs, as a table, as JSON, and as an exit status.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use binfmt_nix::sha256::Sha256;
use serde_json::{Value, json};

use crate::binfmt::userns::usual_proc;
use crate::diagnose::situations::commands::paste;
use crate::diagnose::verify::checks::run_as_ordinary_user;
use crate::support::emulators::{dynamic, outside};
use crate::support::runs::{discard_tree, earlier_release};
use crate::support::table::line;
use crate::support::tree::{EMULATOR, Tree};
use crate::support::{LiarBehavior, liar, qemu};

/// A machine with the usual /proc, so that new namespaces are possible.
fn machine() -> Tree {
    usual_proc();
    Tree::new()
}

#[track_caller]
fn aarch64_status(tree: &Tree) -> Value {
    tree.run(&["status", "--json"]).exits(0).json()["systems"][0].clone()
}

fn sha256(path: &Path) -> Value {
    json!(Sha256::of_reader(&mut fs::File::open(path).unwrap()).unwrap())
}

#[sandboxed]
fn status_prints_one_line_for_each_system() {
    let tree = machine();
    tree.register("aarch64").exits(0);
    let theirs = outside("theirs", &fs::read(qemu("riscv64")).unwrap());
    tree.enter(&line("theirs", "riscv64", &theirs, "F"));
    let done = tree.run(&["status"]).exits(0);
    let lines = "SYSTEM   STATE  ENTRY         FLAGS  QEMU     BY          NIX
aarch64  works  qemu-aarch64  PF     10.0.13  binfmt-nix  ?
riscv64  works  theirs        F      10.0.13  others      ?
other interpreters: /scratch/theirs
";
    assert!(done.out.starts_with(lines), "{}", done.out);
    let ours = tree.path(EMULATOR);
    let details = tree.run(&["status", "-v"]).exits(0).prints(&format!("aarch64: {}", ours.display()));
    details.prints(sha256(&ours).as_str().unwrap()).prints("  from ").prints("riscv64: /scratch/theirs\n");
    // One line for all of them.
    let more = outside("more", &fs::read(qemu("arm")).unwrap());
    tree.enter(&line("more", "arm", &more, "F"));
    let done = tree.run(&["status"]).exits(0);
    assert_eq!(done.out.matches("/scratch/").count(), 1, "{}", done.out);
    let done = done.prints("other interpreters: /scratch/more and 1 more; all of them: ");
    let command = done.out.lines().find_map(|line| Some(line.split_once("all of them: ")?.1)).unwrap();
    paste(command).exits(0).prints("riscv64: /scratch/theirs\n").prints("arm: /scratch/more\n");
}

/// Each of these names is a part of the documented format.
#[sandboxed]
fn json_fields_are_the_documented_ones() {
    let tree = machine();
    tree.register("aarch64").exits(0);
    let status = tree.run(&["status", "--json"]).exits(0).json();
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    let are = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    let fields = ["version", "systems", "rules", "boot", "other_entries", "unfinished", "holder", "outdated_daemon"];
    assert_eq!(keys(&status), are(&fields));
    let names = "system state entry flags interpreter qemu sha256 on_disk in_chroot source outdated upgrade by held nix_build \
                 nix_knows nix_systems detail repair";
    let system = aarch64_status(&tree);
    assert_eq!(keys(&system), are(&names.split(' ').collect::<Vec<_>>()));
    assert_eq!(
        (&system["qemu"], &system["sha256"], &system["on_disk"], &system["in_chroot"]),
        (&"10.0.13".into(), &sha256(&qemu("aarch64")), &Value::Null, &true.into())
    );
    let checked = tree.run(&["status", "--check", "aarch64", "--json"]).exits(0).json();
    assert_eq!(checked, json!({"version": 1, "system": "aarch64", "state": "works", "detail": null}));
}

/// The report has both releases and both digests.
#[sandboxed]
fn a_replaced_emulator_is_reported_with_both_digests() {
    let tree = machine();
    tree.register("aarch64").exits(0);
    fs::copy(earlier_release(), tree.path("new")).unwrap();
    fs::rename(tree.path("new"), tree.path(EMULATOR)).unwrap();
    let system = aarch64_status(&tree);
    assert_eq!((&system["state"], &system["qemu"]), (&"works".into(), &"10.0.13".into()), "{system:#}");
    assert_eq!(system["sha256"], sha256(&qemu("aarch64")));
    assert_eq!(system["on_disk"], json!({"exists": true, "qemu": "10.0.12", "sha256": sha256(&earlier_release())}));
    let detail = system["detail"].as_str().unwrap();
    assert!(
        detail.contains("still runs the file") && detail.contains("10.0.13") && detail.contains("10.0.12"),
        "{detail}"
    );
    tree.run(&["status", "--check", "aarch64"]).exits(0).prints("aarch64: works: by another file");
    // The same effect as systemd-binfmt.
    tree.write_kernel("qemu-aarch64", "-1");
    tree.enter(&line("qemu-aarch64", "aarch64", &tree.path(EMULATOR), "FP"));
    let system = aarch64_status(&tree);
    assert_eq!((&system["qemu"], &system["on_disk"]), (&"10.0.12".into(), &Value::Null), "{system:#}");
}

#[sandboxed]
fn a_removed_emulator_still_works() {
    let tree = machine();
    tree.register("aarch64").exits(0);
    tree.remove(EMULATOR);
    let system = aarch64_status(&tree);
    assert_eq!((&system["state"], &system["qemu"]), (&"works".into(), &"10.0.13".into()), "{system:#}");
    assert_eq!(system["on_disk"], json!({"exists": false, "qemu": null, "sha256": null}));
}

/// An upgrade of the distribution replaces the file like this. A file that another user may have written is read and
/// never executed.
#[sandboxed]
fn a_replaced_foreign_interpreter_is_never_executed() {
    let theirs = outside("theirs", &fs::read(qemu("aarch64")).unwrap());
    let tree = machine().mounted().entry(&line("theirs", "aarch64", &theirs, "FP"));
    let witness = Path::new("/scratch/witness");
    let script = format!("#!/bin/sh\necho ran > {}\n", witness.display());
    fs::remove_file(&theirs).unwrap();
    outside("theirs", script.as_bytes());
    let system = aarch64_status(&tree);
    assert_eq!((&system["state"], &system["qemu"]), (&"works".into(), &"10.0.13".into()), "{system:#}");
    assert_eq!(system["on_disk"], json!({"exists": true, "qemu": null, "sha256": sha256(&theirs)}));
    assert!(!witness.exists());
}

#[sandboxed]
fn an_emulator_that_fails_in_chroots_is_partial() {
    let real = outside("real", &fs::read(qemu("aarch64")).unwrap());
    for (interpreter, flags, why) in [(real, "P", "theirs has no flag F"), (dynamic(), "FP", "dynamically linked")] {
        let tree = machine().mounted().entry(&line("theirs", "aarch64", &interpreter, flags));
        let system = aarch64_status(&tree);
        assert_eq!((&system["state"], &system["in_chroot"]), (&"partial".into(), &false.into()), "{system:#}");
        assert!(system["detail"].as_str().unwrap().contains(why), "{system:#}");
        tree.run(&["status", "--check", "aarch64"]).exits(3).prints("aarch64: partial: not in chroots").prints(why);
        tree.write_kernel("theirs", "-1");
        discard_tree(tree);
    }
}

#[sandboxed]
fn a_chroot_that_cannot_be_tried_is_reported() {
    let tree = machine();
    tree.register("aarch64").exits(0);
    fs::write("/proc/sys/user/max_user_namespaces", "0").unwrap();
    fs::write("/proc/sys/user/max_mnt_namespaces", "0").unwrap();
    let system = aarch64_status(&tree);
    assert_eq!((&system["state"], &system["in_chroot"]), (&"works".into(), &Value::Null), "{system:#}");
    assert!(system["detail"].as_str().unwrap().contains("could not be tried"), "{system:#}");
}

#[sandboxed]
fn an_emulator_that_runs_nothing_is_broken() {
    let shirker = outside("shirker", &liar("qemu-aarch64 version 10.0.13", LiarBehavior::DoNothing));
    let tree = machine().mounted().entry(&line("theirs", "aarch64", &shirker, "FP"));
    let system = aarch64_status(&tree);
    assert_eq!((&system["state"], &system["in_chroot"]), (&"broken".into(), &Value::Null), "{system:#}");
    assert_eq!(system["detail"], "the emulator ended without running anything");
    tree.run(&["status", "--check", "aarch64"]).exits(3).prints("aarch64: broken: the emulator ended");
}

#[sandboxed]
fn check_prints_one_line_and_sets_the_exit_status() {
    let tree = machine();
    tree.run(&["status", "--check", "aarch64"]).exits(3).prints("aarch64: missing");
    tree.register("aarch64").exits(0);
    let before = tree.snapshot();
    for name in ["aarch64", "arm64", "linux/arm64"] {
        let done = tree.run(&["status", "--check", name]).exits(0);
        assert_eq!((done.out.as_str(), done.err.as_str()), ("aarch64: works\n", ""));
    }
    before.is_untouched_in(&tree);
    for (entry, why) in [("qemu-aarch64", "is disabled"), ("status", "switched off")] {
        tree.write_kernel(entry, "0");
        let done = tree.run(&["status", "--check", "aarch64"]).exits(3).prints(why);
        assert_eq!((done.out.lines().count(), done.err.as_str()), (1, ""));
        tree.write_kernel(entry, "1");
    }
}

#[sandboxed]
fn check_works_for_an_ordinary_user() {
    let tree = machine();
    tree.register("aarch64").exits(0);
    assert_eq!(run_as_ordinary_user(tree, &["status", "--check", "arm64"]).exits(0).out, "aarch64: works\n");
}

#[sandboxed]
fn check_refuses_native_and_unknown_systems() {
    let tree = machine();
    tree.run(&["status", "--check", "x86_64"]).exits(2).says("run on this");
    tree.run(&["status", "--check", "arm46"]).exits(2).says("did you mean");
    tree.run(&["status", "--check"]).exits(2);
    tree.run(&["status", "--check", "arm", "-v"]).exits(2);
}
