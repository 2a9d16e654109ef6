//! The law of the house, read from the sources: who may not know whom.

#![expect(clippy::disallowed_methods, reason = "tests read the sources")]
#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

/// Parts below `src/`, and the parts of the crate that they must not name.
const LAWS: &[(&str, &[&str])] = &[
    ("explain", &["plan", "apply", "receipt", "layout", "nix", "status", "ui", "cli", "cmd"]),
    ("explain/walk.rs", &["host", "facts", "probe"]),
    ("explain/entries.rs", &["host", "facts", "probe"]),
    ("explain/loader.rs", &["host", "facts", "probe"]),
    ("explain/script.rs", &["host", "facts", "probe"]),
    ("explain/elf.rs", &["host", "facts", "probe"]),
    ("explain/repair.rs", &["host", "facts", "probe"]),
    ("explain/process.rs", &["host", "facts", "probe"]),
    ("plan", &["host", "ui", "cli", "cmd", "apply", "download"]),
    ("interpreter.rs", &["host", "facts", "plan"]),
    ("catalog", &["host", "download", "facts", "plan", "layout"]),
    (
        "archive",
        &["host", "facts", "plan", "layout", "apply", "receipt", "fetcher", "download", "ui", "cli", "cmd", "error"],
    ),
    ("debian", &["host", "facts", "plan", "layout", "apply", "receipt", "fetcher", "download", "ui", "cli", "cmd"]),
    ("oci", &["download", "fetcher", "facts", "plan", "layout", "apply", "receipt", "ui", "cli", "cmd", "error"]),
    ("download", &["host", "facts", "plan", "layout", "receipt", "fetcher"]),
    ("hold", &["plan", "apply", "receipt", "layout", "nix", "boot", "source", "rootless", "cli", "cmd"]),
    ("ui/event.rs", &["host", "facts", "binfmt_misc", "error"]),
    ("hold/findings.rs", &["host", "error"]),
    ("hold/pace.rs", &["host", "facts", "binfmt_misc", "error", "ui"]),
    ("fetcher", &["facts", "plan", "receipt", "layout", "apply", "nix", "binfmt_misc", "boot", "mirrors", "ui", "cmd"]),
    ("fetcher/wire.rs", &["host", "catalog", "error"]),
    ("fetcher/receive.rs", &["host", "error"]),
    ("fetcher/listen.rs", &["host", "catalog", "download", "error"]),
    ("fetcher/unpacker.rs", &["catalog", "download"]),
    ("fetcher/verifier.rs", &["catalog", "download"]),
    ("fetcher/pulled.rs", &["host", "catalog", "error"]),
    ("fetcher/syscalls.rs", &["host", "catalog", "download", "error"]),
    ("nix/conf.rs", &["host", "facts", "plan"]),
    ("nix/machines.rs", &["host", "facts", "plan", "error"]),
    ("binfmt_misc.rs", &["facts", "plan", "receipt", "nix", "interpreter"]),
    ("host", &["download", "fetcher", "facts", "plan", "receipt", "nix", "binfmt_misc", "boot", "ui", "layout"]),
    ("receipt", &["facts", "plan", "apply", "ui"]),
    ("receipt/invalid.rs", &["host", "facts", "plan", "apply", "ui"]),
    ("text.rs", &["host", "ui", "error"]),
    ("doctor", &["apply", "ui", "cli", "cmd"]),
    ("doctor/boot.rs", &["host", "facts"]),
    ("doctor/containers.rs", &["host", "facts"]),
    ("doctor/daemon.rs", &["host", "facts"]),
    ("doctor/interpreters.rs", &["host"]),
    ("doctor/kernel.rs", &["host", "facts"]),
    ("doctor/messages", &["host", "facts"]),
    ("doctor/nix.rs", &["host", "facts"]),
    ("doctor/report.rs", &["host", "facts"]),
    ("doctor/rules.rs", &["host", "facts"]),
    ("doctor/sandbox.rs", &["host", "facts"]),
    ("doctor/seen.rs", &["host", "facts"]),
    ("nix/settings.rs", &["host", "facts", "plan"]),
    ("rootless", &["plan", "apply", "cli", "cmd"]),
    ("probe", &["facts", "plan", "apply", "receipt", "nix", "binfmt_misc", "layout", "ui", "cli", "cmd"]),
    ("proof", &["plan", "apply", "ui", "cli", "cmd"]),
    ("proof/why.rs", &["host", "facts"]),
    ("nix/build.rs", &["facts", "plan", "probe", "ui"]),
    ("facts", &["plan", "apply", "ui", "cli", "cmd"]),
    ("request.rs", &["cli", "host", "facts"]),
    ("cli", &["facts", "plan", "receipt"]),
    ("qemu", &["plan", "apply", "nix", "binfmt_misc", "boot", "rootless", "request", "cli", "cmd"]),
    ("fetch", &["facts", "plan", "apply", "receipt", "layout", "nix", "rootless", "cli", "cmd"]),
    ("cache.rs", &["facts", "plan", "apply", "receipt", "catalog", "download", "ui", "cli", "cmd"]),
    ("netrc.rs", &["host", "download", "error", "facts", "plan", "ui"]),
    ("download/turns.rs", &["host", "catalog", "error"]),
];

