//! Kernels that lack something, by the personality UNAME26: uname(2) then reports Linux 2.6 (personality(2)). Only what the
//! tool concludes from the release is tested so; `tests/machines` boots Linux 5.10 and 6.1.

use std::process::Command;

use crate::diagnose::verify::checks::{machine, run_test};
use crate::support::Tree;
use crate::support::output::{Done, tool_path};
use crate::support::qemu;
use crate::support::sandbox::itself;

fn old() -> [&'static str; 3] {
    ["/usr/bin/setarch", "--uname-2.6", tool_path()]
}

fn run_on_old_kernel(tree: &Tree, args: &[&str]) -> Done {
    let root = tree.path("");
    let mut command = Command::new(old()[0]);
    command.args(&old()[1..]).arg("--root").arg(root).args(args).env_clear().env("PATH", "/usr/bin:/bin");
    command.output().unwrap().into()
}

/// Linux reports flag P to the emulator since 5.12. Before, no emulator and no entry can keep a program's `argv[0]`.
#[sandboxed]
fn before_5_12_a_missing_argv0_is_a_note_without_a_repair() {
    let tree = machine();
    let emulator = qemu("aarch64");
    let args = ["register", "aarch64", "--qemu", emulator.to_str().unwrap()];
    run_on_old_kernel(&tree, &args).exits(0).says("(flags F)");
    run_on_old_kernel(&tree, &["status", "--check", "aarch64"]).exits(0);
    run_on_old_kernel(&tree, &["doctor"]).exits(0).prints("nothing is wrong");
    let report = run_on_old_kernel(&tree, &["test", "aarch64", "--json"]).exits(0).json();
    let system = &report["systems"][0];
    let proofs: Vec<_> = system["proofs"].as_array().unwrap().iter().map(|proof| &proof["what"]).collect();
    assert_eq!(proofs, ["direct", "chroot", "sandbox"], "{report:#}");
    assert!(system["notes"][0].as_str().unwrap().contains("Linux 5.12 and later do"), "{report:#}");
    assert!(!report.to_string().contains("register aarch64"), "{report:#}");
    // On this kernel the same entry loses the name, and has a repair.
    let (proofs, system) = run_test(&tree, 3);
    assert!(proofs.contains(&("argv0".to_owned(), "failed".to_owned())), "{system:#}");
}

/// A user namespace has a table of its own since Linux 6.7.
#[sandboxed]
fn before_6_7_nothing_proposes_run() {
    let as_user = |words: &[&str]| -> Done { itself("stranger").unwrap().args(words).output().unwrap().into() };
    // Skips the test if the namespace maps one user only.
    let _tree = machine().file("theirs", "").owner("theirs", 65534);
    as_user(&[tool_path(), "register", "aarch64"]).exits(4).says("run --system aarch64 -- COMMAND");
    as_user(&[&old()[..], &["register", "aarch64"]].concat()).exits(4).says("register aarch64").omits("run --system");
    as_user(&[&old()[..], &["run", "-s", "aarch64", "--", "true"]].concat()).exits(6).says("6.7");
    let program =
        crate::support::emulators::outside("program", binfmt_magic::Arch::find("aarch64").unwrap().probe().unwrap());
    let program = program.to_str().unwrap();
    let without_root = |done: Done| done.json()["without_root"].clone();
    let now = without_root(as_user(&[tool_path(), "explain", program, "--json"]));
    let old = without_root(as_user(&[&old()[..], &["explain", program, "--json"]].concat()));
    assert!(now.to_string().contains("run"), "{now}");
    assert!(!old.to_string().contains("run -s"), "{old}");
}
