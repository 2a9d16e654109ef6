//! The table in `packaging/FAULTS.md`, checked by the tests that produce its numbers.
//!
//! A test reports how often it injected a fault. If the table has another number, the test fails.
//! With BINFMT_NIX_TEST_BLESS=1 the test writes its own number into that line instead.

use std::env;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::sync::Mutex;

use super::is_full;

const TABLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/FAULTS.md");
const BLESS: &str = "BINFMT_NIX_TEST_BLESS";

/// Start of a line by which a sandbox reports a number to its harness: a sandbox cannot write to the repository.
pub(crate) const MARK: &str = "ledger\t";

/// Start of a line by which a sandbox reports how many of all faults it tried.
pub(crate) const SAMPLE_MARK: &str = "sample\t";

/// Reports that the fault `what` was injected this often, on every machine.
#[track_caller]
pub(crate) fn line(what: &str, times: usize) {
    record(what, &times.to_string());
}

/// Reports that `tried` of `all` the faults `what` were injected: all with `tests/run --full`.
#[track_caller]
pub(crate) fn sampled(what: &str, tried: usize, all: usize) {
    assert!(tried <= all && (tried == all || !is_full()), "{what}: {tried} of {all}");
    println!("{SAMPLE_MARK}{tried}\t{all}\t{what}");
    record(what, &all.to_string());
}

/// Reports that the fault `what` was injected this often, and at least `floor` times on every machine.
#[track_caller]
pub(crate) fn at_least(what: &str, floor: usize, times: usize) {
    assert!(times >= floor, "{what}: {times} times instead of {floor}");
    record(what, &format!("≥ {floor}"));
}

/// Tried faults, and all of them, that the tests of this process have reported by [`sampled`].
static SAMPLES: Mutex<(usize, usize)> = Mutex::new((0, 0));

/// Adds what a sandbox reported to the numbers that [`print_samples`] prints.
pub(crate) fn note_samples(stdout: &str) {
    for line in stdout.lines().filter_map(|line| line.strip_prefix(SAMPLE_MARK)) {
        let mut numbers = line.split('\t').map(|number| number.parse::<usize>().unwrap_or_default());
        let mut samples = SAMPLES.lock().unwrap();
        samples.0 += numbers.next().unwrap_or_default();
        samples.1 += numbers.next().unwrap_or_default();
    }
}

/// Prints how many faults at single changes were tried.
pub(crate) fn print_samples() {
    let (tried, all) = *SAMPLES.lock().unwrap();
    if all > 0 {
        println!("faults at single changes: {tried} of {all} tried; tests/run --full tries all");
    }
}

#[track_caller]
fn record(what: &str, times: &str) {
    if env::var_os("BINFMT_NIX_TEST_ROLE").is_some() {
        println!("{MARK}{what}\t{times}");
    } else {
        compare(what, times).unwrap_or_else(|why| panic!("{why}"));
    }
}

/// Compares the number of `what` in the table with this one, or writes this one.
pub(crate) fn compare(what: &str, times: &str) -> Result<(), String> {
    let bless = env::var_os(BLESS).is_some_and(|value| value == "1");
    let failed = |error: std::io::Error| format!("{TABLE}: {error}");
    let mut file = OpenOptions::new().read(true).write(bless).open(TABLE).map_err(failed)?;
    let mut text = String::new();
    // Several tests and several test programs come here at the same time.
    lock(&file, bless).and_then(|()| file.read_to_string(&mut text)).map_err(failed)?;
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let Some(line) = lines.iter_mut().find(|line| cells(line).first().is_some_and(|cell| *cell == what)) else {
        return Err(format!("{TABLE} has no line for this: | {what} | {times} | nothing | `the command` |"));
    };
    let mut found = cells(line);
    match found.get_mut(1) {
        Some(number) if *number == times => Ok(()),
        Some(number) if bless => {
            *number = times;
            *line = format!("| {} |", found.join(" | "));
            rewrite(&mut file, &lines).map_err(failed)
        }
        Some(number) => Err(format!("{what}: {times} times, and {TABLE} says {number}; {BLESS}=1 writes it there")),
        None => Err(format!("{TABLE} has no number for this: {what}")),
    }
}

fn lock(file: &File, exclusive: bool) -> std::io::Result<()> {
    if exclusive { file.lock() } else { file.lock_shared() }
}

/// Rewrites the same file, because the lock belongs to it.
fn rewrite(file: &mut File, lines: &[String]) -> std::io::Result<()> {
    file.rewind()?;
    file.set_len(0)?;
    file.write_all((lines.join("\n") + "\n").as_bytes())
}

fn cells(line: &str) -> Vec<&str> {
    let inner = line.strip_prefix("| ").and_then(|rest| rest.strip_suffix(" |"));
    inner.map(|inner| inner.split(" | ").collect()).unwrap_or_default()
}
