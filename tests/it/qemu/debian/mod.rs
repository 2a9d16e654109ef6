//! Debian's signed lists: recorded lists are accepted on the day of the recording, altered and forged lists are not.
//!
//! The tests of `debian_tools` compare with gpg, gpgv and dpkg. Without these programs they are skipped, or fail if
//! `BINFMT_NIX_REQUIRE` names `gpg` or `dpkg`.

pub(crate) mod chain;
pub(crate) mod debian_tools;
pub(crate) mod forge;
pub(crate) mod forged;
pub(crate) mod packages_index;
pub(crate) mod properties;
pub(crate) mod recorded_lists;
pub(crate) mod worker;

use std::io::Read as _;

use binfmt_nix::qemu::debian::Date;

/// Noon of the day after the stored lists were fetched.
const NOW: Date = Date(1_795_521_600);

/// Lists that Debian signed, as a mirror delivered them on 2026-11-24.
const LISTS: [(&str, &[u8]); 2] = [
    ("trixie", include_bytes!("../../../recorded/debian/trixie.InRelease.xz")),
    ("trixie-backports", include_bytes!("../../../recorded/debian/trixie-backports.InRelease.xz")),
];

/// The stored list of a suite.
fn list(suite: &str) -> Vec<u8> {
    let (_, packed) = LISTS.iter().find(|(name, _)| *name == suite).unwrap();
    let mut list = Vec::new();
    lzma_rust2::XzReader::new(*packed, false).read_to_end(&mut list).unwrap();
    list
}
