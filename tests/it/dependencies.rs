//! The dependencies of the program: checks the rules of `.deny.toml` on the lock file, without cargo-deny.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

const RULES: &str = include_str!("../../.deny.toml");

#[test]
fn every_licence_is_allowed_and_every_allowed_one_is_needed() {
    let allowed = array("licenses", "allow");
    let allowed: BTreeSet<&str> = allowed.iter().map(String::as_str).collect();
    let mut seen = BTreeSet::new();
    for package in packages() {
        let licence = package["license"].as_str().unwrap_or("none");
        assert!(Expression(&tokens(licence)).holds(&allowed), "{}: {licence}", package["name"]);
        seen.extend(tokens(licence));
    }
    let idle: Vec<_> = allowed.iter().filter(|licence| !seen.contains(**licence)).collect();
    assert!(idle.is_empty(), "no crate has these licences: {idle:?}");
}

#[test]
fn every_crate_is_from_one_registry_or_from_here() {
    for rule in ["unknown-registry = \"deny\"", "unknown-git = \"deny\""] {
        assert!(section("sources").contains(rule));
    }
    let ours = |package: &Value| package["name"].as_str().unwrap().starts_with("binfmt-");
    // The rules name no registry, so that only the default registry of cargo is possible.
    let mut registries = BTreeSet::new();
    for package in packages() {
        match package["source"].as_str() {
            None => assert!(ours(&package), "{} is from nowhere", package["name"]),
            Some(source) => {
                assert!(!ours(&package), "{} is ours, and from {source}", package["name"]);
                registries.insert(source.to_owned());
            }
        }
    }
    let registries: Vec<_> = registries.into_iter().collect();
    assert!(matches!(registries.as_slice(), [one] if one.starts_with("registry+https://")), "{registries:?}");
}

#[test]
fn banned_crates_are_not_there_and_no_other_is_there_twice() {
    let banned = array("bans", "deny = [").into_iter().step_by(2).collect::<Vec<_>>();
    assert!(banned.contains(&"openssl-sys".to_owned()), "{banned:?}");
    let skipped = array("bans", "skip = [").into_iter().step_by(2).collect::<Vec<_>>();
    let mut versions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in packages() {
        let text = |key: &str| package[key].as_str().unwrap().to_owned();
        versions.entry(text("name")).or_default().push(text("version"));
    }
    for (name, versions) in versions {
        assert!(!banned.contains(&name), "{name} is banned");
        let skip = |version: &&String| skipped.iter().any(|skip| format!("{name}@{version}").starts_with(skip));
        let counted = versions.iter().filter(|version| !skip(version)).count();
        assert!(counted < 2, "{name} is there as {versions:?}");
    }
}

/// The packages that are built on this kind of machine, with those of the tests. (`cargo metadata` alone also lists crates
/// that no enabled feature needs.)
fn packages() -> Vec<Value> {
    let tree =
        cargo(&["tree", "--workspace", "--all-features", "--edges=all", "--prefix=none", "--format={p}", "--offline"]);
    let built: BTreeSet<(&str, &str)> = tree.lines().filter_map(|line| line.split_once(" v")).collect();
    let built = |package: &Value| {
        let text = |key: &str| package[key].as_str().unwrap();
        built.iter().any(|(name, rest)| *name == text("name") && rest.split(' ').next() == Some(text("version")))
    };
    let here = format!("--filter-platform={}-unknown-linux-gnu", std::env::consts::ARCH);
    let metadata = cargo(&["metadata", "--format-version=1", "--offline", "--all-features", &here]);
    let metadata: Value = serde_json::from_str(&metadata).unwrap();
    let all = metadata["packages"].as_array().unwrap().iter();
    let packages: Vec<_> = all.filter(|package| built(package)).cloned().collect();
    assert!(packages.len() > 50);
    packages
}

fn cargo(args: &[&str]) -> String {
    let cargo = Command::new(env!("CARGO")).args(args).arg("--locked").current_dir(env!("CARGO_MANIFEST_DIR")).output();
    let output = cargo.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn section(name: &str) -> &'static str {
    let (_, rest) = RULES.split_once(&format!("\n[{name}]\n")).expect("the section");
    rest.split("\n[").next().unwrap()
}

/// The strings of an array, in order, without comments.
fn array(name: &str, key: &str) -> Vec<String> {
    let (_, rest) = section(name).split_once(&format!("\n{key}")).expect("the key");
    let lines = rest.lines().take_while(|line| !line.starts_with(']')).filter(|line| !line.trim().starts_with('#'));
    lines.flat_map(|line| line.split('"').skip(1).step_by(2)).map(str::to_owned).collect()
}

/// Splits an SPDX expression into tokens. Old manifests write `/` for `OR`.
fn tokens(licence: &str) -> Vec<&'static str> {
    let spaced = ["(", ")", "/"].iter().fold(licence.to_owned(), |text, c| text.replace(c, &format!(" {c} ")));
    spaced.split_whitespace().map(|word| &*word.to_owned().leak()).collect()
}

/// `A OR B AND (C)`: AND binds stronger than OR. `WITH` creates another licence.
struct Expression<'a>(&'a [&'a str]);

impl Expression<'_> {
    fn holds(&self, allowed: &BTreeSet<&str>) -> bool {
        self.split(&["OR", "/"]).iter().any(|part| {
            Expression(part).split(&["AND"]).iter().all(|part| match part {
                ["(", inner @ .., ")"] => Expression(inner).holds(allowed),
                [licence] => allowed.contains(licence),
                _ => false,
            })
        })
    }

    /// Splits at these words, outside of parentheses.
    fn split(&self, words: &[&str]) -> Vec<&[&str]> {
        let mut depth = 0;
        self.0
            .split(|word| {
                depth += i32::from(*word == "(") - i32::from(*word == ")");
                depth == 0 && words.contains(word)
            })
            .collect()
    }
}

#[test]
fn expressions_are_read_as_spdx_has_them() {
    let allowed = BTreeSet::from(["MIT", "ISC"]);
    let holds = |licence| Expression(&tokens(licence)).holds(&allowed);
    for good in ["MIT", "MIT/X", "X OR MIT", "(X OR MIT) AND ISC", "X AND Y OR ISC", "X WITH E OR MIT"] {
        assert!(holds(good), "{good}");
    }
    for bad in ["X", "", "MIT AND X", "(X OR MIT) AND Y", "MIT WITH E", "X OR Y"] {
        assert!(!holds(bad), "{bad}");
    }
}
