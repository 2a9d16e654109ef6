//! Every path and file name that this tool owns. All are logical paths, which [`Host`](crate::host::Host) joins to its
//! root.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use binfmt_magic::Arch;

/// Directory below which this tool has its programs.
pub const OWN_DIR: &str = "/usr/local/libexec/binfmt-nix";
/// Directory of the installed emulators, and of the copy of this program.
///
/// Policies of SELinux label `/usr/**/bin` as programs (`bin_t`), and other files in /usr/local/libexec as data (`usr_t`),
/// which systemd-binfmt may not execute (`/usr/(.*/)?bin(/.*)?` in refpolicy's and Fedora's `corecommands.fc`; asked
/// matchpathcon with Debian's policy 2.20221101).
pub const EMULATOR_DIR: &str = "/usr/local/libexec/binfmt-nix/bin";

/// Directory of the native programs that run in emulated builds.
pub const NATIVE_DIR: &str = "/usr/local/libexec/binfmt-nix/native";

/// Copy of this program that a boot hook starts.
pub const PROGRAM: &str = "/usr/local/libexec/binfmt-nix/bin/binfmt-nix";
/// Program that a package installs, and that a boot hook starts instead of a copy.
pub const PACKAGED_PROGRAM: &str = "/usr/bin/binfmt-nix";

/// Lock file of every change.
pub const LOCK: &str = "/run/binfmt-nix-change.lock";
/// Lock file of `register --watch`: one process on a machine may watch.
pub const WATCH_LOCK: &str = "/run/binfmt-nix-watcher.lock";

/// Directory of the tool's state.
pub const RECEIPT_DIR: &str = "/var/lib/binfmt-nix";
/// Path of the receipt. Its mode is 0644: it holds no secrets, and `status` reads it.
pub const RECEIPT: &str = "/var/lib/binfmt-nix/receipt.json";
/// Name of the receipt in its directory.
pub const RECEIPT_NAME: &str = "receipt.json";
/// Name of a probe program in its temporary directory.
pub const PROBE_NAME: &str = "probe";
/// Names of the files that are placed in directories with temporary names.
pub const TEMP_DIR_FILES: [&str; 2] = [RECEIPT_NAME, PROBE_NAME];

/// The administrator's directory of binfmt.d(5), where the boot rules are written.
pub const BINFMT_D: &str = "/etc/binfmt.d";

/// Directory of Nix's configuration. `NIX_CONF_DIR` is ignored, because the daemon does not get the caller's
/// environment.
pub const NIX_DIR: &str = "/etc/nix";
/// Candidates for the nix.conf that users edit. Where Determinate Nix owns the first, it is the second.
pub const NIX_CONFS: [&str; 2] = ["/etc/nix/nix.conf", "/etc/nix/nix.custom.conf"];
/// The tool's own configuration file, which nix.conf includes.
pub const NIX_OWN_CONF: &str = "/etc/nix/binfmt-nix.conf";

/// Returns the file name of a system's emulator.
pub fn emulator_name(arch: &Arch) -> String {
    format!("qemu-{}", arch.target)
}

/// Returns the path where a system's emulator is installed.
pub fn interpreter_path(arch: &Arch) -> PathBuf {
    Path::new(EMULATOR_DIR).join(emulator_name(arch))
}

/// Returns the path where the emulator is kept that the last upgrade replaced.
pub fn previous_path(arch: &Arch) -> PathBuf {
    Path::new(EMULATOR_DIR).join(format!("{}.previous", emulator_name(arch)))
}

/// Returns the path of a system's emulator with a launcher for native programs.
pub fn accelerator_path(arch: &Arch) -> PathBuf {
    Path::new(EMULATOR_DIR).join(format!("{}.accelerator", emulator_name(arch)))
}

/// Returns the directory of the native programs that are started instead of programs of a system.
pub fn native_dir(arch: &Arch) -> PathBuf {
    Path::new(NATIVE_DIR).join(arch.target)
}

