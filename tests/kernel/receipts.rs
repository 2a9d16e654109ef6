//! A receipt that cannot be read: it is refused with the way out, and nothing is changed; and what interrupted runs leave.

use crate::common::Tree;
use crate::common::tree::{BOOT, EMULATOR, NIX_CONF, OWN_CONF, RECEIPT};

crate::tests! {
    it_is_not_json
    it_is_empty
    it_is_half_written
    it_is_of_a_later_version
    it_has_fields_of_a_later_version
    it_is_a_list
    it_is_not_text
    it_is_a_directory
    it_may_be_moved_aside
    it_was_lost
    temporary_files_of_a_killed_run_are_swept
    a_run_that_was_killed_before_its_last_record
    undo_of_a_run_that_was_killed
}

/// A machine on which aarch64 is registered, and the receipt says this.
fn with_receipt(text: impl AsRef<[u8]>) -> Tree {
    let tree = Tree::new();
    tree.register("aarch64").exits(0);
    tree.write(RECEIPT, text);
    tree
}

#[track_caller]
fn refused(tree: &Tree, why: &str) {
    let before = tree.snapshot();
    let commands: [&[&str]; 4] =
        [&["register", "aarch64"], &["register", "riscv64"], &["unregister", "aarch64"], &["unregister", "all"]];
    for args in commands {
        let done = tree.run(args).exits(1).says(RECEIPT).says(why).omits("panicked");
        assert_eq!(done.out, "");
        before.is_unchanged_in(tree);
    }
    tree.run(&["register", "riscv64", "--dry-run"]).exits(1).says(RECEIPT);
    tree.run(&["nix-conf"]).exits(1).says(RECEIPT);
    before.is_unchanged_in(tree);
    assert!(tree.runs("aarch64"));
}

const WAY_OUT: &str = "aside and register again";

fn it_is_not_json() {
    refused(&with_receipt("garbage\n"), WAY_OUT);
}

fn it_is_empty() {
    refused(&with_receipt(""), WAY_OUT);
}

fn it_is_half_written() {
    let tree = Tree::new();
    tree.register("aarch64").exits(0);
    let whole = tree.text(RECEIPT);
    for end in [1, whole.len() / 2, whole.len() - 3] {
        tree.write(RECEIPT, &whole[..end]);
        refused(&tree, WAY_OUT);
    }
}

fn it_is_of_a_later_version() {
    refused(&with_receipt(r#"{"version": 2, "whatever": []}"#), "version 2");
}

fn it_has_fields_of_a_later_version() {
    refused(&with_receipt(r#"{"version": 1, "systems": {}, "records": [], "more": 1}"#), "more");
}

fn it_is_a_list() {
    refused(&with_receipt("[]"), WAY_OUT);
}

fn it_is_not_text() {
    refused(&with_receipt(b"{\"version\": 1, \"\xff"), WAY_OUT);
}

fn it_is_a_directory() {
    let tree = Tree::new().dir(RECEIPT);
    let before = tree.snapshot();
    tree.register("aarch64").exits(1).says(RECEIPT);
    before.is_unchanged_in(&tree);
}

/// The way out that the message names leads out.
/// What is to the letter as we make it is ours, receipt or not.
fn it_may_be_moved_aside() {
    let tree = with_receipt("garbage");
    std::fs::rename(tree.path(RECEIPT), tree.path("var/lib/old.json")).unwrap();
    tree.register("aarch64").exits(0).prints("proven");
    assert!(tree.runs("aarch64"));
    tree.unregister("aarch64").exits(0);
    assert!(!tree.exists(EMULATOR) && !tree.exists(BOOT) && !tree.exists(OWN_CONF) && !tree.runs("aarch64"));
}

fn it_was_lost() {
    let tree = Tree::new();
    tree.register("aarch64").exits(0);
    tree.register("riscv64").exits(0);
    tree.remove("var/lib/binfmt-nix");
    tree.unregister("aarch64").exits(0).prints("aarch64: unregistered");
    assert!(!tree.exists(EMULATOR) && !tree.exists(BOOT) && !tree.runs("aarch64"));
    assert!(tree.runs("riscv64") && tree.text(OWN_CONF).contains("= riscv64-linux"));
    // A file that was changed is not to the letter, and nobody's to take away.
    tree.remove("var/lib/binfmt-nix");
    tree.append(OWN_CONF, "keep-outputs = true\n");
    let edited = tree.text(OWN_CONF);
    tree.unregister("riscv64").exits(0);
    assert_eq!(tree.text(OWN_CONF), edited);
}

fn temporary_files_of_a_killed_run_are_swept() {
    let tree = Tree::new();
    tree.register("aarch64").exits(0);
    let left = ["usr/local/libexec/binfmt-nix/.binfmt-nix-Ab12", "var/lib/binfmt-nix/.binfmt-nix-Cd34"];
    for path in left {
        tree.write(path, "half");
    }
    tree.write("usr/local/libexec/binfmt-nix/.binfmt-nix-probe-1/probe", "x");
    tree.register("riscv64").exits(0);
    for path in left.iter().chain(&["usr/local/libexec/binfmt-nix/.binfmt-nix-probe-1"]) {
        assert!(!tree.exists(path), "{path}");
    }
}

/// As if the machine had lost power when all was done but said: every record is still begun, no system is listed.
fn cut_short(tree: &Tree) {
    let mut receipt: serde_json::Value = serde_json::from_str(&tree.text(RECEIPT)).unwrap();
    for record in receipt["records"].as_array_mut().unwrap() {
        record["state"] = "begun".into();
    }
    receipt["systems"] = serde_json::json!({});
    tree.write(RECEIPT, receipt.to_string());
}

fn a_run_that_was_killed_before_its_last_record() {
    let tree = Tree::new();
    let before = tree.snapshot();
    tree.register("aarch64").exits(0);
    cut_short(&tree);
    tree.register("aarch64").exits(0).prints("proven: a program ran");
    assert!(tree.runs("aarch64"));
    let registered = tree.snapshot();
    tree.register("aarch64").exits(0).prints("already registered, proven");
    registered.is_unchanged_in(&tree);
    tree.unregister("aarch64").exits(0);
    before.is_restored_in(&tree);
}

fn undo_of_a_run_that_was_killed() {
    // After which of its things it was killed.
    for gone in [&[][..], &[NIX_CONF], &[NIX_CONF, OWN_CONF], &[OWN_CONF, BOOT], &[BOOT, EMULATOR]] {
        let tree = Tree::new();
        let before = tree.snapshot();
        tree.register("aarch64").exits(0);
        cut_short(&tree);
        for path in gone {
            match *path {
                NIX_CONF => tree.write(NIX_CONF, "sandbox = true\n"),
                path => tree.remove(path),
            }
        }
        tree.unregister("all").exits(0);
        before.is_restored_in(&tree);
    }
}
