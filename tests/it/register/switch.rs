//! `disable` and `enable`: a system that is off stays off, whatever restarts, and is on again as it was.

use serde_json::json;

use crate::diagnose::situations::commands::paste;
use crate::diagnose::situations::hints::command_after;
use crate::support::Tree;
use crate::support::table::line;
use crate::support::tree::{BOOT, EMULATOR, OWN_CONF, TABLE};
use crate::support::watcher::Watch;

const ENTRY: &str = "qemu-aarch64";

/// Flushes the table, as a restart does.
fn flush(tree: &Tree) {
    tree.write_kernel("status", "-1");
}

#[sandboxed]
fn a_system_that_is_off_is_on_again_as_it_was() {
    let tree = Tree::new();
    let fresh = tree.snapshot();
    tree.register("aarch64").exits(0);
    let registered = tree.snapshot();
    tree.run(&["disable", "aarch64", "--dry-run"]).exits(0).prints("would disable    qemu-aarch64");
    registered.is_unchanged_in(&tree);
    let done = tree.run(&["disable", "arm64", "--json"]).exits(0).json();
    assert_eq!((&done["changed"], &done["systems"][0]["disabled"]), (&json!(true), &json!(true)), "{done:#}");
    assert!(!tree.runs("aarch64"));
    assert_eq!(tree.text(&format!("{TABLE}/{ENTRY}")).lines().next(), Some("disabled"));
    assert!(tree.exists(EMULATOR) && !tree.exists(OWN_CONF), "Nix would start builds that fail");
    assert!(tree.text(BOOT).lines().all(|line| line.starts_with('#')));
    let off = tree.snapshot();
    tree.run(&["disable", "aarch64"]).exits(0).prints("aarch64: already disabled");
    off.is_unchanged_in(&tree);
    tree.run(&["enable", "all"]).exits(0).prints("aarch64: enabled, proven (entry qemu-aarch64)");
    assert!(tree.runs("aarch64") && tree.snapshot().is_like(&registered));
    let on = tree.snapshot();
    tree.run(&["enable", "aarch64"]).exits(0).prints("aarch64: already enabled");
    on.is_unchanged_in(&tree);
    tree.run(&["disable", "all"]).exits(0);
    tree.unregister("aarch64").exits(0);
    fresh.is_restored_in(&tree);
}

#[sandboxed]
fn status_and_doctor_know_that_a_system_is_off() {
    let tree = Tree::new();
    tree.register("aarch64").exits(0);
    tree.run(&["disable", "aarch64"]).exits(0);
    let status = tree.status();
    let system = &status["systems"][0];
    assert_eq!((&system["state"], &system["by"]), (&json!("disabled"), &json!("binfmt-nix")), "{status:#}");
    assert_eq!(status["unfinished"], json!(false), "{status:#}");
    tree.run(&["status"]).says("aarch64: to turn it on, run: ");
    tree.run(&["status", "--check", "aarch64"]).exits(3).prints("aarch64: disabled");
    tree.run(&["test", "aarch64"]).exits(3).prints("the command disable turned it off");
    tree.run(&["nix-conf"]).exits(0).omits("aarch64-linux");
    // It is said, and not a finding: --fix leaves it off.
    let doctor = tree.run(&["doctor", "--fix", "--json"]).exits(0).json();
    assert_eq!((&doctor["findings"], &doctor["fixed"]), (&json!([]), &json!([])), "{doctor:#}");
    assert!(!tree.runs("aarch64"));
    // The repairs of both are the same command.
    let [repair, command] = [&system["repair"][0], &doctor["notes"][0]["command"]].map(|line| line.as_str().unwrap());
    assert!(repair == command && command.contains("enable aarch64"), "{command}");
    drop(paste(repair).exits(0));
    assert!(tree.runs("aarch64"));
    // Another program's 0 is a finding as before.
    tree.write_kernel(ENTRY, "0");
    let doctor = tree.run(&["doctor", "--json"]).exits(3).json();
    assert_eq!(doctor["findings"][0]["id"], "entry-disabled", "{doctor:#}");
}

