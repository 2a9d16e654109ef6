//! Sources of the emulator: the cache, and archives of other publishers.

use std::fs;

use binfmt_nix::qemu::catalog::{Catalog, Member};

use crate::support::Tree;
use crate::support::emulators::qemu;
use crate::support::tree::{EMULATOR, RECEIPT};

/// A mirror that refuses every connection.
const DEAD_MIRROR: &str = "http://127.0.0.1:9/debian";

/// The emulator for aarch64 that the catalogue pins.
fn pinned() -> &'static Member {
    Catalog::embedded().unwrap().package_for("x86_64").unwrap().find_member("aarch64").unwrap()
}

/// A tree whose cache has this emulator under the pinned digest.
fn with_cached(bytes: &[u8]) -> Tree {
    Tree::new().program(&format!("var/cache/binfmt-nix/{}/qemu-aarch64", pinned().sha256), bytes)
}

/// Registers from the cache, with these options.
fn register_from_cache(options: &[&str]) {
    let bytes = fs::read(qemu("aarch64")).unwrap();
    let tree = with_cached(&bytes);
    tree.run(&[&["register", "aarch64", "--offline"], options].concat()).exits(0).prints("proven");
    assert!(tree.runs("aarch64") && tree.read(EMULATOR) == bytes);
    assert!(tree.text(RECEIPT).contains("_amd64.deb of Debian"));
}

#[sandboxed]
fn register_uses_a_verified_emulator_from_the_cache() {
    register_from_cache(&[]);
}

#[sandboxed]
fn register_with_source_download_uses_the_cache() {
    register_from_cache(&["--source", "download"]);
}

#[sandboxed]
fn register_with_source_fallback_uses_the_cache() {
    register_from_cache(&["--source", "fallback"]);
}

#[sandboxed]
fn register_ignores_an_emulator_with_another_digest_in_the_cache() {
    let mut bytes = fs::read(qemu("aarch64")).unwrap();
    bytes.push(0);
    let tree = with_cached(&bytes);
    let before = tree.snapshot();
    tree.run(&["register", "aarch64", "--offline"]).exits(1).says("--offline forbids that");
    before.is_restored_in(&tree);
}

/// `fetch` uses archives of other publishers only with `--source fallback`; the error of the mirrors names the command.
#[sandboxed]
fn fetch_uses_another_publisher_only_with_source_fallback() {
    let tree = Tree::new();
    let output = tree.path("bundle.tar.gz");
    let output = output.to_str().unwrap();
    let fetch = |options: &[&str]| {
        let args = ["fetch", "aarch64", "--host", "x86_64", "--mirror", DEAD_MIRROR, "-o", output];
        tree.run(&[&args, options].concat())
    };
    fetch(&[])
        .exits(1)
        .says(&format!("fetch --source fallback aarch64 --host x86_64 --mirror {DEAD_MIRROR}"))
        .omits("downloading QEMU ");
    fetch(&["--source", "fallback"]).exits(1).says("no Debian mirror has the package: downloading QEMU ");
    assert!(!tree.exists("bundle.tar.gz"));
}
