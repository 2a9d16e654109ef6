//! The emulator of a registered system is replaced while programs of the system are started.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use nix::sys::signal::Signal;

use crate::binfmt::userns::usual_proc;
use crate::support::fault::Fault;
use crate::support::output::Done;
use crate::support::runs::{Emulators, RULE, Run, complete_all, discard_tree};
use crate::support::table::{line, probe};
use crate::support::watcher::Watch;
use crate::support::{LiarBehavior, Tree, emulators, fault, is_full, liar, qemu};

/// Programs that were started, and those of them that failed.
#[derive(Default)]
struct Starts {
    started: AtomicUsize,
    failed: AtomicUsize,
    ends: AtomicBool,
}

impl Starts {
    fn start(&self, program: &Path) {
        let runs = Command::new(program).output().is_ok_and(|output| output.status.success());
        self.started.fetch_add(1, Ordering::SeqCst);
        self.failed.fetch_add(usize::from(!runs), Ordering::SeqCst);
    }

    /// Starts the program over and over while `work` runs.
    fn during(&self, program: &Path, work: impl FnOnce()) {
        thread::scope(|scope| {
            scope.spawn(|| {
                while !self.ends.load(Ordering::SeqCst) {
                    self.start(program);
                }
            });
            let _end = EndsLoop(&self.ends);
            work();
        });
    }

    fn count(&self) -> usize {
        self.started.load(Ordering::SeqCst)
    }
}

/// Ends the loop, also after a failed assertion.
struct EndsLoop<'a>(&'a AtomicBool);

impl Drop for EndsLoop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A run is stopped before each of its changes, and a program runs each time; then the runs are exchanged. Returns the
/// tables that were seen.
#[track_caller]
fn stop_at_each_change(tree: &Tree, runs: [Run; 2], program: &Path) -> Vec<Vec<String>> {
    let (starts, mut tables) = (Starts::default(), Vec::new());
    let complete = tree.entries();
    starts.during(program, || {
        for number in 1.. {
            let child = fault::start(tree, runs[number % 2], "stop", number);
            if !fault::is_stopped(&child) {
                drop(Done::from(child.wait_with_output().unwrap()).exits(0));
                break;
            }
            starts.start(program);
            let table = tree.entries();
            if !tables.contains(&table) {
                tables.push(table);
            }
            drop(fault::proceed(child).exits(0));
            assert_eq!(tree.entries(), complete);
        }
    });
    assert_eq!(starts.failed.into_inner(), 0);
    tables
}

#[sandboxed]
fn files_start_between_any_two_changes_of_a_replaced_rule() {
    let tree = Tree::new().with_interpreter();
    let file = emulators::outside("a.greet", b"text");
    let mut watch = Watch::start(&tree, &["--rule", RULE], &[]);
    watch.says("info holding systems=greet");
    let tables = stop_at_each_change(&tree, [Run::RegisterRule, Run::ReplaceRule], &file);
    let [own, second] = ["greet", "binfmt-nix-rule-greet"];
    assert_eq!(tables, [vec![own], vec![second, own], vec![second], vec![own, second]]);
    let log = watch.ends_by(Signal::SIGTERM).err;
    assert!(!log.contains(" removed ") && !log.contains(" shadowed "), "{log}");
}

#[sandboxed]
fn programs_run_between_any_two_changes_in_memory() {
    let tree = Tree::new().mounted();
    Run::InMemory.complete(Emulators::Small, &tree);
    let runs = [Run::InMemory, Run::InMemoryCredentials];
    let tables = stop_at_each_change(&tree, runs, &probe("aarch64"));
    let [own, second] = ["binfmt-nix-aarch64", "binfmt-nix-aarch64-2"];
    assert_eq!(tables, [vec![own], vec![second, own], vec![second], vec![own, second]]);
}

/// Three runs are killed, one after the other, so that all names are taken by entries of this tool; then one is completed.
#[sandboxed]
fn killed_replacements_in_memory_are_completed() {
    for last in [Run::InMemory, Run::InMemoryCredentials] {
        let tree = Tree::new().mounted();
        let fresh = tree.snapshot();
        Run::InMemory.complete(Emulators::Small, &tree);
        for (names, run) in [Run::InMemoryCredentials, Run::InMemory, Run::InMemory].into_iter().enumerate() {
            for number in 1..200 {
                let (change, _) = fault::run(&tree, run, Fault::Kill, number);
                assert!(change.is_some() && tree.runs_somehow("aarch64"));
                if tree.entries().len() == (names + 2).min(3) {
                    break;
                }
            }
        }
        assert_eq!(tree.entries().len(), 3);
        last.complete(Emulators::Small, &tree);
        let credentials = if last == Run::InMemory { "PF" } else { "POCF" };
        assert_eq!(
            (tree.entries(), tree.entry_says("binfmt-nix-aarch64", "flags: ")),
            (vec!["binfmt-nix-aarch64".to_owned()], credentials.to_owned())
        );
        tree.unregister("aarch64").exits(0);
        fresh.is_restored_in(&tree);
        discard_tree(tree);
    }
}

