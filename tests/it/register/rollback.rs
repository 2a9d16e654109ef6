//! `upgrade` and `rollback`.

use std::fs;
use std::process::Child;

use serde_json::Value;

use crate::diagnose::doctor::interpreters::emulator_of_release;
use crate::diagnose::doctor::reports::{finding, finds};
use crate::diagnose::situations::commands::{fill_cache, paste};
use crate::qemu::download::from_urls::set_up_loopback;
use crate::qemu::download::real_package::deb;
use crate::support::emulators::{other_qemu, outside};
use crate::support::fault::{self, Change};
use crate::support::output::Done;
use crate::support::runs::{Emulators, Run, complete_all, discard_tree, earlier_release, tree_after};
use crate::support::server::{Manner, Server};
use crate::support::table::line;
use crate::support::tree::{BOOT, EMULATOR, PREVIOUS, RECEIPT};
use crate::support::{LiarBehavior, Tree, liar, qemu};

/// Runs `upgrade` with the pinned emulator in the cache.
fn upgrade(words: &str) -> Done {
    paste(&format!("binfmt-nix --root /tree upgrade {words}"))
}

/// A machine with the pinned emulator in the cache.
fn tree_with_cache() -> Tree {
    let tree = Tree::new();
    fill_cache(" --root /tree upgrade");
    tree
}

fn release(tree: &Tree) -> Value {
    tree.status()["systems"][0]["qemu"].clone()
}

#[sandboxed]
fn rollback_exchanges_both_emulators() {
    let tree = Tree::new();
    let fresh = tree.snapshot();
    tree.register("aarch64").exits(0);
    tree.run(&["rollback", "aarch64"]).exits(3).says("aarch64 has no earlier emulator").says("--qemu-version");
    tree.run(&["rollback", "all"]).exits(0).prints("nothing to go back to").says("no earlier emulator");
    tree.register_by("aarch64", &other_qemu("aarch64"), &["--credentials"]).exits(0);
    let (new, old) = (tree.read(EMULATOR), tree.read(PREVIOUS));
    let boot = tree.text(BOOT);
    let upgraded = tree.snapshot();
    let plan = tree.run(&["rollback", "aarch64", "--dry-run"]).exits(0);
    assert!(plan.out.contains("place ") && plan.out.contains("qemu-aarch64 (flags POCF)"), "{plan:#?}");
    upgraded.is_unchanged_in(&tree);
    tree.run(&["rollback", "aarch64"]).exits(0).prints("aarch64: rolled back, proven (entry qemu-aarch64, QEMU ");
    assert_eq!((tree.read(EMULATOR), tree.read(PREVIOUS)), (old, new));
    assert_eq!((tree.text(BOOT), tree.entry_says("qemu-aarch64", "flags: ")), (boot, "POCF".into()));
    assert!(tree.runs("aarch64") && tree.status()["unfinished"] == false);
    assert_eq!(tree.status()["systems"][0]["detail"], Value::Null);
    let json = tree.run(&["rollback", "all", "--json"]).exits(0).json();
    assert_eq!((&json["changed"], &json["systems"][0]["proven"]), (&true.into(), &true.into()));
    assert!(tree.snapshot().is_like(&upgraded));
    tree.unregister("aarch64").exits(0);
    fresh.is_restored_in(&tree);
}

#[sandboxed]
fn an_earlier_emulator_that_was_changed_is_not_used() {
    let tree = Tree::new();
    complete_all(&[Run::Register, Run::Upgrade], Emulators::Small, &tree);
    tree.append(PREVIOUS, "x");
    let before = tree.snapshot();
    tree.run(&["rollback", "aarch64"]).exits(3).says("aarch64 has no earlier emulator");
    tree.register("aarch64").exits(3).says(PREVIOUS).says("is not as binfmt-nix wrote it");
    before.is_unchanged_in(&tree);
    tree.unregister("aarch64").exits(3).says(PREVIOUS);
    assert!(tree.exists(PREVIOUS) && !tree.exists(EMULATOR));
}

/// How a run is started, with an action at one of its changes.
type Start = fn(&Tree, &[&str], &str, usize) -> Child;

/// At each write to the kernel, and at the exchange of the files.
#[sandboxed]
fn killed_rollbacks_are_recovered() {
    kill_rollbacks(fault::start_with, |change| ["exchange", "write to the kernel"].contains(&change.what.as_str()));
}

