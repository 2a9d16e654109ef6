//! Receipts that cannot be read, which are rejected with help and without a change; and the records of interrupted
//! runs.

use binfmt_nix::sha256::Sha256;
use serde_json::{Value, json};

use crate::support::Tree;
use crate::support::tree::{BOOT, EMULATOR, NIX_CONF, OWN_CONF, RECEIPT};

/// A machine on which aarch64 is registered, with this text as its receipt.
fn with_receipt(text: impl AsRef<[u8]>) -> Tree {
    let tree = Tree::new();
    tree.register("aarch64").exits(0);
    tree.write(RECEIPT, text);
    tree
}

#[track_caller]
fn assert_rejected(tree: &Tree, why: &str) {
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

const HELP: &str = "aside and register again";

#[sandboxed]
fn a_receipt_that_is_not_json_is_rejected() {
    assert_rejected(&with_receipt("garbage\n"), HELP);
}

#[sandboxed]
fn an_empty_receipt_is_rejected() {
    assert_rejected(&with_receipt(""), HELP);
}

#[sandboxed]
fn a_truncated_receipt_is_rejected() {
    let tree = Tree::new();
    tree.register("aarch64").exits(0);
    let whole = tree.text(RECEIPT);
    for end in [1, whole.len() / 2, whole.len() - 3] {
        tree.write(RECEIPT, &whole[..end]);
        assert_rejected(&tree, HELP);
    }
}

#[sandboxed]
fn a_receipt_of_a_later_version_is_rejected() {
    assert_rejected(&with_receipt(r#"{"version": 2, "whatever": []}"#), "version 2");
}

#[sandboxed]
fn a_receipt_with_unknown_fields_is_rejected() {
    assert_rejected(&with_receipt(r#"{"version": 1, "systems": {}, "records": [], "more": 1}"#), "more");
}

#[sandboxed]
fn a_receipt_that_is_a_list_is_rejected() {
    assert_rejected(&with_receipt("[]"), HELP);
}

#[sandboxed]
fn a_receipt_that_is_not_utf8_is_rejected() {
    assert_rejected(&with_receipt(b"{\"version\": 1, \"\xff"), HELP);
}

#[sandboxed]
fn a_directory_as_receipt_is_rejected() {
    let tree = Tree::new().dir(RECEIPT);
    let before = tree.snapshot();
    tree.register("aarch64").exits(1).says(RECEIPT);
    before.is_unchanged_in(&tree);
}

/// Checks that the receipt with one additional record is rejected.
#[track_caller]
fn assert_rejected_with(tree: &Tree, target: Option<&str>, made: &Value, why: &str) {
    let whole = tree.text(RECEIPT);
    let mut receipt: Value = serde_json::from_str(&whole).unwrap();
    let record = json!({ "state": "done", "target": target, "made": made });
    receipt["records"].as_array_mut().unwrap().push(record);
    tree.write(RECEIPT, receipt.to_string());
    assert_rejected(tree, why);
    tree.write(RECEIPT, whole);
}

/// `unregister all` does not remove such a file, with any record.
#[sandboxed]
fn a_receipt_that_names_foreign_files_is_rejected() {
    let tree = Tree::new().file("etc/passwd", "root\n");
    tree.register("aarch64").exits(0);
    let sha256 = Sha256::of_bytes(b"root\n").to_string();
    for path in [
        "/etc/passwd",
        "etc/passwd",
        "/usr/local/libexec/binfmt-nix/../../../../etc/passwd",
        "/etc/binfmt.d/zz-binfmt-nix-../../passwd",
        "/etc/nix/../passwd",
    ] {
        let of_aarch64 = [
            json!({ "file": { "path": path, "sha256": sha256 } }),
            json!({ "interpreter": { "path": path, "sha256": sha256, "seal": null } }),
        ];
        let shared = [
            json!({ "file": { "path": path, "sha256": sha256 } }),
            json!({ "include": { "path": path, "created": true, "newline_added": false } }),
            json!({ "dir": { "path": path } }),
            json!({ "program": { "path": path, "sha256": sha256, "seal": null } }),
            json!({ "link": { "path": path, "target": "../init.d/binfmt-nix" } }),
            json!({ "link": { "path": "/etc/rc2.d/S01binfmt-nix", "target": path } }),
            json!({ "boot-command": { "path": path, "created": true, "added": "" } }),
            json!({ "boot-command": { "path": "/etc/wsl.conf", "created": true, "added": "[boot]\ncommand = x\n" } }),
        ];
        for made in of_aarch64 {
            assert_rejected_with(&tree, Some("aarch64"), &made, "passwd");
        }
        for made in shared {
            assert_rejected_with(&tree, None, &made, "which binfmt-nix does not make");
        }
    }
    // Nor one of our files under the wrong system.
    let made = json!({ "file": { "path": "/etc/binfmt.d/zz-binfmt-nix-arm.conf", "sha256": sha256 } });
    assert_rejected_with(&tree, Some("aarch64"), &made, HELP);
}

#[sandboxed]
fn a_receipt_that_names_foreign_entries_is_rejected() {
    let tree = Tree::new();
    tree.register("aarch64").exits(0);
    let line = |name: &str, interpreter: &str| format!(":{name}:M:0:abc::{interpreter}:F");
    for (name, line) in [
        ("python3", line("python3", "/usr/bin/python3")),
        ("qemu-aarch64", line("qemu-aarch64", "/usr/bin/qemu-aarch64")),
        ("qemu-aarch64", line("python3", "/usr/local/libexec/binfmt-nix/qemu-aarch64")),
        ("status", "-1".to_owned()),
        ("../status", "-1".to_owned()),
    ] {
        let made = json!({ "entry": { "name": name, "line": line } });
        assert_rejected_with(&tree, Some("aarch64"), &made, "it names the entry");
    }
}

#[sandboxed]
fn a_receipt_that_names_unknown_systems_is_rejected() {
    let tree = Tree::new();
    tree.register("aarch64").exits(0);
    assert_rejected_with(&tree, Some("../x"), &json!({ "mount": { "boot": "", "id": null } }), "does not know");
    let text = tree.text(RECEIPT).replacen("\"aarch64\": {", "\"pdp11\": {", 1);
    tree.write(RECEIPT, text);
    assert_rejected(&tree, "pdp11");
}

/// The help of the message works. A file with exactly our content is ours, with or without a receipt.
#[sandboxed]
fn register_works_after_a_bad_receipt_was_moved_aside() {
    let tree = with_receipt("garbage");
    std::fs::rename(tree.path(RECEIPT), tree.path("var/lib/old.json")).unwrap();
    tree.register("aarch64").exits(0).prints("proven");
    assert!(tree.runs("aarch64"));
    tree.unregister("aarch64").exits(0);
    assert!(!tree.exists(EMULATOR) && !tree.exists(BOOT) && !tree.exists(OWN_CONF) && !tree.runs("aarch64"));
}

#[sandboxed]
fn unregister_without_a_receipt_removes_only_unchanged_files() {
    let tree = Tree::new();
    tree.register("aarch64").exits(0);
    tree.register("riscv64").exits(0);
    tree.remove("var/lib/binfmt-nix");
    tree.unregister("aarch64").exits(0).prints("aarch64: unregistered");
    assert!(!tree.exists(EMULATOR) && !tree.exists(BOOT) && !tree.runs("aarch64"));
    assert!(tree.runs("riscv64") && tree.text(OWN_CONF).contains("= riscv64-linux"));
    // A changed file does not have our content, so it is kept.
    tree.remove("var/lib/binfmt-nix");
    tree.append(OWN_CONF, "keep-outputs = true\n");
    let edited = tree.text(OWN_CONF);
    tree.unregister("riscv64").exits(0);
    assert_eq!(tree.text(OWN_CONF), edited);
}

#[sandboxed]
fn the_next_run_removes_temporary_files() {
    let tree = Tree::new();
    tree.register("aarch64").exits(0);
    let left = ["usr/local/libexec/binfmt-nix/bin/.binfmt-nix-4242-0", "var/lib/binfmt-nix/.binfmt-nix-4242-1"];
    for path in left {
        tree.write(path, "half");
    }
    tree.register("riscv64").exits(0);
    for path in left {
        assert!(!tree.exists(path), "{path}");
    }
}

/// Writes the receipt of a machine that lost power after the last change: every record is still begun, no system is
/// listed.
fn mark_incomplete(tree: &Tree) {
    let mut receipt: Value = serde_json::from_str(&tree.text(RECEIPT)).unwrap();
    for record in receipt["records"].as_array_mut().unwrap() {
        record["state"] = "begun".into();
    }
    receipt["systems"] = json!({});
    tree.write(RECEIPT, receipt.to_string());
}

#[sandboxed]
fn register_completes_a_run_without_its_last_record() {
    let tree = Tree::new();
    let before = tree.snapshot();
    tree.register("aarch64").exits(0);
    mark_incomplete(&tree);
    tree.run(&["status"])
        .exits(0)
        .says("its registration was interrupted")
        .says("binfmt-nix --root /tree unregister all");
    tree.register("aarch64").exits(0).prints("proven: a program ran");
    assert!(tree.runs("aarch64"));
    let registered = tree.snapshot();
    tree.register("aarch64").exits(0).prints("already registered, proven");
    registered.is_unchanged_in(&tree);
    tree.unregister("aarch64").exits(0);
    before.is_restored_in(&tree);
}

#[sandboxed]
fn unregister_undoes_an_incomplete_run() {
    // The artifacts that the killed run had not made yet, or had removed.
    for gone in [&[][..], &[NIX_CONF], &[NIX_CONF, OWN_CONF], &[OWN_CONF, BOOT], &[BOOT, EMULATOR]] {
        let tree = Tree::new();
        let before = tree.snapshot();
        tree.register("aarch64").exits(0);
        mark_incomplete(&tree);
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
