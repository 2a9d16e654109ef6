//! A receipt. If the tool accepts it, it names only files of this tool, and writing it gives the same receipt.
#![no_main]

use std::path::Path;

use binfmt_nix::paths;
use binfmt_nix::register::receipt::Receipt;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(receipt) = Receipt::parse(bytes) else { return };
    let text = receipt.to_text().expect("a receipt is JSON");
    assert_eq!(Receipt::parse(&text).ok().as_ref(), Some(&receipt));
    for path in receipt.records.iter().filter_map(|record| record.made.path()) {
        let names = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut homes = paths::written_dirs().chain([Path::new(paths::OWN_DIR)]);
        let home = path.parent().is_some_and(|dir| homes.any(|home| home == dir));
        let is_own = names.contains("binfmt-nix") || names.starts_with("qemu-") || names.starts_with("nix.");
        let file = home && (is_own || path == Path::new("/etc/wsl.conf"));
        let is_whole = paths::managed_dirs().any(|dir| dir == path) || path.starts_with(paths::NATIVE_DIR);
        assert!(file || is_whole, "{}", path.display());
        assert!(path.is_absolute() && !path.components().any(|part| part.as_os_str() == ".."));
        assert!(path != Path::new("/"));
    }
});
