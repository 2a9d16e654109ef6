//! Properties of the sources as text: lengths of files, and that tables name tests that exist.

#![expect(clippy::disallowed_methods, reason = "tests read the sources")]
#![expect(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn files_have_at_most_600_lines() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let long: Vec<_> = ["src", "magic/src", "tests"]
        .iter()
        .flat_map(|dir| files(&root.join(dir)))
        .filter(|file| fs::read_to_string(file).unwrap().lines().count() > 600)
        .collect();
    assert!(long.is_empty(), "{long:#?}");
}

/// The command of each line of the table of faults runs an existing test, and this test writes the line.
#[test]
fn every_line_of_the_table_of_faults_names_an_existing_test() {
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
        // Formatting may break the call over two lines, but never a string.
        let kept = source.contains(&format!("\"{what}\"")) && source.contains(&format!("fn {name}()"));
        if !kept || times == "0" {
            orphans.push(format!("{what}: {command}"));
        }
    }
    assert!(orphans.is_empty(), "{orphans:#?}");
}

/// A test finds each check of the doctor: on a real kernel, with real Nix, or, where this is impossible, on given facts.
#[test]
fn every_check_of_the_doctor_has_a_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |file: &PathBuf| fs::read_to_string(file).unwrap();
    let sources = files(&root.join("src/diagnose/doctor"));
    let ids = checks_of_the_doctor();
    let shown = files(&root.join("tests/it")).iter().map(read).collect::<String>();
    let facts: String =
        sources.iter().map(read).filter_map(|text| Some(text.split_once("#[test]")?.1.to_owned())).collect();
    let hidden: Vec<_> = ids
        .iter()
        .filter(|id| !shown.contains(&format!("\"{id}\"")) && !facts.contains(&format!("\"{id}\"")))
        .collect();
    assert!(hidden.is_empty(), "{hidden:#?}");
}

/// Returns the names of the checks.
fn checks_of_the_doctor() -> Vec<String> {
    let sources = files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/diagnose/doctor"));
    let sources = sources.iter().filter(|file| !file.components().any(|part| part.as_os_str() == "messages"));
    let texts: Vec<String> = sources.map(|file| fs::read_to_string(file).unwrap()).collect();
    let name = |line: &str| {
        let line = line.trim().trim_start_matches("Check { ");
        Some(line.strip_prefix("id: \"")?.split('"').next()?.to_owned())
    };
    let ids = texts.iter().flat_map(|text| text.lines().filter_map(name));
    let ids: Vec<String> = ids.chain(["does-not-run", "runs-only-outside"].map(str::to_owned)).collect();
    assert!(ids.len() > 60, "{ids:#?}");
    ids
}

/// Checks whose repair is executed on a whole machine, and the script that does it.
const REPAIRS_ON_MACHINES: [(&str, &str); 6] = [
    ("dies-with-container", "tests/machines/rows/trixie-commands.sh"),
    ("execmem-denied", "tests/machines/rows/selinux-commands.sh"),
    ("interpreter-label", "tests/machines/rows/selinux-commands.sh"),
    ("nix-inside-emulation", "tests/machines/rows/aarch64-commands.sh"),
    ("no-aarch32", "tests/machines/rows/aarch64-commands.sh"),
    ("no-module", "tests/machines/rows/trixie-commands.sh"),
];

/// The commands of each check are executed where it finds something: by the table of situations, or by a test that has
/// the check's name.
#[test]
fn the_repair_of_every_check_is_executed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    let read = |file: &PathBuf| fs::read_to_string(file).unwrap();
    let (tables, others): (Vec<_>, Vec<_>) =
        files(&root).into_iter().partition(|file| file.starts_with(root.join("diagnose/situations")));
    let calls = ["repaired(", "fixed(", "run_repair(", "obey_and_diagnose(", "paste(", "\"-ec\""];
    let others = others.iter().flat_map(|file| functions_of(&read(file)));
    let others = others.filter(|test| calls.iter().any(|call| test.contains(call)));
    let executing: String = tables.iter().map(read).chain(others).collect();
    let mut rest = checks_of_the_doctor();
    rest.retain(|id| !executing.contains(&format!("\"{id}\"")));
    for (id, script) in REPAIRS_ON_MACHINES {
        let script = root.join("../..").join(script);
        assert!(read(&script).contains(id), "{} does not have {id}", script.display());
        assert!(rest.contains(&id.to_owned()), "{id}");
        rest.retain(|other| other != id);
    }
    assert_eq!(rest, [""; 0], "no test executes the commands of these checks");
}

