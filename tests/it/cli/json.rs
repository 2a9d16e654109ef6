//! `--json`: stdout is one document for programs in every case; messages go to stderr.

use crate::support::Tree;
use crate::support::tree::BOOT;

#[sandboxed]
fn register_prints_one_document() {
    let tree = Tree::new();
    let first = tree.register_with("aarch64", &["--json"]).exits(0).json();
    let system = &first["systems"][0];
    assert_eq!(first["changed"], true);
    assert_eq!(first["findings"], serde_json::json!([]));
    for (field, value) in [("registered", true), ("already", false), ("proven", true), ("adopted", false)] {
        assert_eq!(system[field], value, "{field} in {first:#}");
    }
    assert_eq!(system["system"], "aarch64");
    assert_eq!(system["nix_systems"], serde_json::json!(["aarch64-linux"]));
    assert_eq!(system["entry"], "qemu-aarch64");
    assert_eq!(system["interpreter"], "/usr/local/libexec/binfmt-nix/qemu-aarch64");
    let second = tree.register_with("aarch64", &["--json"]).exits(0).json();
    assert_eq!((&second["changed"], &second["steps"]), (&false.into(), &serde_json::json!([])));
    assert_eq!((&second["systems"][0]["already"], &second["systems"][0]["proven"]), (&true.into(), &true.into()));
}

#[sandboxed]
fn unregister_prints_one_document() {
    let tree = Tree::new();
    tree.register("aarch64").exits(0);
    let planned = tree.run(&["--json", "unregister", "aarch64", "-n"]).exits(0).json();
    let done = tree.run(&["--json", "unregister", "aarch64"]).exits(0).json();
    assert_eq!(planned["steps"], done["steps"]);
    assert_eq!((&planned["changed"], &done["changed"]), (&false.into(), &true.into()));
    assert_eq!(done["systems"][0]["registered"], false);
    let again = tree.run(&["--json", "unregister", "aarch64"]).exits(0).json();
    assert_eq!(again["changed"], false);
    let all = tree.run(&["--json", "unregister", "all"]).exits(0).json();
    assert_eq!((&all["changed"], &all["systems"]), (&false.into(), &serde_json::json!([])));
}

#[sandboxed]
fn findings_are_in_the_document() {
    let tree = Tree::new();
    tree.register("aarch64").exits(0);
    tree.append(BOOT, "# mine now\n");
    let done = tree.run(&["--json", "unregister", "aarch64"]).exits(3).json();
    let finding = done["findings"][0].as_str().unwrap();
    assert!(finding.contains(BOOT), "{finding}");
}

#[sandboxed]
fn a_usage_error_prints_no_document() {
    let tree = Tree::new();
    let done = tree.run(&["--json", "register", "x86_64"]).exits(2);
    assert_eq!(done.out, "");
}

#[sandboxed]
fn every_read_only_command_prints_one_document() {
    let tree = Tree::new();
    tree.register("aarch64").exits(0);
    let before = tree.snapshot();
    for args in [
        &["status"][..],
        &["doctor"],
        &["list"],
        &["list", "--format", "json"],
        &["nix-conf"],
        &["nix-conf", "arm"],
        &["nix-conf", "--builder", "build"],
    ] {
        tree.run(&[&["--json"], args].concat()).exits(0).json();
    }
    before.is_untouched_in(&tree);
}
