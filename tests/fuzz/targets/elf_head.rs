//! The first bytes of a file that may be an emulator.
#![no_main]

use binfmt_magic::Arch;
use binfmt_nix::qemu::binary::check_binary;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|head: &[u8]| {
    for machine in ["x86_64", "aarch64", "i686", "s390x", "ppc64le", "riscv64", "vax"] {
        if check_binary(head, machine).is_ok() {
            assert!(head.starts_with(b"\x7fELF") && Arch::of_host(machine).is_some());
        }
    }
    let rows = Arch::ALL.iter().filter(|arch| arch.pattern().matches(head)).count();
    assert!(rows < 2, "two rules match the same program");
});
