//! The language of the project: no text uses a word of `tests/words.txt`, and every link in a document leads to a file.

#![expect(clippy::disallowed_methods, reason = "tests read the sources")]
#![expect(clippy::arithmetic_side_effects, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

/// All texts of the project.
const TEXTS: &[&str] =
    &["src", "magic", "tests", "packaging", "README.md", ".github", ".ci", ".clippy.toml", ".deny.toml", "Cargo.toml"];

/// Files that are not texts of the project: the list itself, recorded output of other programs, licences of other code, and
/// files that builds and fuzzers write.
const EXCLUDED: &[&str] =
    &["tests/words.txt", "tests/recorded", "packaging/licences", "tests/fuzz/target", "tests/fuzz/artifacts"];

#[test]
fn no_text_uses_a_word_of_the_list() {
    let list: Vec<Banned> = fs::read_to_string(root().join("tests/words.txt"))
        .unwrap()
        .lines()
        .filter(|line| !line.trim().is_empty() && !line.starts_with('#'))
        .map(Banned::parse)
        .collect();
    assert!(list.len() > 30, "{} words", list.len());
    let hits: Vec<String> = texts()
        .into_iter()
        .flat_map(|(name, text)| {
            hits(&text, &list).into_iter().map(move |(line, word)| format!("{name}:{line}: {word}"))
        })
        .collect();
    assert!(hits.is_empty(), "{hits:#?}");
}

