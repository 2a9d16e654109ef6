//! `test`: each proof succeeds on a good machine, and fails on a machine on which exactly its condition is broken.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::binfmt::userns::usual_proc;
use crate::support::emulators::{dynamic, outside};
use crate::support::output::{Done, tool_path};
use crate::support::qemu;
use crate::support::runs::earlier_release;
use crate::support::sandbox::itself;
use crate::support::table::line;
use crate::support::tree::{EMULATOR, Tree};

const PROVEN: [(&str, &str); 4] =
    [("direct", "proven"), ("argv0", "proven"), ("chroot", "proven"), ("sandbox", "proven")];

/// Runs `test` for aarch64 and checks its exit status. Returns the result of each proof, and the whole report.
#[track_caller]
pub(crate) fn run_test(tree: &Tree, code: i32) -> (Vec<(String, String)>, Value) {
    let report = tree.run(&["test", "aarch64", "--json"]).exits(code).json();
    let system = report["systems"][0].clone();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let proofs = system["proofs"].as_array().unwrap().iter();
    let proofs: Vec<_> = proofs.map(|proof| (text(&proof["what"]), text(&proof["result"]))).collect();
    assert_eq!(report["proven"], proofs.iter().all(|(_, result)| result == "proven"), "{report:#}");
    (proofs, system)
}

/// Checks that exactly these proofs failed, with this reason and this repair.
#[track_caller]
pub(crate) fn fails(tree: &Tree, failed: &[&str], why: &str, repair: &str) {
    let (proofs, system) = run_test(tree, 3);
    let expected = PROVEN.map(|(what, _)| (what, if failed.contains(&what) { "failed" } else { "proven" }));
    assert_eq!(proofs, expected.map(|(what, result)| (what.to_owned(), result.to_owned())), "{system:#}");
    let proof = system["proofs"].as_array().unwrap().iter().find(|proof| proof["what"] == failed[0]).unwrap();
    assert!(proof["text"].as_str().unwrap().contains(why), "{proof:#}");
    assert_eq!(proof["repair"], serde_json::json!([repair]), "{proof:#}");
}

/// A machine with the usual /proc, so that new namespaces are possible.
pub(crate) fn machine() -> Tree {
    usual_proc();
    Tree::new()
}

const NOTHING: [&str; 4] = ["direct", "argv0", "chroot", "sandbox"];
pub(crate) const FORCE: &str = "binfmt-nix --root /tree register aarch64 --force";

/// A machine on which another tool registered this interpreter.
pub(crate) fn machine_with_entry(interpreter: &Path, flags: &str) -> Tree {
    machine().mounted().entry(&line("theirs", "aarch64", interpreter, flags))
}

/// The real QEMU, at a path that only the entry names.
fn real_qemu() -> PathBuf {
    outside("real", &fs::read(qemu("aarch64")).unwrap())
}

#[sandboxed]
fn every_proof_of_a_registered_system_succeeds() {
    let tree = machine();
    tree.register("aarch64").exits(0);
    let before = tree.snapshot();
    let done = tree.run(&["test", "arm64"]).exits(0);
    let lines = "aarch64: qemu-aarch64, flags PF, QEMU 10.0.13, by binfmt-nix
  proven   a program ran
  proven   it kept its argv[0]
  proven   it ran in an empty chroot
  proven   it ran in a sandbox like Nix's
";
    assert_eq!((done.out.as_str(), done.err.as_str()), (lines, ""));
    before.is_untouched_in(&tree);
}

#[sandboxed]
fn foreign_entries_are_tested() {
    let tree = machine_with_entry(&real_qemu(), "FP");
    assert_eq!(run_test(&tree, 0).1["by"], "others");
    tree.run(&["test", "all"]).exits(0).prints("aarch64: theirs, flags PF, QEMU 10.0.13, by others");
}

/// Runs the tool as an ordinary user.
pub(crate) fn run_as_ordinary_user(tree: Tree, args: &[&str]) -> Done {
    // The kernel refuses new namespaces to a user without a mapped id. Skips the test if the namespace maps one user only.
    let _tree = tree.file("theirs", "").owner("theirs", 65534);
    itself("stranger").unwrap().arg(tool_path()).args(["--root", "/tree"]).args(args).output().unwrap().into()
}

