//! Runs that are killed at any moment: the next run completes the changes, or restores every byte.
//!
//! Here the moments are random; `tests/it/crash/` kills at every single change. A failure names its seed, and
//! BINFMT_NIX_TEST_SEED repeats it as exactly as the timing allows.

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::invariants::CompleteStates;
use crate::support::rng::Noise;
use crate::support::runs::{Emulators, Run, complete_all, discard_tree, tree_after};
use crate::support::snapshot::Snapshot;
use crate::support::{Tree, fault_table, is_full};

/// The number of runs that each test kills on every machine. `tests/run --full` kills ten times as many.
const KILLS: usize = 84;

/// The duration of a run on this machine, from the state that `before` leads to.
pub(crate) fn measure_duration(before: &[Run], run: Run) -> Duration {
    let tree = tree_after(before, Emulators::Qemu);
    let began = Instant::now();
    run.complete(Emulators::Qemu, &tree);
    let took = began.elapsed();
    discard_tree(tree);
    took
}

/// Starts a run and sends a signal at a random moment of its usual duration `whole`. Returns whether the run still ran
/// at that moment, and its exit status.
pub(crate) fn start_and_signal(
    tree: &Tree,
    run: Run,
    signal: Signal,
    whole: Duration,
    noise: &mut Noise,
) -> (bool, ExitStatus) {
    let args = run.args(Emulators::Qemu);
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    let moment = whole.mul_f64(noise.fraction() * 1.1);
    let began = Instant::now();
    let mut child = tree.start(&args);
    sleep(moment.saturating_sub(began.elapsed()));
    let runs = child.try_wait().unwrap().is_none();
    if runs {
        kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
    }
    (runs, child.wait().unwrap())
}

/// The seed from the environment, or from the clock.
pub(crate) fn seed() -> u64 {
    let given = std::env::var("BINFMT_NIX_TEST_SEED").ok().map(|seed| seed.parse().unwrap());
    given.unwrap_or_else(|| u64::from(SystemTime::UNIX_EPOCH.elapsed().unwrap().subsec_nanos()))
}

/// The states of Nix's files after complete runs of any of these kinds.
fn whole() -> CompleteStates {
    let tree = Tree::new();
    let mut whole = CompleteStates::default().with_current(&tree);
    for run in [Run::Register, Run::RegisterSecond, Run::Unregister] {
        run.complete(Emulators::Qemu, &tree);
        whole = whole.with_current(&tree);
    }
    discard_tree(tree);
    whole
}

/// Kills runs in chains of this length, each from the state that `prepare` leads to, and recovers after each chain.
#[track_caller]
fn kill_repeatedly(what: &str, prepare: &[Run], runs: &[Run], chain: usize) {
    let seed = seed();
    let mut noise = Noise::new(seed);
    let whole = whole();
    let times: Vec<_> = runs.iter().map(|run| measure_duration(prepare, *run)).collect();
    let wanted = if is_full() { 10 * KILLS } else { KILLS };
    let (mut kills, mut chains) = (0, 0);
    while kills < wanted {
        let tree = Tree::new();
        let before = tree.snapshot();
        complete_all(prepare, Emulators::Qemu, &tree);
        let mut done = Vec::new();
        // A complete run may leave nothing to do for the next one, which is then short and hard to hit.
        for _ in 0..chain * 3 / 2 {
            let one = usize::try_from(noise.below(runs.len() as u64)).unwrap();
            let (_, status) = start_and_signal(&tree, runs[one], Signal::SIGKILL, times[one], &mut noise);
            if status.signal() == Some(9) {
                done.push(runs[one]);
            } else {
                assert_eq!(status.code(), Some(0), "{:?} after {done:?} (seed {seed})", runs[one]);
            }
            let wrong = tree.describe_damage(&whole);
            assert!(wrong.is_empty(), "{done:?} were killed (seed {seed}, kill {kills}): {wrong}");
        }
        kills += done.len();
        chains += 1;
        let wrong = describe_unrecovered(&tree, &before, chains % 2 == 0);
        assert!(wrong.is_empty(), "{done:?} were killed (seed {seed}, kill {kills}): {wrong}");
        discard_tree(tree);
    }
    fault_table::at_least(what, KILLS, kills);
}

/// Describes what the next registration or the next unregister run does not repair.
fn describe_unrecovered(tree: &Tree, before: &Snapshot, first_register: bool) -> String {
    if first_register {
        let done = tree.register("aarch64").omits("panicked").omits("warning:");
        if done.code != Some(0) || !tree.runs("aarch64") || !tree.settings()[0].contains("aarch64-linux") {
            return format!("register does not complete the killed run: {done:#?}");
        }
    }
    let done = tree.unregister("all").omits("panicked");
    if done.code != Some(0) {
        return format!("unregister does not undo the killed run: {done:#?}");
    }
    before.unrestored_in(tree)
}

#[sandboxed]
fn killed_registrations_are_recovered() {
    kill_repeatedly("`register`, killed at random moments, three in a row", &[], &[Run::Register], 3);
}

#[sandboxed]
fn killed_unregistrations_are_recovered() {
    kill_repeatedly("`unregister`, killed at random moments, three in a row", &[Run::Register], &[Run::Unregister], 3);
}

#[sandboxed]
fn killed_upgrades_are_recovered() {
    kill_repeatedly(
        "`register` with another emulator, killed at random moments, three in a row",
        &[Run::Register],
        &[Run::Upgrade],
        3,
    );
}

#[sandboxed]
fn killed_runs_for_two_systems_are_recovered() {
    let runs = [Run::RegisterSecond, Run::UnregisterSecond, Run::Unregister];
    kill_repeatedly(
        "runs for one of two systems, killed at random moments, three in a row",
        &[Run::Register],
        &runs,
        3,
    );
}

/// All kinds of runs; nothing is repaired between them.
const ALL: [Run; 5] = [Run::Register, Run::Upgrade, Run::Unregister, Run::RegisterSecond, Run::UnregisterSecond];

#[sandboxed]
fn chains_of_killed_runs_are_recovered() {
    kill_repeatedly("runs of all kinds, killed at random moments, ten in a row", &[], &ALL, 10);
}

#[sandboxed]
fn chains_of_killed_runs_on_a_registered_system_are_recovered() {
    kill_repeatedly(
        "runs of all kinds on a registered system, killed at random moments, ten in a row",
        &[Run::Register],
        &ALL,
        10,
    );
}
