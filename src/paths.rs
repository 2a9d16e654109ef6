//! Where our own things go. Logical paths, joined to the root by `Host`.

use std::path::{Path, PathBuf};

use binfmt_magic::Arch;

/// The emulators' directory.
pub const EMULATOR_DIR: &str = "/usr/local/libexec/binfmt-nix";

/// The lock's file; never deleted, so that two processes always meet there.
pub const LOCK: &str = "/run/binfmt-nix.lock";
/// The lock file of `register --hold`: one at a time on a machine. Never deleted either.
pub const HOLD_LOCK: &str = "/run/binfmt-nix-hold.lock";

/// Directory of the tool's state.
pub const RECEIPT_DIR: &str = "/var/lib/binfmt-nix";
/// The receipt itself, mode 0644: it holds no secrets, and `status` reads it.
pub const RECEIPT: &str = "/var/lib/binfmt-nix/receipt.json";
/// The receipt's name in its directory.
pub const RECEIPT_NAME: &str = "receipt.json";

/// The administrator's directory of binfmt.d(5), where our files go.
pub const BINFMT_D: &str = "/etc/binfmt.d";

/// Where Nix keeps its configuration. `NIX_CONF_DIR` is not asked: the daemon
/// does not get the caller's environment.
pub const NIX_DIR: &str = "/etc/nix";
/// What may be its nix.conf for people to edit: the second where Determinate Nix owns the first.
pub const NIX_CONFS: [&str; 2] = ["/etc/nix/nix.conf", "/etc/nix/nix.custom.conf"];
/// Our own file, beside the nix.conf that includes it.
pub const NIX_OWN_CONF: &str = "/etc/nix/binfmt-nix.conf";

/// The file name of a target's emulator.
pub fn emulator_name(arch: &Arch) -> String {
    format!("qemu-{}", arch.target)
}

/// Where a target's emulator is installed.
pub fn interpreter_path(arch: &Arch) -> PathBuf {
    Path::new(EMULATOR_DIR).join(emulator_name(arch))
}

/// Our file of binfmt.d(5) for one system.
pub fn boot_rule(arch: &Arch) -> PathBuf {
    Path::new(BINFMT_D).join(format!("zz-binfmt-nix-{}.conf", arch.target))
}

/// The names that a target's entry may have in the kernel's table: the second, above an entry of somebody else's that
/// has the first.
pub fn entry_names(arch: &Arch) -> [String; 2] {
    [emulator_name(arch), format!("binfmt-nix-{}", arch.target)]
}

/// The directories that all our files are in.
pub fn home_dirs() -> [&'static Path; 4] {
    [EMULATOR_DIR, RECEIPT_DIR, BINFMT_D, NIX_DIR].map(Path::new)
}

/// Every directory that may have to be made, parents first.
pub fn managed_dirs() -> impl Iterator<Item = &'static Path> {
    home_dirs().into_iter().flat_map(|home| {
        let mut chain: Vec<_> = home.ancestors().filter(|dir| dir.parent().is_some()).collect();
        chain.reverse();
        chain
    })
}
