//! Debian's own package, from a server on loopback.
#![expect(clippy::disallowed_methods, reason = "tests read files and variables themselves")]
#![expect(clippy::print_stderr, reason = "a skipped test says so")]

use std::io::Cursor;
use std::sync::Arc;

use binfmt_nix::catalog::generate::generate;
use binfmt_nix::catalog::{Catalog, Package};
use binfmt_nix::digest::Sha256;

use super::fetch;
use super::server::{Manner, Server};

/// Debian's package, or nothing if this machine was not given it.
fn deb() -> Option<Arc<Vec<u8>>> {
    if let Some(path) = std::env::var_os("BINFMT_NIX_TEST_DEB") {
        return Some(Arc::new(std::fs::read(path).unwrap()));
    }
    skip("deb", "BINFMT_NIX_TEST_DEB names no qemu-user_10.0.13…_amd64.deb");
    None
}

fn skip(key: &str, why: &str) {
    let required = std::env::var("BINFMT_NIX_REQUIRE").unwrap_or_default();
    assert!(!required.split(',').any(|what| what == key), "{why}");
    eprintln!("skipped: {why}");
}

fn package() -> Package {
    Catalog::embedded().unwrap().package_for("x86_64").unwrap().clone()
}

#[test]
fn aarch64_moves_a_sixteenth_of_the_package() {
    let Some(bytes) = deb() else { return };
    let server = Server::start(&bytes, Manner::Ranges);
    let outcome = fetch(&package(), &["aarch64"], &[server.mirror()]);
    outcome.result.unwrap();
    let pinned = package().member("aarch64").unwrap().sha256;
    assert_eq!(Sha256::of(&outcome.files["aarch64"]), pinned);
    assert!(server.sent() <= 7_100_000, "{} bytes", server.sent());
    assert!(server.sent() < 4_448_000, "{} bytes", server.sent());
}

#[test]
fn without_ranges_the_connection_is_closed_early() {
    let Some(bytes) = deb() else { return };
    let server = Server::start(&bytes, Manner::Whole(bytes.len() as u64));
    let outcome = fetch(&package(), &["aarch64"], &[server.mirror()]);
    outcome.result.unwrap();
    assert!(server.was_closed());
    assert!(server.sent() < bytes.len() as u64 / 2, "{} bytes", server.sent());
}

#[test]
fn the_catalogue_is_what_the_package_says() {
    let Some(bytes) = deb() else { return };
    let mut debs = [(package().path, Cursor::new(bytes.as_slice()))];
    assert_eq!(generate(&mut debs).unwrap().packages, [package()]);
}

/// All six of them, which are too large to be fetched for this alone: whoever changes the catalogue has them.
#[test]
fn the_catalogue_is_what_all_packages_say() {
    let Some(dir) = std::env::var_os("BINFMT_NIX_TEST_DEBS") else {
        return skip("debs", "BINFMT_NIX_TEST_DEBS names no directory with all packages of the catalogue");
    };
    let catalog = Catalog::embedded().unwrap();
    let open = |package: &Package| {
        let file = std::fs::File::open(std::path::Path::new(&dir).join(package.file_name())).unwrap();
        (package.path.clone(), file)
    };
    let mut debs: Vec<_> = catalog.packages.iter().map(open).collect();
    assert_eq!(&generate(&mut debs).unwrap(), catalog);
}
