//! `--force`: our entry takes precedence over other tools' entries, which stay and take effect again when ours is
//! removed.

use binfmt_magic::Rule;

use crate::register::conflicts::{FOREIGN_BOOT_FILE, distribution};
use crate::support::Tree;
use crate::support::table::line;
use crate::support::tree::{BOOT, EMULATOR};

#[sandboxed]
fn force_adds_an_entry_above_one_with_its_name() {
    let tree = distribution("P");
    let before = tree.snapshot();
    tree.register_with("aarch64", &["--force"]).exits(0).prints("entry binfmt-nix-aarch64");
    assert_eq!(tree.entries(), ["binfmt-nix-aarch64", "qemu-aarch64"]);
    assert_eq!(tree.table()[1..], *before.table());
    let boot = tree.text(BOOT);
    let rule = boot.lines().find(|line| !line.starts_with('#')).unwrap();
    assert_eq!(Rule::parse(rule.as_bytes()).unwrap().name.as_str(), Some("binfmt-nix-aarch64"));
    assert!(tree.runs("aarch64"));
    tree.unregister("aarch64").exits(0);
    before.is_restored_in(&tree);
}

#[sandboxed]
fn force_adds_an_entry_above_one_with_another_name() {
    let foreign = line("arm64", "aarch64", "/bin/true".as_ref(), "");
    let tree = Tree::new().mounted().entry(&foreign);
    let before = tree.snapshot();
    tree.register("aarch64").exits(3).says("arm64");
    tree.register_with("aarch64", &["--force"]).exits(0).prints("entry qemu-aarch64");
    assert_eq!(tree.entries(), ["qemu-aarch64", "arm64"]);
    assert!(tree.runs("aarch64"));
    tree.unregister("aarch64").exits(0);
    before.is_restored_in(&tree);
}

#[sandboxed]
fn force_does_not_use_an_equivalent_foreign_entry() {
    let tree = distribution("PF");
    let before = tree.snapshot();
    tree.register_with("aarch64", &["--force"]).exits(0).prints("aarch64: registered, proven");
    assert_eq!(tree.entries(), ["binfmt-nix-aarch64", "qemu-aarch64"]);
    assert_eq!(tree.entry_says("binfmt-nix-aarch64", "interpreter "), format!("/tree/{EMULATOR}"));
    tree.unregister("aarch64").exits(0);
    before.is_restored_in(&tree);
}

#[sandboxed]
fn forcing_again_changes_nothing() {
    let tree = distribution("P");
    tree.register_with("aarch64", &["--force"]).exits(0);
    let before = tree.snapshot();
    tree.register_with("aarch64", &["--force"]).exits(0).prints("already registered");
    before.is_unchanged_in(&tree);
}

/// Our entry precedes the other one, so there is no conflict.
#[sandboxed]
fn registering_again_without_force_changes_nothing() {
    let tree = distribution("P");
    tree.register_with("aarch64", &["--force"]).exits(0);
    let before = tree.snapshot();
    tree.register("aarch64").exits(0).prints("already registered");
    before.is_unchanged_in(&tree);
}

#[sandboxed]
fn a_later_foreign_entry_is_reported_and_force_restores_precedence() {
    let tree = Tree::new();
    let before = tree.snapshot();
    tree.register("aarch64").exits(0);
    let foreign = line("later", "aarch64", "/bin/true".as_ref(), "");
    tree.enter(&foreign);
    tree.register("aarch64").exits(3).says("later");
    tree.register_with("aarch64", &["--force"]).exits(0);
    assert_eq!(tree.entries(), ["qemu-aarch64", "later"]);
    assert!(tree.runs("aarch64"));
    tree.unregister("aarch64").exits(0).says("stays");
    assert_eq!(tree.entries(), ["later"]);
    // The mount that we made has the other tool's entry, so it stays until that entry is removed.
    tree.write_kernel("later", "-1");
    tree.unregister("all").exits(0);
    before.is_restored_in(&tree);
}

/// Force neither registers the host's own system, nor replaces a foreign file, nor accepts a bad emulator.
#[sandboxed]
fn force_does_not_override_other_checks() {
    let tree = Tree::new().file(BOOT, "# another tool's\n").file(FOREIGN_BOOT_FILE, "");
    let before = tree.snapshot();
    tree.register_with("aarch64", &["--force"]).exits(3).says(BOOT);
    tree.run(&["register", std::env::consts::ARCH, "--force"]).exits(2);
    tree.run(&["register", "aarch64", "--force", "--qemu", "/bin/sh"]).exits(1);
    before.is_unchanged_in(&tree);
}
