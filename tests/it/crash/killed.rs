//! Runs that are killed at each of their changes, one after the other. `tests/run` tries a sample of these kills, and
//! `tests/run --full` all.

use std::path::Path;

use crate::binfmt::userns::bind;
use crate::support::fault::{self, Change, Fault};
use crate::support::invariants::CompleteStates;
use crate::support::output::tool_path;
use crate::support::runs::{Emulators, Run, complete_all, discard_tree};
use crate::support::snapshot::Snapshot;
use crate::support::{Tree, fault_table};

/// A run to kill, and the state in which it starts.
struct Case {
    /// Machine before any run.
    machine: fn() -> Tree,
    prepare: &'static [Run],
    run: Run,
    /// Registration that completes the killed run.
    again: Run,
    /// Parts of the paths whose changes are judged; all if there are none.
    only: &'static [&'static str],
}

/// A kill, and the run after it.
#[derive(Debug)]
struct Kill {
    fault: Fault,
    change: Change,
    recovery: Recovery,
}

#[derive(Debug, Clone, Copy)]
enum Recovery {
    /// The registration again, then `unregister`.
    Register,
    Unregister,
}

const REGISTER: Case = Case { machine: Tree::new, prepare: &[], run: Run::Register, again: Run::Register, only: &[] };
const UPGRADE: Case = Case { prepare: &[Run::Register], run: Run::Upgrade, again: Run::Upgrade, ..REGISTER };
const SECOND: Case = Case { prepare: &[Run::RegisterSecond], ..REGISTER };
const UNDO: Case = Case { prepare: &[Run::Register], run: Run::Unregister, ..REGISTER };
const ONE_OF_TWO: Case = Case { prepare: &[Run::Register, Run::RegisterSecond], run: Run::Unregister, ..REGISTER };
/// The file lists another system than the registered one.
const APPLY: Case = Case { prepare: &[Run::RegisterSecond], run: Run::Apply, again: Run::Apply, ..REGISTER };
const HOOK: &[&str] = &["/etc/init.d", "/etc/runlevels"];
const REGISTER_HOOK: Case = Case { machine: with_hook, only: HOOK, ..REGISTER };
const UNDO_HOOK: Case = Case { machine: with_hook, only: HOOK, ..UNDO };

/// A machine with a boot hook, which has a script and a link. A package has the program: a copy would take most of the
/// time.
fn with_hook() -> Tree {
    let tree = Tree::new().without("usr/lib/systemd").program("sbin/openrc-init", "");
    let tree = tree.link("sbin/init", "openrc-init").program("usr/bin/binfmt-nix", "");
    bind(Path::new(tool_path()), &tree.path("usr/bin/binfmt-nix"));
    tree
}

impl Case {
    /// The complete states: before the run and after it.
    fn whole(&self) -> CompleteStates {
        let tree = (self.machine)();
        complete_all(self.prepare, Emulators::Small, &tree);
        let before = CompleteStates::default().with_current(&tree);
        self.run.complete(Emulators::Small, &tree);
        let both = before.with_current(&tree).exhaustive();
        discard_tree(tree);
        both
    }

