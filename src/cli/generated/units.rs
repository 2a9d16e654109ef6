//! The unit of systemd that packages have: the one that `register` writes, for the program of a package.

use std::collections::BTreeMap;
use std::path::Path;

use super::check_or_write;
use crate::binfmt::boot_hook::{BootHook, HookObject};
use crate::paths;

const HEADER: &str = "\
# Packages of binfmt-nix have this unit, and do not enable it: where nothing reads binfmt.d at boot, `register` writes and
# enables its own one in /etc/systemd/system, which comes before this one.
";

#[test]
fn the_packaged_unit_is_the_one_that_register_writes() {
    let objects = BootHook::Systemd.objects(Path::new(paths::PACKAGED_PROGRAM));
    let Some(HookObject::File { text, .. }) = objects.first() else { panic!("{objects:?}") };
    let (mark, unit) = text.split_once('\n').unwrap_or_default();
    assert!(mark.starts_with("# Written by binfmt-nix") && unit.starts_with("[Unit]\n"), "{text}");
    check_or_write("systemd", &BTreeMap::from([("binfmt-nix.service".to_owned(), format!("{HEADER}{unit}"))]));
}
