//! Output of `qemu-TARGET --version`.
#![no_main]

use binfmt_nix::qemu::binary::{QemuVersion, parse_version};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|output: &str| {
    let _ = QemuVersion::parse(output);
    if let Ok(version) = parse_version(output, "qemu-arm") {
        assert!(output.trim_start().starts_with("qemu-arm"));
        assert_eq!(QemuVersion::parse(&version.to_string()), Some(version));
    }
});
