//! A file, its interpreters, and the lines of a table, as `explain` reads them.
#![no_main]

use binfmt_magic::{Entry, Rule};
use binfmt_nix::binfmt::table::Table;
use binfmt_nix::diagnose::explain::{AccessProblem, ExecVerdict, MachineFacts, OpenedFile, explain_exec};
use libfuzzer_sys::fuzz_target;

/// Separates the parts of an input. A part is a file, or a line that the kernel's `register` file accepts.
const BETWEEN: &[u8] = b"\xff\n\xff";

fuzz_target!(|input: &[u8]| {
    let parts = parts(input);
    let (lines, files): (Vec<&[u8]>, Vec<&[u8]>) = parts.into_iter().partition(|part| Rule::parse(part).is_ok());
    let entries: Vec<_> =
        lines.iter().flat_map(|line| Rule::parse(line)).map(|rule| Entry { enabled: true, rule }).collect();
    let count = entries.len();
    let table = Table::of_entries(entries);
    for name in ["x86_64", "aarch64", "s390x"] {
        let machine = MachineFacts::with_all_loaders(name, table.clone());
        // The last byte of a path selects the file; the highest number stands for a missing file.
        let look = |path: &[u8]| {
            let number = usize::from(path.last().copied().unwrap_or(0)) % (files.len() + 1);
            files.get(number).map(|bytes| looked(bytes)).ok_or_else(missing)
        };
        let said = explain_exec(b"/a.exe", &machine, &look);
        assert_eq!(
            said.runs,
            matches!(said.verdict, ExecVerdict::Native | ExecVerdict::Emulated | ExecVerdict::Interpreted)
        );
        assert!(said.steps.len() <= 6 && said.steps.iter().all(|step| step.entries.len() == count));
        assert!(serde_json::to_string(&said).is_ok());
    }
});

fn parts(input: &[u8]) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    let mut rest = input;
    while let Some(at) = rest.windows(BETWEEN.len()).position(|found| found == BETWEEN) {
        parts.push(&rest[..at]);
        rest = &rest[at + BETWEEN.len()..];
    }
    parts.push(rest);
    parts
}

fn looked(bytes: &[u8]) -> OpenedFile {
    let bytes = bytes.to_vec();
    let head = bytes.iter().copied().take(256).collect();
    let size = bytes.len() as u64;
    let read = move |at: u64, size: usize| {
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        bytes.iter().skip(at).take(size).copied().collect()
    };
    OpenedFile { head, size, obstacle: None, read: Box::new(read) }
}

fn missing() -> AccessProblem {
    AccessProblem { errno: None, why: "does not exist".into(), repair: None }
}
