//! Another emulator for a system that is already registered.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use binfmt_nix::sha256::Sha256;
use serde_json::Value;

use crate::support::emulators::{other_qemu, outside};
use crate::support::tree::{BOOT, EMULATOR, PREVIOUS, RECEIPT};
use crate::support::{LiarBehavior, Tree, liar, qemu};

#[sandboxed]
fn register_replaces_the_emulator() {
    let tree = Tree::new();
    tree.register("aarch64").exits(0);
    let old = fs::metadata(tree.path(EMULATOR)).unwrap().ino();
    let other = other_qemu("aarch64");
    tree.register_by("aarch64", &other, &[]).exits(0).prints("aarch64: registered, proven");
    assert_ne!(fs::metadata(tree.path(EMULATOR)).unwrap().ino(), old);
    assert_eq!(tree.read(EMULATOR), fs::read(&other).unwrap());
    assert_eq!(tree.entries(), ["qemu-aarch64"]);
    assert!(tree.runs("aarch64"));
    // Status compares the file that the kernel runs.
    let status = tree.run(&["status", "--json"]).exits(0).json();
    assert_eq!((&status["systems"][0]["state"], &status["systems"][0]["detail"]), (&"works".into(), &().into()));
    let before = tree.snapshot();
    tree.register_by("aarch64", &other, &[]).exits(0).prints("already registered");
    before.is_unchanged_in(&tree);
}

#[sandboxed]
fn unregister_after_upgrades_restores_every_byte() {
    let tree = Tree::new();
    let before = tree.snapshot();
    tree.register("aarch64").exits(0);
    tree.register_by("aarch64", &other_qemu("aarch64"), &["--credentials"]).exits(0);
    tree.register("aarch64").exits(0);
    tree.unregister("aarch64").exits(0);
    before.is_restored_in(&tree);
}

#[track_caller]
fn assert_rolled_back(bad: &Path) {
    let tree = Tree::new();
    tree.register("aarch64").exits(0);
    let before = tree.snapshot();
    tree.register_by("aarch64", bad, &[]).exits(1);
    before.is_restored_in(&tree);
    assert!(tree.runs("aarch64"));
    let status = tree.run(&["status", "--json"]).exits(0).json();
    assert_eq!(status["systems"][0]["detail"], serde_json::Value::Null, "{status:#}");
    let before = tree.snapshot();
    tree.run(&["register", "aarch64"]).exits(0).prints("already registered, proven");
    before.is_unchanged_in(&tree);
}

#[sandboxed]
fn a_new_emulator_that_does_not_work_is_rolled_back() {
    assert_rolled_back(&outside("liar", &liar("qemu-aarch64 version 11.0.0", LiarBehavior::Crash)));
}

#[sandboxed]
fn a_file_that_is_not_qemu_is_rejected() {
    assert_rolled_back(&outside("liar", b"#!/bin/sh\n"));
}

/// No temporary file and no second name is left, and no file is older than that.
#[sandboxed]
fn only_the_previous_emulator_is_kept() {
    let tree = Tree::new();
    tree.register("aarch64").exits(0);
    tree.register_by("aarch64", &other_qemu("aarch64"), &[]).exits(0);
    let old = tree.read(EMULATOR);
    tree.register("aarch64").exits(0);
    let names = fs::read_dir(tree.path(EMULATOR).parent().unwrap()).unwrap();
    assert_eq!(names.count(), 2);
    assert_eq!(tree.read(PREVIOUS), old);
    for path in [EMULATOR, PREVIOUS] {
        assert_eq!((fs::metadata(tree.path(path)).unwrap().nlink(), tree.mode_of(path) & 0o777), (1, 0o755));
    }
    // The digests of both are known by their stamps, so a repeated registration reads neither.
    let receipt: Value = serde_json::from_str(&tree.text(RECEIPT)).unwrap();
    let records = receipt["records"].as_array().unwrap().iter().map(|record| &record["made"]["interpreter"]);
    for made in records.filter(|made| made.is_object()) {
        let meta = fs::metadata(tree.path(&made["path"].as_str().unwrap()[1..])).unwrap();
        let changed = i128::from(meta.ctime()) * 1_000_000_000 + i128::from(meta.ctime_nsec());
        assert_eq!(made["seal"]["ctime_ns"].to_string(), changed.to_string(), "{made:#}");
    }
}

