//! The catalogue's generator, on the small package.

use std::error::Error;
use std::io::Cursor;

use binfmt_nix::qemu::catalog::generate::generate_catalog;
use binfmt_nix::qemu::catalog::{Catalog, STREAM_HEADER};
use binfmt_nix::sha256::Sha256;

use crate::support::package::{Deb, MEMBERS, program};
use crate::support::rng::Noise;

#[test]
fn the_generator_lists_every_block_and_member() {
    let Deb { bytes, package } = Deb::new();
    assert_eq!((package.host.as_str(), package.qemu_version.as_str()), ("x86_64", "10.0.13"));
    assert_eq!((package.size, package.sha256), (bytes.len() as u64, Sha256::of_bytes(&bytes)));
    let names: Vec<&str> = package.members.iter().map(|member| member.target.as_str()).collect();
    assert_eq!(names, MEMBERS.map(|(target, _)| target));
    for (member, (target, length)) in package.members.iter().zip(MEMBERS) {
        assert_eq!(member.sha256, Sha256::of_bytes(&program(target, length)));
    }
    assert!(package.blocks.len() >= 4);
    let data = usize::try_from(package.data.offset).unwrap();
    assert!(bytes[data..].starts_with(&STREAM_HEADER));
}

#[test]
fn generated_json_parses_to_the_same_catalogue() {
    let packages = vec![Deb::new().package];
    let catalog = Catalog { version: 2, packages };
    let json = catalog.to_json().unwrap();
    assert_eq!(Catalog::from_json(&json).unwrap(), catalog);
    assert_eq!(json.lines().count(), 2 + catalog.packages[0].blocks.len() + MEMBERS.len());
}

#[test]
fn a_damaged_package_is_refused_or_has_another_digest() {
    let Deb { bytes, package } = Deb::new();
    let mut noise = Noise::new(3);
    for _ in 0..100 {
        let bit = noise.below(bytes.len() as u64 * 8);
        let mut damaged = bytes.to_vec();
        damaged[usize::try_from(bit / 8).unwrap()] ^= 1 << (bit % 8);
        let mut debs = [(package.path.clone(), Cursor::new(damaged))];
        match generate_catalog(&mut debs) {
            // The bit is outside data.tar.xz, or in a name or owner that the catalogue does not use.
            Ok(catalog) => assert_ne!(catalog.packages[0].sha256, package.sha256),
            Err(error) => assert!(error.to_string().contains("cannot catalogue pool/main/q/qemu/")),
        }
    }
}

#[test]
fn a_truncated_package_is_refused() {
    let Deb { bytes, package } = Deb::new();
    for length in [0, 7, 8, 50, 100, 3_000, bytes.len() / 2, bytes.len() - 1] {
        let mut debs = [(package.path.clone(), Cursor::new(&bytes[..length]))];
        let error = generate_catalog(&mut debs).unwrap_err();
        assert!(error.source().is_some(), "{length}");
    }
}
