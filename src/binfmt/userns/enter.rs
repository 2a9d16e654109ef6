//! Into the namespace, the table and back to oneself: the part that acts.
//!
//! Nothing here may be done while the process has a second thread.

use std::path::Path;

use binfmt_magic::Rule;

use super::MAP_IDS;
use crate::binfmt::table;
use crate::binfmt::userns::id_map::IdMapping;
use crate::binfmt::userns::limits;
use crate::binfmt::userns::limits::NamespaceLimits;
use crate::error::{Error, Result};
use crate::host::{self, Host, IdMapper, NamespaceError};

/// Makes a namespace with a table that holds these rules, the older ones first,
/// and moves into it. Returns those of the older ones that could not be kept,
/// and why.
pub fn enter_namespace(host: &Host, mapping: &IdMapping, older: &[&Rule], ours: &[Rule]) -> Result<Vec<String>> {
    let explained =
        |refusal: NamespaceError| limits::explain_refusal(refusal.step, &refusal.source, &read_limits(host));
    let (uid, gid) = host::env::effective_ids();
    let mapper = start_mapper(host, mapping)?;
    host::namespaces::unshare_users_and_mounts().map_err(explained)?;
    match mapper {
        Some(mapper) => mapper.map_ids()?,
        None => host::namespaces::map_own_ids(&[(0, uid, 1)], &[(0, gid, 1)], true).map_err(explained)?,
    }
    mount_private_table(host)?;
    let mut lost = Vec::new();
    for rule in older {
        if let Err(error) = table::add_entry(host, rule) {
            lost.push(format!("{} is not there: {error}", String::from_utf8_lossy(rule.name.as_bytes())));
        }
    }
    for rule in ours {
        table::add_entry(host, rule)?;
    }
    if *mapping == IdMapping::CallerOnly {
        host::namespaces::unshare_users().map_err(explained)?;
        host::namespaces::map_own_ids(&[(uid, 0, 1)], &[(gid, 0, 1)], false).map_err(explained)?;
    }
    Ok(lost)
}

/// A process that stays outside, where it has the right to map ids.
fn start_mapper(host: &Host, mapping: &IdMapping) -> Result<Option<IdMapper>> {
    match mapping {
        IdMapping::CallerOnly => Ok(None),
        IdMapping::AllIds { uids, gids } => host::namespaces::start_mapper(MAP_IDS, None, uids, gids).map(Some),
        IdMapping::Subordinate { uids, gids } => {
            let programs = [["/usr/bin/newuidmap"], ["/usr/bin/newgidmap"]];
            match programs.map(|places| host.find_trusted_program(&places)) {
                [Some(uid), Some(gid)] => {
                    host::namespaces::start_mapper(MAP_IDS, Some([&uid, &gid]), uids, gids).map(Some)
                }
                _ => Err(Error::Unsupported {
                    what: "--map-root needs /usr/bin/newuidmap and /usr/bin/newgidmap".into(),
                    hint: "install them: the package is called uidmap (Debian), shadow-utils (Fedora), shadow (Arch)"
                        .into(),
                }),
            }
        }
    }
}

/// The first mount of a boot loads the module, but there is no directory to
/// mount it on before that: it comes with the module.
fn mount_private_table(host: &Host) -> Result<()> {
    let table = Path::new(table::DIR);
    if let (false, Some(above)) = (host.exists(table), table.parent()) {
        // Whether that helped shows below.
        if host.mount_binfmt_misc(above).is_ok() {
            host.unmount(above)?;
        }
    }
    host.mount_binfmt_misc(table).map_err(|errno| {
        limits::explain_refusal("mount binfmt_misc on /proc/sys/fs/binfmt_misc", &errno.into(), &read_limits(host))
    })
}

/// What a refusal of this machine is explained by.
pub fn read_limits(host: &Host) -> NamespaceLimits {
    let peek = |path: &str| host.read_lossy(Path::new(path));
    let status = peek("/proc/self/status");
    let seccomp = |text: &String| {
        text.lines().any(|line| matches!(line.strip_prefix("Seccomp:"), Some(mode) if mode.trim() != "0"))
    };
    NamespaceLimits {
        proc: status.is_some(),
        max_namespaces: peek("/proc/sys/user/max_user_namespaces"),
        debian_userns_sysctl: peek("/proc/sys/kernel/unprivileged_userns_clone"),
        apparmor: peek("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"),
        seccomp: status.as_ref().is_some_and(seccomp),
    }
}
