//! Security advisories for the locked crates: the recorded result of a comparison with RustSec's database.
//!
//! The database is a repository, which `cargo test` does not fetch. `.ci/advisories CHECKOUT` compares every locked
//! version with a checkout of it and records the result in [`RECORD`]: the commit and date of the database, each
//! version that was compared, and each advisory that applies to one. The tests require that the record is about the
//! current lock file, and that no advisory applies.

use std::collections::BTreeSet;
use std::path::Path;
use std::{env, fs};

use semver::{Version, VersionReq};

const RECORD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/advisories.txt");
const LOCKS: [&str; 2] = [
    concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.lock"),
    // The fuzz targets have a lock of their own, which Git ignores. The compared versions are those of that moment.
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fuzz/Cargo.lock"),
];
const FUZZ_MANIFEST: &str = include_str!("../fuzz/Cargo.toml");
const REFRESH: &str = "run .ci/advisories with a current checkout of RustSec's advisory-db";

const HEAD: &str = "\
# Advisories of RustSec's database for the locked crates. Written by .ci/advisories; tests/it/advisories.rs checks it.
#
# database COMMIT DATE          what was compared, and the date of its last commit
# compared CRATE VERSION        a locked version; with COMMIT DATE behind it, if that database was compared instead
# applies ID CRATE VERSION KIND an advisory that applies to it
";

/// Variable with the unpacked database, for `.ci/advisories`.
const DATABASE: &str = "BINFMT_NIX_TEST_ADVISORIES";
/// Variable with the commit and the date of that database.
const STATE: &str = "BINFMT_NIX_TEST_ADVISORIES_STATE";

/// A crate and its version, or an advisory and what follows it.
type Line = (String, String);

#[test]
fn every_locked_version_was_compared_with_the_advisories() {
    if let Some(database) = env::var_os(DATABASE) {
        let state = env::var(STATE).expect("the commit and the date of the database");
        fs::write(RECORD, compare(Path::new(&database), &state)).unwrap();
    }
    let compared: BTreeSet<Line> = recorded("compared").into_iter().map(without_database).collect();
    let missing: Vec<_> = locked(LOCKS[0]).into_iter().filter(|locked| !compared.contains(locked)).collect();
    assert!(missing.is_empty(), "not compared with any advisory: {missing:?}: {REFRESH}");
    let names: BTreeSet<&str> = compared.iter().map(|(name, _)| name.as_str()).collect();
    let unknown: Vec<_> = fuzz_dependencies().filter(|name| !names.contains(name)).collect();
    assert!(unknown.is_empty(), "not compared with any advisory: {unknown:?} of tests/fuzz: {REFRESH}");
}

#[test]
fn no_advisory_applies_to_a_locked_version() {
    let found = recorded("applies");
    assert!(found.is_empty(), "update these crates, then {REFRESH}: {found:#?}");
    let database: Vec<_> = recorded("database").into_iter().collect();
    assert!(matches!(&database[..], [(commit, date)] if commit.len() == 40 && date.len() == 10), "{database:?}");
}

/// The lines of one kind in the record.
fn recorded(kind: &str) -> BTreeSet<Line> {
    let text = fs::read_to_string(RECORD).unwrap_or_else(|error| panic!("{RECORD}: {error}: {REFRESH}"));
    let lines = text.lines().filter_map(|line| line.strip_prefix(kind)?.strip_prefix(' ')?.split_once(' '));
    lines.map(|(first, rest)| (first.to_owned(), rest.to_owned())).collect()
}

/// Removes the database from a line about a version that was compared with another one than the others.
fn without_database((name, rest): Line) -> Line {
    let version = rest.split(" with ").next().unwrap_or_default().to_owned();
    (name, version)
}

/// Names and versions of the crates in a lock file that come from a registry.
fn locked(path: &str) -> BTreeSet<Line> {
    let text = fs::read_to_string(path).unwrap();
    let packages = text.split("[[package]]").filter(|package| package.contains("\nsource = "));
    let value = |package: &str, key: &str| strings(package, key).into_iter().next().unwrap();
    packages.map(|package| (value(package, "name"), value(package, "version"))).collect()
}

fn fuzz_dependencies() -> impl Iterator<Item = &'static str> {
    let (_, rest) = FUZZ_MANIFEST.split_once("\n[dependencies]\n").unwrap();
    let lines = rest.lines().take_while(|line| !line.starts_with('[')).filter_map(|line| line.split_once(" = "));
    lines.filter(|(_, value)| !value.contains("path =")).map(|(name, _)| name)
}

