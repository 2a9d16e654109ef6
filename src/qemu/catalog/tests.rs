//! Tests of the catalogue that this program is built with.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use binfmt_magic::Arch;

use super::*;

#[test]
fn the_default_has_33_guests_for_both_hosts() {
    let catalog = Catalog::embedded().unwrap();
    for host in ["x86_64", "aarch64"] {
        let package = catalog.package_for(host).unwrap();
        assert_eq!(package.members.len(), 33, "{host}");
        assert_eq!(package.qemu_version, "10.0.13");
    }
    assert!(catalog.package_for("riscv64").is_none());
}

#[test]
fn every_release_has_every_guest_for_both_hosts() {
    let catalog = Catalog::embedded().unwrap();
    for host in ["x86_64", "aarch64"] {
        let versions: Vec<_> = catalog.packages_for(host).map(|package| package.qemu_version.as_str()).collect();
        assert_eq!(versions, ["10.0.13", "11.1.3", "7.2.22"], "{host}");
        for package in catalog.packages_for(host) {
            for arch in Arch::ALL {
                assert!(package.find_member(arch.target).is_some(), "{} lacks {}", package.path, arch.target);
            }
        }
    }
}

#[test]
fn a_release_is_found_by_its_version_or_its_series() {
    let catalog = Catalog::embedded().unwrap();
    let found = |wanted: &str| catalog.package_of_version("aarch64", &wanted.parse().unwrap());
    for (wanted, version) in
        [("7.2", "7.2.22"), ("7.2.22", "7.2.22"), ("10.0.13", "10.0.13"), ("10", "10.0.13"), ("11.1", "11.1.3")]
    {
        let package = found(wanted).unwrap();
        assert_eq!((package.host.as_str(), package.qemu_version.as_str()), ("aarch64", version), "{wanted}");
    }
    let error = found("10.0.12").unwrap_err().to_string();
    assert_eq!(error, "no QEMU 10.0.12 is known for aarch64 hosts; known are 10.0.13, 11.1.3, 7.2.22");
    let error = catalog.package_of_version("s390x", &"10.0".parse().unwrap()).unwrap_err().to_string();
    assert_eq!(error, "no QEMU 10.0 is known for s390x hosts; none is");
}

#[test]
fn a_series_means_its_newest_release() {
    let mut catalog = Catalog::embedded().unwrap().clone();
    for (package, version) in catalog.packages.iter_mut().zip(["10.0.9", "10.0.13", "10.0.13", "10.0.9", "10.0.2"]) {
        package.qemu_version = version.to_owned();
    }
    let package = catalog.package_of_version("x86_64", &"10.0".parse().unwrap()).unwrap();
    assert_eq!(package.qemu_version, "10.0.13");
}

/// The expected digests are those of the `Packages` files of trixie 13.8, trixie-backports and bookworm 12.15, as
/// signed in November 2026.
#[test]
fn the_digests_are_those_of_debians_signed_index() {
    let signed = [
        (
            "qemu-user_10.0.13+ds-0+deb13u1_amd64.deb",
            71_089_852,
            "ca6ede739327a20ae5a3498230c8a3a9a072c586e131bc6bcc1201eb1725e336",
        ),
        (
            "qemu-user_10.0.13+ds-0+deb13u1_arm64.deb",
            64_178_608,
            "c73711af02b97cd5e2667e735d9c06890c57165517110ca4e646c95a7083158d",
        ),
        (
            "qemu-user_11.1.3+ds-1~bpo13+1_amd64.deb",
            70_501_080,
            "c22209644efe80e5d7f5ac67d319dc1d91f9f977a3a1cee734952c97d6097172",
        ),
        (
            "qemu-user_11.1.3+ds-1~bpo13+1_arm64.deb",
            63_682_680,
            "ef95ad07d63b8111c1dab7956e54a374c02b95d3916ec06323a3df8b2caeabe9",
        ),
        (
            "qemu-user-static_7.2+dfsg-7+deb12u18+b3_amd64.deb",
            62_603_724,
            "c3e3ba2bd87f8c5b9a5da5ef21b5a3b82d7c63b89dd448d9ddaa4eabc5b6e402",
        ),
        (
            "qemu-user-static_7.2+dfsg-7+deb12u18+b3_arm64.deb",
            56_490_396,
            "e420c417c12b42ca774795b62888d5388da0e08c1ef263dea1490e5ce4e32a0b",
        ),
    ];
    let catalog = Catalog::embedded().unwrap();
    let pinned = catalog.packages.iter().map(|package| (package.file_name(), package.size, package.sha256.to_string()));
    assert!(pinned.eq(signed.map(|(name, size, sha256)| (name, size, sha256.to_owned()))));
    let aarch64 = catalog.package_for("x86_64").unwrap().find_member("aarch64").unwrap();
    let pinned = "73cc2584f119f9e74c85c0a8549dbb6fd104ae3897a06a7500797f9e5b4d0943";
    assert_eq!((aarch64.size, aarch64.sha256.to_string().as_str()), (16_661_520, pinned));
}

#[test]
fn formatting_the_catalogue_gives_the_same_text() {
    let catalog = Catalog::embedded().unwrap();
    assert_eq!(catalog.to_json().unwrap(), include_str!("catalog.json"));
}
