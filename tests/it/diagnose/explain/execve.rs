//! `explain` and the kernel agree: what is executed, by which interpreter, and with which errno it is refused.

mod corpus;
mod files;
pub(crate) mod judge;
mod scripts;
mod sets;

use std::path::PathBuf;
use std::time::Instant;

use crate::support::fault_table;
use judge::{Dice, Judge, clear, enter, mount_table, unmount_table, write};

#[sandboxed]
fn lines_of_scripts() {
    fault_table::at_least("scripts of every kind, started as `explain` predicts", 1000, scripts::lines());
}

#[sandboxed]
fn arguments_of_scripts() {
    scripts::arguments();
}

#[sandboxed]
fn interpreters_of_interpreters() {
    scripts::chains();
}

#[sandboxed]
fn programs_of_this_machine() {
    fault_table::at_least("damaged programs of this machine, started as `explain` predicts", 350, files::damaged());
}

#[sandboxed]
fn what_may_not_be_executed() {
    files::not_to_be_executed();
}

#[sandboxed]
fn interpreters_that_the_kernel_holds() {
    files::held();
}

/// How many files of the corpus each set of entries is tried with, besides those of every guest.
const SAMPLE: usize = 300;

#[sandboxed]
fn every_guest_and_every_header_under_every_set_of_entries() {
    let begun = Instant::now();
    let corpus = corpus::files();
    assert!(corpus.all() >= 2000, "{} headers", corpus.all());
    let mut judge = Judge::new();
    let (mut sets, mut refused) = (0, 0);
    // No table is mounted yet.
    try_all(&mut judge, corpus.every());
    for mut set in sets::all() {
        mount_table();
        set.lines.retain(|line| {
            let taken = enter(line).is_ok();
            refused += usize::from(!taken);
            taken
        });
        for name in &set.disabled {
            // Only those that the kernel took are there.
            let _ = write(&format!("{}/{name}", judge::TABLE), b"0");
        }
        if set.switched_off {
            write(&format!("{}/status", judge::TABLE), b"0").unwrap();
        }
        judge.look_again();
        let mut dice = Dice::new(set.seed);
        let sample = (0..SAMPLE).map(|_| dice.one(&corpus.others).clone());
        let sample: Vec<PathBuf> = corpus.guests.iter().cloned().chain(sample).collect();
        try_all(&mut judge, if set.whole { corpus.every() } else { sample });
        if set.switched_off {
            write(&format!("{}/status", judge::TABLE), b"1").unwrap();
        }
        clear();
        unmount_table();
        sets += 1;
    }
    let numbers = format!(
        "{} headers, {sets} sets of entries ({refused} refused by the kernel): {} agreements, {} started, {:?}, {:.1?}",
        corpus.all(),
        judge.agreed,
        judge.started,
        judge.refused,
        begun.elapsed()
    );
    assert!(judge.started > 4000, "{numbers}");
    for errno in ["ENOEXEC", "ENOENT", "EACCES", "ENOTDIR", "ELOOP"] {
        assert!(judge.refused.get(errno).is_some_and(|times| *times >= 10), "{errno}: {numbers}");
    }
    fault_table::at_least("files with sets of entries, started as `explain` predicts", 30_000, judge.agreed);
}

fn try_all(judge: &mut Judge, files: Vec<PathBuf>) {
    for file in files {
        judge.agrees(&file);
    }
}
