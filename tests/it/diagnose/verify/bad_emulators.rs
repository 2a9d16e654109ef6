//! `test`: emulators that do not run programs, and the confinement of its probes.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::diagnose::verify::checks::{FORCE, assert_every_proof_fails, fails, machine, machine_with_entry, run_test};
use crate::support::emulators::{busybox, outside};
use crate::support::output::Done;
use crate::support::table::line;
use crate::support::{LiarBehavior, liar};

#[sandboxed]
fn a_bad_foreign_entry_above_the_tool_is_found() {
    let tree = machine();
    tree.register("aarch64").exits(0);
    let shirker = outside("shirker", &liar("qemu-aarch64 version 10.0.13", LiarBehavior::DoNothing));
    tree.enter(&line("theirs", "aarch64", &shirker, "FP"));
    assert_every_proof_fails(&tree, "the emulator ended without running anything");
    let (_, system) = run_test(&tree, 3);
    assert_eq!((&system["entry"], &system["by"]), (&"theirs".into(), &"others".into()));
    assert_eq!(system["notes"][0], "theirs, an entry of another tool, takes precedence over our qemu-aarch64");
    tree.write_kernel("theirs", "-1");
    run_test(&tree, 0);
}

#[sandboxed]
fn a_crashing_emulator_fails_every_proof() {
    let tree =
        machine_with_entry(&outside("crasher", &liar("qemu-aarch64 version 10.0.13", LiarBehavior::Crash)), "FP");
    assert_every_proof_fails(&tree, "the emulator ended with signal: 4");
}

/// QEMU before 6.0 behaved like this.
#[sandboxed]
fn an_emulator_that_drops_argv0_fails_argv0() {
    for (release, why) in
        [("10.0.13", "the emulator does not pass the name on"), ("5.2.0", "QEMU 5.2.0 does not support flag P")]
    {
        let forgetful = liar(&format!("qemu-aarch64 version {release}"), LiarBehavior::WrongOutput);
        let tree = machine_with_entry(&outside(&format!("forgetful-{release}"), &forgetful), "FP");
        fails(&tree, &["argv0"], why, FORCE);
        tree.write_kernel("theirs", "-1");
        crate::support::runs::discard_tree(tree);
    }
}

/// The emulator is busybox with the name `yes`.
#[sandboxed]
fn an_emulator_that_writes_forever_fails_every_proof() {
    let busybox = busybox().to_string_lossy().replace("arm64", "amd64");
    let tree = machine_with_entry(&outside("yes", &fs::read(busybox).unwrap()), "FP");
    assert_every_proof_fails(&tree, "it writes without end");
    tree.run(&["status", "--check", "aarch64"]).exits(3).prints("it writes without end");
}

/// The emulator is slow by intention, so that the test can inspect its process from outside.
#[sandboxed]
fn probes_run_in_a_chroot_and_in_a_sandbox() {
    let dawdler = outside("dawdler", &liar("qemu-aarch64 version 10.0.13", LiarBehavior::LateWrongOutput));
    let tree = machine_with_entry(&dawdler, "FP");
    let child = tree.start(&["test", "aarch64"]);
    let mut seen: BTreeSet<(Vec<String>, Vec<String>)> = BTreeSet::new();
    while Path::new("/proc").join(child.id().to_string()).join("exe").exists() {
        seen.extend(processes_of(&dawdler).filter_map(|pid| surroundings(&pid)));
        std::thread::sleep(Duration::from_millis(5));
    }
    Done::from(child.wait_with_output().unwrap()).exits(3).prints("it ran in a sandbox like Nix's");
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let chroot = (words("mnt"), words("probe"));
    let sandbox = (words("ipc mnt net pid user uts"), words("probe proc"));
    assert!(seen.contains(&chroot) && seen.contains(&sandbox), "{seen:#?}");
}

fn processes_of(program: &Path) -> impl Iterator<Item = PathBuf> {
    let all = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path());
    all.filter(move |pid| {
        fs::read_link(pid.join("exe")).is_ok_and(|exe| exe.ends_with(program.strip_prefix("/").unwrap()))
    })
}

/// The namespaces that a process does not share with the test, and the names in its root directory.
fn surroundings(pid: &Path) -> Option<(Vec<String>, Vec<String>)> {
    let namespace = |pid: &Path, name: &str| fs::read_link(pid.join("ns").join(name)).ok();
    let mut differs = Vec::new();
    for name in ["ipc", "mnt", "net", "pid", "user", "uts"] {
        if namespace(pid, name)? != namespace(Path::new("/proc/self"), name)? {
            differs.push(name.to_owned());
        }
    }
    let names = fs::read_dir(pid.join("root")).ok()?.flatten().map(|entry| entry.file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    Some((differs, names))
}