#[test]
fn every_link_of_a_document_leads_to_a_file() {
    let mut broken = Vec::new();
    for (name, text) in
        texts().into_iter().filter(|(name, _)| Path::new(name).extension().is_some_and(|ext| ext == "md"))
    {
        let folder = root().join(&name).parent().unwrap().to_owned();
        let links = text.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
        let pictures = text.split("<img ").skip(1).filter_map(|rest| rest.split_once("src=\"")?.1.split_once('"'));
        let others = text.split("srcset=\"").skip(1).filter_map(|rest| rest.split_once('"'));
        for (link, _) in links.chain(pictures).chain(others) {
            let path = link.split('#').next().unwrap_or_default();
            if !link.contains("://") && !folder.join(path).exists() {
                broken.push(format!("{name}: {link}"));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn the_readme_is_short_and_shows_its_pictures() {
    let text = fs::read_to_string(root().join("README.md")).unwrap();
    assert!(text.lines().count() <= 160, "{} lines", text.lines().count());
    for picture in ["terminal", "execve"] {
        for version in ["light", "dark"] {
            let link = format!("=\"packaging/pictures/{picture}-{version}.svg\"");
            assert_eq!(text.matches(&link).count(), 1, "{link}");
        }
    }
}

/// The table of the comparison has a row of sources, each paragraph about another tool has a link, and no link is missing.
#[test]
fn what_the_comparison_claims_has_sources() {
    let text = fs::read_to_string(root().join("packaging/COMPARISON.md")).unwrap();
    let others = text.split("## Use the other one").nth(1).and_then(|rest| rest.split("\n## ").next()).unwrap();
    let sources: Vec<_> = text.lines().filter(|line| line.starts_with("| source |")).collect();
    assert_eq!(sources.len(), 1, "{sources:?}");
    let row = sources.first().unwrap();
    let cells: Vec<_> = row.trim_matches('|').split(" | ").skip(1).collect();
    assert_eq!(cells.len(), 5, "{row}");
    let claims: Vec<_> = others.split("\n\n").filter(|paragraph| !paragraph.trim().is_empty()).collect();
    assert!(claims.len() >= 7, "{}", claims.len());
    for claim in cells.into_iter().chain(claims) {
        assert!(claim.contains("](") || claim.contains("]["), "no source: {claim}");
    }
    let mut used = text.split("][").skip(1).filter_map(|rest| Some(rest.split_once(']')?.0));
    assert!(used.all(|name| text.contains(&format!("\n[{name}]: https://"))));
}

/// Nouns that texts of the program count; those that `count` gets are added.
const COUNTED: [&str; 12] =
    ["byte", "file", "entry", "rule", "line", "system", "finding", "check", "layer", "link", "derivation", "second"];

/// A number that is not a constant may be 1. `ui::quantity::count` writes its noun, too.
#[test]
fn numbers_in_messages_are_written_with_their_noun() {
    let sources: Vec<_> = texts().into_iter().filter(|(name, _)| name.starts_with("src/")).collect();
    let given = |text: &str| {
        let calls = text
            .split("count(")
            .skip(1)
            .filter_map(|call| call.split_once(", \"")?.1.split('"').next().map(str::to_owned));
        calls
            .filter(|noun| noun.len() > 2 && noun.chars().all(|c| c.is_ascii_lowercase() || c == ' '))
            .collect::<Vec<_>>()
    };
    let nouns = sources.iter().flat_map(|(_, text)| given(text)).chain(COUNTED.map(str::to_owned));
    let plurals: Vec<String> = nouns.map(|noun| plural(&noun)).collect();
    assert!(plurals.len() > 20 && plurals.contains(&"entries".to_owned()), "{plurals:?}");
    let mut hits = Vec::new();
    for (name, text) in &sources {
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"));
        hits.extend(
            lines
                .filter(|(_, line)| counts_by_itself(line, &plurals))
                .map(|(at, line)| format!("{name}:{}: {line}", at + 1)),
        );
    }
    assert!(hits.is_empty(), "use ui::quantity::count: {hits:#?}");
    let found = |line| counts_by_itself(line, &plurals);
    assert!(found("\"{} files\"") && found("{number} boot rules,") && found("it has {0} entries"));
    assert!(!found("{MAX_FILES} files") && !found("{name} file") && !found("{x}: files"));
}

fn plural(noun: &str) -> String {
    noun.strip_suffix('y').map_or_else(|| format!("{noun}s"), |stem| format!("{stem}ies"))
}

/// Whether a placeholder that is not a constant is followed by one of these nouns.
fn counts_by_itself(line: &str, plurals: &[String]) -> bool {
    let parts: Vec<&str> = line.split("} ").collect();
    parts.iter().zip(parts.iter().skip(1)).any(|(before, after)| {
        let name = before.rsplit('{').next().unwrap_or_default();
        let is_constant = name.chars().any(|c| c.is_ascii_uppercase()) && !name.chars().any(|c| c.is_ascii_lowercase());
        let is_counted = |noun: &String| {
            after.strip_prefix(noun.as_str()).is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric()))
        };
        !is_constant && !name.contains(' ') && plurals.iter().any(is_counted)
    })
}

#[test]
fn phrases_are_found_across_lines_and_outside_of_their_exceptions() {
    let list = ["blue", "is red | there is red"].map(Banned::parse);
    let found = |text: &str| hits(text, &list);
    assert_eq!(found("// It is\n// red, Blue?"), [(1, "is red".to_owned()), (2, "blue".to_owned())]);
    assert_eq!(found("bluer as_blue is. Red, there is\n    /// red"), []);
    assert_eq!(found("Where there is red, this is red."), [(1, "is red".to_owned())]);
}

/// A word or phrase, and the longer phrases in which it is allowed.
struct Banned {
    phrase: Vec<String>,
    allowed: Vec<Vec<String>>,
}

impl Banned {
    fn parse(line: &str) -> Self {
        let mut phrases = line.split(" | ").map(|phrase| words(phrase).collect::<Vec<_>>());
        Self { phrase: phrases.next().unwrap(), allowed: phrases.collect() }
    }

    /// Whether the phrase starts at this word, outside of an allowed phrase.
    fn is_at(&self, start: usize, text: &[String]) -> bool {
        let end = start + self.phrase.len();
        let allowed = |longer: &Vec<String>| {
            (end.saturating_sub(longer.len())..=start).any(|at| text.get(at..at + longer.len()) == Some(longer))
        };
        text.get(start..end) == Some(&self.phrase) && !self.allowed.iter().any(allowed)
    }
}

/// The lines that contain a phrase of the list, and the phrase.
fn hits(text: &str, list: &[Banned]) -> Vec<(usize, String)> {
    let mut numbers = Vec::new();
    let mut all = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim_start().trim_start_matches(['/', '#', '!', '*']).trim_end_matches('\\');
        all.extend(words(line));
        numbers.resize(all.len(), number);
    }
    let mut starting: HashMap<&str, Vec<&Banned>> = HashMap::new();
    for banned in list {
        starting.entry(banned.phrase.first().unwrap()).or_default().push(banned);
    }
    let at = |(at, word): (usize, &String)| {
        let here = starting.get(word.as_str()).into_iter().flatten().filter(|banned| banned.is_at(at, &all));
        here.map(|banned| (numbers.get(at).copied().unwrap_or_default(), banned.phrase.join(" "))).collect::<Vec<_>>()
    };
    all.iter().enumerate().flat_map(at).collect()
}

/// The words of a text in lower case; each other character that is not a space is a word of its own.
fn words(text: &str) -> impl Iterator<Item = String> {
    let is_inner = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    let mut rest = text;
    std::iter::from_fn(move || {
        rest = rest.trim_start();
        let first = rest.chars().next()?;
        let end = rest.find(|c| !is_inner(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(if end == 0 { first.len_utf8() } else { end });
        rest = after;
        Some(word.to_lowercase())
    })
}

/// Names, relative to the root, and contents of all texts.
fn texts() -> Vec<(String, String)> {
    let root = root();
    let files = TEXTS.iter().flat_map(|part| files(&root.join(part)));
    let name = |path: &Path| path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
    files.filter_map(|path| Some((name(&path), fs::read_to_string(&path).ok()?))).collect()
}

fn files(path: &Path) -> Vec<PathBuf> {
    if EXCLUDED.iter().any(|excluded| path == root().join(excluded)) {
        return Vec::new();
    }
    if path.is_dir() {
        let mut entries: Vec<_> = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        return entries.iter().flat_map(|entry| files(entry)).collect();
    }
    vec![path.to_owned()]
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
