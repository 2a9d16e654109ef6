//! `accelerate` and `accelerate --off`, killed at each of their changes, or with each change failing once.
//!
//! The emulator is the real one, because a proof runs the guest program. A program starts at every instant.

use crate::register::accelerate::{PAIR, assert_native, running, trees};
use crate::support::fault::{self, Change, Fault};
use crate::support::runs::discard_tree;
use crate::support::snapshot::Snapshot;
use crate::support::{Tree, fault_table};

/// A machine with a registered system, in three states, and the two commands.
struct Case {
    tree: Tree,
    fresh: Snapshot,
    registered: Snapshot,
    guest: String,
    native: String,
}

impl Case {
    fn new() -> Self {
        let tree = Tree::new();
        let fresh = tree.snapshot();
        tree.register("aarch64").exits(0);
        let registered = tree.snapshot();
        let [guest, native] = trees();
        Self { tree, fresh, registered, guest, native }
    }

    fn accelerate(&self) -> Vec<&str> {
        vec!["accelerate", "aarch64", "--tree", &self.guest, "--native-tree", &self.native, "--pair", PAIR]
    }

    /// Makes the machine in which a command starts, and the command.
    fn before(off: bool) -> (Self, Vec<String>) {
        let case = Self::new();
        let accelerate = case.accelerate();
        let args = if off { vec!["accelerate", "--off"] } else { accelerate.clone() };
        let args = args.into_iter().map(str::to_owned).collect();
        if off {
            drop(case.tree.run(&accelerate).exits(0));
        }
        (case, args)
    }

    /// Describes a state in which the guest program does not run, or a system is configured that does not.
    #[track_caller]
    fn assert_harmless(&self, change: &Change) {
        // It fails if gzip does.
        running(&self.tree, &self.guest);
        assert_eq!(self.tree.configured_but_not_running(), [""; 0], "{change:?}");
    }

    #[track_caller]
    fn assert_registered(&self, change: &Change) {
        let differs = || self.registered.unrestored_in(&self.tree);
        assert!(self.tree.snapshot().is_like(&self.registered), "{change:?}: {}", differs());
    }

    #[track_caller]
    fn assert_restored(self, change: &Change) {
        drop(self.tree.run(&["unregister", "all"]).exits(0).omits("warning:"));
        assert_eq!(self.fresh.unrestored_in(&self.tree), "", "{change:?}");
        discard_tree(self.tree);
    }
}

fn start(case: &Case, args: &[String], action: &str, number: usize) -> std::process::Child {
    fault::start_with(&case.tree, &args.iter().map(String::as_str).collect::<Vec<_>>(), action, number)
}

fn changes(off: bool) -> Vec<Change> {
    let (case, args) = Case::before(off);
    let changes = fault::list(start(&case, &args, "list", 0));
    discard_tree(case.tree);
    changes
}

/// The next command is `accelerate`, `accelerate --off` or `unregister`.
fn kill_at_each_change(off: bool, what: &str) {
    let changes = changes(off);
    let faults = changes.iter().flat_map(|change| {
        let faults: &[Fault] = if change.what == "write" { &[Fault::Kill, Fault::Torn] } else { &[Fault::Kill] };
        faults.iter().map(move |fault| (change, *fault))
    });
    let faults: Vec<_> = faults.collect();
    let all = faults.len();
    let tried = fault::sample(faults, |(change, fault)| (change.what.clone(), *fault));
    for (count, (change, fault)) in tried.iter().enumerate() {
        let (case, args) = Case::before(off);
        let action = if *fault == Fault::Torn { "torn" } else { "kill" };
        let (reached, done) = fault::read(start(&case, &args, action, change.number), change.number);
        assert_eq!((reached.is_some(), done.code), (true, None), "{change:?} was survived: {done:#?}");
        case.assert_harmless(change);
        match count % 3 {
            0 => {
                drop(case.tree.run(&case.accelerate()).exits(0).omits("warning:"));
                assert_native(&case.tree, &case.guest);
            }
            1 => {
                drop(case.tree.run(&["accelerate", "--off"]).exits(0).omits("warning:"));
                case.assert_registered(change);
            }
            _ => {}
        }
        if count % 3 < 2 {
            assert_eq!(case.tree.status()["unfinished"], false, "{change:?}");
        }
        case.assert_restored(change);
    }
    fault_table::sampled(what, tried.len(), all);
}

#[sandboxed]
fn a_killed_acceleration_is_recovered() {
    kill_at_each_change(false, "`accelerate`, killed at each change");
}

#[sandboxed]
fn a_killed_end_of_acceleration_is_recovered() {
    kill_at_each_change(true, "`accelerate --off`, killed at each change");
}

/// A failed `accelerate` is rolled back, and a failed `accelerate --off` is completed by the next one.
fn fail_each_change(off: bool, what: &str) {
    let changes = changes(off);
    let faults: Vec<_> =
        changes.iter().flat_map(|change| ["eio", "enospc", "erofs"].map(|error| (change, error))).collect();
    let all = faults.len();
    let tried = fault::sample(faults, |(change, error)| (change.what.clone(), *error));
    for (change, error) in &tried {
        let (case, args) = Case::before(off);
        let (reached, done) = fault::read(start(&case, &args, error, change.number), change.number);
        assert!(reached.is_some() && done.code.is_some(), "{error} at {change:?}: {done:#?}");
        case.assert_harmless(change);
        let is_done = done.code == Some(0);
        assert!(!is_done || change.what == "fsync" || change.path.contains("/.binfmt-nix-"), "{change:?}: {done:#?}");
        if !off && !is_done {
            assert_eq!(case.registered.unrestored_in(&case.tree), "", "{error} at {change:?}: {done:#?}");
        }
        if off {
            drop(case.tree.run(&["accelerate", "--off"]).exits(0).omits("warning:"));
            case.assert_registered(change);
        }
        case.assert_restored(change);
    }
    fault_table::sampled(what, tried.len(), all);
}

#[sandboxed]
fn a_failed_change_of_an_acceleration_is_rolled_back() {
    fail_each_change(false, "`accelerate`, each change failing once by EIO, ENOSPC and EROFS");
}

#[sandboxed]
fn a_failed_change_of_the_end_of_an_acceleration_can_be_repeated() {
    fail_each_change(true, "`accelerate --off`, each change failing once by EIO, ENOSPC and EROFS");
}
