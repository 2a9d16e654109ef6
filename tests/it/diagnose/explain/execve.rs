//! `explain` and the kernel agree on which file is executed, by which interpreter, and with which errno it is refused.

mod corpus;
mod files;
pub(crate) mod judge;
pub(crate) mod samples;
mod scripts;
mod sets;

use std::path::PathBuf;
use std::time::Instant;

use crate::support::fault_table;
use judge::{Dice, Judge, clear, enter, mount_table, unmount_table, write};

#[sandboxed]
fn explain_predicts_script_lines() {
    fault_table::at_least("scripts of every kind, started as `explain` predicts", 1000, scripts::lines());
}

#[sandboxed]
fn explain_predicts_script_arguments() {
    scripts::arguments();
}

#[sandboxed]
fn explain_predicts_chains_of_interpreters() {
    scripts::chains();
}

#[sandboxed]
fn explain_predicts_damaged_native_programs() {
    fault_table::at_least("damaged programs of this machine, started as `explain` predicts", 350, files::damaged());
}

#[sandboxed]
fn explain_predicts_files_that_cannot_be_executed() {
    files::not_to_be_executed();
}

#[sandboxed]
fn explain_predicts_interpreters_held_by_flag_f() {
    files::held();
}

#[sandboxed]
fn explain_predicts_programs_of_other_projects() {
    let what = "programs of npm and Debian, for many systems, with and without entries, treated as `explain` predicts";
    fault_table::at_least(what, 100, samples::samples());
}

#[sandboxed]
fn explain_predicts_programs_that_are_cut_off() {
    fault_table::at_least("programs that were cut off, treated as `explain` predicts", 40, samples::cut_off());
}

#[sandboxed]
fn programs_that_explain_calls_flawed_fail_in_qemu() {
    samples::flawed_in_qemu();
}

/// Number of files of the corpus that each set of entries is tried with, in addition to those of every guest.
const SAMPLE: usize = 300;

#[sandboxed]
fn explain_predicts_every_header_under_every_set_of_entries() {
    let begun = Instant::now();
    let corpus = corpus::files();
    assert!(corpus.all() >= 2000, "{} headers", corpus.all());
    let mut judge = Judge::new();
    let (mut sets, mut refused) = (0, 0);
    // At first without a mounted table.
    try_all(&mut judge, corpus.every());
    for mut set in sets::all() {
        mount_table();
        set.lines.retain(|line| {
            let taken = enter(line).is_ok();
            refused += usize::from(!taken);
            taken
        });
        for name in &set.disabled {
            // Entries that the kernel refused do not exist.
            let _ = write(&format!("{}/{name}", judge::TABLE), b"0");
        }
        if set.switched_off {
            write(&format!("{}/status", judge::TABLE), b"0").unwrap();
        }
        judge.reload_facts();
        let mut dice = Dice::new(set.seed);
        let sample = (0..SAMPLE).map(|_| dice.one(&corpus.variants).clone());
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
        judge.assert_agrees(&file);
    }
}