/// The kernel still runs the old file; status reports that, and unregister keeps the foreign file.
#[sandboxed]
fn an_emulator_replaced_by_another_tool_is_kept() {
    let tree = Tree::new();
    tree.register("aarch64").exits(0);
    let foreign = tree.path("usr/local/libexec/binfmt-nix/theirs");
    fs::copy(other_qemu("aarch64"), &foreign).unwrap();
    fs::rename(&foreign, tree.path(EMULATOR)).unwrap();
    let status = tree.run(&["status", "--json"]).exits(0).json();
    let detail = status["systems"][0]["detail"].as_str().unwrap();
    assert!(detail.contains("still runs"), "{detail}");
    tree.run(&["register", "aarch64"]).exits(3).says(EMULATOR);
    tree.unregister("aarch64").exits(3).says(EMULATOR);
    assert!(tree.exists(EMULATOR) && !tree.runs("aarch64"));
    assert_eq!(tree.entries(), [""; 0]);
}

#[sandboxed]
fn a_removed_emulator_is_installed_again() {
    let tree = Tree::new();
    let before = tree.snapshot();
    tree.register("aarch64").exits(0);
    tree.remove(EMULATOR);
    assert!(tree.runs("aarch64"));
    tree.register_by("aarch64", &qemu("aarch64"), &[]).exits(0).prints("registered, proven");
    assert!(tree.exists(EMULATOR) && tree.runs("aarch64"));
    tree.remove(EMULATOR);
    tree.unregister("aarch64").exits(0);
    before.is_restored_in(&tree);
}

/// Path of the emulator in earlier versions.
const OLD_EMULATOR: &str = "usr/local/libexec/binfmt-nix/qemu-aarch64";

/// A machine on which an earlier version registered aarch64: the emulator is one directory above.
fn old_machine() -> Tree {
    let tree = Tree::new();
    tree.register("aarch64").exits(0);
    let receipt = tree.text(RECEIPT);
    let boot = tree.text(BOOT);
    tree.write_kernel("qemu-aarch64", "-1");
    fs::rename(tree.path(EMULATOR), tree.path(OLD_EMULATOR)).unwrap();
    fs::remove_dir(tree.path(EMULATOR).parent().unwrap()).unwrap();
    let old = |text: &str| text.replace("/binfmt-nix/bin/qemu-", "/binfmt-nix/qemu-");
    tree.write(BOOT, old(&boot));
    tree.enter(&old(&rule_line(&boot).replace(":/usr", ":/tree/usr")));
    let sum = |text: &str| Sha256::of_bytes(text.as_bytes()).to_string();
    let mut receipt: Value = serde_json::from_str(&old(&receipt).replace(&sum(&boot), &sum(&old(&boot)))).unwrap();
    let records = receipt["records"].as_array_mut().unwrap();
    records.retain(|record| record["made"]["dir"]["path"] != "/usr/local/libexec/binfmt-nix/bin");
    for record in records.iter_mut().filter(|record| record["made"]["interpreter"].is_object()) {
        record["made"]["interpreter"]["seal"] = Value::Null;
    }
    let text = receipt.to_string();
    assert!(!text.contains("binfmt-nix/bin"), "{text}");
    tree.write(RECEIPT, text);
    assert!(tree.runs("aarch64"));
    tree
}

fn rule_line(boot: &str) -> String {
    boot.lines().find(|line| !line.starts_with('#')).unwrap().to_owned()
}

#[sandboxed]
fn what_an_earlier_version_registered_is_undone() {
    let tree = old_machine();
    tree.unregister("aarch64").exits(0);
    assert!(!tree.exists("usr/local/libexec") && !tree.exists("var/lib/binfmt-nix") && !tree.exists("etc/binfmt.d"));
    assert_eq!((tree.text("etc/nix/nix.conf").as_str(), tree.entries().len()), ("sandbox = true\n", 0));
}

/// Neither a download nor `--qemu` is needed.
#[sandboxed]
fn registering_again_moves_the_emulator_of_an_earlier_version() {
    let tree = old_machine();
    tree.run(&["restore", "--check"]).exits(0).prints("nothing is missing");
    let refused = tree.run(&["upgrade", "aarch64"]).exits(3).says("an earlier version installed /usr/local");
    assert!(refused.err.contains("--root /tree register aarch64\n"), "{refused:#?}");
    tree.run(&["register", "aarch64", "--offline"]).exits(0).prints("aarch64: registered, proven");
    assert!(tree.exists(EMULATOR) && !tree.exists(OLD_EMULATOR) && tree.runs("aarch64"));
    assert!(
        tree.text(BOOT).contains("/binfmt-nix/bin/qemu-aarch64") && !tree.text(RECEIPT).contains("binfmt-nix/qemu-")
    );
    assert!(tree.settings().iter().any(|line| line.contains("/binfmt-nix/bin/qemu-aarch64?")));
    let complete = tree.snapshot();
    tree.run(&["register", "aarch64"]).exits(0).prints("already registered");
    complete.is_unchanged_in(&tree);
    tree.unregister("all").exits(0);
    assert!(!tree.exists("usr/local/libexec") && !tree.exists("var/lib/binfmt-nix") && !tree.exists("etc/binfmt.d"));
}