/// At each change of a file of the emulators, where two files cannot be exchanged by one.
#[sandboxed]
fn killed_rollbacks_without_an_exchange_are_recovered() {
    kill_rollbacks(fault::start_without_exchange, |change| {
        change.path.contains("/libexec/") && change.what != "exchange" && change.what != "fsync"
    });
}

#[track_caller]
fn kill_rollbacks(start: Start, is_judged: fn(&Change) -> bool) {
    let changes: Vec<_> = rollback_changes(start).into_iter().filter(is_judged).collect();
    for (count, Change { number, .. }) in changes.iter().enumerate() {
        let recovers = count % 2 == 0;
        let tree = Tree::new();
        let fresh = tree.snapshot();
        complete_all(&[Run::Register, Run::Upgrade], Emulators::Small, &tree);
        let upgraded = tree.snapshot();
        let (change, done) = fault::read(start(&tree, &["rollback", "aarch64"], "kill", *number), *number);
        let change = change.unwrap_or_else(|| panic!("change {number} was not made: {done:#?}"));
        assert!(is_judged(&change), "{change:?}");
        assert_eq!(tree.configured_but_not_running(), [""; 0], "{change:?}");
        if recovers {
            // Whichever emulator is installed is registered again.
            drop(tree.run(&["register", "aarch64"]).exits(0).omits("warning:"));
            assert!(tree.status()["unfinished"] == false && tree.runs("aarch64"), "{change:?}");
            // Without an exchange, a kill between two changes leaves the earlier emulator under both names.
            let is_alone = tree.read(EMULATOR) == tree.read(PREVIOUS);
            if release(&tree) == "10.0.13" && !is_alone {
                Run::Rollback.complete(Emulators::Small, &tree);
            }
            assert!(is_alone || tree.snapshot().is_like(&upgraded), "{change:?}");
        }
        tree.unregister("all").exits(0);
        assert_eq!(fresh.unrestored_in(&tree), "", "{change:?}");
        discard_tree(tree);
    }
    assert!(changes.len() > 5, "{changes:?}");
}

/// The changes of a run that is not cut short.
fn rollback_changes(start: Start) -> Vec<Change> {
    let tree = tree_after(&[Run::Register, Run::Upgrade], Emulators::Small);
    let upgraded = tree.snapshot();
    let changes = fault::list(start(&tree, &["rollback", "aarch64"], "list", 0));
    assert_eq!(
        (release(&tree), tree.runs("aarch64"), &tree.status()["unfinished"]),
        ("10.0.13".into(), true, &false.into())
    );
    Run::Rollback.complete(Emulators::Small, &tree);
    assert!(tree.snapshot().is_like(&upgraded));
    discard_tree(tree);
    changes
}

/// Each change fails once, or a sample of them: see [`fault::sample`].
#[sandboxed]
fn a_failed_rollback_changes_nothing() {
    let changes = fault::sample(rollback_changes(fault::start_with), |change| change.what.clone());
    fail_rollbacks(fault::start_with, &changes);
}

#[sandboxed]
fn a_failed_rollback_without_an_exchange_changes_nothing() {
    let start = fault::start_without_exchange;
    let changes: Vec<_> =
        rollback_changes(start).into_iter().filter(|change| change.path.contains("/libexec/")).collect();
    fail_rollbacks(start, &changes);
}

#[track_caller]
fn fail_rollbacks(start: Start, changes: &[Change]) {
    for Change { number, .. } in changes {
        let tree = Tree::new();
        complete_all(&[Run::Register, Run::Upgrade], Emulators::Small, &tree);
        let before = tree.snapshot();
        let (change, done) = fault::read(start(&tree, &["rollback", "aarch64"], "eio", *number), *number);
        let change = change.unwrap_or_else(|| panic!("change {number} was not made: {done:#?}"));
        if done.code != Some(0) {
            assert_eq!(before.unrestored_in(&tree), "", "{change:?}: {done:#?}");
            assert!(tree.runs("aarch64"));
        }
        discard_tree(tree);
    }
}

