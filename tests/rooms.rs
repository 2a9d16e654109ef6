//! Keeps the order of the rooms: each top-level module uses only those to its right in [`ROOMS`], and no two modules of
//! a room use each other in a circle.
//!
//! Reads the imports out of the sources: `use` trees, and paths without `use`. Code behind `#[cfg(test)]` is ignored.

#![expect(clippy::disallowed_methods, reason = "tests read the sources")]
#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The rooms, from the top to the bottom.
const ROOMS: &[&str] = &[
    "main",
    "cli",
    "diagnose",
    "register",
    "accelerate",
    "qemu",
    "nix",
    "binfmt",
    "sandbox",
    "host",
    "ui",
    "error",
    "paths",
    "sanitize",
    "sha256",
    "sorted",
];

/// Forbidden uses that the order alone would allow.
const FORBIDDEN: &[(&str, &str)] = &[("host", "ui")];

/// A path of modules below the crate, or of modules and names.
type Names = Vec<String>;

/// The modules of a crate, with the names that each of them uses.
#[derive(Default)]
struct Sources(BTreeMap<Names, Module>);

#[derive(Default)]
struct Module {
    /// Imported names, with the paths that they stand for.
    imports: Vec<(Names, String)>,
    /// Paths in the code.
    paths: Vec<Names>,
    /// Modules that it declares.
    children: BTreeSet<String>,
}

impl Sources {
    fn parse<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        Self(files.into_iter().map(|(path, text)| (module_of(path), Module::parse(text))).collect())
    }

    /// Each pair of modules of which the first names something of the second.
    fn edges(&self) -> BTreeSet<(Names, Names)> {
        let mut edges = BTreeSet::new();
        for (name, module) in &self.0 {
            let imported = module.imports.iter().map(|(path, _)| path);
            for path in imported.chain(&module.paths) {
                let used = self.absolute(name, path, 0).and_then(|path| self.owner(&path, 0));
                edges.extend(used.filter(|used| used != name).map(|used| (name.clone(), used)));
            }
        }
        edges
    }

    /// A path as seen from the crate's root; none for other crates.
    fn absolute(&self, from: &Names, path: &[String], depth: usize) -> Option<Names> {
        let (first, rest) = path.split_first()?;
        let module = &self.0[from];
        match first.as_str() {
            "crate" | "binfmt_nix" => Some(rest.to_vec()),
            "self" if rest.first().is_some_and(|name| name == "super") => self.absolute(from, rest, depth),
            "self" => Some([from.as_slice(), rest].concat()),
            "super" => {
                let ups = path.iter().take_while(|name| *name == "super").count();
                Some([from.get(..from.len().checked_sub(ups)?)?, &path[ups..]].concat())
            }
            child if module.children.contains(child) => Some([from.as_slice(), path].concat()),
            name if depth < 8 => {
                let (import, _) = module.imports.iter().find(|(import, known)| known == name && import[0] != *name)?;
                Some([self.absolute(from, import, depth + 1)?.as_slice(), rest].concat())
            }
            _ => None,
        }
    }

    /// The module that defines the item of a path. Re-exports are followed.
    fn owner(&self, path: &[String], depth: usize) -> Option<Names> {
        let length = (0..=path.len()).rev().find(|length| self.0.contains_key(&path[..*length]))?;
        let (name, rest) = (path[..length].to_vec(), &path[length..]);
        if let Some((first, more)) = rest.split_first()
            && depth < 8
            && let Some((import, _)) = self.0[&name].imports.iter().find(|(_, known)| known == first)
            && let Some(path) = self.absolute(&name, import, 0)
        {
            return self.owner(&[path.as_slice(), more].concat(), depth + 1);
        }
        (!name.is_empty()).then_some(name)
    }

    /// Everything that breaks the order.
    fn breaches(&self) -> Vec<String> {
        let edges = self.edges();
        let rank = |name: &Names| ROOMS.iter().position(|room| *room == name[0]);
        let mut breaches = Vec::new();
        for name in self.0.keys().filter(|name| !name.is_empty() && rank(name).is_none()) {
            breaches.push(format!("{} is in no room", name.join("::")));
        }
        for (from, to) in edges.iter().filter(|(from, to)| !from.is_empty() && from[0] != to[0]) {
            if rank(from) >= rank(to) || FORBIDDEN.contains(&(&from[0], &to[0])) {
                breaches.push(format!("{} uses {}", from.join("::"), to.join("::")));
            }
        }
        let parts = edges.iter().filter(|(from, to)| from.len() > 1 && to.len() > 1 && from[0] == to[0]);
        let parts: BTreeSet<_> =
            parts.map(|(from, to)| (&from[..2], &to[..2])).filter(|(from, to)| from != to).collect();
        for (from, to) in &parts {
            if reaches(&parts, to, from) {
                breaches.push(format!("{} and {} are in a circle", from.join("::"), to.join("::")));
            }
        }
        breaches
    }
}

