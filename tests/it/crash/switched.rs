//! `disable` and `register --rule`, killed at each of their changes. The next run is the same command, or `unregister`.

use crate::support::fault::{self, Change, Fault};
use crate::support::runs::{Emulators, Run, discard_tree, tree_after};
use crate::support::{Tree, fault_table};

#[sandboxed]
fn a_killed_disable_is_recovered() {
    let tree = tree_after(&[Run::Register], Emulators::Small);
    let changes = fault::changes(&tree, Run::Disable);
    discard_tree(tree);
    let all = changes.len();
    let tried = fault::sample(changes, |change| change.what.clone());
    for Change { number, .. } in &tried {
        let tree = Tree::new();
        let fresh = tree.snapshot();
        Run::Register.complete(Emulators::Small, &tree);
        let registered = tree.snapshot();
        let (change, done) = fault::run(&tree, Run::Disable, Fault::Kill, *number);
        let change = change.unwrap_or_else(|| panic!("change {number} was not made: {done:#?}"));
        assert_eq!(done.code, None, "{change:?} was survived: {done:#?}");
        // Nix does not start builds that fail.
        assert_eq!(tree.configured_but_not_running(), [""; 0], "{change:?}");
        if number % 2 == 0 {
            drop(tree.run(&["unregister", "all"]).exits(0).omits("warning:"));
            assert_eq!(fresh.unrestored_in(&tree), "", "{change:?}");
        } else {
            drop(tree.run(&["disable", "aarch64"]).exits(0).omits("warning:"));
            assert!(!tree.runs("aarch64"), "{change:?}");
            drop(tree.run(&["enable", "aarch64"]).exits(0).prints("proven"));
            assert!(tree.snapshot().is_like(&registered), "{change:?}");
            drop(tree.run(&["unregister", "all"]).exits(0).omits("warning:"));
            assert_eq!(fresh.unrestored_in(&tree), "", "{change:?}");
        }
        discard_tree(tree);
    }
    fault_table::sampled("`disable`, killed at each change", tried.len(), all);
}

#[sandboxed]
fn a_killed_registration_of_a_rule_is_recovered() {
    let tree = Tree::new().with_interpreter();
    let changes = fault::changes(&tree, Run::RegisterRule);
    discard_tree(tree);
    let all = changes.len();
    let tried = fault::sample(changes, |change| change.what.clone());
    for Change { number, .. } in &tried {
        let tree = Tree::new().with_interpreter();
        let fresh = tree.snapshot();
        let (change, done) = fault::run(&tree, Run::RegisterRule, Fault::Kill, *number);
        let change = change.unwrap_or_else(|| panic!("change {number} was not made: {done:#?}"));
        assert_eq!(done.code, None, "{change:?} was survived: {done:#?}");
        if number % 2 == 0 {
            Run::RegisterRule.complete(Emulators::Small, &tree);
            assert_eq!(tree.entries(), ["greet"], "{change:?}");
            assert_eq!(tree.status()["unfinished"], false, "{change:?}");
        }
        drop(tree.run(&["unregister", "all"]).exits(0).omits("warning:"));
        assert_eq!(fresh.unrestored_in(&tree), "", "{change:?}");
        discard_tree(tree);
    }
    fault_table::sampled("`register --rule`, killed at each change", tried.len(), all);
}
