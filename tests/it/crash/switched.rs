//! `disable` and `register --rule`, killed at each of their changes. The next run is the same command, or `unregister`.

use crate::support::fault::{self, Fault};
use crate::support::runs::{Emulators, Run, discard_tree};
use crate::support::{Tree, fault_table};

#[sandboxed]
fn a_killed_disable_is_recovered() {
    let mut kills = 0;
    for number in 1.. {
        let tree = Tree::new();
        let fresh = tree.snapshot();
        Run::Register.complete(Emulators::Small, &tree);
        let registered = tree.snapshot();
        let (change, done) = fault::run(&tree, Run::Disable, Fault::Kill, number);
        let Some(change) = change else {
            discard_tree(tree);
            break;
        };
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
        kills += 1;
    }
    fault_table::line("`disable`, killed at each change", kills);
}

#[sandboxed]
fn a_killed_registration_of_a_rule_is_recovered() {
    let mut kills = 0;
    for number in 1.. {
        let tree = Tree::new().with_interpreter();
        let fresh = tree.snapshot();
        let (change, done) = fault::run(&tree, Run::RegisterRule, Fault::Kill, number);
        let Some(change) = change else {
            discard_tree(tree);
            break;
        };
        assert_eq!(done.code, None, "{change:?} was survived: {done:#?}");
        if number % 2 == 0 {
            Run::RegisterRule.complete(Emulators::Small, &tree);
            assert_eq!(tree.entries(), ["greet"], "{change:?}");
            assert_eq!(tree.status()["unfinished"], false, "{change:?}");
        }
        drop(tree.run(&["unregister", "all"]).exits(0).omits("warning:"));
        assert_eq!(fresh.unrestored_in(&tree), "", "{change:?}");
        discard_tree(tree);
        kills += 1;
    }
    fault_table::line("`register --rule`, killed at each change", kills);
}
