//! A `.deb` for `gen catalog`: the ar archive, the xz index, the tar archive, the ELF heads.
#![no_main]

use std::io::Cursor;

use binfmt_nix::catalog::Catalog;
use binfmt_nix::catalog::generate::{generate, pool_path};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|deb: &[u8]| {
    let path = pool_path("qemu-user_10.0.13+ds-0+deb13u1_amd64.deb");
    if let Ok(catalog) = generate(&mut [(path, Cursor::new(deb))]) {
        let json = catalog.to_json().expect("a catalogue is JSON");
        assert!(Catalog::from_json(&json).is_ok());
        assert_eq!(catalog.packages[0].size, deb.len() as u64);
    }
});