#[sandboxed]
fn a_restart_keeps_a_system_off() {
    let tree = Tree::new();
    let fresh = tree.snapshot();
    tree.register("aarch64").exits(0);
    tree.register("riscv64").exits(0);
    let files = || [BOOT, OWN_CONF, EMULATOR].map(|path| tree.read(path));
    let registered = files();
    tree.run(&["disable", "aarch64"]).exits(0);
    assert_eq!(tree.settings()[0], "extra-extra-platforms = riscv64-linux");
    flush(&tree);
    // A system that is registered meanwhile does not turn on the other one.
    tree.register("riscv64").exits(0);
    tree.run(&["restore"]).exits(0).prints("aarch64: disabled, left out");
    assert_eq!(tree.entries(), ["qemu-riscv64"]);
    assert_eq!(tree.settings()[0], "extra-extra-platforms = riscv64-linux");
    tree.run(&["disable", "aarch64"]).exits(0).prints("already disabled");
    tree.run(&["enable", "aarch64"]).exits(0).prints("aarch64: enabled, proven");
    assert!(tree.runs("aarch64"));
    assert!(files() == registered);
    tree.unregister("all").exits(0);
    fresh.is_restored_in(&tree);
}

#[sandboxed]
fn the_receipt_is_not_needed_to_know_what_is_off() {
    let tree = Tree::new();
    tree.register("aarch64").exits(0);
    tree.run(&["disable", "aarch64"]).exits(0);
    tree.remove("var/lib/binfmt-nix/receipt.json");
    flush(&tree);
    tree.run(&["status", "--check", "aarch64"]).exits(3).prints("aarch64: disabled");
    tree.run(&["enable", "aarch64"]).exits(0);
    assert!(tree.runs("aarch64"));
}

#[sandboxed]
fn register_turns_a_system_on() {
    let tree = Tree::new();
    tree.register("aarch64").exits(0);
    let registered = tree.snapshot();
    tree.run(&["disable", "aarch64"]).exits(0);
    tree.run(&["register", "aarch64"]).exits(0).prints("aarch64: registered, proven");
    assert!(tree.runs("aarch64") && tree.snapshot().is_like(&registered));
}

#[sandboxed]
fn a_watch_leaves_a_system_off() {
    let tree = Tree::new().mounted();
    let mut watch = Watch::begin(&tree, "aarch64", &[]);
    tree.run(&["disable", "aarch64"]).exits(0);
    watch.says("warning disabled system=aarch64");
    flush(&tree);
    // The other event shows that the watch has examined the table since.
    tree.write_kernel("status", "0");
    watch.says("warning switched-off");
    assert_eq!(tree.entries(), [""; 0]);
    tree.write_kernel("status", "1");
    watch.says("resolved what=switched-off");
    assert_eq!(tree.entries(), [""; 0]);
    tree.run(&["enable", "aarch64"]).exits(0);
    watch.says("resolved what=disabled system=aarch64");
    flush(&tree);
    watch.says("info registered system=aarch64");
    assert!(tree.runs("aarch64"));
}

#[sandboxed]
fn what_cannot_be_turned_off_is_an_error() {
    let tree = Tree::new().mounted();
    let before = tree.snapshot();
    tree.run(&["disable", "aarch64"]).exits(3).says("aarch64 is not registered by binfmt-nix").says("register aarch64");
    tree.run(&["disable", "all"]).exits(0).prints("nothing is registered");
    tree.run(&["enable", "nonsense"]).exits(2);
    tree.run(&["enable"]).exits(2);
    before.is_unchanged_in(&tree);
    // Another tool's entry of that name appeared while ours was out of the table.
    tree.register("aarch64").exits(0);
    tree.run(&["disable", "aarch64"]).exits(0);
    flush(&tree);
    tree.enter(&line(ENTRY, "s390x", std::path::Path::new("/bin/true"), ""));
    let before = tree.snapshot();
    let refused = tree.run(&["enable", "aarch64"]).exits(3).says("another tool's entry has the name qemu-aarch64");
    before.is_unchanged_in(&tree);
    drop(paste(&command_after(&refused, "register beside it, run: ")).exits(0));
    assert!(tree.runs("aarch64"));
}

/// The emulator was replaced by a file that emulates nothing: what was done before the proof is undone.
#[sandboxed]
fn a_system_that_does_not_work_stays_off() {
    let tree = Tree::new();
    tree.register("aarch64").exits(0);
    tree.run(&["disable", "aarch64"]).exits(0);
    // The kernel holds the file, so it cannot be written (ETXTBSY).
    tree.remove(EMULATOR);
    let tree = tree.program(EMULATOR, "changed");
    let off = tree.snapshot();
    tree.run(&["enable", "aarch64"]).exits(1).says("another file has replaced it");
    assert!(tree.snapshot().is_like(&off));
}
