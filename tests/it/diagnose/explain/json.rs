//! `explain --json`: the names of all fields, and the values of enumerations.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use crate::diagnose::explain::execve::judge::{TABLE, enter, mount_table, native, unmount_table, write};
use crate::diagnose::explain::kinds::{flawed, kinds};
use crate::diagnose::explain::text::{dynamic, explain, register_rule};
use crate::support::emulators::outside;
use crate::support::table::probe;

/// Collects every field and every value of an enumeration at any depth of the document.
fn names(value: &Value, place: &str, found: &mut BTreeSet<String>) {
    const WORDS: [&str; 8] = ["verdict", "table", "what", "by", "in", "kind", "endian", "os"];
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let below = format!("{place}.{name}");
                let word = value.as_str().filter(|_| WORDS.contains(&name.as_str()));
                found.insert(word.map_or_else(|| format!("{below}:{}", kind(value)), |word| format!("{below}={word}")));
                names(value, &below, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| names(item, &format!("{place}[]"), found)),
        _ => {}
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    }
}

#[track_caller]
fn document(args: &[&str], code: i32, found: &mut BTreeSet<String>) -> Value {
    let value = explain(&[&["--json"], args].concat()).exits(code).json();
    names(&value, "", found);
    value
}

/// Within one version of the format, fields are only added. Removing a line of this list needs a new version.
#[sandboxed]
fn json_fields_and_values_are_the_documented_ones() {
    let mut found = BTreeSet::new();
    mount_table();
    let emulator = outside("emulator", native());
    register_rule("arm", "arm", &emulator, "PF");
    register_rule("hexagon", "hexagon", Path::new("/missing"), "");
    enter(b":dos:E::exe::/missing:").unwrap();
    enter(b":far:M:200:x::/missing:").unwrap();
    let arm = probe("arm");
    let value = document(&[arm.to_str().unwrap()], 0, &mut found);
    assert_eq!((&value["verdict"], &value["runs"], &value["errno"]), (&"emulated".into(), &true.into(), &Value::Null));
    let step = &value["steps"][0];
    assert_eq!(step["taken_by"], serde_json::json!({"by": "entry", "name": "arm"}));
    let miss = serde_json::json!({"in": "byte", "offset": 18, "has": 40, "wants": 164, "mask": 255});
    assert_eq!((&step["entries"][2]["name"], &step["entries"][2]["differs"]), (&"hexagon".into(), &miss));
    assert_eq!(step["interpreter"]["is_the_file"], true);
    document(&[probe("hexagon").to_str().unwrap()], 3, &mut found);
    document(&[probe("riscv64").to_str().unwrap()], 3, &mut found);
    outside("script.txt", b"#!/bin/sh -e\n");
    document(&["/scratch/script.txt"], 0, &mut found);
    for (kind, bytes) in kinds() {
        let value = document(&[outside("kind", &bytes).to_str().unwrap()], 3, &mut found);
        assert_eq!(value["steps"][0]["what"], kind);
    }
    for (verdict, bytes) in flawed() {
        let value = document(&[outside("flawed", &bytes).to_str().unwrap()], 3, &mut found);
        assert_eq!((&value["verdict"], &value["errno"]), (&verdict.into(), &Value::Null));
    }
    register_rule("riscv", "riscv64", &outside("qemu-riscv64", native()), "F");
    document(&[outside("dynamic", &dynamic()).to_str().unwrap()], 3, &mut found);
    write(&format!("{TABLE}/status"), b"0").unwrap();
    document(&["/bin/sh"], 0, &mut found);
    unmount_table();
    document(&["/bin/sh"], 0, &mut found);
    let expected: BTreeSet<String> = include_str!("explain.names").lines().map(str::to_owned).collect();
    let missing: Vec<_> = expected.difference(&found).collect();
    let new: Vec<_> = found.difference(&expected).collect();
    assert!(missing.is_empty() && new.is_empty(), "gone: {missing:#?}, new: {new:#?}");
}

#[sandboxed]
fn json_fields_of_a_process_are_the_documented_ones() {
    let value = explain(&["--json", "--pid", &std::process::id().to_string()]).exits(0).json();
    let fields: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    let expected = [
        "argv0",
        "arguments",
        "called_with",
        "entry",
        "executes",
        "notes",
        "now",
        "pid",
        "program",
        "verdict",
        "version",
        "why",
    ];
    assert_eq!(fields.iter().copied().collect::<BTreeSet<_>>(), BTreeSet::from(expected));
    assert_eq!((&value["verdict"], &value["now"]["verdict"]), (&"native".into(), &"native".into()));
}
