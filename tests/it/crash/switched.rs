//! `disable`, killed at each of its changes. The next run is `disable` and then `enable`, or `unregister`.

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