/// Splits a source into its functions.
fn functions_of(text: &str) -> Vec<String> {
    let mut functions = vec![String::new()];
    for line in text.lines() {
        if line.starts_with("fn ") || line.starts_with("pub(crate) fn ") {
            functions.push(String::new());
        }
        functions.last_mut().unwrap().extend([line, "\n"]);
    }
    functions
}

/// Only `regular_file` opens a path that another user may control. The other files of `host` open files of /proc, files
/// that they create, and directories. `lock` opens what only root can put there.
#[test]
fn one_module_opens_files_of_other_users() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let in_proc =
        ["lock.rs", "metadata.rs", "mount.rs", "namespaces.rs", "process.rs", "procfs.rs", "watch.rs", "worker.rs"];
    let opening = ["File::open(", "fs::read(", "fs::read_to_string(", "OpenOptions::new()"];
    let mut others = Vec::new();
    for file in files(&root.join("src/host")) {
        let text = fs::read_to_string(&file).unwrap();
        let code = text.split_once("#[cfg(test)]").map_or(text.as_str(), |(code, _)| code);
        let lines = code.lines().filter(|line| opening.iter().any(|call| line.contains(call)));
        let lines = lines.filter(|line| !line.contains(".create_new(true)"));
        let is_in_proc = in_proc.iter().any(|name| file.ends_with(name));
        others.extend(lines.filter(|_| !is_in_proc).map(|line| format!("{}: {}", file.display(), line.trim())));
    }
    assert!(others.is_empty(), "{others:#?}");
}

/// A caller can tell errors apart only by their type.
#[test]
fn no_function_returns_a_text_as_its_error() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for file in ["src", "magic/src"].iter().flat_map(|dir| files(&root.join(dir))) {
        let text = fs::read_to_string(&file).unwrap();
        let code = text.split_once("#[cfg(test)]").map_or(text.as_str(), |(code, _)| code);
        let flat = code.split_whitespace().collect::<Vec<_>>().join(" ");
        let errors = flat.split("Result<").skip(1).filter_map(error_type);
        if errors.into_iter().any(|error| error == "String") {
            found.push(file);
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

/// Returns the second argument of the `Result<` before this text, if it has one.
fn error_type(arguments: &str) -> Option<&str> {
    let (mut depth, mut comma) = (0_i32, None);
    for (at, c) in arguments.char_indices() {
        match c {
            '<' | '(' | '[' => depth += 1,
            '>' if depth == 0 => return comma.map(|comma| arguments[comma..at].trim()),
            '>' | ')' | ']' => depth -= 1,
            ',' if depth == 0 => comma = Some(at + 1),
            _ => {}
        }
    }
    None
}

#[test]
fn the_type_of_an_error_is_found() {
    for (arguments, error) in [
        ("Vec<(u8, u8)>, String> {", Some("String")),
        ("(), Error>;", Some("Error")),
        ("Option<u8>>", None),
        ("Result<u8, String>, Error>", Some("Error")),
    ] {
        assert_eq!(error_type(arguments), error, "{arguments}");
    }
}

fn cells(line: &str) -> Vec<&str> {
    line.trim_matches(['|', ' ']).split(" | ").collect()
}

/// The Rust files at or below a path.
fn files(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let entries = fs::read_dir(path).expect("the directory exists");
    let all = entries.map(|entry| entry.unwrap().path());
    // The build directory of cargo-fuzz is also below `tests`.
    all.filter(|entry| !entry.ends_with("fuzz/target"))
        .flat_map(|entry| if entry.is_dir() { files(&entry) } else { vec![entry] })
        .filter(|file| file.extension().is_some_and(|ext| ext == "rs"))
        .collect()
}
