//! Setuid programs of a machine: an entry that takes one of them gets what users type into it, or its rights.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use binfmt_magic::{Arch, WINDOW};

use crate::host::{self, Host};

/// Finds the setuid programs in the directories of programs, each with its first bytes. Programs for other systems are
/// left out: an entry for their system takes them.
pub fn find_setuid_programs(host: &Host) -> Vec<(PathBuf, Vec<u8>)> {
    const DIRS: [&str; 14] = [
        "/usr/bin",
        "/usr/sbin",
        "/bin",
        "/sbin",
        "/usr/local/bin",
        "/usr/local/sbin",
        "/usr/libexec",
        "/usr/lib/openssh",
        "/usr/lib/dbus-1.0",
        "/usr/lib/polkit-1",
        "/usr/lib/policykit-1",
        "/usr/lib/xorg",
        "/run/wrappers/bin",
        "/opt/bin",
    ];
    let is_dir = |dir: &&&str| host.lstat(Path::new(dir)).is_ok_and(|meta| meta.is_some_and(|meta| meta.is_dir()));
    let own = Arch::of_host(&host::env::kernel_release().0);
    let is_foreign = |head: &[u8]| {
        let matching = Arch::ALL.iter().find(|arch| arch.pattern().matches(head));
        matching.is_some_and(|arch| own.is_some_and(|own| own.target != arch.target))
    };
    let mut found = Vec::new();
    for dir in DIRS.iter().filter(is_dir).map(Path::new) {
        for name in host.list_dir(dir).unwrap_or_default() {
            let path = dir.join(name);
            let is_setuid = |meta: std::fs::Metadata| meta.is_file() && meta.permissions().mode() & 0o6000 != 0;
            if !host.lstat(&path).is_ok_and(|meta| meta.is_some_and(is_setuid)) {
                continue;
            }
            let head = host::user_files::read_path_head(&host.real_path(&path), WINDOW as u64).unwrap_or_default();
            if !is_foreign(&head) {
                found.push((path, head));
            }
        }
    }
    found
}