    /// Kills the run at each change and, if the change is a write, also in the middle of it; then recovers. Each
    /// kill is made twice: the next run is `register`, or `unregister`. Or tries a sample of these (see
    /// [`fault::sample`]).
    #[track_caller]
    fn kill_at_each_change(&self, what: &str) {
        let whole = self.whole();
        let kills = self.kills();
        let all = kills.len();
        let tried = fault::sample(kills, |kill| (kill.fault, kill.change.what.clone()));
        let wrong: Vec<_> = tried.iter().flat_map(|kill| self.kill_and_recover(kill, &whole)).collect();
        assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), tried.len(), wrong.join("\n"));
        assert!(all > 7, "only {all}");
        fault_table::sampled(what, tried.len(), all);
    }

    fn kills(&self) -> Vec<Kill> {
        let tree = (self.machine)();
        complete_all(self.prepare, Emulators::Small, &tree);
        let changes = fault::changes(&tree, self.run);
        discard_tree(tree);
        let judged = changes.into_iter().filter(|change| self.judges(change));
        let kills = judged.flat_map(|change| {
            let faults = if change.what == "write" { &[Fault::Kill, Fault::Torn][..] } else { &[Fault::Kill] };
            let kills = faults.iter().flat_map(|fault| [(*fault, Recovery::Register), (*fault, Recovery::Unregister)]);
            kills.map(|(fault, recovery)| Kill { fault, change: change.clone(), recovery }).collect::<Vec<_>>()
        });
        kills.collect()
    }

    fn judges(&self, change: &Change) -> bool {
        self.only.is_empty() || self.only.iter().any(|part| change.path.contains(part))
    }

    /// Kills the run, recovers, and describes what is wrong before and after that.
    fn kill_and_recover(&self, kill: &Kill, whole: &CompleteStates) -> Vec<String> {
        let tree = (self.machine)();
        let fresh = tree.snapshot();
        complete_all(self.prepare, Emulators::Small, &tree);
        let (change, done) = fault::run(&tree, self.run, kill.fault, kill.change.number);
        let change = change.unwrap_or_else(|| panic!("{kill:?}: the change was not made: {done:#?}"));
        assert_eq!(change.what, kill.change.what, "{kill:?}: another change: {change:?}");
        assert_eq!(done.code, None, "{change:?} was survived: {done:#?}");
        let damage = Self::describe_damage(&tree, whole);
        let unrecovered = match kill.recovery {
            Recovery::Register => describe_unregistrable(self, &tree, &fresh),
            Recovery::Unregister => describe_unrestored(&tree, &fresh),
        };
        let faults = [damage, unrecovered];
        discard_tree(tree);
        let faults = faults.into_iter().filter(|fault| !fault.is_empty());
        faults.map(|why| format!("{kill:?}, {change:?}: {why}")).collect()
    }

    /// Describes what is wrong before anything is repaired.
    fn describe_damage(tree: &Tree, whole: &CompleteStates) -> String {
        let wrong = tree.describe_damage(whole);
        let broken = tree.configured_but_not_running();
        if broken.is_empty() { wrong } else { format!("{wrong}\nconfigured in Nix, but not running: {broken:?}") }
    }
}

/// Repeats the registration, or the one that was being undone, and describes what is not complete.
fn describe_unregistrable(case: &Case, tree: &Tree, fresh: &Snapshot) -> String {
    let args = case.again.args(Emulators::Small);
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    let done = tree.run(&args).omits("panicked").omits("warning:");
    if done.code != Some(0) || !done.out.contains("aarch64") || !done.out.contains("proven") || !tree.runs("aarch64") {
        return format!("register does not complete the killed run: {done:#?}");
    }
    let complete = tree.snapshot();
    let again = tree.run(&args).omits("panicked");
    if again.code != Some(0) || !again.out.contains("already registered, proven") {
        return format!("the registration is not complete: {again:#?}");
    }
    complete.is_unchanged_in(tree);
    let status = tree.status();
    if status["unfinished"] == true {
        return format!("register completed the killed run, but status reports: {status:#}");
    }
    describe_unrestored(tree, fresh)
}

/// Undoes the killed run, and describes what is not restored.
fn describe_unrestored(tree: &Tree, fresh: &Snapshot) -> String {
    let done = tree.run(&["unregister", "all"]).omits("panicked").omits("warning:");
    if done.code != Some(0) {
        return format!("unregister does not undo the killed run: {done:#?}");
    }
    fresh.unrestored_in(tree)
}

#[sandboxed]
fn killed_registrations_are_recovered() {
    REGISTER.kill_at_each_change("`register`, killed at each change");
}

#[sandboxed]
fn killed_upgrades_are_recovered() {
    UPGRADE.kill_at_each_change("`register` with another emulator, killed at each change");
}

#[sandboxed]
fn killed_second_registrations_are_recovered() {
    SECOND.kill_at_each_change("`register` of a second system, killed at each change");
}

#[sandboxed]
fn killed_unregistrations_are_recovered() {
    UNDO.kill_at_each_change("`unregister`, killed at each change");
}

#[sandboxed]
fn killed_unregistrations_of_one_system_are_recovered() {
    ONE_OF_TWO.kill_at_each_change("`unregister` of one of two systems, killed at each change");
}

#[sandboxed]
fn killed_applies_are_recovered() {
    APPLY.kill_at_each_change("`apply` that replaces a system by another, killed at each change");
}

#[sandboxed]
fn killed_registrations_with_a_boot_hook_are_recovered() {
    REGISTER_HOOK.kill_at_each_change("`register`, killed at each change of its boot hook");
}

#[sandboxed]
fn killed_unregistrations_with_a_boot_hook_are_recovered() {
    UNDO_HOOK.kill_at_each_change("`unregister`, killed at each change of its boot hook");
}
