//! Signals such as Ctrl-C at any moment: the process itself rolls back its changes. (During a download:
//! `e2e/crash.sh`.)

use std::io::{BufRead as _, BufReader, Read as _};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::host::killed::{Usual, seed};
use crate::support::rng::Noise;
use crate::support::runs::{Emulators, Run, complete_all, discard_tree};
use crate::support::{Tree, fault_table, is_full, qemu};

/// Number of signals of each of the three kinds in each test, and with `tests/run --full`.
const SIGNALS: usize = 4;
const FULL_SIGNALS: usize = 90;

/// Sends a signal at a random moment: the run is either rolled back or complete.
#[track_caller]
fn interrupt_repeatedly(what: &str, emulators: Emulators, prepare: &[Run], run: Run) {
    let seed = seed();
    let mut noise = Noise::new(seed);
    let mut usual = Usual::measure(prepare, run, emulators);
    let wanted = if is_full() { FULL_SIGNALS } else { SIGNALS };
    for (signal, code) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143), (Signal::SIGHUP, 129)] {
        let mut came = 0;
        while came < wanted {
            usual.correct();
            let tree = Tree::new();
            let fresh = tree.snapshot();
            complete_all(prepare, emulators, &tree);
            let before = tree.snapshot();
            let (running, ended) = usual.start_and_signal(&tree, signal, &mut noise);
            came += usize::from(running);
            match ended.code() {
                // The run had ended, or its last step was running, or it was an unregister run, which continues to its
                // end.
                Some(0) => run.complete(emulators, &tree),
                // Until the tool handles signals, it changes nothing.
                ended if ended.is_none_or(|ended| ended == code) => {
                    let wrong = before.unrestored_in(&tree);
                    assert!(wrong.is_empty(), "{signal} to {run:?} (seed {seed}): {ended:?}, and {wrong}");
                }
                other => panic!("{signal} to {run:?} (seed {seed}): {other:?}"),
            }
            tree.unregister("all").exits(0);
            fresh.is_restored_in(&tree);
            discard_tree(tree);
        }
    }
    fault_table::at_least(what, 3 * SIGNALS, 3 * wanted);
}

#[sandboxed]
fn an_interrupted_registration_is_rolled_back() {
    let what = "`register`, interrupted by SIGINT, SIGTERM and SIGHUP";
    interrupt_repeatedly(what, Emulators::Qemu, &[], Run::Register);
}

#[sandboxed]
fn an_interrupted_upgrade_is_rolled_back() {
    let what = "`register` with another emulator, interrupted by SIGINT, SIGTERM and SIGHUP";
    interrupt_repeatedly(what, Emulators::Qemu, &[Run::Register], Run::Upgrade);
}

#[sandboxed]
fn an_interrupted_second_registration_is_rolled_back() {
    let what = "`register` of a second system, interrupted by SIGINT, SIGTERM and SIGHUP";
    interrupt_repeatedly(what, Emulators::Small, &[Run::Register], Run::RegisterSecond);
}

#[sandboxed]
fn an_interrupted_unregister_is_completed_or_rolled_back() {
    let what = "`unregister`, interrupted by SIGINT, SIGTERM and SIGHUP";
    interrupt_repeatedly(what, Emulators::Small, &[Run::Register], Run::Unregister);
}

#[sandboxed]
fn a_signal_ends_the_wait_for_the_lock() {
    let tree = Tree::new();
    let _held = tree.hold_lock();
    let before = tree.snapshot();
    let mut child = tree.start(&["register", "aarch64", "--qemu", qemu("aarch64").to_str().unwrap()]);
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    stderr.read_line(&mut line).unwrap();
    assert!(line.contains("waiting for another binfmt-nix"), "{line}");
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGINT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    stderr.read_to_string(&mut line).unwrap();
    before.is_unchanged_in(&tree);
}