#[sandboxed]
fn upgrade_installs_the_pinned_release() {
    let tree = tree_with_cache();
    upgrade("").exits(0).prints("nothing to upgrade");
    tree.run(&["upgrade", "aarch64"]).exits(3).says("aarch64 is not registered by binfmt-nix");
    tree.register("aarch64").exits(0);
    let current = tree.snapshot();
    upgrade("aarch64 --offline").exits(0).prints("aarch64: up to date (entry qemu-aarch64, QEMU 10.0.13)");
    current.is_unchanged_in(&tree);
    tree.register_by("aarch64", &earlier_release(), &["--credentials"]).exits(0);
    let boot = tree.text(BOOT);
    let earlier = tree.snapshot();
    // The user named the file.
    upgrade("all").exits(0).prints("nothing to upgrade").says("aarch64: left as it is: QEMU 10.0.12 is from ");
    earlier.is_unchanged_in(&tree);
    upgrade("aarch64 --dry-run").exits(0).prints("qemu-aarch64 (flags POCF), replacing the current entry");
    earlier.is_unchanged_in(&tree);
    upgrade("aarch64").exits(0).prints("aarch64: upgraded, proven (entry qemu-aarch64, QEMU 10.0.13)");
    assert_eq!(tree.read(EMULATOR), fs::read(qemu("aarch64")).unwrap());
    assert_eq!((tree.text(BOOT), tree.entry_says("qemu-aarch64", "flags: ")), (boot, "POCF".into()));
    tree.run(&["rollback", "aarch64"]).exits(0).prints("QEMU 10.0.12");
    assert_eq!(tree.status()["systems"][0]["qemu"], "10.0.12");
}

/// An emulator that is newer than the pinned one, unless it has a known flaw.
#[sandboxed]
fn upgrade_replaces_no_newer_release() {
    let tree = tree_with_cache();
    let newer = outside("newer", &liar("qemu-aarch64 version 11.1.0", LiarBehavior::RightOutput));
    tree.register_by("aarch64", &newer, &[]).exits(0);
    let before = tree.snapshot();
    upgrade("aarch64").exits(0).prints("aarch64: up to date (entry qemu-aarch64, QEMU 11.1.0)");
    before.is_unchanged_in(&tree);
    tree.run(&["upgrade", "riscv64"]).exits(3).says("not registered");
}

#[sandboxed]
fn upgrade_leaves_a_system_that_is_off_off() {
    let tree = tree_with_cache();
    tree.register_by("aarch64", &earlier_release(), &[]).exits(0);
    tree.run(&["disable", "aarch64"]).exits(0);
    upgrade("aarch64").exits(0).prints("aarch64: upgraded, disabled");
    assert!(!tree.runs_somehow("aarch64") && tree.text(BOOT).contains("enable"), "{}", tree.text(BOOT));
    assert_eq!(tree.status()["systems"][0]["state"], "disabled");
    upgrade("aarch64").exits(0).prints("aarch64: up to date, disabled");
    tree.run(&["enable", "aarch64"]).exits(0).prints("proven");
    assert_eq!(release(&tree), "10.0.13");
    // Turned off by hand: nothing on disk remembers it.
    tree.register_by("aarch64", &earlier_release(), &[]).exits(0);
    tree.write_kernel("qemu-aarch64", "0");
    let before = tree.snapshot();
    let refused = upgrade("aarch64").exits(3);
    before.is_unchanged_in(&tree);
    paste(refused.err.lines().find_map(|line| line.split_once(", run: ")).unwrap().1).exits(0);
    assert!(tree.runs("aarch64"));
}

#[sandboxed]
fn upgrade_leaves_entries_of_other_tools_alone() {
    let tree = tree_with_cache();
    tree.register_by("aarch64", &earlier_release(), &[]).exits(0);
    tree.enter(&line("other", "aarch64", &qemu("aarch64"), "PF"));
    let before = tree.snapshot();
    upgrade("aarch64").exits(3).says("existing: :other:");
    before.is_unchanged_in(&tree);
}