fn reaches(edges: &BTreeSet<(&[String], &[String])>, from: &[String], to: &[String]) -> bool {
    let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
    while let Some(one) = next.pop() {
        if one == to {
            return true;
        }
        if seen.insert(one) {
            next.extend(edges.iter().filter(|(from, _)| *from == one).map(|(_, to)| *to));
        }
    }
    false
}

/// `qemu/oci/mod.rs` is `qemu::oci`; `lib.rs` is the root.
fn module_of(path: &str) -> Names {
    let path = path.strip_suffix(".rs").unwrap_or(path);
    let path = path.strip_suffix("/mod").unwrap_or(path);
    if path == "lib" { Vec::new() } else { path.split('/').map(str::to_owned).collect() }
}

impl Module {
    fn parse(text: &str) -> Self {
        let tokens = without_tests(&tokens(text));
        let mut module = Self::default();
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            let next = tokens.get(at + 1).map(String::as_str);
            if token == "use" {
                let end = at + tokens[at..].iter().position(|token| token == ";").expect("a use ends");
                tree(&mut &tokens[at + 1..end], &[], &mut module.imports);
                at = end;
            } else if token == "mod" && tokens.get(at + 2).is_some_and(|token| token == ";") {
                module.children.extend(next.map(str::to_owned));
                at += 2;
            } else if is_name(token) && next == Some("::") {
                let mut path = vec![token.clone()];
                while tokens.get(at + 1).is_some_and(|token| token == "::")
                    && let Some(name) = tokens.get(at + 2).filter(|token| is_name(token))
                {
                    path.push(name.clone());
                    at += 2;
                }
                module.paths.push(path);
            }
            at += 1;
        }
        module
    }
}

/// Reads one tree of a `use`, up to a comma or the end of its braces.
fn tree(tokens: &mut &[String], before: &[String], imports: &mut Vec<(Names, String)>) {
    let mut path = before.to_vec();
    while let Some((token, rest)) = tokens.split_first() {
        match token.as_str() {
            "{" => {
                *tokens = rest;
                while tokens.first().is_some_and(|token| token != "}") {
                    tree(tokens, &path, imports);
                    if tokens.first().is_some_and(|token| token == ",") {
                        *tokens = &tokens[1..];
                    }
                }
                *tokens = tokens.get(1..).unwrap_or_default();
                return;
            }
            "," | "}" => break,
            "as" => {
                let name = rest.first().cloned().unwrap_or_default();
                *tokens = rest.get(1..).unwrap_or_default();
                imports.push((path, name));
                return;
            }
            // `self` in braces stands for the module before the braces.
            "self" if path.len() > before.len() || before.is_empty() => path.push(token.clone()),
            "self" | "::" => {}
            name => path.push(name.to_owned()),
        }
        *tokens = rest;
    }
    let name = path.last().cloned().unwrap_or_default();
    imports.push((path, name));
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Names, `::`, and single other characters; no comments, no text.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        let skip = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(length) = raw_text(rest) {
            length
        } else if c == '"' {
            quoted(rest)
        } else if rest.starts_with("b\"") || rest.starts_with("c\"") {
            1 + quoted(&rest[1..])
        } else if c == '\'' {
            character(rest)
        } else if word > 0 {
            tokens.push(rest[..word].to_owned());
            word
        } else if rest.starts_with("::") {
            tokens.push("::".to_owned());
            2
        } else {
            tokens.extend((!c.is_whitespace()).then(|| c.to_string()));
            c.len_utf8()
        };
        rest = &rest[skip..];
    }
    tokens
}

