//! `register all`: every system that this machine does not run natively.

use std::fs;

use binfmt_magic::Arch;

use crate::binfmt::userns::usual_proc;
use crate::support::qemu;
use crate::support::table::line;
use crate::support::tree::{BOOT, EMULATOR, NIX_CONF, OWN_CONF, Tree};

/// A machine with all of Debian's qemu-user.
fn with_all() -> (Tree, Vec<&'static str>) {
    let tree = Tree::new();
    let own = Arch::of_host(std::env::consts::ARCH).unwrap().target;
    let targets: Vec<_> = Arch::ALL.iter().map(|arch| arch.target).filter(|target| *target != own).collect();
    for target in &targets {
        fs::copy(qemu(target), tree.path("usr/bin").join(format!("qemu-{target}"))).unwrap();
    }
    (tree, targets)
}

#[sandboxed]
fn all_systems_are_registered_and_unregistered() {
    let (tree, targets) = with_all();
    // A bad entry of another tool for one system: that system is skipped and reported.
    let tree = tree.mounted().entry(&line("theirs", "riscv64", "/bin/true".as_ref(), ""));
    let before = tree.snapshot();
    let done = tree.run(&["register", "all", "--source", "host", "--json"]).exits(3).json();
    let findings = done["findings"].as_array().unwrap();
    assert!(findings.len() == 1 && findings[0].as_str().unwrap().contains("riscv64"), "{findings:#?}");
    let systems = done["systems"].as_array().unwrap();
    for system in systems {
        assert_eq!((&system["registered"], &system["proven"]), (&true.into(), &true.into()), "{system:#}");
    }
    let passed_over = done["notes"].as_array().unwrap().iter().filter(|note| note.to_string().contains("natively"));
    // The host's own system, and i386 where the kernel runs it.
    let natives = passed_over.count();
    assert!(natives == 1 || natives == 2);
    assert_eq!(systems.len(), targets.len() + 1 - 1 - natives);
    assert_eq!(tree.entries().len(), systems.len() + 1);
    for system in ["aarch64", "s390x", "ppc64le", "mips64el", "loongarch64"] {
        assert!(tree.runs(system), "{system}");
    }
    assert_eq!(tree.text(NIX_CONF), "sandbox = true\n!include binfmt-nix.conf\n");
    let registered = tree.snapshot();
    tree.run(&["register", "all", "--source", "auto"]).exits(3).says("riscv64");
    registered.is_unchanged_in(&tree);
    tree.unregister("s390x").exits(0);
    assert!(!tree.runs("s390x") && tree.runs("aarch64"));
    tree.unregister("all").exits(0);
    before.is_restored_in(&tree);
}

/// No system is reported as "registered, not proven".
#[sandboxed]
fn every_registered_system_passes_every_proof() {
    usual_proc();
    let (tree, targets) = with_all();
    let done = tree.run(&["register", "all", "--source", "host"]).exits(0).omits("not proven");
    let natives = done.err.lines().filter(|line| line.contains("natively")).count();
    let report = tree.run(&["test", "all", "--json"]).exits(0).json();
    let systems = report["systems"].as_array().unwrap();
    assert_eq!(systems.len(), targets.len() + 1 - natives);
    for system in systems {
        let proofs = system["proofs"].as_array().unwrap();
        assert!(proofs.len() == 4 && proofs.iter().all(|proof| proof["result"] == "proven"), "{system:#}");
        assert_eq!((&system["qemu"], &system["notes"]), (&"10.0.13".into(), &serde_json::json!([])));
    }
    let status = tree.run(&["status"]).exits(0);
    let lines: Vec<_> = status.out.lines().collect();
    assert_eq!(lines.len(), systems.len() + 1, "{}", status.out);
    assert!(lines[1..].iter().all(|line| line.contains(" works ")) && lines.iter().all(|line| line.len() <= 80));
}

/// A refused system is refused completely: no emulator without its entry.
#[sandboxed]
fn a_system_with_a_foreign_boot_rule_is_not_registered() {
    let (tree, _) = with_all();
    let tree = tree.file(BOOT, "# mine\n");
    tree.run(&["register", "all", "--source", "host"]).exits(3).says(BOOT);
    assert!(!tree.exists(EMULATOR) && !tree.runs("aarch64") && tree.runs("riscv64"));
    assert_eq!(tree.text(BOOT), "# mine\n");
    assert!(!tree.text(OWN_CONF).contains("aarch64-linux"));
}

#[sandboxed]
fn register_all_without_emulators_fails() {
    let tree = Tree::new();
    let before = tree.snapshot();
    tree.run(&["register", "all", "--source", "host"]).exits(1).says("no usable qemu-");
    before.is_unchanged_in(&tree);
}
