//! Runs that are killed at any moment: the next run completes the changes, or restores every byte.
//!
//! Here the moments are random; `tests/it/crash/` kills at single changes. A failure names its seed, and
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

/// The number of runs that each test kills on every machine, and with `tests/run --full`.
const KILLS: usize = 30;
const FULL_KILLS: usize = 840;

/// The usual duration of a run, from the state that other runs lead to.
pub(crate) struct Usual<'a> {
    before: &'a [Run],
    run: Run,
    emulators: Emulators,
    duration: Duration,
    /// The number of signals since the last one that came before the end of the run.
    late: u32,
}

impl<'a> Usual<'a> {
    pub(crate) fn measure(before: &'a [Run], run: Run, emulators: Emulators) -> Self {
        let tree = tree_after(before, emulators);
        let began = Instant::now();
        run.complete(emulators, &tree);
        let duration = began.elapsed();
        discard_tree(tree);
        Self { before, run, emulators, duration, late: 0 }
    }

    /// Measures again if signals come too late: then the machine was slower when the duration was measured. Not while
    /// another tree uses the table of the kernel.
    pub(crate) fn correct(&mut self) {
        if self.late >= 4 {
            *self = Self::measure(self.before, self.run, self.emulators);
        }
    }

    /// Starts the run and sends a signal at a random moment of its usual duration. Returns whether the run still ran at
    /// that moment, and its exit status.
    pub(crate) fn start_and_signal(&mut self, tree: &Tree, signal: Signal, noise: &mut Noise) -> (bool, ExitStatus) {
        let args = self.run.args(self.emulators);
        let args: Vec<_> = args.iter().map(String::as_str).collect();
        let moment = self.duration.mul_f64(noise.fraction() * 1.1);
        let began = Instant::now();
        let mut child = tree.start(&args);
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                self.late += 1;
                return (false, status);
            }
            let rest = moment.saturating_sub(began.elapsed());
            if rest.is_zero() {
                break;
            }
            sleep(rest.min(Duration::from_millis(1)));
        }
        self.late = 0;
        kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
        (true, child.wait().unwrap())
    }
}

/// The seed from the environment, or from the clock.
pub(crate) fn seed() -> u64 {
    let given = std::env::var("BINFMT_NIX_TEST_SEED").ok().map(|seed| seed.parse().unwrap());
    given.unwrap_or_else(|| u64::from(SystemTime::UNIX_EPOCH.elapsed().unwrap().subsec_nanos()))
}

/// The states of Nix's files after complete runs of any of these kinds.
fn whole(emulators: Emulators) -> CompleteStates {
    let tree = Tree::new();
    let mut whole = CompleteStates::default().with_current(&tree);
    for run in [Run::Register, Run::RegisterSecond, Run::Unregister] {
        run.complete(emulators, &tree);
        whole = whole.with_current(&tree);
    }
    discard_tree(tree);
    whole
}

/// Kills runs in chains of this length, each from the state that `prepare` leads to, and recovers after each chain.
#[track_caller]
fn kill_repeatedly(what: &str, emulators: Emulators, prepare: &[Run], runs: &[Run], chain: usize) {
    let seed = seed();
    let mut noise = Noise::new(seed);
    let whole = whole(emulators);
    let mut usual: Vec<_> = runs.iter().map(|run| Usual::measure(prepare, *run, emulators)).collect();
    let wanted = if is_full() { FULL_KILLS } else { KILLS };
    let (mut kills, mut chains) = (0, 0);
    while kills < wanted {
        usual.iter_mut().for_each(Usual::correct);
        let tree = Tree::new();
        let before = tree.snapshot();
        complete_all(prepare, emulators, &tree);
        let mut done = Vec::new();
        // A complete run may leave nothing to do for the next one, which is then short and hard to hit.
        for _ in 0..chain * 3 / 2 {
            let one = usize::try_from(noise.below(runs.len() as u64)).unwrap();
            let (_, status) = usual[one].start_and_signal(&tree, Signal::SIGKILL, &mut noise);
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
        let wrong = describe_unrecovered(&tree, emulators, &before, chains % 2 == 0);
        assert!(wrong.is_empty(), "{done:?} were killed (seed {seed}, kill {kills}): {wrong}");
        discard_tree(tree);
    }
    fault_table::at_least(what, KILLS, kills);
}

/// Describes what the next registration or the next unregister run does not repair.
fn describe_unrecovered(tree: &Tree, emulators: Emulators, before: &Snapshot, first_register: bool) -> String {
    if first_register {
        let args = Run::Register.args(emulators);
        let args: Vec<_> = args.iter().map(String::as_str).collect();
        let done = tree.run(&args).omits("panicked").omits("warning:");
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
    let what = "`register`, killed at random moments, three in a row";
    kill_repeatedly(what, Emulators::Qemu, &[], &[Run::Register], 3);
}

#[sandboxed]
fn killed_unregistrations_are_recovered() {
    let what = "`unregister`, killed at random moments, three in a row";
    kill_repeatedly(what, Emulators::Small, &[Run::Register], &[Run::Unregister], 3);
}

#[sandboxed]
fn killed_upgrades_are_recovered() {
    kill_repeatedly(
        "`register` with another emulator, killed at random moments, three in a row",
        Emulators::Qemu,
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
        Emulators::Small,
        &[Run::Register],
        &runs,
        3,
    );
}

/// All kinds of runs; nothing is repaired between them.
const ALL: [Run; 5] = [Run::Register, Run::Upgrade, Run::Unregister, Run::RegisterSecond, Run::UnregisterSecond];

#[sandboxed]
fn chains_of_killed_runs_are_recovered() {
    kill_repeatedly("runs of all kinds, killed at random moments, ten in a row", Emulators::Small, &[], &ALL, 10);
}

#[sandboxed]
fn chains_of_killed_runs_on_a_registered_system_are_recovered() {
    kill_repeatedly(
        "runs of all kinds on a registered system, killed at random moments, ten in a row",
        Emulators::Small,
        &[Run::Register],
        &ALL,
        10,
    );
}
