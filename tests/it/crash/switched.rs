//! `disable` and `register --rule`, killed at each of their changes. The next run is the same command, or `unregister`.

use std::process::Command;

use crate::support::emulators::outside;
use crate::support::fault::{self, Change, Fault};
use crate::support::runs::{Emulators, Run, complete_all, discard_tree, tree_after};
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

/// Files start at every instant.
#[sandboxed]
fn a_killed_replacement_of_a_rule_is_recovered() {
    let file = outside("a.greet", b"text");
    let starts = || Command::new(&file).output().is_ok_and(|output| output.status.success());
    let tree = Tree::new().with_interpreter();
    Run::RegisterRule.complete(Emulators::Small, &tree);
    let changes = fault::changes(&tree, Run::ReplaceRule);
    discard_tree(tree);
    let all = changes.len();
    let tried = fault::sample(changes, |change| change.what.clone());
    for (count, Change { number, .. }) in tried.iter().enumerate() {
        let tree = Tree::new().with_interpreter();
        let fresh = tree.snapshot();
        Run::RegisterRule.complete(Emulators::Small, &tree);
        let (change, done) = fault::run(&tree, Run::ReplaceRule, Fault::Kill, *number);
        let change = change.unwrap_or_else(|| panic!("change {number} was not made: {done:#?}"));
        assert_eq!(done.code, None, "{change:?} was survived: {done:#?}");
        assert!(starts(), "{change:?}");
        let is_whole = tree.entries() == ["greet"];
        assert!(is_whole || tree.status()["unfinished"] == true, "{change:?}");
        assert_eq!(tree.status()["rules"][0]["state"], "registered", "{change:?}");
        if count % 3 > 0 {
            let (run, flags) = if count % 3 == 1 { (Run::RegisterRule, "F") } else { (Run::ReplaceRule, "PF") };
            run.complete(Emulators::Small, &tree);
            assert_eq!((tree.entries(), starts()), (vec!["greet".to_owned()], true), "{change:?}");
            assert_eq!(tree.entry_says("greet", "flags: "), flags);
            assert_eq!(tree.status()["unfinished"], false, "{change:?}");
        }
        drop(tree.run(&["unregister", "all"]).exits(0).omits("warning:"));
        assert_eq!(fresh.unrestored_in(&tree), "", "{change:?}");
        discard_tree(tree);
    }
    let what = "`register --rule` that replaces a rule, killed at each change";
    fault_table::sampled(what, tried.len(), all);
}

/// Linux 7.3 registers each entry off, and it is turned on by a second write (flag D). A kill between both leaves an entry
/// that is off, which the receipt has as one that was begun.
#[sandboxed]
fn an_entry_that_was_not_turned_on_is_completed_or_removed() {
    use Run::{Register, RegisterRule, ReplaceRule, Upgrade};
    let cases: [(&[Run], Run); 4] =
        [(&[], Register), (&[Register], Upgrade), (&[], RegisterRule), (&[RegisterRule], ReplaceRule)];
    let file = outside("a.greet", b"text");
    for (prepare, run) in cases {
        let is_rule = matches!(run, RegisterRule | ReplaceRule);
        let machine = || {
            let tree = Tree::new().with_interpreter();
            let fresh = tree.snapshot();
            complete_all(prepare, Emulators::Small, &tree);
            (tree, fresh)
        };
        let (tree, _) = machine();
        let changes = fault::changes(&tree, run);
        discard_tree(tree);
        let registers = |change: &Change| change.path.ends_with("/register");
        let pairs = changes.windows(2).filter(|pair| registers(&pair[0]) && !registers(&pair[1]));
        let after: Vec<usize> = pairs.map(|pair| pair[1].number).collect();
        assert_eq!(after.len(), if prepare.is_empty() { 1 } else { 2 }, "{run:?}: {changes:?}");
        for number in after {
            for completes in [true, false] {
                let (tree, fresh) = machine();
                drop(fault::run(&tree, run, Fault::Kill, number));
                tree.write_kernel(&tree.entries()[0], "0");
                let runs = || {
                    if is_rule { Command::new(&file).status().is_ok() } else { tree.runs_somehow("aarch64") }
                };
                // Another entry runs the programs, if they ran before.
                assert_eq!(runs(), !prepare.is_empty(), "{run:?} {number}");
                assert_eq!(tree.configured_but_not_running(), [""; 0], "{run:?} {number}");
                let reported = tree.status();
                let is_silent = reported["unfinished"] == false && tree.run(&["doctor"]).code == Some(0);
                assert!(!is_silent, "{run:?} {number}: {reported:#}");
                if completes {
                    run.complete(Emulators::Small, &tree);
                    assert!(runs() && tree.entries().len() == 1, "{run:?} {number}");
                    assert_eq!(tree.status()["unfinished"], false, "{run:?} {number}");
                }
                drop(tree.run(&["unregister", "all"]).exits(0).omits("warning:"));
                assert_eq!(fresh.unrestored_in(&tree), "", "{run:?} {number}");
                discard_tree(tree);
            }
        }
    }
}
