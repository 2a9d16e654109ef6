//! A change that fails, each of them, with each of the errors that a disk can give.

use std::path::Path;

use crate::support::fault::{self, Change, Fault};
use crate::support::output::Done;
use crate::support::runs::{Run, gone, to_their_end};
use crate::support::snapshot::Snapshot;
use crate::support::{Tree, fault_table};

/// Their names for the failpoints, and what is said of them.
const ERRORS: [(&str, &[&str]); 3] = [
    ("eio", &["Input/output error", "I/O error"]),
    ("enospc", &["No space left on device"]),
    ("erofs", &["Read-only file system"]),
];

/// What a run with a change that failed has left.
struct Failed<'a> {
    tree: &'a Tree,
    /// when nothing was registered
    fresh: &'a Snapshot,
    /// when the run began
    before: &'a Snapshot,
    change: &'a Change,
    /// the error's
    words: &'static [&'static str],
    done: &'a Done,
}

/// Lets each change fail, once, by each error.
#[track_caller]
fn failing(what: &str, prepare: &[Run], run: Run, judge: impl Fn(&Failed<'_>) -> String) {
    let (mut failed, mut wrong) = (0, Vec::new());
    for (error, words) in ERRORS {
        for number in 1.. {
            let tree = Tree::new();
            let fresh = tree.snapshot();
            to_their_end(prepare, &tree);
            let before = tree.snapshot();
            let (change, done) = fault::run(&tree, run, Fault::Fails(error), number);
            if let Some(change) = &change {
                let failed = Failed { tree: &tree, fresh: &fresh, before: &before, change, words, done: &done };
                let why = [failed.badly_told(), judge(&failed)].join("");
                if !why.is_empty() {
                    wrong.push(format!("{error} at number {number}, {change:?}: {why}\n{}", done.err));
                }
            }
            gone(tree);
            if change.is_none() {
                break;
            }
            failed += 1;
        }
    }
    assert!(wrong.is_empty(), "{} of {failed}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(failed > 60, "only {failed}: is the tool built with the feature failpoints?");
    fault_table::line(what, failed);
}

impl Failed<'_> {
    /// It was taking away a temporary file or directory: the next run does it.
    fn is_of_litter(&self) -> bool {
        ["unlink", "remove"].contains(&self.change.what.as_str()) && self.change.path.contains("/.binfmt-nix-")
    }

    /// A run that failed names what failed, and the error. One that did not has only not been able to clean up.
    fn badly_told(&self) -> String {
        let dir = Path::new(&self.change.path).parent().unwrap().to_str().unwrap();
        let said = |words: &&str| self.done.err.contains(*words);
        let named = said(&dir) && self.words.iter().any(said);
        let failed = if self.change.what == "mount" { 6 } else { 1 };
        match self.done.code {
            Some(0) if self.is_of_litter() || self.change.what == "fsync" => String::new(),
            Some(code) if code == failed && named => String::new(),
            code => format!("exit status {code:?}, and this is said: "),
        }
    }

    /// The next undo leaves nothing.
    fn not_undone(&self) -> String {
        let done = self.tree.run(&["unregister", "all"]).omits("panicked");
        if done.code != Some(0) {
            return format!("the next one cannot undo it: {done:#?}");
        }
        self.fresh.unrestored_in(self.tree)
    }

    /// Temporary files that are left.
    fn litter(&self) -> String {
        let left = self.tree.snapshot_of("").into_iter().filter(|(path, _)| path.contains("/.binfmt-nix-"));
        let left: Vec<_> = left.map(|(path, _)| path).collect();
        if left.is_empty() || self.is_of_litter() { String::new() } else { format!("temporary files: {left:?}") }
    }
}

/// A registration that failed has left nothing at all.
fn unrestored(failed: &Failed<'_>) -> String {
    match failed.done.code {
        Some(0) => failed.litter() + &failed.not_undone(),
        _ => failed.before.unrestored_in(failed.tree),
    }
}

#[sandboxed]
fn a_failed_change_of_a_registration_is_rolled_back() {
    failing("`register`, each change failing once by EIO, ENOSPC and EROFS", &[], Run::Register, unrestored);
}

#[sandboxed]
fn a_failed_change_of_an_upgrade_is_rolled_back() {
    let what = "`register` with another emulator, each change failing once by EIO, ENOSPC and EROFS";
    failing(what, &[Run::Register], Run::Upgrade, unrestored);
}

#[sandboxed]
fn a_failed_change_of_a_second_registration_is_rolled_back() {
    let what = "`register` of a second system, each change failing once by EIO, ENOSPC and EROFS";
    failing(what, &[Run::RegisterSecond], Run::Register, unrestored);
}

/// It does what it can, and the next one the rest.
#[sandboxed]
fn a_failed_change_of_unregister_can_be_repeated() {
    let what = "`unregister`, each change failing once by EIO, ENOSPC and EROFS";
    failing(what, &[Run::Register], Run::Unregister, |failed| failed.litter() + &failed.not_undone());
}
