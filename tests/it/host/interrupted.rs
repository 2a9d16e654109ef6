//! Ctrl-C, at any moment: what was begun is undone by the process itself. (In a download: see `e2e/crash.sh`.)

use std::io::{BufRead as _, BufReader, Read as _};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::host::killed::{duration, seed, signalled};
use crate::support::rng::Noise;
use crate::support::runs::{Run, gone, to_their_end};
use crate::support::{Tree, fault_table, qemu};

/// So many signals in each test, of each of the three.
const SIGNALS: usize = 9;

/// A signal at a random moment: all is as before, or all is done.
#[track_caller]
fn interrupted(what: &str, prepare: &[Run], run: Run) {
    let seed = seed();
    let mut noise = Noise::new(seed);
    let whole = duration(prepare, run);
    for (signal, code) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143), (Signal::SIGHUP, 129)] {
        let mut came = 0;
        while came < SIGNALS {
            let tree = Tree::new();
            let fresh = tree.snapshot();
            to_their_end(prepare, &tree);
            let before = tree.snapshot();
            let (running, ended) = signalled(&tree, run, signal, whole, &mut noise);
            came += usize::from(running);
            match ended.code() {
                // It had ended; or its last step was under way; or it is an undo, which goes on to its end.
                Some(0) => run.to_its_end(&tree),
                // Before signals are held nothing has been begun.
                ended if ended.is_none_or(|ended| ended == code) => {
                    let wrong = before.unrestored_in(&tree);
                    assert!(wrong.is_empty(), "{signal} to {run:?} (seed {seed}): {ended:?}, and {wrong}");
                }
                other => panic!("{signal} to {run:?} (seed {seed}): {other:?}"),
            }
            tree.unregister("all").exits(0);
            fresh.is_restored_in(&tree);
            gone(tree);
        }
    }
    fault_table::at_least(what, 3 * SIGNALS, 3 * SIGNALS);
}

#[sandboxed]
fn an_interrupted_registration_is_rolled_back() {
    interrupted("`register`, interrupted by SIGINT, SIGTERM and SIGHUP", &[], Run::Register);
}

#[sandboxed]
fn an_interrupted_upgrade_is_rolled_back() {
    let what = "`register` with another emulator, interrupted by SIGINT, SIGTERM and SIGHUP";
    interrupted(what, &[Run::Register], Run::Upgrade);
}

#[sandboxed]
fn an_interrupted_second_registration_is_rolled_back() {
    let what = "`register` of a second system, interrupted by SIGINT, SIGTERM and SIGHUP";
    interrupted(what, &[Run::Register], Run::RegisterSecond);
}

#[sandboxed]
fn an_interrupted_unregister_is_completed_or_rolled_back() {
    interrupted("`unregister`, interrupted by SIGINT, SIGTERM and SIGHUP", &[Run::Register], Run::Unregister);
}

#[sandboxed]
fn a_signal_ends_the_wait_for_the_lock() {
    let tree = Tree::new();
    std::fs::create_dir_all(tree.path("run")).unwrap();
    let held = std::fs::File::create(tree.path("run/binfmt-nix.lock")).unwrap();
    held.lock().unwrap();
    let before = tree.snapshot();
    let mut child = tree.start(&["register", "aarch64", "--qemu", qemu("aarch64").to_str().unwrap()]);
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    assert!(line.contains("waiting for another binfmt-nix"), "{line}");
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGINT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    said.read_to_string(&mut line).unwrap();
    before.is_unchanged_in(&tree);
}