/// The length of a raw string that `text` begins with.
fn raw_text(text: &str) -> Option<usize> {
    let start = text.strip_prefix("br").or_else(|| text.strip_prefix("cr")).or_else(|| text.strip_prefix('r'))?;
    let hashes = start.len() - start.trim_start_matches('#').len();
    let inside = start[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    Some(text.len() - inside.len() + inside.find(&end)? + end.len())
}

/// The length of a string.
fn quoted(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of a character, or of a lifetime's quote.
fn character(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), Some((at, c))) => {
            text[at + c.len_utf8()..].find('\'').map_or(1, |end| at + c.len_utf8() + end + 1)
        }
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 1,
    }
}

/// Drops the items behind `#[cfg(test)]`.
fn without_tests(tokens: &[String]) -> Vec<String> {
    let mark = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if !tokens[at..].iter().zip(mark).all(|(token, mark)| token == mark) || tokens.len() - at < mark.len() {
            kept.push(tokens[at].clone());
            at += 1;
            continue;
        }
        let mut depth = 0_usize;
        at += mark.len();
        while let Some(token) = tokens.get(at) {
            at += 1;
            match token.as_str() {
                "{" | "[" | "(" => depth += 1,
                "}" | "]" | ")" => depth -= 1,
                _ => {}
            }
            if depth == 0 && (token == ";" || token == "}") {
                break;
            }
        }
    }
    kept
}

#[test]
fn each_room_uses_only_rooms_below_it() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    read(&src, &src, &mut files);
    assert!(files.len() > 150, "{} files", files.len());
    // Files of tests are declared behind `#[cfg(test)]`.
    files.retain(|(path, _)| !path.ends_with("tests.rs"));
    let breaches = Sources::parse(files.iter().map(|(path, text)| (path.as_str(), text.as_str()))).breaches();
    assert!(breaches.is_empty(), "{breaches:#?}");
}

fn read(src: &Path, dir: &Path, files: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read(src, &path, files);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            let name = path.strip_prefix(src).unwrap().to_str().unwrap().to_owned();
            files.push((name, fs::read_to_string(&path).unwrap()));
        }
    }
}

/// The modules that `host::lock` names, if this is its text.
fn used(text: &str) -> Vec<String> {
    let rest = [
        ("lib.rs", "pub mod host; pub mod ui; pub mod error; pub mod qemu;"),
        ("host/mod.rs", "mod lock; mod dir; pub use dir::Dir; pub use crate::error::Trust;"),
        ("host/dir.rs", "pub struct Dir;"),
        ("ui/mod.rs", "pub mod event;"),
        ("ui/event.rs", ""),
        ("error/mod.rs", ""),
        ("qemu/mod.rs", "pub mod oci;"),
        ("qemu/oci/mod.rs", ""),
    ];
    let sources = Sources::parse(rest.into_iter().chain([("host/lock.rs", text)]));
    let lock = module_of("host/lock.rs");
    sources.edges().into_iter().filter(|(from, _)| *from == lock).map(|(_, to)| to.join("::")).collect()
}