#[sandboxed]
fn test_works_for_an_ordinary_user() {
    let tree = machine();
    tree.register("aarch64").exits(0);
    let done = run_as_ordinary_user(tree, &["test", "aarch64"]).exits(0);
    done.prints("QEMU 10.0.13").prints("it ran in an empty chroot").prints("it ran in a sandbox like Nix's");
}

/// A proof that cannot be tried is reported and does not count as proven.
#[sandboxed]
fn proofs_without_namespaces_are_untried() {
    let tree = machine();
    tree.register("aarch64").exits(0);
    fs::write("/proc/sys/user/max_user_namespaces", "0").unwrap();
    fs::write("/proc/sys/user/max_mnt_namespaces", "0").unwrap();
    let done = tree.run(&["test", "aarch64"]).exits(3);
    done.prints("proven   it kept its argv[0]")
        .prints("untried  in an empty chroot could not be tried: cannot make a user namespace")
        .prints("untried  in a sandbox like Nix's could not be tried: cannot make a user namespace")
        .prints("max_user_namespaces is 0");
}

/// Each of these names is a part of the documented format.
#[sandboxed]
fn json_fields_are_the_documented_ones() {
    let tree = machine();
    tree.register("aarch64").exits(0);
    let report = tree.run(&["--json", "test", "aarch64"]).exits(0).json();
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    let are = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(keys(&report), are(&["version", "proven", "systems", "outdated_daemon"]));
    let system = &report["systems"][0];
    assert_eq!(
        keys(system),
        are(&["system", "entry", "flags", "interpreter", "qemu", "by", "proofs", "notes"]),
        "{report:#}"
    );
    assert_eq!(keys(&system["proofs"][0]), are(&["what", "result", "text", "repair"]));
    let proofs = system["proofs"].as_array().unwrap().iter().map(|proof| &proof["what"]).collect::<Vec<_>>();
    assert_eq!(proofs, PROVEN.map(|(what, _)| what));
    assert_eq!((&system["qemu"], &system["notes"]), (&"10.0.13".into(), &serde_json::json!([])));
    assert_eq!((&system["entry"], &system["by"]), (&"qemu-aarch64".into(), &"binfmt-nix".into()));
}

#[sandboxed]
fn a_missing_flag_f_fails_chroot_and_sandbox() {
    let tree = machine_with_entry(&real_qemu(), "P");
    fails(&tree, &["chroot", "sandbox"], "theirs has no flag F, so the kernel looks for /scratch/real inside", FORCE);
    // The named repair works.
    tree.register_with("aarch64", &["--force"]).exits(0);
    assert_eq!(run_test(&tree, 0).1["entry"], "qemu-aarch64");
}

#[sandboxed]
fn a_missing_flag_p_fails_argv0() {
    let tree = machine_with_entry(&real_qemu(), "F");
    fails(&tree, &["argv0"], "it lost its argv[0]; it saw \"/proc/self/fd/", FORCE);
    fails(&tree, &["argv0"], "theirs has no flag P", FORCE);
}

#[sandboxed]
fn flag_c_is_reported_as_a_note() {
    for (flags, noted) in [("CFP", true), ("OFP", false)] {
        let tree = machine_with_entry(&real_qemu(), flags);
        let (proofs, system) = run_test(&tree, 0);
        assert_eq!(proofs.len(), 4);
        assert_eq!(system["notes"].to_string().contains("theirs has flag C"), noted, "{system:#}");
        tree.write_kernel("theirs", "-1");
        crate::support::runs::discard_tree(tree);
    }
}

#[sandboxed]
fn a_dynamic_interpreter_fails_chroot_and_sandbox() {
    let tree = machine_with_entry(&dynamic(), "FP");
    fails(&tree, &["chroot", "sandbox"], "is dynamically linked", FORCE);
}

