//! A run that is killed at each of its changes, one after the other.

use crate::support::fault::{self, Change, Fault};
use crate::support::invariants::Whole;
use crate::support::runs::{Run, gone, to_their_end, tree_after};
use crate::support::snapshot::Snapshot;
use crate::support::{Tree, fault_table};

/// What is killed, and in which state.
struct Case {
    prepare: &'static [Run],
    run: Run,
    /// the registration that makes it whole
    again: Run,
    /// Between the old entry and the new one there is a moment without one: the only one in which Nix is told of what
    /// does not run
    exchanges: bool,
}

const REGISTER: Case = Case { prepare: &[], run: Run::Register, again: Run::Register, exchanges: false };
const UPGRADE: Case = Case { prepare: &[Run::Register], run: Run::Upgrade, again: Run::Upgrade, exchanges: true };
const SECOND: Case =
    Case { prepare: &[Run::RegisterSecond], run: Run::Register, again: Run::Register, exchanges: false };
const UNDO: Case = Case { prepare: &[Run::Register], run: Run::Unregister, again: Run::Register, exchanges: false };
const ONE_OF_TWO: Case = Case {
    prepare: &[Run::Register, Run::RegisterSecond],
    run: Run::Unregister,
    again: Run::Register,
    exchanges: false,
};

impl Case {
    /// The machine before it and after it.
    fn whole(&self) -> Whole {
        let tree = tree_after(self.prepare);
        let before = Whole::default().and(&tree);
        self.run.to_its_end(&tree);
        let both = before.and(&tree).nothing_else();
        gone(tree);
        both
    }

    /// Kills it at each change, and, where that is a write, in its midst; then recovers.
    #[track_caller]
    fn killed(&self, what: &str, recover: impl Fn(&Self, &Tree, &Snapshot) -> String) {
        let whole = self.whole();
        let (mut kills, mut wrong) = (0, Vec::new());
        for number in 1.. {
            let Some(change) = self.once(Fault::Kill, number, &whole, &recover, &mut wrong) else { break };
            kills += 1;
            if change.what == "write" {
                self.once(Fault::Torn, number, &whole, &recover, &mut wrong).unwrap();
                kills += 1;
            }
        }
        assert!(wrong.is_empty(), "{} of {kills}:\n{}", wrong.len(), wrong.join("\n"));
        assert!(kills > 20, "only {kills}: is the tool built with the feature failpoints?");
        fault_table::line(what, kills);
    }

    fn once(
        &self,
        fault: Fault,
        number: usize,
        whole: &Whole,
        recover: impl Fn(&Self, &Tree, &Snapshot) -> String,
        wrong: &mut Vec<String>,
    ) -> Option<Change> {
        let tree = Tree::new();
        let fresh = tree.snapshot();
        to_their_end(self.prepare, &tree);
        let (change, done) = fault::run(&tree, self.run, fault, number);
        if let Some(change) = &change {
            assert_eq!(done.code, None, "{change:?} was survived: {done:#?}");
            let faults = [self.half_done(&tree, whole, change), recover(self, &tree, &fresh)];
            wrong.extend(
                faults
                    .iter()
                    .filter(|fault| !fault.is_empty())
                    .map(|why| format!("{fault:?} at number {number}, {change:?}: {why}")),
            );
        }
        gone(tree);
        change
    }

    /// In words, what is wrong before anything is repaired.
    fn half_done(&self, tree: &Tree, whole: &Whole, change: &Change) -> String {
        let wrong = tree.unsound(whole);
        let exchange = self.exchanges && change.what == "tell the kernel" && change.path.ends_with("register");
        let vain = if exchange { Vec::new() } else { tree.promised_in_vain() };
        if vain.is_empty() { wrong } else { format!("{wrong}\nNix is told of what does not run: {vain:?}") }
    }
}

/// The same again, or the registration that was being undone.
fn registered(case: &Case, tree: &Tree, fresh: &Snapshot) -> String {
    let args = case.again.args();
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    let done = tree.run(&args).omits("panicked").omits("warning:");
    if done.code != Some(0) || !done.out.contains("aarch64") || !done.out.contains("proven") || !tree.runs("aarch64") {
        return format!("register does not complete it: {done:#?}");
    }
    let complete = tree.snapshot();
    let again = tree.run(&args).omits("panicked");
    if again.code != Some(0) || !again.out.contains("already registered, proven") {
        return format!("it is not complete: {again:#?}");
    }
    complete.is_unchanged_in(tree);
    let status = tree.status();
    if status["unfinished"] == true {
        return format!("register completed it, and status says: {status:#}");
    }
    undone(case, tree, fresh)
}

fn undone(_: &Case, tree: &Tree, fresh: &Snapshot) -> String {
    let done = tree.run(&["unregister", "all"]).omits("panicked").omits("warning:");
    if done.code != Some(0) {
        return format!("unregister does not undo it: {done:#?}");
    }
    fresh.unrestored_in(tree)
}

#[sandboxed]
fn register_completes_a_killed_registration() {
    REGISTER.killed("`register`, killed at each change, then registered and unregistered", registered);
}

#[sandboxed]
fn unregister_undoes_a_killed_registration() {
    REGISTER.killed("`register`, killed at each change, then unregistered", undone);
}

#[sandboxed]
fn register_completes_a_killed_upgrade() {
    let what = "`register` with another emulator, killed at each change, then registered and unregistered";
    UPGRADE.killed(what, registered);
}

#[sandboxed]
fn unregister_undoes_a_killed_upgrade() {
    UPGRADE.killed("`register` with another emulator, killed at each change, then unregistered", undone);
}

#[sandboxed]
fn register_completes_a_killed_second_registration() {
    let what = "`register` of a second system, killed at each change, then registered and unregistered";
    SECOND.killed(what, registered);
}

#[sandboxed]
fn unregister_undoes_a_killed_second_registration() {
    SECOND.killed("`register` of a second system, killed at each change, then unregistered", undone);
}

#[sandboxed]
fn register_recovers_from_a_killed_unregister() {
    UNDO.killed("`unregister`, killed at each change, then registered and unregistered", registered);
}

#[sandboxed]
fn unregister_completes_a_killed_unregister() {
    UNDO.killed("`unregister`, killed at each change, then unregistered", undone);
}

#[sandboxed]
fn register_recovers_from_a_killed_unregister_of_one_system() {
    let what = "`unregister` of one of two systems, killed at each change, then registered and unregistered";
    ONE_OF_TWO.killed(what, registered);
}

#[sandboxed]
fn unregister_completes_a_killed_unregister_of_one_system() {
    ONE_OF_TWO.killed("`unregister` of one of two systems, killed at each change, then unregistered", undone);
}
