//! `doctor`: the interpreters of entries.

use std::fs;

use crate::diagnose::doctor::reports::{finding, finds, registered_tree, repaired, run_repair};
use crate::register::conflicts::FOREIGN_EMULATOR;
use crate::support::emulators::{complaining, outside};
use crate::support::table::line;
use crate::support::tree::EMULATOR;
use crate::support::{LiarBehavior, Tree, liar, qemu};

/// A machine with an entry of a distribution. Its boot file avoids a second finding.
fn foreign_entry(program: &[u8], flags: &str) -> Tree {
    let tree = Tree::without_nix().mounted().program(FOREIGN_EMULATOR, program);
    let entry = line("qemu-aarch64", "aarch64", &tree.path(FOREIGN_EMULATOR), flags);
    tree.file(crate::register::conflicts::FOREIGN_BOOT_FILE, format!("{entry}\n")).entry(&entry)
}

#[sandboxed]
fn a_removed_emulator_of_the_tool_is_found_and_repaired() {
    let tree = registered_tree();
    tree.remove(EMULATOR);
    assert!(tree.runs("aarch64"));
    let found = finds(&tree, &["interpreter-missing", "not-persistent"]);
    assert!(!finding(&found, "interpreter-missing")["fix"].is_null());
    run_repair(&tree, finding(&found, "interpreter-missing"), Some("aarch64"));
    finds(&tree, &[]);
}

/// A backup restores the same bytes with another inode.
#[sandboxed]
fn an_emulator_restored_from_a_backup_is_registered_again() {
    let make = || {
        let tree = registered_tree();
        let bytes = tree.read(EMULATOR);
        tree.remove(EMULATOR);
        tree.program(EMULATOR, bytes)
    };
    let tree = make();
    let found = finds(&tree, &["interpreter-stale"]);
    assert_eq!(finding(&found, "interpreter-stale")["systems"], serde_json::json!(["aarch64"]));
    crate::support::runs::discard_tree(tree);
    let tree = make();
    tree.run(&["doctor", "--fix"]).exits(0).prints("repaired: interpreter-stale");
    finds(&tree, &[]);
    assert!(tree.runs("aarch64"));
}

/// `--fix` does not do what `register` refuses.
#[sandboxed]
fn fix_does_not_register_an_emulator_with_other_contents() {
    let tree = registered_tree();
    tree.remove(EMULATOR);
    let other = fs::read(crate::support::emulators::other_qemu("aarch64")).unwrap();
    let tree = tree.program(EMULATOR, &other);
    finds(&tree, &["interpreter-stale"]);
    tree.run(&["register", "aarch64"]).exits(3);
    tree.run(&["doctor", "--fix"]).exits(3).says("is not as binfmt-nix wrote it").prints("interpreter-stale");
    assert_eq!(tree.read(EMULATOR), other);
    assert!(tree.runs("aarch64"), "the kernel has the one that was proven");
}

#[sandboxed]
fn a_dynamic_interpreter_is_found_and_repaired() {
    let program = fs::read("/bin/ls").unwrap();
    let tree = foreign_entry(&program, "PF");
    let found = finds(&tree, &["interpreter-dynamic"]);
    run_repair(&tree, finding(&found, "interpreter-dynamic"), Some("aarch64"));
    finds(&tree, &[]);
    assert!(tree.runs("aarch64"));
}

/// A real emulator with the version text of another release.
pub(crate) fn emulator_of_release(number: &str) -> Vec<u8> {
    let mut bytes = fs::read(qemu("aarch64")).unwrap();
    let was = b"version 10.0.13";
    let at = bytes.windows(was.len()).position(|found| found == was).unwrap();
    bytes[at..at + was.len()].copy_from_slice(format!("version {number}").as_bytes());
    bytes
}

#[sandboxed]
fn a_known_bad_release_is_found_and_repaired() {
    let tree = foreign_entry(&emulator_of_release("9.02.00"), "PF");
    assert!(tree.runs("aarch64"));
    let found = finds(&tree, &["qemu-known-bad"]);
    assert!(finding(&found, "qemu-known-bad")["why"].as_str().unwrap().contains("/1913"), "{found:#}");
    repaired(&tree, &["qemu-known-bad"], "qemu-known-bad", Some("aarch64"), &[]);
    assert!(tree.runs("aarch64"));
}

#[sandboxed]
fn a_release_before_7_2_is_found() {
    let tree = foreign_entry(&emulator_of_release("6.02.00"), "PF");
    let found = finds(&tree, &["qemu-known-bad"]);
    assert!(finding(&found, "qemu-known-bad")["why"].as_str().unwrap().contains("before 7.2.0"), "{found:#}");
}

#[sandboxed]
fn an_interpreter_that_does_not_run_is_found_and_repaired() {
    let tree = foreign_entry(&liar("qemu-aarch64 version 10.0.0", LiarBehavior::Crash), "PF");
    let found = finds(&tree, &["does-not-run"]);
    // The emulator may end before or after the tool inspects it.
    let why = finding(&found, "does-not-run")["why"].as_str().unwrap();
    assert!(why.contains("signal") || why.contains("as soon as"), "{why}");
    repaired(&tree, &["does-not-run"], "does-not-run", Some("aarch64"), &[]);
}

/// QEMU on a machine whose policy of SELinux has no executable memory, with the message that it printed on one.
#[sandboxed]
fn a_policy_that_forbids_execmem_is_named() {
    let message = "qemu-aarch64: mprotect of jit buffer: Permission denied";
    let program = complaining("qemu-aarch64 version 10.0.13", message);
    let policy =
        |tree: Tree| tree.file("sys/fs/selinux/enforce", "1").file("sys/fs/selinux/booleans/allow_execmem", "0 0");
    let command = "setsebool -P allow_execmem on";
    // `register` undoes its changes, and names neither another QEMU nor a repair of its own.
    let tree = policy(Tree::new());
    let before = tree.snapshot();
    let emulator = outside("complaining", &program);
    let done = tree.register_by("aarch64", &emulator, &[]).exits(6);
    done.says("SELinux forbids QEMU").says("every program on this host").says(command).omits("another QEMU");
    before.is_restored_in(&tree);
    tree.discard();
    // An entry that exists.
    let tree = policy(foreign_entry(&program, "PF"));
    let found = finds(&tree, &["execmem-denied"]);
    let one = finding(&found, "execmem-denied");
    assert!(one["fix"].is_null() && one["repair"].to_string().contains(command), "{found:#}");
    tree.run(&["doctor", "--fix"]).exits(3);
    let status = tree.run(&["status", "--json"]).exits(0).json();
    assert!(status["systems"][0]["detail"].as_str().unwrap().contains("SELinux forbids QEMU"), "{status:#}");
    assert!(status["systems"][0]["repair"][0].as_str().unwrap().ends_with(command), "{status:#}");
    // Without SELinux the message is all that is known.
    tree.write("sys/fs/selinux/enforce", "0");
    let status = tree.run(&["status", "--json"]).exits(0).json();
    assert_eq!(status["systems"][0]["detail"], message);
}
