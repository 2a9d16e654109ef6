//! Failing changes: every single change of a run fails with each of the errors that a disk can report. `tests/run` tries a
//! sample of these, and `tests/run --full` all.

use std::path::Path;

use crate::support::fault::{self, Change, Fault};
use crate::support::output::Done;
use crate::support::runs::{Emulators, Run, complete_all, discard_tree, tree_after};
use crate::support::snapshot::Snapshot;
use crate::support::{Tree, fault_table};

/// Names of the errors for the failpoints, with the texts that report them.
const ERRORS: [(&str, &[&str]); 3] = [
    ("eio", &["Input/output error", "I/O error"]),
    ("enospc", &["No space left on device"]),
    ("erofs", &["Read-only file system"]),
];

/// The result of a run with a failed change.
struct Failed<'a> {
    tree: &'a Tree,
    /// State before any registration.
    fresh: &'a Snapshot,
    /// State at the start of the run.
    before: &'a Snapshot,
    change: &'a Change,
    /// Texts that report the error.
    words: &'static [&'static str],
    done: &'a Done,
}

/// Lets each change fail once with each error, or a sample of them (see [`fault::sample`]).
#[track_caller]
fn fail_each_change(what: &str, prepare: &[Run], run: Run, judge: impl Fn(&Failed<'_>) -> String) {
    let tree = tree_after(prepare, Emulators::Small);
    let changes = fault::changes(&tree, run);
    discard_tree(tree);
    let faults: Vec<_> =
        changes.iter().flat_map(|change| ERRORS.map(|(error, words)| (change, error, words))).collect();
    let all = faults.len();
    let tried = fault::sample(faults, |(change, error, _)| (change.what.clone(), *error));
    let mut wrong = Vec::new();
    for (change, error, words) in &tried {
        let tree = Tree::new();
        let fresh = tree.snapshot();
        complete_all(prepare, Emulators::Small, &tree);
        let before = tree.snapshot();
        let (failed, done) = fault::run(&tree, run, Fault::Fails(error), change.number);
        let change = failed.unwrap_or_else(|| panic!("{change:?} was not made: {done:#?}"));
        let result = Failed { tree: &tree, fresh: &fresh, before: &before, change: &change, words, done: &done };
        let why = [result.describe_report(), judge(&result)].join("");
        if !why.is_empty() {
            wrong.push(format!("{error} at {change:?}: {why}\n{}", done.err));
        }
        discard_tree(tree);
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), tried.len(), wrong.join("\n"));
    fault_table::sampled(what, tried.len(), all);
}

impl Failed<'_> {
    /// Whether the failed change was the removal of a temporary file or directory, which the next run repeats.
    fn is_cleanup(&self) -> bool {
        ["unlink", "remove"].contains(&self.change.what.as_str()) && self.change.path.contains("/.binfmt-nix-")
    }

    /// Whether `apply` had done everything else before the failed change.
    fn is_final_removal(&self) -> bool {
        self.done.out.contains("riscv64: unregistered")
    }

    /// Describes a wrong report: a failed run names the path and the error; a successful one may only have failed to
    /// clean up.
    fn describe_report(&self) -> String {
        let dir = Path::new(&self.change.path).parent().unwrap().to_str().unwrap();
        let is_reported = |words: &&str| self.done.err.contains(*words);
        let named = is_reported(&dir) && self.words.iter().any(is_reported);
        // From the kernel, ENOSPC is the limit of Linux 7.3 for held interpreters.
        let is_limit = self.change.path.ends_with("/register") && self.words.contains(&"No space left on device");
        let failed = if self.change.what == "mount" || is_limit { 6 } else { 1 };
        match self.done.code {
            Some(0) if self.is_cleanup() || self.change.what == "fsync" => String::new(),
            Some(code) if code == failed && named => String::new(),
            // `apply` removes files after the change is complete, so that a failure there is a finding.
            Some(3) if self.is_final_removal() && named => String::new(),
            code => format!("exit status {code:?} with this report: "),
        }
    }

    /// Describes what the next unregister run does not remove.
    fn describe_failed_unregister(&self) -> String {
        let done = self.tree.run(&["unregister", "all"]).omits("panicked");
        if done.code != Some(0) {
            return format!("the next unregister fails: {done:#?}");
        }
        self.fresh.unrestored_in(self.tree)
    }

    /// Describes temporary files that are left.
    fn describe_temporary_files(&self) -> String {
        let left = self.tree.snapshot_of("").into_iter().filter(|(path, _)| path.contains("/.binfmt-nix-"));
        let left: Vec<_> = left.map(|(path, _)| path).collect();
        if left.is_empty() || self.is_cleanup() { String::new() } else { format!("temporary files: {left:?}") }
    }
}

/// Describes what a failed registration has left.
fn describe_unrestored(failed: &Failed<'_>) -> String {
    match failed.done.code {
        Some(0) => failed.describe_temporary_files() + &failed.describe_failed_unregister(),
        _ => failed.before.unrestored_in(failed.tree),
    }
}

#[sandboxed]
fn a_failed_change_of_a_registration_is_rolled_back() {
    fail_each_change(
        "`register`, each change failing once by EIO, ENOSPC and EROFS",
        &[],
        Run::Register,
        describe_unrestored,
    );
}

#[sandboxed]
fn a_failed_change_of_an_upgrade_is_rolled_back() {
    let what = "`register` with another emulator, each change failing once by EIO, ENOSPC and EROFS";
    fail_each_change(what, &[Run::Register], Run::Upgrade, describe_unrestored);
}

#[sandboxed]
fn a_failed_change_of_a_second_registration_is_rolled_back() {
    let what = "`register` of a second system, each change failing once by EIO, ENOSPC and EROFS";
    fail_each_change(what, &[Run::RegisterSecond], Run::Register, describe_unrestored);
}

/// Everything is rolled back until the new system works and the old one is withdrawn. Then files are removed, and the
/// next run removes those that are left.
#[sandboxed]
fn a_failed_change_of_an_apply_is_rolled_back_or_repeated() {
    let what = "`apply` that replaces a system by another, each change failing once by EIO, ENOSPC and EROFS";
    fail_each_change(what, &[Run::RegisterSecond], Run::Apply, |failed| {
        if failed.done.code != Some(3) {
            return describe_unrestored(failed);
        }
        Run::Apply.complete(Emulators::Small, failed.tree);
        let left = failed.tree.snapshot_of("").into_iter().map(|(path, _)| path);
        let left: Vec<_> = left.filter(|path| path.contains("riscv64")).collect();
        let left = if left.is_empty() { String::new() } else { format!("left by the next apply: {left:?}") };
        left + &failed.describe_failed_unregister()
    });
}

/// Unregister removes what it can, and the next run removes the rest.
#[sandboxed]
fn a_failed_change_of_unregister_can_be_repeated() {
    let what = "`unregister`, each change failing once by EIO, ENOSPC and EROFS";
    fail_each_change(what, &[Run::Register], Run::Unregister, |failed| {
        failed.describe_temporary_files() + &failed.describe_failed_unregister()
    });
}
