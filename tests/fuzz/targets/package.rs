//! A `.deb` for `gen catalog`: the ar archive, the xz index, the tar archive and the ELF headers. An input that
//! does not begin like an ar archive becomes the tar archive inside a valid one, so that every input passes the
//! checksums.
#![no_main]

#[path = "xz.rs"]
mod xz;

use std::io::Cursor;

use binfmt_nix::qemu::catalog::Catalog;
use binfmt_nix::qemu::catalog::generate::{generate_catalog, pool_path};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let deb = if data.starts_with(b"!<a") { data.to_vec() } else { around(data) };
    let path = pool_path("qemu-user_10.0.13+ds-0+deb13u1_amd64.deb");
    if let Ok(catalog) = generate_catalog(&mut [(path, Cursor::new(&deb))]) {
        let json = catalog.to_json().expect("a catalogue is JSON");
        assert!(Catalog::from_json(&json).is_ok());
        assert_eq!(catalog.packages[0].size, deb.len() as u64);
    }
});

/// A Debian package as in deb(5), without the members that the tool does not read.
fn around(tar: &[u8]) -> Vec<u8> {
    let data = xz::stream(tar);
    let header = format!("!<arch>\n{:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", "data.tar.xz", 0, 0, 0, 100_644, data.len());
    [header.as_bytes(), &data].concat()
}
