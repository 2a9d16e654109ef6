//! Enters a new user namespace with its own table: the part of `run` that acts.
//!
//! The process must have only one thread while these functions run.

use std::path::Path;

use binfmt_magic::Rule;

use super::MAP_IDS;
use crate::binfmt::table;
use crate::binfmt::userns::id_map::{self, IdMapping};
use crate::binfmt::userns::limits;
use crate::binfmt::userns::limits::NamespaceLimits;
use crate::binfmt::userns::run_table::RunTable;
use crate::error::{Error, Result};
use crate::host::{self, Host, IdMapper, NamespaceError};
use crate::sanitize::text_of_bytes;

/// Creates a user namespace, moves into it, and mounts a table there that holds the inherited rules, then the own
/// rules. `mark` marks the table. Returns a line for each inherited rule that could not be registered, with the reason.
pub fn enter_namespace(
    host: &Host,
    mapping: &IdMapping,
    mark: &RunTable,
    inherited: &[&Rule],
    rules: &[Rule],
) -> Result<Vec<String>> {
    let names = rules.iter().map(|rule| text_of_bytes(rule.name.as_bytes()));
    let systems = names.map(|name| name.trim_start_matches("qemu-").to_owned()).collect::<Vec<_>>().join(" ");
    let explained =
        |refusal: NamespaceError| limits::explain_refusal(refusal.step, &refusal.source, &read_limits(host), &systems);
    let (uid, gid) = host::env::effective_ids();
    let mapper = start_mapper(host, mapping)?;
    host::namespaces::unshare_users_and_mounts().map_err(explained)?;
    match mapper {
        Some(mapper) => mapper.map_ids()?,
        None => host::namespaces::map_own_ids(&[(0, uid, 1)], &[(0, gid, 1)], true).map_err(explained)?,
    }
    mount_private_table(host, &mark.mount_source(), &systems)?;
    let mut lost = Vec::new();
    for rule in inherited {
        if let Err(error) = table::add_entry(host, rule) {
            lost.push(format!("{} could not be inherited: {error}", text_of_bytes(rule.name.as_bytes())));
        }
    }
    for rule in rules {
        table::add_entry(host, rule)?;
    }
    if *mapping == IdMapping::CallerOnly {
        host::namespaces::unshare_users().map_err(explained)?;
        host::namespaces::map_own_ids(&[(uid, 0, 1)], &[(gid, 0, 1)], false).map_err(explained)?;
    }
    Ok(lost)
}

/// Returns the mapping of a new namespace that has all ids of this one.
pub fn keep_all_ids() -> IdMapping {
    let [uids, gids] = ["uid_map", "gid_map"].map(|map| id_map::split_full_range(host::namespaces::own_id_ranges(map)));
    IdMapping::AllIds { uids, gids }
}

/// Moves this process into a user namespace whose table is empty: the entries of the machine are not in force there.
pub fn enter_empty_table(host: &Host, system: &str) -> Result<()> {
    let explained =
        |refusal: NamespaceError| limits::explain_refusal(refusal.step, &refusal.source, &read_limits(host), system);
    let (uid, gid) = host::env::effective_ids();
    host::namespaces::unshare_users_and_mounts().map_err(explained)?;
    host::namespaces::map_own_ids(&[(0, uid, 1)], &[(0, gid, 1)], true).map_err(explained)?;
    mount_private_table(host, "binfmt_misc", system)
}

/// Starts the process that stays outside, where it has the right to map ids; `None` if the caller maps its own id.
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

/// Mounts the table of the new namespace. The first mount after a boot loads the module, but only the module creates
/// the directory of the table. So if the directory is missing, the first mount is on the parent directory, for a
/// moment.
fn mount_private_table(host: &Host, source: &str, systems: &str) -> Result<()> {
    let table = Path::new(table::DIR);
    if let (false, Some(parent)) = (host.exists(table), table.parent()) {
        // The mount below shows whether this succeeded.
        if host.mount_binfmt_misc(parent).is_ok() {
            host.unmount(parent)?;
        }
    }
    host.mount_binfmt_misc_from(source, table).map_err(|errno| {
        let step = "mount binfmt_misc on /proc/sys/fs/binfmt_misc";
        limits::explain_refusal(step, &errno.into(), &read_limits(host), systems)
    })
}

/// Reads the limits of this machine that explain a failed attempt.
pub fn read_limits(host: &Host) -> NamespaceLimits {
    let read = |path: &str| host.read_lossy(Path::new(path));
    let status = read("/proc/self/status");
    let has_seccomp = |text: &String| {
        text.lines().any(|line| matches!(line.strip_prefix("Seccomp:"), Some(mode) if mode.trim() != "0"))
    };
    NamespaceLimits {
        proc: status.is_some(),
        max_namespaces: read("/proc/sys/user/max_user_namespaces"),
        debian_userns_sysctl: read("/proc/sys/kernel/unprivileged_userns_clone"),
        apparmor: read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"),
        seccomp: status.as_ref().is_some_and(has_seccomp),
    }
}
