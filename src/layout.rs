//! Where our own things go. Logical paths, joined to the root by `Host`.

use std::path::{Path, PathBuf};

use binfmt_magic::Arch;

use crate::{boot, interpreter, nix, receipt};

/// The emulators' directory.
pub const INTERPRETERS: &str = "/usr/local/libexec/binfmt-nix";

/// The lock's file; never deleted, so that two processes always meet there.
pub const LOCK: &str = "/run/binfmt-nix.lock";

/// Where a target's emulator is installed.
pub fn interpreter(arch: &Arch) -> PathBuf {
    Path::new(INTERPRETERS).join(interpreter::binary(arch))
}

/// The names that a target's entry may have in the kernel's table: the second, above an entry of somebody else's that
/// has the first.
pub fn entries(arch: &Arch) -> [String; 2] {
    [interpreter::binary(arch), format!("binfmt-nix-{}", arch.target)]
}

/// The directories that all our files are in.
pub fn homes() -> [&'static Path; 4] {
    [INTERPRETERS, receipt::DIR, boot::DIR, nix::CONF_DIR].map(Path::new)
}

/// Every directory that may have to be made, parents first.
pub fn dirs() -> impl Iterator<Item = &'static Path> {
    homes().into_iter().flat_map(|home| {
        let mut chain: Vec<_> = home.ancestors().filter(|dir| dir.parent().is_some()).collect();
        chain.reverse();
        chain
    })
}