/// The entry still runs the old file. The note names its release and the release of the new file.
#[sandboxed]
fn a_replaced_emulator_is_noted_with_both_releases() {
    let tree = machine();
    tree.register("aarch64").exits(0);
    fs::copy(earlier_release(), tree.path("new")).unwrap();
    fs::rename(tree.path("new"), tree.path(EMULATOR)).unwrap();
    let (_, system) = run_test(&tree, 0);
    let note = system["notes"][0].as_str().unwrap();
    assert_eq!(system["qemu"], "10.0.13");
    assert!(
        note.contains("still runs") && note.contains("(QEMU 10.0.13)") && note.contains("(QEMU 10.0.12)"),
        "{note}"
    );
    tree.remove(EMULATOR);
    assert!(run_test(&tree, 0).1["notes"][0].as_str().unwrap().contains("which was removed since"));
}

#[sandboxed]
fn a_disabled_entry_fails_every_proof() {
    let tree = machine();
    tree.register("aarch64").exits(0);
    tree.write_kernel("qemu-aarch64", "0");
    let (proofs, system) = run_test(&tree, 3);
    assert!(proofs.iter().all(|(_, result)| result == "failed"), "{system:#}");
    let done = tree.run(&["test", "aarch64"]).exits(3).prints("qemu-aarch64 is disabled");
    done.prints("repair: binfmt-nix --root /tree register aarch64");
    tree.write_kernel("qemu-aarch64", "1");
    run_test(&tree, 0);
}

#[sandboxed]
fn a_switched_off_table_fails_every_proof() {
    let tree = machine();
    tree.register("aarch64").exits(0);
    tree.write_kernel("status", "0");
    let done = tree.run(&["test", "aarch64"]).exits(3).prints("the whole table is switched off");
    done.prints("repair: echo 1 > /tree/proc/sys/fs/binfmt_misc/status");
    tree.write_kernel("status", "1");
    run_test(&tree, 0);
}

#[sandboxed]
fn a_missing_interpreter_fails_every_proof() {
    let file = real_qemu();
    let tree = machine_with_entry(&file, "P");
    fs::remove_file(file).unwrap();
    assert_every_proof_fails(&tree, "theirs names /scratch/real, which does not exist");
}

#[sandboxed]
fn a_non_executable_interpreter_fails_every_proof() {
    let file = real_qemu();
    let tree = machine_with_entry(&file, "P");
    fs::set_permissions(file, fs::Permissions::from_mode(0o644)).unwrap();
    assert_every_proof_fails(&tree, "theirs names /scratch/real, which is not executable");
}

#[track_caller]
pub(crate) fn assert_every_proof_fails(tree: &Tree, why: &str) {
    fails(tree, &NOTHING, why, FORCE);
}

#[sandboxed]
fn an_unregistered_system_is_not_proven() {
    let tree = machine();
    tree.run(&["test", "aarch64"]).exits(3).prints("binfmt_misc is not mounted here");
    tree.run(&["test", "all"]).exits(3).says("nothing was proven");
    let tree = tree.mounted();
    tree.run(&["test", "aarch64"])
        .exits(3)
        .prints("no entry takes them")
        .prints("repair: binfmt-nix --root /tree register aarch64");
    assert_eq!(tree.run(&["test", "all", "--json"]).exits(3).json()["proven"], false);
}

#[sandboxed]
fn test_refuses_native_and_unknown_systems() {
    let tree = machine();
    tree.run(&["test"]).exits(2);
    tree.run(&["test", "x86_64"]).exits(2).says("run on this");
    tree.run(&["test", "arm46"]).exits(2).says("did you mean");
    tree.run(&["test", "all", "aarch64"]).exits(2).says("cannot be combined");
    crate::support::runs::discard_tree(tree);
    Tree::offline().run(&["test", "aarch64"]).exits(2).says("no kernel");
}

#[sandboxed]
fn the_nix_proof_is_untried_below_another_root() {
    let tree = machine();
    tree.register("aarch64").exits(0);
    tree.run(&["test", "aarch64", "--nix"]).exits(3).prints("untried  as a builder of Nix could not be tried: --root");
}
