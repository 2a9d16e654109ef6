//! Gathers facts about the environment: containers, WSL, SELinux, an emulator of the whole system.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use binfmt_magic::{Arch, WINDOW};

use crate::binfmt::container;
use crate::diagnose::doctor::snapshot::{Environment, KernelSupport};
use crate::host::{self, Host};
use crate::register::facts::Facts;

pub(super) fn gather_environment(host: &Host, facts: &Facts) -> Environment {
    let release = host.read_lossy(Path::new("/proc/sys/kernel/osrelease")).unwrap_or_default().to_lowercase();
    Environment {
        user_namespace: host.is_live() && facts.in_user_namespace,
        container: container::detect_kind(host),
        table_is_younger: host.is_live() && container::is_table_newer(host).unwrap_or(false),
        wsl: release.contains("microsoft"),
        selinux: facts.selinux.clone(),
        emulated: host.is_live() && is_emulated(&facts.machine),
        refuses_personality_32: facts.refuses_personality_32,
        has_kvm: host.exists(Path::new("/dev/kvm")),
        namespaces: if host.is_live() { test_namespaces(host) } else { None },
    }
}

/// Whether the whole system runs in an emulator. Then every process is an emulator, and the emulator answers `uname
/// -m`, but the executable of the parent process is for another machine.
fn is_emulated(machine: &str) -> bool {
    let parent = Path::new("/proc").join(nix::unistd::getppid().to_string()).join("exe");
    let Ok(head) = host::user_files::read_path_head(&parent, WINDOW as u64) else { return false };
    let Some(own) = Arch::of_host(machine) else { return false };
    // A 32-bit personality changes `uname -m` within a family, without emulation.
    let families = [["x86_64", "i386"], ["aarch64", "arm"], ["ppc64", "ppc"], ["s390x", "s390"]];
    let is_for = |arch: &Arch| arch.headers().iter().any(|sample| sample.get(18..20) == head.get(18..20));
    let related = families.iter().find(|pair| pair.contains(&own.target));
    let related = related.into_iter().flatten().filter_map(|target| Arch::by_target(target));
    head.starts_with(b"\x7fELF") && !is_for(own) && !related.into_iter().any(is_for)
}

/// Whether the namespaces of Nix's sandbox can be created: a mount and a process namespace, and a new /proc. `None`
/// without unshare(1).
fn test_namespaces(host: &Host) -> Option<bool> {
    let unshare = host.find_trusted_program(&["/usr/bin/unshare", "/bin/unshare"])?;
    let mut args = vec!["--mount", "--pid", "--fork", "--mount-proc", "/bin/true"];
    if host::env::effective_ids().0 != 0 {
        args.splice(0..0, ["--user", "--map-root-user"]);
    }
    host::process::run_program(&unshare, &args).ok().map(|output| output.status.success())
}

/// Finds out whether binfmt_misc is loaded, built in, or a module of the running kernel. `None` without /proc.
pub(super) fn find_support(host: &Host) -> Option<KernelSupport> {
    let loaded = host.read_lossy(Path::new("/proc/filesystems"))?;
    if loaded.lines().any(|line| line.split_whitespace().last() == Some("binfmt_misc")) {
        return Some(KernelSupport::Loaded);
    }
    let release = host.read_lossy(Path::new("/proc/sys/kernel/osrelease")).unwrap_or_default();
    let dirs = ["/lib/modules", "/usr/lib/modules", "/run/booted-system/kernel-modules/lib/modules"];
    let lists = dirs
        .iter()
        .flat_map(|dir| ["modules.dep", "modules.builtin"].map(|list| Path::new(dir).join(release.trim()).join(list)));
    let is_listed = lists.filter_map(|list| host.read_lossy(&list)).any(|list| list.contains("/binfmt_misc.ko"));
    Some(if is_listed { KernelSupport::Unloaded } else { KernelSupport::Missing })
}

/// Finds foreign setuid programs called sudo in the unpacked images of docker, podman and containerd, one for each
/// system.
pub(super) fn find_foreign_sudo(host: &Host) -> BTreeMap<&'static str, PathBuf> {
    const LAYERS: [(&str, &str); 3] = [
        ("/var/lib/containers/storage/overlay", "diff"),
        ("/var/lib/docker/overlay2", "diff"),
        ("/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots", "fs"),
    ];
    let mut found = BTreeMap::new();
    for (dir, inner) in LAYERS {
        for layer in host.list_dir(Path::new(dir)).unwrap_or_default() {
            // A program in a container may change what the path leads to at any time.
            let below = Path::new(inner).join("usr/bin/sudo");
            let Ok(file) = host.open_without_links(&Path::new(dir).join(&layer), &below) else { continue };
            let is_setuid = file.metadata().is_ok_and(|meta| meta.permissions().mode() & 0o4000 != 0);
            let head = host::user_files::read_head(&file, WINDOW as u64).unwrap_or_default();
            let arch = Arch::ALL.iter().find(|arch| arch.pattern().matches(&head)).filter(|_| is_setuid);
            if let Some(arch) = arch {
                found.entry(arch.target).or_insert_with(|| Path::new(dir).join(&layer).join(&below));
            }
        }
    }
    found
}
