//! Properties of receipts: an accepted one names only our own artifacts, because `unregister` removes what it names,
//! as root.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use binfmt_magic::Arch;
use binfmt_nix::paths;
use binfmt_nix::register::acceleration::is_native_path;
use binfmt_nix::register::receipt::{Artifact, Receipt};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::config;
use crate::support::json::{absurd, damaged, lacking_and_odd, numbers, places, twice, with};
use crate::support::receipt::{split, to_text, to_value};

/// Receipts that `register` wrote on real machines.
const REAL: [&str; 3] = [
    include_str!("../../fuzz/corpus/receipt/two-systems"),
    include_str!("../../fuzz/corpus/receipt/adopted"),
    include_str!("../../fuzz/corpus/receipt/accelerated"),
];

static VALUES: LazyLock<Vec<Value>> = LazyLock::new(|| REAL.map(to_value).to_vec());

fn parse_receipt(value: &Value) -> Option<Receipt> {
    Receipt::parse(to_text(value.clone()).as_bytes()).ok()
}

/// Every file and directory that this tool can create.
static OURS: LazyLock<BTreeSet<PathBuf>> = LazyLock::new(|| {
    let of_arch = |arch| {
        let programs =
            [paths::interpreter_path(arch), paths::old_interpreter_path(arch), paths::accelerator_path(arch)];
        programs.into_iter().chain([paths::boot_rule(arch)])
    };
    let files = Arch::ALL.iter().flat_map(of_arch);
    let shared = paths::NIX_CONFS.iter().chain([&paths::NIX_OWN_CONF]).map(PathBuf::from);
    files.chain(shared).chain(paths::managed_dirs().map(Path::to_owned)).collect()
});

fn assert_only_own_artifacts(receipt: &Receipt) {
    for record in &receipt.records {
        match &record.made {
            Artifact::Entry { name, .. } if record.rule.is_some() => assert_eq!(record.rule.as_ref(), Some(name)),
            made if record.rule.is_some() => {
                let file = paths::own_rule_file(record.rule.as_ref().unwrap());
                assert_eq!(made.path(), Some(file.as_path()));
            }
            Artifact::Entry { name, .. } => {
                let arch = Arch::by_target(record.target.as_deref().unwrap()).unwrap();
                assert!(paths::entry_names(arch).contains(name), "{name}");
            }
            made => assert!(made.path().is_none_or(|path| OURS.contains(path) || is_native_path(path)), "{made:?}"),
        }
    }
    let text = receipt.to_text().unwrap();
    assert_eq!(Receipt::parse(&text).as_ref(), Ok(receipt));
}

#[test]
fn real_receipts_are_accepted() {
    VALUES.iter().for_each(|value| assert_only_own_artifacts(&parse_receipt(value).unwrap()));
}

#[test]
fn paths_of_other_files_are_rejected() {
    let mut tried = 0;
    for whole in VALUES.iter() {
        let is_recorded = |place: &String| place.contains("/records/") && place.ends_with("/path");
        for place in places(whole).into_iter().filter(is_recorded) {
            let real = whole.pointer(&place).unwrap().as_str().unwrap();
            // All files of this directory are this tool's.
            let longer =
                if is_native_path(Path::new(real)) { "/usr/local/libexec/x".to_owned() } else { format!("{real}x") };
            for path in [
                "/etc/passwd".to_owned(),
                "/".to_owned(),
                String::new(),
                "relative".to_owned(),
                format!("{real}/../../passwd"),
                format!("{real}\0"),
                longer.clone(),
                real.trim_start_matches('/').to_owned(),
                "/usr/local/libexec/binfmt-nix/../../bin/sh".to_owned(),
                "/home".to_owned(),
            ] {
                assert!(parse_receipt(&with(whole, &place, json!(path))).is_none(), "{place}: {path}");
                tried += 1;
            }
        }
    }
    assert!(tried > 80);
}

#[test]
fn absurd_values_are_rejected_or_harmless() {
    for whole in VALUES.iter() {
        for place in places(whole) {
            for value in absurd().into_iter().chain(numbers()) {
                if let Some(receipt) = parse_receipt(&with(whole, &place, value)) {
                    assert_only_own_artifacts(&receipt);
                }
            }
        }
        // Artifacts of one system under the name of another.
        for place in places(whole).into_iter().filter(|place| place.ends_with("/target")) {
            assert!(parse_receipt(&with(whole, &place, json!("riscv64"))).is_none(), "{place}");
            assert!(parse_receipt(&with(whole, &place, json!(null))).is_none(), "{place}");
        }
    }
}

#[test]
fn duplicate_and_unknown_fields_are_rejected() {
    for (whole, text) in VALUES.iter().zip(REAL) {
        for changed in lacking_and_odd(whole) {
            if let Some(receipt) = parse_receipt(&changed) {
                // A target, a seal or an id may be missing, and a system need not be listed.
                assert_only_own_artifacts(&receipt);
                assert!(changed.get("more").is_none(), "{changed}");
            }
        }
        for doubled in twice(text) {
            assert!(Receipt::parse(doubled.as_bytes()).is_err(), "{doubled}");
        }
        let (document, lines) = split(whole.clone());
        for doubled in lines.iter().flat_map(|line| twice(&format!("{line:#}"))) {
            let doubled = format!("{document}\n{}\n", doubled.replace('\n', " "));
            assert!(Receipt::parse(doubled.as_bytes()).is_err(), "{doubled}");
        }
    }
}

#[test]
fn each_accelerated_system_has_its_line() {
    let [.., text] = REAL;
    let (document, lines) = split(to_value(text));
    let why = |lines: &[&Value]| {
        let lines: Vec<_> = lines.iter().map(ToString::to_string).collect();
        Receipt::parse(format!("{document}\n{}\n", lines.join("\n\n")).as_bytes()).err().map(|why| why.to_string())
    };
    assert_eq!(why(&[&lines[0]]), None);
    assert_eq!(why(&[]).unwrap(), "the line of the accelerated system aarch64 is missing");
    assert_eq!(why(&[&lines[0], &lines[0]]).unwrap(), "a line at its end is for no accelerated system");
    let odd = why(&[&json!({"more": 1})]).unwrap();
    assert!(odd.starts_with("the line of the accelerated system aarch64: unknown field `more`, "), "{odd}");
    assert!(odd.ends_with(" at its column 7"), "{odd}");
    let mut other = lines[0].clone();
    other["acceleration"]["tools"] = json!({});
    let odd = "the line of the accelerated system aarch64 has other programs than the list of its entries";
    assert_eq!(why(&[&other]).unwrap(), odd);
}

#[test]
fn truncated_receipts_are_rejected() {
    for text in REAL.map(str::trim_end) {
        for end in 0..text.len() {
            assert!(Receipt::parse(&text.as_bytes()[..end]).is_err(), "{end}");
        }
    }
}

proptest! {
    #![proptest_config(config(1024))]

    #[test]
    fn accepted_receipts_name_only_our_artifacts(value in prop_oneof![damaged(&VALUES[0]), damaged(&VALUES[1])]) {
        if let Some(receipt) = parse_receipt(&value) {
            assert_only_own_artifacts(&receipt);
        }
    }
}