/// Alternates between two releases.
fn upgrade(number: usize) -> Run {
    if number.is_multiple_of(2) { Run::Register } else { Run::Upgrade }
}

/// The run is stopped before each of its changes. A watcher sees nothing wrong meanwhile.
#[sandboxed]
fn programs_run_between_any_two_changes_of_an_upgrade() {
    let tree = Tree::new();
    let watch = Watch::begin(&tree, "aarch64", &[]);
    Run::Register.complete(Emulators::Small, &tree);
    let tables = stop_at_each_change(&tree, [Run::Register, Run::Upgrade], &probe("aarch64"));
    let [own, second] = ["qemu-aarch64", "binfmt-nix-aarch64"];
    assert_eq!(tables, [vec![own], vec![second, own], vec![second], vec![own, second]]);
    let log = watch.ends_by(Signal::SIGTERM).err;
    assert!(!log.contains(" removed ") && !log.contains(" shadowed "), "{log}");
}

/// With `BINFMT_NIX_TEST_FULL`: 100 upgrades with the real QEMU, and 10,000 programs.
#[sandboxed]
fn no_program_fails_during_upgrades() {
    let (upgrades, programs, emulators) =
        if is_full() { (100, 10_000, Emulators::Qemu) } else { (10, 10, Emulators::Small) };
    let tree = Tree::new();
    Run::Register.complete(emulators, &tree);
    let (starts, program, mut number) = (Starts::default(), probe("aarch64"), 0);
    starts.during(&program, || {
        while number < upgrades || starts.count() < programs {
            number += 1;
            upgrade(number).complete(emulators, &tree);
        }
    });
    println!("{} programs during {number} upgrades, {:?} failed", starts.count(), starts.failed);
    assert_eq!(starts.failed.into_inner(), 0);
    assert_eq!(tree.entries(), ["qemu-aarch64"]);
}

/// A run that fails, stopped before each of its changes or not. The table stays as it is, and programs run.
#[track_caller]
fn fails_without_effect(tree: &Tree, args: &[&str], program: &Path, is_stopped: bool, why: &str) {
    let (starts, before, entries) = (Starts::default(), tree.snapshot(), tree.entries());
    let mut stops = 0;
    starts.during(program, || {
        for number in (1..).take_while(|_| is_stopped) {
            let child = fault::start_with(tree, args, "stop", number);
            if !fault::is_stopped(&child) {
                drop(Done::from(child.wait_with_output().unwrap()).exits(1));
                break;
            }
            stops = number;
            starts.start(program);
            assert_eq!(tree.entries(), entries);
            drop(fault::proceed(child).exits(1).says(why));
            assert!(tree.snapshot().is_like(&before));
        }
        drop(tree.run(args).exits(1).says(why));
        assert!(tree.snapshot().is_like(&before));
        starts.start(program);
    });
    assert_eq!((starts.failed.into_inner(), stops > 2), (0, is_stopped), "{stops}");
}

/// The entry of the new emulator is never in force: it is proven in a table of its own, or without any.
#[sandboxed]
fn no_program_is_taken_by_an_emulator_that_fails() {
    let tree = Tree::new();
    Run::Register.complete(Emulators::Small, &tree);
    let answer = "qemu-aarch64 version 11.0.0";
    let bad = |behavior| emulators::outside("bad", &liar(answer, behavior));
    let fails = |bad: &Path, is_stopped, why| {
        let args = ["register", "aarch64", "--qemu", bad.to_str().unwrap()];
        fails_without_effect(&tree, &args, &probe("aarch64"), is_stopped, why);
    };
    let ended = "the new emulator of aarch64 does not work: the emulator ended with signal: 4";
    // Here /proc is read-only, so that no namespace can be made.
    for is_in_own_table in [false, true] {
        if is_in_own_table {
            usual_proc();
            let argv0 = "the new emulator of aarch64 does not work: the probe received argv[0]";
            fails(&bad(LiarBehavior::WrongOutput), false, argv0);
        }
        fails(&bad(LiarBehavior::Crash), true, ended);
        fails(&bad(LiarBehavior::DoNothing), false, "the emulator ended without running anything");
        let complaining = emulators::outside("bad", &emulators::complaining(answer, "no memory"));
        fails(&complaining, false, "exit status: 1: no memory");
    }
    assert!(tree.runs("aarch64"));
}

/// The sandbox of the tests has a read-only /proc, so that no namespace can be made. The tool starts programs in `/`.
#[sandboxed]
fn the_proof_without_a_table_of_its_own_makes_no_directory() {
    let tree = Tree::new().mounted();
    tree.register("aarch64").exits(0);
    let made = Path::new("/binfmt-nix-argv0");
    fs::create_dir(made).unwrap();
    fs::remove_dir(made).unwrap();
    tree.register_by("aarch64", &emulators::other_qemu("aarch64"), &[]).exits(0);
    assert!(!made.exists());
}