#[sandboxed]
fn an_outdated_emulator_is_reported_and_replaced() {
    let tree = Tree::without_nix();
    tree.register_by("aarch64", &earlier_release(), &[]).exits(0);
    let status = tree.status()["systems"][0].clone();
    assert_eq!(status["outdated"], "QEMU 10.0.12 is older than 10.0.13, which this version pins");
    let line = status["upgrade"].as_str().unwrap();
    tree.run(&["status"]).says(&format!("to replace it, run: {line}"));
    let doctor = finds(&tree, &[]);
    assert_eq!(doctor["notes"].as_array().unwrap().len(), 1, "{doctor:#}");
    for line in [line, doctor["notes"][0]["command"].as_str().unwrap()] {
        paste(line).exits(0).prints("aarch64: upgraded, proven");
        assert_eq!(tree.status()["systems"][0]["outdated"], Value::Null);
        tree.run(&["rollback", "aarch64"]).exits(0);
    }
    // `upgrade all` names the command.
    let left = upgrade("all").exits(0);
    let line = left.err.lines().find_map(|line| line.split_once("to replace it, run: ")).unwrap().1;
    paste(line).exits(0).prints("aarch64: upgraded, proven");
    assert_eq!(finds(&tree, &[])["notes"], Value::Array(Vec::new()));
    // A release with a known flaw is a finding.
    tree.register_by("aarch64", &outside("flawed", &emulator_of_release("9.02.00")), &[]).exits(0);
    let found = finds(&tree, &["qemu-known-bad"]);
    assert!(tree.status()["systems"][0]["outdated"].as_str().unwrap().contains("/1913"));
    let repair = finding(&found, "qemu-known-bad")["repair"].as_array().unwrap();
    assert_eq!(repair.len(), 1, "{found:#}");
    paste(repair[0].as_str().unwrap()).exits(0).prints("aarch64: upgraded, proven");
    finds(&tree, &[]);
}

/// The receipt of an earlier version does not have whether the user named the emulator.
#[sandboxed]
fn upgrade_all_keeps_what_the_user_may_have_named() {
    let tree = tree_with_cache();
    tree.register_by("aarch64", &earlier_release(), &[]).exits(0);
    let mut receipt: Value = serde_json::from_str(&tree.text(RECEIPT)).unwrap();
    let system = &mut receipt["systems"]["aarch64"];
    assert_eq!(system.as_object_mut().unwrap().remove("given"), Some(Value::Bool(true)));
    tree.write(RECEIPT, receipt.to_string());
    let before = tree.snapshot();
    let left = upgrade("all").exits(0).prints("nothing to upgrade");
    drop(left.says(
        "aarch64: left as it is: QEMU 10.0.12 is from /scratch/earlier_release-release, which you may have named",
    ));
    before.is_unchanged_in(&tree);
    // What an earlier version downloaded, by an earlier catalogue.
    receipt["systems"]["aarch64"]["source"] = "qemu-user_10.0.12+ds-1_amd64.deb of Debian".into();
    tree.write(RECEIPT, receipt.to_string());
    upgrade("all").exits(0).prints("aarch64: upgraded, proven (entry qemu-aarch64, QEMU 10.0.13)");
}

/// Debian's own package, from a server on loopback.
#[sandboxed]
fn upgrade_downloads_the_pinned_release() {
    let tree = Tree::new();
    let fresh = tree.snapshot();
    tree.register_by("aarch64", &earlier_release(), &["--credentials"]).exits(0);
    let earlier = tree.snapshot();
    let upgrade = |mirror: &str| tree.run(&["upgrade", "aarch64", "--mirror", mirror]);
    // No server, one that has nothing, and one that changes a bit.
    drop(upgrade("http://127.0.0.1:1/debian").exits(1).says("127.0.0.1:1"));
    earlier.is_restored_in(&tree);
    let bytes = deb();
    set_up_loopback();
    let refusing = Server::start(&bytes, Manner::Status(404, String::new()));
    drop(upgrade(&refusing.url()).exits(1).says("404"));
    earlier.is_restored_in(&tree);
    let changing = Server::start(&bytes, Manner::Flip(80_000, true));
    drop(upgrade(&changing.url()).exits(5).says(&changing.address));
    earlier.is_restored_in(&tree);
    assert!(tree.runs("aarch64"));
    let server = Server::start(&bytes, Manner::Ranges);
    let upgraded = upgrade(&server.url()).exits(0);
    drop(upgraded.prints("aarch64: upgraded, proven (entry qemu-aarch64, QEMU 10.0.13)"));
    assert_eq!(tree.read(EMULATOR), fs::read(qemu("aarch64")).unwrap());
    assert_eq!(tree.entry_says("qemu-aarch64", "flags: "), "POCF");
    // A sixteenth of the package.
    assert!(server.sent() < 4_448_000, "{} bytes", server.sent());
    drop(upgrade(&refusing.url()).exits(0).prints("aarch64: up to date"));
    tree.run(&["rollback", "aarch64"]).exits(0).prints("QEMU 10.0.12");
    tree.unregister("aarch64").exits(0);
    fresh.is_restored_in(&tree);
}
