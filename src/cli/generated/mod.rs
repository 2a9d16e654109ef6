//! Files of `packaging/` that are generated from the sources: man pages, shell completions, JSON schemas,
//! and the unit of systemd.
//!
//! The files are checked in. Only tests generate them, so the program contains no generator. A test fails if a file
//! differs from its sources; with BINFMT_NIX_TEST_BLESS=1 the test writes the file instead.

#![expect(clippy::disallowed_methods, reason = "a test reads and writes files of the source tree directly")]

pub(super) mod completions;
pub(super) mod man;
pub(super) mod pages;
pub(super) mod schema;
pub(super) mod units;

use std::collections::BTreeMap;
use std::path::Path;
use std::{env, fs};

use clap::CommandFactory as _;

use crate::cli::Cli;

/// Returns the whole command line, without the subcommand `help` that clap adds.
fn command_line() -> clap::Command {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    command
}

/// Compares the files of a folder below `packaging/` with these files by name, or writes them.
#[track_caller]
fn check_or_write(folder: &str, files: &BTreeMap<String, String>) {
    const BLESS: &str = "BINFMT_NIX_TEST_BLESS";
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging").join(folder);
    if env::var_os(BLESS).is_some_and(|value| value == "1") {
        fs::create_dir_all(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
        for (name, text) in files {
            fs::write(folder.join(name), text).unwrap_or_else(|e| panic!("{name}: {e}"));
        }
    }
    let mut existing: Vec<_> = fs::read_dir(&folder)
        .map(|entries| entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
        .unwrap_or_default();
    existing.sort();
    let expected: Vec<_> = files.keys().cloned().collect();
    let help = format!("run: {BLESS}=1 cargo test --lib generated");
    assert_eq!(existing, expected, "files of {}; {help}", folder.display());
    for (name, text) in files {
        let current = fs::read_to_string(folder.join(name)).unwrap_or_default();
        let line = text.lines().zip(current.lines()).position(|(new, old)| new != old);
        assert!(
            *text == current,
            "{name} differs from the sources, first in line {:?}; {help}",
            line.map(|line| line + 1)
        );
    }
}
