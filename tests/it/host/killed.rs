//! A run that is killed, at any moment: the next run finishes what it began, or takes it back to the last byte.
//!
//! Here the moments are random; at every single change: `tests/it/crash/`. A failure names its seed, and
//! BINFMT_NIX_TEST_SEED repeats it, as far as time can be repeated.

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::invariants::Whole;
use crate::support::rng::Noise;
use crate::support::runs::{Run, gone, to_their_end, tree_after};
use crate::support::snapshot::Snapshot;
use crate::support::{Tree, fault_table};

/// The number of runs that each test kills on every machine. BINFMT_NIX_TEST_KILLS asks for more.
const KILLS: usize = 84;

fn wanted_kills() -> usize {
    let wanted = std::env::var("BINFMT_NIX_TEST_KILLS").ok().map(|kills| kills.parse().unwrap());
    wanted.unwrap_or(KILLS).max(KILLS)
}

/// How long a run takes here, from the state that `before` leads to.
pub(crate) fn duration(before: &[Run], run: Run) -> Duration {
    let tree = tree_after(before);
    let began = Instant::now();
    run.to_its_end(&tree);
    let took = began.elapsed();
    gone(tree);
    took
}

/// Starts a run and sends a signal somewhere in the time that a whole one takes; whether it still ran then, and how it
/// ended.
pub(crate) fn signalled(
    tree: &Tree,
    run: Run,
    signal: Signal,
    whole: Duration,
    noise: &mut Noise,
) -> (bool, ExitStatus) {
    let args = run.args();
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

/// From the environment, or from the clock.
pub(crate) fn seed() -> u64 {
    let given = std::env::var("BINFMT_NIX_TEST_SEED").ok().map(|seed| seed.parse().unwrap());
    given.unwrap_or_else(|| u64::from(SystemTime::UNIX_EPOCH.elapsed().unwrap().subsec_nanos()))
}

/// What a whole run may leave in Nix's files, whichever of these runs come to their end.
fn whole() -> Whole {
    let tree = Tree::new();
    let mut whole = Whole::default().and(&tree);
    for run in [Run::Register, Run::RegisterSecond, Run::Unregister] {
        run.to_its_end(&tree);
        whole = whole.and(&tree);
    }
    gone(tree);
    whole
}

/// Kills runs in chains of so many, each from the state that `prepare` leads to, and recovers after each chain.
#[track_caller]
fn killed(what: &str, prepare: &[Run], runs: &[Run], chain: usize) {
    let seed = seed();
    let mut noise = Noise::new(seed);
    let whole = whole();
    let times: Vec<_> = runs.iter().map(|run| duration(prepare, *run)).collect();
    let (wanted, mut kills, mut chains) = (wanted_kills(), 0, 0);
    while kills < wanted {
        let tree = Tree::new();
        let before = tree.snapshot();
        to_their_end(prepare, &tree);
        let mut done = Vec::new();
        // What came to its end may leave nothing to do for the next one, which is hard to hit.
        for _ in 0..chain * 3 / 2 {
            let one = usize::try_from(noise.below(runs.len() as u64)).unwrap();
            let (_, status) = signalled(&tree, runs[one], Signal::SIGKILL, times[one], &mut noise);
            if status.signal() == Some(9) {
                done.push(runs[one]);
            } else {
                assert_eq!(status.code(), Some(0), "{:?} after {done:?} (seed {seed})", runs[one]);
            }
            let wrong = tree.unsound(&whole);
            assert!(wrong.is_empty(), "{done:?} were killed (seed {seed}, kill {kills}): {wrong}");
        }
        kills += done.len();
        chains += 1;
        let wrong = unrecovered(&tree, &before, chains % 2 == 0);
        assert!(wrong.is_empty(), "{done:?} were killed (seed {seed}, kill {kills}): {wrong}");
        gone(tree);
    }
    fault_table::at_least(what, KILLS, kills);
}

/// In words, what neither the next registration nor the next undo mends.
fn unrecovered(tree: &Tree, before: &Snapshot, first_register: bool) -> String {
    if first_register {
        let done = tree.register("aarch64").omits("panicked").omits("warning:");
        if done.code != Some(0) || !tree.runs("aarch64") || !tree.settings()[0].contains("aarch64-linux") {
            return format!("register does not complete it: {done:#?}");
        }
    }
    let done = tree.unregister("all").omits("panicked");
    if done.code != Some(0) {
        return format!("unregister does not undo it: {done:#?}");
    }
    before.unrestored_in(tree)
}

#[sandboxed]
fn killed_registrations_are_recovered() {
    killed("`register`, killed at random moments, three in a row", &[], &[Run::Register], 3);
}

#[sandboxed]
fn killed_unregistrations_are_recovered() {
    killed("`unregister`, killed at random moments, three in a row", &[Run::Register], &[Run::Unregister], 3);
}

#[sandboxed]
fn killed_upgrades_are_recovered() {
    killed(
        "`register` with another emulator, killed at random moments, three in a row",
        &[Run::Register],
        &[Run::Upgrade],
        3,
    );
}

#[sandboxed]
fn killed_runs_for_two_systems_are_recovered() {
    let runs = [Run::RegisterSecond, Run::UnregisterSecond, Run::Unregister];
    killed("runs for one of two systems, killed at random moments, three in a row", &[Run::Register], &runs, 3);
}

/// Nothing is repaired in between.
const ALL: [Run; 5] = [Run::Register, Run::Upgrade, Run::Unregister, Run::RegisterSecond, Run::UnregisterSecond];

#[sandboxed]
fn chains_of_killed_runs_are_recovered() {
    killed("runs of all kinds, killed at random moments, ten in a row", &[], &ALL, 10);
}

#[sandboxed]
fn chains_of_killed_runs_on_a_registered_system_are_recovered() {
    killed(
        "runs of all kinds on a registered system, killed at random moments, ten in a row",
        &[Run::Register],
        &ALL,
        10,
    );
}
