//! A list of packages: once as plain text, once as a file that xz compressed.
#![no_main]

use binfmt_nix::qemu::debian::PoolPackage;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    for found in [PoolPackage::find(data, "amd64"), PoolPackage::find_packed(data, "amd64")] {
        let Ok(Some(package)) = found else { continue };
        let version = package.checked_version("amd64").expect("find() has checked it");
        assert_eq!(version.to_string(), package.version);
        assert!(package.path.starts_with("pool/") && !package.path.contains("/.") && package.size > 0);
        assert!(package.path.bytes().all(|byte| byte.is_ascii_graphic()));
        assert!(version.qemu_version().is_none_or(|release| package.version.contains(&release.0.to_string())));
    }
});
