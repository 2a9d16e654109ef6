//! Debian's own package, from a server on loopback.

use std::io::Cursor;
use std::sync::Arc;

use binfmt_nix::qemu::catalog::generate::generate_catalog;
use binfmt_nix::qemu::catalog::{Catalog, Package};
use binfmt_nix::sha256::Sha256;

use super::fetch;
use crate::support::server::{Manner, Server};
use crate::support::skip;

/// The contents of Debian's package.
pub(crate) fn deb() -> Arc<Vec<u8>> {
    match std::env::var_os("BINFMT_NIX_TEST_DEB") {
        Some(path) => Arc::new(std::fs::read(path).unwrap()),
        None => skip("deb", "BINFMT_NIX_TEST_DEB names no qemu-user_10.0.13…_amd64.deb"),
    }
}

fn package() -> Package {
    Catalog::embedded().unwrap().package_for("x86_64").unwrap().clone()
}

#[test]
fn aarch64_moves_a_sixteenth_of_the_package() {
    let bytes = deb();
    let server = Server::start(&bytes, Manner::Ranges);
    let outcome = fetch(&package(), &["aarch64"], &[server.mirror()]);
    outcome.result.unwrap();
    let pinned = package().find_member("aarch64").unwrap().sha256;
    assert_eq!(Sha256::of_bytes(&outcome.files["aarch64"]), pinned);
    assert!(server.sent() <= 7_100_000, "{} bytes", server.sent());
    assert!(server.sent() < 4_448_000, "{} bytes", server.sent());
}

#[test]
fn without_ranges_the_connection_is_closed_early() {
    let bytes = deb();
    let server = Server::start(&bytes, Manner::Whole(bytes.len() as u64));
    let outcome = fetch(&package(), &["aarch64"], &[server.mirror()]);
    outcome.result.unwrap();
    assert!(server.was_closed());
    assert!(server.sent() < bytes.len() as u64 / 2, "{} bytes", server.sent());
}

#[test]
fn the_catalogue_matches_the_debian_package() {
    let bytes = deb();
    let mut debs = [(package().path, Cursor::new(bytes.as_slice()))];
    assert_eq!(generate_catalog(&mut debs).unwrap().packages, [package()]);
}

/// All six packages. They are too large for a download in every test run. A developer who changes the catalogue has them.
#[test]
fn the_catalogue_matches_all_debian_packages() {
    let Some(dir) = std::env::var_os("BINFMT_NIX_TEST_DEBS") else {
        skip("debs", "BINFMT_NIX_TEST_DEBS names no directory with all packages of the catalogue");
    };
    let catalog = Catalog::embedded().unwrap();
    let open = |package: &Package| {
        let file = std::fs::File::open(std::path::Path::new(&dir).join(package.file_name())).unwrap();
        (package.path.clone(), file)
    };
    let mut debs: Vec<_> = catalog.packages.iter().map(open).collect();
    assert_eq!(&generate_catalog(&mut debs).unwrap(), catalog);
}