/// Compares every locked crate with the advisories of a database, and returns the record.
fn compare(database: &Path, state: &str) -> String {
    // The lock file of the fuzz targets is written when they are built.
    let locks = LOCKS.into_iter().filter(|path| Path::new(path).exists());
    let crates: BTreeSet<Line> = locks.flat_map(locked).collect();
    let mut lines = vec![format!("database {state}")];
    lines.extend(crates.iter().map(|(name, version)| format!("compared {name} {version}")));
    for (name, version) in &crates {
        let parsed = Version::parse(version).unwrap();
        for text in advisories(&database.join("crates").join(name)) {
            let advisory = Advisory::parse(&text);
            if advisory.applies_to(&parsed) {
                lines.push(format!("applies {} {name} {version} {}", advisory.id, advisory.kind));
            }
        }
    }
    format!("{HEAD}{}\n", lines.join("\n"))
}

/// The advisories of one crate, in order.
fn advisories(dir: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| fs::read_to_string(path).unwrap()).collect()
}

/// What an advisory says of versions: the TOML at the start of its file (EXAMPLE_ADVISORY.md of the database).
struct Advisory {
    id: String,
    /// `vulnerability`, or an informational kind: `unmaintained`, `unsound`, `notice`.
    kind: String,
    withdrawn: bool,
    /// Ranges of versions with the repair, and ranges of versions that never had the fault.
    safe: Vec<VersionReq>,
}

impl Advisory {
    fn parse(text: &str) -> Self {
        let toml = text.strip_prefix("```toml\n").and_then(|rest| rest.split_once("\n```")).expect("TOML").0;
        let first = |key| strings(toml, key).into_iter().next();
        let (_, versions) = toml.split_once("[versions]").expect("[versions]");
        let safe = ["patched", "unaffected"].into_iter().flat_map(|key| strings(versions, key));
        Self {
            id: first("id").expect("an id"),
            kind: first("informational").unwrap_or_else(|| "vulnerability".into()),
            withdrawn: first("withdrawn").is_some(),
            safe: safe.map(|range| VersionReq::parse(&range).unwrap()).collect(),
        }
    }

    fn applies_to(&self, version: &Version) -> bool {
        !self.withdrawn && !self.safe.iter().any(|range| range.matches(version))
    }
}

/// The strings of a key in TOML: of one value, or of an array, which may have several lines.
fn strings(toml: &str, key: &str) -> Vec<String> {
    let text = format!("\n{toml}");
    let Some((_, rest)) = text.split_once(&format!("\n{key} = ")) else { return Vec::new() };
    let end = if rest.starts_with('[') { rest.find(']') } else { rest.find('\n') };
    let value = &rest[..end.unwrap_or(rest.len())];
    let lines = value.lines().map(|line| if line.trim_start().starts_with('#') { "" } else { line });
    lines.flat_map(|line| line.split('"').skip(1).step_by(2)).map(str::to_owned).collect()
}

#[test]
fn an_advisory_applies_to_versions_without_the_repair() {
    let text = |more: &str, versions: &str| {
        format!(
            "```toml\n[advisory]\nid = \"TEST-1\"\npackage = \"x\"\n{more}\n[versions]\n{versions}\n```\n\n# Title\n"
        )
    };
    let applies = |more: &str, versions: &str, version: &str| {
        Advisory::parse(&text(more, versions)).applies_to(&Version::parse(version).unwrap())
    };
    let ranges = "patched = [\">= 1.2.3, < 2.0.0\",\n  # a comment\n  \">= 2.1\",\n]\nunaffected = [\"< 0.5\"]";
    for (version, affected) in
        [("0.4.9", false), ("0.5.0", true), ("1.2.2", true), ("1.2.3", false), ("2.0.0", true), ("2.1.0", false)]
    {
        assert_eq!(applies("", ranges, version), affected, "{version}");
    }
    assert!(applies("informational = \"unmaintained\"", "patched = []", "9.9.9"));
    assert!(!applies("withdrawn = \"2026-01-01\"", "patched = []", "9.9.9"));
    assert_eq!(Advisory::parse(&text("informational = \"unsound\"", "patched = []")).kind, "unsound");
}

/// The comparison itself, on a database with one advisory for a locked crate.
#[test]
fn the_record_names_an_advisory_that_applies() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("crates/semver");
    fs::create_dir_all(&place).unwrap();
    fs::write(
        place.join("TEST-2.md"),
        "```toml\n[advisory]\nid = \"TEST-2\"\n[versions]\npatched = [\">= 999\"]\n```\n",
    )
    .unwrap();
    let record = compare(dir.path(), "0123 2026-01-01");
    assert!(record.lines().any(|line| line.starts_with("applies TEST-2 semver 1.")), "{record}");
    assert!(record.contains("\ndatabase 0123 2026-01-01\n") && record.contains("\ncompared serde 1."), "{record}");
}