/// Returns the path where earlier versions installed a system's emulator.
pub fn old_interpreter_path(arch: &Arch) -> PathBuf {
    Path::new(OWN_DIR).join(emulator_name(arch))
}

/// Returns the path of a system's boot rule (binfmt.d(5)).
pub fn boot_rule(arch: &Arch) -> PathBuf {
    Path::new(BINFMT_D).join(format!("zz-binfmt-nix-{}.conf", arch.target))
}

/// Returns the path of the boot rule of an own rule with this name.
pub fn own_rule_file(name: &str) -> PathBuf {
    let prefix = if name.starts_with(ACCELERATED_PREFIX) { ACCELERATED_FILE_PREFIX } else { OWN_RULE_PREFIX };
    Path::new(BINFMT_D).join(format!("{prefix}{name}.conf"))
}

/// Returns the rule whose boot rule is in the file of this name, if it is one that `accelerate` registers.
pub fn accelerated_rule(file_name: &OsStr) -> Option<&str> {
    file_name.to_str()?.strip_prefix(ACCELERATED_FILE_PREFIX)?.strip_suffix(".conf")
}

/// Start of the names of the rules that `accelerate` registers. The name of the system follows, and that of the program.
pub const ACCELERATED_PREFIX: &str = "accelerate-";
/// Start of the names of their boot rules. The last rule takes precedence, and systemd-binfmt sorts the files by name, so
/// they come after the rules of the systems.
pub const ACCELERATED_FILE_PREFIX: &str = "zzz-binfmt-nix-";

/// Start of the names of boot rules of own rules. No system has a name that begins so.
pub const OWN_RULE_PREFIX: &str = "zz-binfmt-nix-rule-";

/// Returns the names that a system's entry may have in the kernel's table. The second is used to take precedence over
/// another tool's entry that has the first. During an upgrade, an entry with one of the names after the first stands in for
/// the one that is replaced.
pub fn entry_names(arch: &Arch) -> [String; 4] {
    let second = format!("binfmt-nix-{}", arch.target);
    [emulator_name(arch), second.clone(), format!("{second}-2"), format!("{second}-3")]
}

/// Returns the names that the entry of an own rule may have. One of those after the first stands in for it while it is
/// replaced.
pub fn own_rule_entry_names(name: &str) -> [String; 4] {
    let second = format!("binfmt-nix-rule-{name}");
    [name.to_owned(), second.clone(), format!("{second}-2"), format!("{second}-3")]
}

/// Returns the directories that hold the tool's files.
pub fn home_dirs() -> [&'static Path; 4] {
    [EMULATOR_DIR, RECEIPT_DIR, BINFMT_D, NIX_DIR].map(Path::new)
}

/// Directories in which boot hooks have files, besides /etc with its wsl.conf.
pub const HOOK_DIRS: [&str; 10] = [
    "/etc/init.d",
    "/etc/rc2.d",
    "/etc/rc3.d",
    "/etc/rc4.d",
    "/etc/rc5.d",
    "/etc/runlevels/default",
    "/etc/runit/core-services",
    "/etc/systemd/system",
    "/etc/systemd/system/multi-user.target.wants",
    "/etc/cron.d",
];

/// Returns the directories in which this tool writes, and so may leave temporary files.
pub fn written_dirs() -> impl Iterator<Item = &'static Path> {
    let above_receipt = Path::new(RECEIPT_DIR).parent();
    home_dirs().into_iter().chain(above_receipt).chain(HOOK_DIRS.map(Path::new))
}

/// Returns every directory that may have to be created, parents first.
pub fn managed_dirs() -> impl Iterator<Item = &'static Path> {
    home_dirs().into_iter().chain(HOOK_DIRS.map(Path::new)).flat_map(|home| {
        let mut chain: Vec<_> = home.ancestors().filter(|dir| dir.parent().is_some()).collect();
        chain.reverse();
        chain
    })
}