#[test]
fn every_form_of_import_is_read() {
    for (text, expected) in [
        ("use crate::ui;", &["ui"][..]),
        ("use crate::ui::Ui;", &["ui"]),
        ("use crate::{error, ui};", &["error", "ui"]),
        ("use crate::{error::{self, Error}, ui::event::{Event, Level}};", &["error", "ui::event"]),
        ("use crate::ui::{self as terminal, event};", &["ui", "ui::event"]),
        ("use crate::ui::*;", &["ui"]),
        ("use super::super::ui::Ui;", &["ui"]),
        ("use super::{super::error::Error, Dir};", &["error", "host::dir"]),
        ("use self::super::dir::Dir;", &["host::dir"]),
        ("pub(crate) use crate::qemu::oci::Image;", &["qemu::oci"]),
        ("fn f() -> crate::error::Result { crate::ui::event::now() }", &["error", "ui::event"]),
        ("fn f(x: super::super::qemu::oci::Image) {}", &["qemu::oci"]),
        ("fn f() { use crate::ui; }", &["ui"]),
        ("use crate::ui; fn f() { ui::event::now() }", &["ui", "ui::event"]),
        ("use crate::host::Trust;", &["error"]),
        ("impl From<crate::error::Error> for &'static str {}", &["error"]),
        ("#[derive(crate::ui::Show)] struct A;", &["ui"]),
        ("const Q: char = '\"'; use crate::ui; const R: char = '\\''; use crate::error;", &["error", "ui"]),
    ] {
        assert_eq!(used(text), expected, "{text}");
    }
}

#[test]
fn text_that_is_not_an_import_is_ignored() {
    for text in [
        "use std::ui::Ui; use other::crate_ui;",
        "// use crate::ui;\n/* crate::ui::x */ //! [`crate::ui`]",
        "const T: &str = \"use crate::ui;\"; const R: &str = r#\"crate::ui::\"x\"#; const B: &[u8] = b\"crate::ui::x\";",
        "#[cfg(test)]\nmod tests { use crate::ui; fn f() { crate::error::x() } }",
        "#[cfg(test)] use crate::ui;",
        "#[cfg(test)]\n#[allow(unused)]\nfn f() { crate::ui::x() }",
    ] {
        assert_eq!(used(text), [""; 0], "{text}");
    }
    // What follows tests is read again.
    assert_eq!(used("#[cfg(test)] mod tests { fn f() {} } use crate::ui;"), ["ui"]);
}

#[test]
fn breaches_of_the_order_are_found() {
    let breaches = |files: &[(&str, &str)]| Sources::parse(files.iter().copied()).breaches();
    let rooms = [
        ("nix/mod.rs", ""),
        ("qemu/mod.rs", "use crate::nix::Nix;"),
        ("ui/mod.rs", "use crate::error::Error;"),
        ("error/mod.rs", ""),
    ];
    assert_eq!(breaches(&rooms), [""; 0]);
    assert_eq!(breaches(&[("nix/mod.rs", "use crate::qemu;"), ("qemu/mod.rs", "")]), ["nix uses qemu"]);
    assert_eq!(breaches(&[("host/a.rs", "use crate::ui::Ui;"), ("ui/mod.rs", "")]), ["host::a uses ui"]);
    assert_eq!(breaches(&[("attic.rs", "")]), ["attic is in no room"]);
    let circle = [
        ("qemu/a/x.rs", "use crate::qemu::b::B;"),
        ("qemu/b.rs", "use super::c::C;"),
        ("qemu/c/mod.rs", "fn f() { crate::qemu::a::x::g() }"),
        ("qemu/a/mod.rs", "mod x;"),
        ("qemu/d.rs", "use super::b::B;"),
    ];
    assert_eq!(breaches(&circle).len(), 3, "{:?}", breaches(&circle));
    // Siblings within a sub-room may use each other.
    assert_eq!(breaches(&[("qemu/a/x.rs", "use super::y::Y;"), ("qemu/a/y.rs", "use super::x::X;")]), [""; 0]);
}