/// An entry of another tool keeps its programs, too.
#[sandboxed]
fn no_program_is_taken_from_another_tool_by_an_emulator_that_fails() {
    let theirs = qemu("aarch64");
    let tree = Tree::new().mounted().entry(&line("theirs", "aarch64", &theirs, "F"));
    let bad = emulators::outside("bad", &liar("qemu-aarch64 version 11.0.0", LiarBehavior::Crash));
    let args = ["register", "aarch64", "--force", "--qemu", bad.to_str().unwrap()];
    fails_without_effect(&tree, &args, &probe("aarch64"), false, "the new emulator of aarch64 does not work");
}

#[sandboxed]
fn no_file_is_taken_by_an_interpreter_that_fails() {
    usual_proc();
    let tree = Tree::new().with_interpreter().program("usr/bin/bad", liar("bad", LiarBehavior::Crash));
    let file = emulators::outside("a.greet", b"text");
    Run::RegisterRule.complete(Emulators::Small, &tree);
    let args = ["register", "--rule", ":greet:E::greet::/usr/bin/bad:PF", "--test", file.to_str().unwrap()];
    fails_without_effect(&tree, &args, &file, true, "the new emulator of greet does not work: ");
}

/// The third name of an entry is used while another tool has the second.
#[sandboxed]
fn an_entry_of_another_tool_with_the_second_name_is_left_alone() {
    let tree = Tree::new();
    tree.register("aarch64").exits(0);
    let foreign = line("binfmt-nix-aarch64", "riscv64", &qemu("riscv64"), "PF");
    tree.enter(&foreign);
    let (mut third, mut last, own) = (0, 0, tree.entries());
    for number in 1.. {
        last = number;
        let child = fault::start(&tree, upgrade(number), "stop", number);
        if !fault::is_stopped(&child) {
            drop(child.wait_with_output().unwrap());
            break;
        }
        assert!(tree.runs_somehow("aarch64") && tree.runs("riscv64"));
        third += usize::from(tree.entries().contains(&"binfmt-nix-aarch64-2".to_owned()));
        drop(fault::proceed(child).exits(0));
        assert_eq!(tree.entries().len(), own.len());
    }
    assert!(third > 2, "{third}");
    // Nothing is left to choose.
    for name in ["binfmt-nix-aarch64-2", "binfmt-nix-aarch64-3"] {
        tree.enter(&line(name, "riscv64", &qemu("riscv64"), "PF"));
    }
    let before = tree.snapshot();
    let args = upgrade(last + 1).args(Emulators::Small);
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    tree.run(&args).exits(3).says("binfmt-nix-aarch64-3, exist already");
    before.is_unchanged_in(&tree);
}

/// Three runs are killed, one after the other, so that all names are taken by entries of this tool.
#[sandboxed]
fn upgrades_that_were_killed_again_are_completed() {
    let tree = Tree::new();
    let fresh = tree.snapshot();
    complete_all(&[Run::Register, Run::Upgrade, Run::Register], Emulators::Small, &tree);
    let registered = tree.snapshot();
    for names in 2..=4 {
        let kill = |number| fault::run(&tree, Run::Upgrade, Fault::Kill, number).0.unwrap();
        assert!((1..200).map(kill).any(|_| tree.entries().len() == names));
        assert!(tree.runs("aarch64"));
        assert_eq!(tree.status()["unfinished"], true);
        drop(tree.run(&["doctor", "aarch64"]).omits("another tool").omits("other tools"));
    }
    Run::Upgrade.complete(Emulators::Small, &tree);
    assert_eq!(tree.entries(), ["qemu-aarch64"]);
    assert_eq!(tree.status()["unfinished"], false);
    Run::Register.complete(Emulators::Small, &tree);
    assert!(tree.snapshot().is_like(&registered));
    tree.unregister("all").exits(0);
    fresh.is_restored_in(&tree);
}

/// No entry of a system that is off stays on.
#[sandboxed]
fn a_system_can_be_turned_off_after_a_killed_upgrade() {
    let tree = Tree::new();
    Run::Register.complete(Emulators::Small, &tree);
    let kill = |number| fault::run(&tree, Run::Upgrade, Fault::Kill, number).0.unwrap();
    assert!((1..200).map(kill).any(|_| tree.entries().len() == 2));
    tree.run(&["disable", "aarch64"]).exits(0);
    assert!(!tree.runs_somehow("aarch64"));
    assert_eq!(tree.entries().len(), 1);
    tree.run(&["enable", "aarch64"]).exits(0).prints("proven");
    assert!(tree.runs("aarch64"));
}
