//! Another program changes a file while the tool runs: the tool is stopped before each change that it makes.

use std::fs::File;
use std::io::Write as _;

use crate::support::output::Done;
use crate::support::runs::Run;
use crate::support::tree::EMULATOR;
use crate::support::{Tree, fault};

#[sandboxed]
fn an_emulator_that_changes_during_register_is_not_used() {
    // Before the tool opens the emulator for its entry, and after that.
    let messages = ["another file has replaced it since it was installed", "a file other than the verified emulator"];
    let mut detected = [0; 2];
    for number in 1.. {
        let tree = Tree::without_nix();
        let before = tree.snapshot();
        let child = fault::start(&tree, Run::Register, "stop", number);
        if !fault::is_stopped(&child) {
            Done::from(child.wait_with_output().unwrap()).exits(0).prints("registered, proven");
            break;
        }
        // Once its entry exists, the kernel keeps the emulator from being written (ETXTBSY).
        let is_verified = tree.exists(EMULATOR) && tree.entries().is_empty();
        if is_verified {
            File::options().append(true).open(tree.path(EMULATOR)).unwrap().write_all(b"changed").unwrap();
        }
        let done = fault::proceed(child);
        if is_verified {
            let done = done.exits(1);
            let found = messages.iter().position(|message| done.err.contains(message));
            detected[found.unwrap_or_else(|| panic!("{done:?}"))] += 1;
            assert_eq!(tree.entries(), [""; 0], "at change {number}");
        } else {
            done.exits(0);
            tree.unregister("all").exits(0);
            before.is_restored_in(&tree);
        }
        tree.discard();
    }
    assert!(detected.iter().all(|times| *times > 0), "{detected:?}");
}
