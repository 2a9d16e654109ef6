//! Indexes of packages (`Packages.xz`): finding one package in them.

use binfmt_nix::qemu::debian::PoolPackage;

use super::forge::{stanza, xz, xz_without_checksum};

fn find(list: &str) -> Result<Option<PoolPackage>, String> {
    let read = PoolPackage::find(list.as_bytes(), "amd64").map_err(|e| e.to_string());
    let packed = PoolPackage::find_packed(xz(list.as_bytes()).as_slice(), "amd64");
    assert_eq!(packed.map_err(|e| e.to_string()), read);
    read
}

fn good() -> String {
    stanza("qemu-user", "1:11.1.3+ds-1", "amd64")
}

#[test]
fn the_package_is_found_among_other_stanzas() {
    let wanted = find(&good()).unwrap().unwrap();
    assert_eq!(wanted.path, "pool/main/q/qemu/qemu-user_11.1.3+ds-1_amd64.deb");
    let others =
        [stanza("qemu-user-static", "2:1", "amd64"), stanza("qemu-user", "2:1", "arm64"), stanza("qemu", "1", "all")];
    let all = [&others.concat(), &good(), &others.concat()].map(String::as_str).concat();
    assert_eq!(find(&all).unwrap().unwrap(), wanted);
    assert_eq!(find(&all.replace("\n\n", "\n\n \n\n")).unwrap().unwrap(), wanted);
    assert_eq!(find(all.trim_end()), Err("it ends within a line, or has one of more than 1048576 bytes".to_owned()));
    assert_eq!(find(&others.concat()), Ok(None));
    assert_eq!(find(""), Ok(None));
}

/// All stanzas whose name begins with `qemu`, of the indexes of 2026-11-24: trixie, its backports, and trixie for arm64.
#[test]
fn the_recorded_stanzas_of_debian_are_read() {
    let of = |architecture| {
        PoolPackage::find_packed(&include_bytes!("../../../recorded/debian/qemu.Packages.xz")[..], architecture)
            .unwrap()
    };
    let newest = of("amd64").unwrap();
    assert_eq!(newest.path, "pool/main/q/qemu/qemu-user_11.1.3+ds-1~bpo13+1_amd64.deb");
    assert_eq!((newest.version.as_str(), newest.size), ("1:11.1.3+ds-1~bpo13+1", 70_501_080));
    let digest = "c22209644efe80e5d7f5ac67d319dc1d91f9f977a3a1cee734952c97d6097172";
    assert_eq!(newest.sha256.to_string(), digest);
    assert_eq!(of("arm64").unwrap().path, "pool/main/q/qemu/qemu-user_10.0.13+ds-0+deb13u1_arm64.deb");
    assert_eq!(of("riscv64"), None);
}

#[test]
fn the_newer_of_two_versions_is_chosen() {
    let (old, new) = (stanza("qemu-user", "1:11.1.3+ds-9", "amd64"), stanza("qemu-user", "1:11.1.3+ds-10", "amd64"));
    for list in [format!("{old}{new}"), format!("{new}{old}")] {
        assert_eq!(find(&list).unwrap().unwrap().version, "1:11.1.3+ds-10");
    }
}

#[test]
fn malformed_stanzas_are_refused() {
    for (from, to) in [
        ("Size: 71089852\n", ""),
        ("Size: 71089852\n", "Size: 71089852\nsize: 1\n"),
        ("Size: 71089852\n", "Size: -1\n"),
        ("Size: 71089852\n", "Size: 0\n"),
        ("Size: 71089852\n", "Size: 71089852000\n"),
        ("Size: 71089852\n", "Size: 71089852\n 1\n"),
        ("Size: 71089852\n", "Size 71089852\n"),
        ("SHA256: ", "SHA1: "),
        ("SHA256: ", "SHA256: 0"),
        ("Version: 1:", "Versions: 1:"),
        ("Version: 1:", "Version: x:"),
        ("Filename: pool", "Filename: /pool"),
        ("Filename: pool", "Filename: dists"),
        ("Filename: pool", "Filename: pool/.."),
        ("Filename: pool", "Filename: pool/."),
        ("Filename: pool", "Filename: pool/"),
        ("Filename: pool", "Filename: pool/%2e%2e"),
        ("Filename: pool", "Filename: pool/a b"),
        ("Filename: pool", "Filename: pool/\u{1b}"),
        ("_amd64.deb", "_arm64.deb"),
        ("_amd64.deb", "_amd64.deb#x"),
        ("Filename: ", "Files: "),
        ("Package: ", "Package: qemu-user\nPackage: "),
    ] {
        let harmed = good().replacen(from, to, 1);
        assert_ne!(harmed, good());
        assert!(find(&harmed).is_err(), "{harmed}");
    }
}

#[test]
fn damaged_and_oversized_indexes_are_refused() {
    let packed = xz(good().repeat(50).as_bytes());
    let find = |xz: &[u8]| PoolPackage::find_packed(xz, "amd64").map_err(|e| e.to_string());
    assert!(find(&packed).is_ok());
    assert!(find(&[packed.as_slice(), b"x"].concat()).is_err());
    assert!(find(good().as_bytes()).is_err());
    for end in 0..packed.len() {
        assert!(find(&packed[..end]).is_err(), "{end}");
        let mut harmed = packed.clone();
        harmed[end] ^= 0x10;
        assert!(find(&harmed).is_err(), "{end}");
    }
    let line = xz("x".repeat(2 << 20).as_bytes());
    assert!(find(&line).unwrap_err().contains("or has one of more than"));
    // 32 MiB, 17 times: above the limit.
    let many = xz_without_checksum(format!("A: {}\n", "x".repeat((1 << 20) - 5)).repeat(32).as_bytes());
    assert!(find(&many.repeat(15)).is_ok());
    let error = find(&many.repeat(17)).unwrap_err();
    assert!(error.contains("it unpacks to 536870912 bytes or more") || error.contains("ends within a line"), "{error}");
}
