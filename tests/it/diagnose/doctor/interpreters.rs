//! `doctor`: the interpreters of entries.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use nix::mount::{MsFlags, mount};

use crate::diagnose::doctor::reports::{finding, finds, registered_tree, repaired, run_repair};
use crate::register::conflicts::{FOREIGN_EMULATOR, distribution};
use crate::support::sandbox::with_all_users;
use crate::support::table::line;
use crate::support::tree::EMULATOR;
use crate::support::{LiarBehavior, Tree, liar, qemu};

fn adopted_entry(flags: &str) -> Tree {
    let tree = distribution(flags);
    drop(tree.register("aarch64").exits(0));
    tree
}

/// A machine with an entry of a distribution. Its boot file avoids a second finding.
fn foreign_entry(program: &[u8], flags: &str) -> Tree {
    let tree = Tree::without_nix().mounted().program(FOREIGN_EMULATOR, program);
    let entry = line("qemu-aarch64", "aarch64", &tree.path(FOREIGN_EMULATOR), flags);
    tree.file(crate::register::conflicts::FOREIGN_BOOT_FILE, format!("{entry}\n")).entry(&entry)
}

/// Without the interpreter, the boot file has no effect either.
#[sandboxed]
fn a_removed_interpreter_that_flag_f_holds_is_found_and_repaired() {
    let tree = adopted_entry("PF");
    tree.remove(FOREIGN_EMULATOR);
    assert!(tree.runs("aarch64"));
    let before = ["interpreter-missing", "not-persistent"];
    repaired(&tree, &before, "interpreter-missing", Some("aarch64"), &[]);
}

#[sandboxed]
fn a_missing_interpreter_without_flag_f_is_found_and_repaired() {
    let tree = adopted_entry("PF");
    tree.write_kernel("qemu-aarch64", "-1");
    tree.enter(&line("qemu-aarch64", "aarch64", Path::new("/tree/nowhere"), "P"));
    assert!(!tree.runs_somehow("aarch64"));
    let before = ["interpreter-missing", "no-fix-binary"];
    repaired(&tree, &before, "interpreter-missing", Some("aarch64"), &[]);
    assert!(tree.runs("aarch64"));
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

/// A package manager replaces the file by another one of the same name.
#[sandboxed]
fn an_upgraded_foreign_interpreter_is_found() {
    let tree = adopted_entry("PF");
    let next = fs::read(crate::support::emulators::other_qemu("aarch64")).unwrap();
    let tree = tree.program("usr/bin/next", next);
    fs::rename(tree.path("usr/bin/next"), tree.path(FOREIGN_EMULATOR)).unwrap();
    let found = finds(&tree, &["interpreter-stale"]);
    let repair = finding(&found, "interpreter-stale")["repair"].to_string();
    assert!(repair.contains("restart systemd-binfmt"), "{repair}");
    // The same effect as a restart of systemd-binfmt on this rule.
    let entry = tree.text(crate::register::conflicts::FOREIGN_BOOT_FILE);
    tree.write_kernel("qemu-aarch64", "-1");
    tree.enter(entry.trim());
    finds(&tree, &[]);
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

/// The interpreter is a program for another system.
#[sandboxed]
fn an_interpreter_for_another_host_is_found_and_repaired() {
    let program = binfmt_magic::Arch::find("riscv64").unwrap().probe().unwrap();
    let tree = foreign_entry(program, "PF");
    repaired(&tree, &["interpreter-unfit"], "interpreter-unfit", Some("aarch64"), &[]);
}

#[sandboxed]
fn a_non_executable_interpreter_is_found_and_repaired() {
    let tree = adopted_entry("PF");
    let tree = tree.mode(FOREIGN_EMULATOR, 0o644);
    repaired(&tree, &["interpreter-not-executable"], "interpreter-not-executable", None, &[]);
}

/// The interpreter is on its own file system, which is remounted after the registration. Programs then end with a
/// segmentation fault.
#[sandboxed]
fn an_interpreter_on_a_noexec_mount_is_found_and_repaired() {
    // mount(8) passes on the owner that it reads in mountinfo. Without this, that user has no number in the namespace.
    with_all_users();
    let tree = Tree::without_nix().mounted().dir("opt");
    let place = tree.path("opt");
    mount(None::<&str>, &place, Some("tmpfs"), MsFlags::empty(), Some("mode=755")).unwrap();
    let tree = tree.program("opt/qemu", fs::read(qemu("aarch64")).unwrap());
    let entry = line("qemu-aarch64", "aarch64", &tree.path("opt/qemu"), "PF");
    let tree = tree.file("etc/binfmt.d/q.conf", format!("{entry}\n")).entry(&entry);
    finds(&tree, &[]);
    let flags = MsFlags::MS_REMOUNT | MsFlags::MS_NOEXEC;
    mount(None::<&str>, &place, None::<&str>, flags, None::<&str>).unwrap();
    assert!(!tree.runs_somehow("aarch64"));
    repaired(&tree, &["interpreter-noexec"], "interpreter-noexec", None, &[]);
    assert!(tree.runs("aarch64"));
}

#[sandboxed]
fn a_writable_interpreter_is_found_and_repaired() {
    let tree = adopted_entry("PF");
    let tree = tree.mode(FOREIGN_EMULATOR, 0o777);
    repaired(&tree, &["interpreter-writable"], "interpreter-writable", None, &[]);
    assert_eq!(tree.mode_of(FOREIGN_EMULATOR), 0o755);
}

#[sandboxed]
fn an_interpreter_in_a_writable_directory_is_found_and_repaired() {
    let tree = adopted_entry("PF");
    fs::set_permissions(tree.path("usr/bin"), fs::Permissions::from_mode(0o777)).unwrap();
    repaired(&tree, &["interpreter-writable"], "interpreter-writable", None, &[]);
}

/// A real emulator with the version text of another release.
fn emulator_of_release(number: &str) -> Vec<u8> {
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