#[test]
fn nobody_knows_what_he_must_not() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut breaches = Vec::new();
    for (part, unknown) in LAWS {
        for file in files(&src.join(part)) {
            let text = fs::read_to_string(&file).unwrap();
            for other in *unknown {
                if text.contains(&format!("crate::{other}::")) || text.contains(&format!("crate::{{{other}")) {
                    breaches.push(format!("{} names {other}", file.display()));
                }
            }
        }
    }
    assert!(breaches.is_empty(), "{breaches:#?}");
}

#[test]
fn no_file_has_grown_past_600_lines() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let long: Vec<_> = ["src", "magic/src", "tests"]
        .iter()
        .flat_map(|dir| files(&root.join(dir)))
        .filter(|file| fs::read_to_string(file).unwrap().lines().count() > 600)
        .collect();
    assert!(long.is_empty(), "{long:#?}");
}

/// Each line of the table of faults is kept by a test that is there, and that its command runs.
#[test]
fn no_line_of_the_table_of_faults_is_orphaned() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let table = fs::read_to_string(root.join("packaging/FAULTS.md")).unwrap();
    let lines: Vec<Vec<&str>> = table.lines().filter(|line| line.contains("`cargo test")).map(cells).collect();
    assert!(lines.len() > 30, "{} lines", lines.len());
    let mut orphans = Vec::new();
    for line in lines {
        let [what, times, _, command]: [&str; 4] = line.try_into().unwrap();
        let mut words = command.trim_matches('`').split(' ').rev();
        let (test, target) = (words.next().unwrap(), words.next().unwrap());
        let (module, name) = test.rsplit_once("::").unwrap();
        let file = root.join("tests").join(target).join(module.replace("::", "/")).with_extension("rs");
        let source = fs::read_to_string(&file).unwrap_or_default();
        // Formatting may have broken the words over two lines, never within them.
        let kept = source.contains(&format!("\"{what}\"")) && source.contains(&format!("fn {name}()"));
        if !kept || times == "0" {
            orphans.push(format!("{what}: {command}"));
        }
    }
    assert!(orphans.is_empty(), "{orphans:#?}");
}

/// Each check of the doctor is found by a test: on a real kernel, with real Nix, or where that cannot be, on facts.
#[test]
fn every_check_of_the_doctor_is_shown() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |file: &PathBuf| fs::read_to_string(file).unwrap();
    let sources = files(&root.join("src/doctor"));
    let ids = sources.iter().flat_map(|file| {
        let text = read(file);
        let ids = text.lines().filter_map(|line| line.trim().strip_prefix("Check { id: \"")?.split('"').next());
        ids.map(str::to_owned).collect::<Vec<_>>()
    });
    let ids: Vec<String> = ids.chain(["does-not-run".to_owned()]).collect();
    assert!(ids.len() > 38, "{ids:#?}");
    let shown = files(&root.join("tests/it")).iter().map(read).collect::<String>();
    let facts: String =
        sources.iter().map(read).filter_map(|text| Some(text.split_once("#[test]")?.1.to_owned())).collect();
    let hidden: Vec<_> = ids
        .iter()
        .filter(|id| !shown.contains(&format!("\"{id}\"")) && !facts.contains(&format!("\"{id}\"")))
        .collect();
    assert!(hidden.is_empty(), "{hidden:#?}");
}

fn cells(line: &str) -> Vec<&str> {
    line.trim_matches(['|', ' ']).split(" | ").collect()
}

/// The Rust files at or below a path.
fn files(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let entries = fs::read_dir(path).expect("a part that the laws name exists");
    let all = entries.map(|entry| entry.unwrap().path());
    // Where cargo-fuzz builds is below `tests` too.
    all.filter(|entry| !entry.ends_with("fuzz/target"))
        .flat_map(|entry| if entry.is_dir() { files(&entry) } else { vec![entry] })
        .filter(|file| file.extension().is_some_and(|ext| ext == "rs"))
        .collect()
}
