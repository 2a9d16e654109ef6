//! Catalogues with absurd values are refused, and every accepted catalogue is within all bounds.

use std::sync::LazyLock;

use binfmt_nix::qemu::catalog::{ArchiveCatalog, Catalog};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::config;
use crate::support::json::{absurd, damaged, lacking_and_odd, numbers, places, twice, with};

/// The real catalogue, reduced to the members in the first three blocks of the first package.
static REAL: LazyLock<Value> = LazyLock::new(|| {
    let mut catalog = Catalog::embedded().unwrap().clone();
    catalog.packages.truncate(1);
    let package = &mut catalog.packages[0];
    package.blocks.truncate(3);
    let end = package.blocks[2].unpacked_end();
    package.members.retain(|member| member.end() <= end);
    serde_json::to_value(catalog).unwrap()
});

fn read(value: &Value) -> Option<Catalog> {
    Catalog::from_json(&value.to_string()).ok()
}

/// Checks that a catalogue can be planned, and that no read or buffer goes beyond the bounds.
fn check(catalog: &Catalog) {
    for package in &catalog.packages {
        assert!(package.path.starts_with("pool/") && !package.path.contains("/.") && package.size <= 1 << 30);
        let targets: Vec<&str> = package.members.iter().map(|member| member.target.as_str()).collect();
        assert!(targets.iter().all(|target| target.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')));
        let plan = package.plan_blocks(&targets).unwrap();
        assert!(plan.total_bytes() <= package.size);
        for block in plan.blocks() {
            assert!(block.length <= 32 << 20 && block.unpacked_length <= 128 << 20);
            let cuts = plan.slices_of(block);
            assert!(cuts.iter().all(|cut| cut.at + cut.length <= block.unpacked_length));
        }
        let runs = plan.ranges_from(0);
        assert!(runs.iter().all(|run| run.first <= run.last && run.last < package.size));
    }
    assert_eq!(Catalog::from_json(&catalog.to_json().unwrap()).ok().as_ref(), Some(catalog));
}

#[test]
fn absurd_field_values_are_refused() {
    check(&read(&REAL).unwrap());
    for place in places(&REAL) {
        for value in absurd() {
            // An empty list of packages, blocks or members is valid, though useless.
            let list = value == json!([]) && REAL.pointer(&place).unwrap().is_array();
            let changed = with(&REAL, &place, value.clone());
            assert!(read(&changed).is_none() || list, "{place}: {value}");
        }
    }
}

#[test]
fn large_numbers_are_refused_or_stay_within_bounds() {
    for place in places(&REAL).into_iter().filter(|place| REAL.pointer(place).unwrap().is_number()) {
        for value in numbers() {
            if let Some(catalog) = read(&with(&REAL, &place, value.clone())) {
                check(&catalog);
                assert!(value.as_u64() < Some(1 << 32), "{place}: {value}");
            }
        }
    }
}

#[test]
fn missing_unknown_and_repeated_fields_are_refused() {
    for changed in lacking_and_odd(&REAL) {
        assert!(read(&changed).is_none(), "{changed}");
    }
    let doubled = twice(&serde_json::to_string_pretty(&*REAL).unwrap());
    assert!(doubled.len() > 20);
    for text in doubled {
        assert!(Catalog::from_json(&text).is_err(), "{text}");
    }
}

#[test]
fn repeated_packages_blocks_and_members_are_refused() {
    for list in ["/packages", "/packages/0/blocks", "/packages/0/members"] {
        let mut changed = REAL.clone();
        let items = changed.pointer_mut(list).unwrap().as_array_mut().unwrap();
        items.push(items[0].clone());
        assert!(read(&changed).is_none(), "{list}");
    }
}

/// The first archives of the real list.
static ARCHIVES: LazyLock<Value> = LazyLock::new(|| {
    let mut list = ArchiveCatalog::embedded().unwrap().clone();
    list.archives.truncate(3);
    serde_json::to_value(list).unwrap()
});

fn read_archives(value: &Value) -> Option<ArchiveCatalog> {
    ArchiveCatalog::from_json(&value.to_string()).ok()
}

/// Checks that each archive names a file of a web server and known guests.
fn check_archives(list: &ArchiveCatalog) {
    for archive in &list.archives {
        assert!(archive.url.starts_with("https://") && !archive.url.contains("/."));
        assert!(archive.url.chars().all(|c| c.is_ascii_graphic() && !"?#@\\".contains(c)));
        for target in &archive.targets {
            assert!(binfmt_magic::Arch::find(target).is_ok());
            let member = archive.member_name(target).unwrap();
            assert!(member.starts_with("qemu-") && !member.contains(['/', '\\', '\0']));
            assert!(list.archives_for(&archive.host, target).any(|found| found == archive));
        }
    }
}

#[test]
fn absurd_archive_fields_are_refused() {
    check_archives(&read_archives(&ARCHIVES).unwrap());
    for place in places(&ARCHIVES) {
        for value in absurd() {
            let list = value == json!([]) && place == "/archives";
            let choice = value.is_boolean() && place.ends_with("/assumes_argv0");
            let changed = with(&ARCHIVES, &place, value.clone());
            assert!(read_archives(&changed).is_none() || list || choice, "{place}: {value}");
        }
    }
}

#[test]
fn missing_unknown_and_repeated_archive_fields_are_refused() {
    for changed in lacking_and_odd(&ARCHIVES) {
        assert!(read_archives(&changed).is_none(), "{changed}");
    }
    let doubled = twice(&serde_json::to_string_pretty(&*ARCHIVES).unwrap());
    assert!(doubled.len() > 20);
    for text in doubled {
        assert!(ArchiveCatalog::from_json(&text).is_err(), "{text}");
    }
}

#[test]
fn a_truncated_catalogue_is_refused() {
    let text = REAL.to_string();
    for end in 0..text.len() {
        assert!(Catalog::from_json(&text[..end]).is_err(), "{end}");
    }
}

proptest! {
    #![proptest_config(config(1024))]

    #[test]
    fn accepted_catalogues_stay_within_bounds(value in damaged(&REAL)) {
        if let Some(catalog) = read(&value) {
            check(&catalog);
        }
    }

    #[test]
    fn accepted_archives_have_plain_urls_and_members(value in damaged(&ARCHIVES)) {
        if let Some(list) = read_archives(&value) {
            check_archives(&list);
        }
    }
}
