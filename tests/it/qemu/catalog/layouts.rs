//! The generator of the catalogue, on packages with every layout that Debian has used.

use std::io::Cursor;

use binfmt_nix::qemu::catalog::generate::{generate_catalog, pool_path};
use binfmt_nix::qemu::catalog::{Catalog, DigestOrigin};
use binfmt_nix::sha256::Sha256;

use crate::support::package::{add, link, packed, program, program_of};

type Tar = tar::Builder<Vec<u8>>;
type Deb<'a> = (&'a str, &'a dyn Fn(&mut Tar));

/// Generates a catalogue of packages with these names and files.
fn catalogue(packages: &[Deb<'_>]) -> Result<Catalog, String> {
    let deb = |(name, fill): &Deb<'_>| {
        let mut tar = Tar::new(Vec::new());
        fill(&mut tar);
        (pool_path(name), Cursor::new(packed(&tar.into_inner().unwrap())))
    };
    generate_catalog(&mut packages.iter().map(deb).collect::<Vec<_>>()).map_err(|e| e.to_string())
}

/// Checks that no catalogue is generated from a package with these files, for this reason.
#[track_caller]
fn refused(why: &str, fill: impl Fn(&mut Tar)) {
    let error = catalogue(&[("qemu-user_1-1_amd64.deb", &fill)]).unwrap_err();
    assert!(error.contains("pool/main/q/qemu/qemu-user_1-1_amd64.deb") && error.contains(why), "{error}");
}

/// qemu-user-static: programs with -static names, formerly with a script beside them. The version of the package lacks
/// the point release of QEMU, so that it is read from the programs.
#[test]
fn packages_before_9_1_have_programs_with_static_names() {
    let catalog = catalogue(&[("qemu-user-static_7.2+dfsg-7+deb12u18+b3_amd64.deb", &|tar| {
        add(tar, "qemu-aarch64-static", &program_of("7.2.22", "aarch64", 5000));
        add(tar, "qemu-debootstrap", b"#!/bin/sh\n");
        add(tar, "qemu-riscv64-static", &program_of("7.2.22", "riscv64", 6000));
        link(tar, "qemu-arm64-static", "qemu-aarch64-static");
    })]);
    let package = catalog.unwrap().packages.remove(0);
    assert_eq!((package.host.as_str(), package.qemu_version.as_str()), ("x86_64", "7.2.22"));
    assert_eq!(package.vouched, DigestOrigin::HashedHere);
    let targets: Vec<_> = package.members.iter().map(|member| member.target.as_str()).collect();
    assert_eq!(targets, ["aarch64", "riscv64"]);
    assert_eq!(package.members[1].sha256, Sha256::of_bytes(&program_of("7.2.22", "riscv64", 6000)));
}

/// qemu-user since 9.1: the static names and Debian's own names are links. A link comes before or after its target.
#[test]
fn packages_since_9_1_have_links_with_static_names() {
    let catalog = catalogue(&[("qemu-user_11.1.3+ds-1~bpo13+1_amd64.deb", &|tar| {
        link(tar, "qemu-aarch64-static", "qemu-aarch64");
        add(tar, "qemu-aarch64", &program_of("11.1.3", "aarch64", 5000));
        link(tar, "qemu-arm64", "qemu-aarch64");
    })]);
    let package = catalog.unwrap().packages.remove(0);
    assert_eq!((package.qemu_version.as_str(), package.members.len()), ("11.1.3", 1));
    assert_eq!(package.members[0].target, "aarch64");
}

#[test]
fn several_releases_keep_their_order() {
    let of = |version: &'static str| move |tar: &mut Tar| add(tar, "qemu-arm", &program_of(version, "arm", 3000));
    let (newer, older) = (of("11.1.3"), of("7.2.22"));
    let catalog = catalogue(&[("b_1_amd64.deb", &older), ("a_1_amd64.deb", &newer)]).unwrap();
    let version =
        |wanted: &str| catalog.package_of_version("x86_64", &wanted.parse().unwrap()).unwrap().qemu_version.clone();
    assert_eq!(catalog.package_for("x86_64").unwrap().qemu_version, "7.2.22");
    assert_eq!((version("7.2"), version("11")), ("7.2.22".to_owned(), "11.1.3".to_owned()));
    let error = catalogue(&[("b_1_amd64.deb", &older), ("a_1_amd64.deb", &older)]).unwrap_err();
    assert!(error.contains("a_1_amd64.deb") && error.contains("a second package of QEMU 7.2.22"), "{error}");
}

/// Debian 12's qemu-user.
#[test]
fn a_dynamic_program_is_refused() {
    refused("qemu-arm cannot be used: it is dynamically linked", |tar| {
        let mut dynamic = program("arm", 3000);
        dynamic[64] = 3; // PT_INTERP
        add(tar, "qemu-arm", &dynamic);
    });
}

/// Debian 13's qemu-user-static.
#[test]
fn a_package_of_links_is_refused() {
    refused("it has no usr/bin/qemu-* that is a program", |tar| link(tar, "qemu-arm-static", "qemu-arm"));
}

#[test]
fn a_package_with_mixed_releases_or_duplicates_is_refused() {
    refused("qemu-arm is 7.2.22 for x86_64, another one 10.0.13 for x86_64", |tar| {
        add(tar, "qemu-aarch64", &program("aarch64", 3000));
        add(tar, "qemu-arm", &program_of("7.2.22", "arm", 3000));
    });
    let both = |tar: &mut Tar| {
        add(tar, "qemu-arm", &program("arm", 3000));
        add(tar, "qemu-arm-static", &program("arm", 3000));
    };
    let error = catalogue(&[("qemu-user_1-1_amd64.deb", &both)]).unwrap_err();
    assert!(error.contains("qemu-arm is listed twice"), "{error}");
}

#[test]
fn a_program_without_a_release_number_is_refused() {
    // The version text names another guest.
    refused("qemu-arm cannot be used: it does not contain", |tar| add(tar, "qemu-arm", &program("armeb", 3000)));
    refused("qemu-arm cannot be used: --version answered", |tar| {
        add(tar, "qemu-arm", &program_of("%s", "arm", 3000));
    });
}
