//! Checks of containers, user namespaces and WSL, which determine the visible table and how long its entries last.

use std::path::Path;

use super::{Check, Occurrence, Snapshot, Urgency};
use crate::binfmt::table::Table;
use crate::paths;
use crate::sorted;

pub(super) const CHECKS: &[Check] = &[
    Check { id: "lxc-refuses", urgency: Urgency::Broken, run: check_lxc },
    Check { id: "own-table", urgency: Urgency::Fragile, run: check_own_table },
    Check { id: "dies-with-container", urgency: Urgency::Fragile, run: check_dies_with_container },
    Check { id: "wsl-interop-gone", urgency: Urgency::Broken, run: check_wsl },
];

/// Since Linux 6.7 a table belongs to a user namespace, and the entries end with it (commit 21ca59b365c0): a rootless
/// container prints "installing: arm64 OK", but the host has no entry (tonistiigi/binfmt#261, podman#26966). The table
/// of `run` is one of its own by intention. A user who is not root in the namespace cannot register anything there.
fn check_own_table(snapshot: &Snapshot) -> Vec<Occurrence> {
    let own = snapshot.environment.user_namespace
        && snapshot.shell.is_process_root()
        && snapshot.run.is_none()
        && matches!(snapshot.table, Table::Mounted { .. })
        && !systems_of(snapshot).is_empty();
    let occurrence = || {
        let environment = match &snapshot.environment.container {
            Some(kind) => format!("a rootless container ({kind})"),
            None => "a user namespace".to_owned(),
        };
        Occurrence::general(
            format!("this is {environment}, with its own table or its parent's"),
            "entries that are registered here are visible only here, and end with it; entries of the machine must be \
             registered outside, and work in here, too, if they have flag F",
        )
        .with_repair(format!("sudo binfmt-nix register {}   # on the machine itself", systems_of(snapshot)))
    };
    own.then(occurrence).into_iter().collect()
}

/// Returns the systems that run here or are registered, for a command on another machine.
fn systems_of(snapshot: &Snapshot) -> String {
    let running = snapshot.emulated_systems().map(|(arch, _)| arch.target);
    let all = sorted::set(running.chain(snapshot.registered_systems().map(|(arch, _)| arch.target)));
    all.into_iter().collect::<Vec<_>>().join(" ")
}

/// The container mounted the table itself, because the machine never did. Since Linux 6.7 the entries end with the last
/// mount (measured in a user namespace; tonistiigi/binfmt#288 with Amazon Linux 2023, bottlerocket#4215). The check
/// recognises this by a table that is younger than the container. No test machine has a privileged container without a
/// mounted table on the host: tested on facts.
fn check_dies_with_container(snapshot: &Snapshot) -> Vec<Occurrence> {
    let place = &snapshot.environment;
    let Some(kind) = place.container.as_ref().filter(|_| !place.user_namespace) else { return Vec::new() };
    let dies = place.table_is_younger && snapshot.kernel >= (6, 7) && !snapshot.table.is_empty();
    let occurrence = || {
        Occurrence::general(
            format!("only this container ({kind}) mounted the kernel's table"),
            "its entries are gone when the container ends: since Linux 6.7 they end with the last mount",
        )
        .with_repair(
            "sudo mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc   # on the machine, before the container",
        )
    };
    dies.then(occurrence).into_iter().collect()
}

/// LXC, LXD, Incus and Proxmox forbid a container to register: AppArmor forbids it even where the kernel would allow it
/// (lxc#4520, lxd#13607, lxd#16658, incus#474). Entries of the host with F work inside. No test machine is such a
/// container: tested on facts, and in a tree that looks like one.
fn check_lxc(snapshot: &Snapshot) -> Vec<Occurrence> {
    let refused = snapshot.environment.container.as_deref() == Some("lxc")
        && (matches!(snapshot.table, Table::NotMounted) || snapshot.writable == Some(false))
        && !snapshot.registered.is_empty();
    let occurrence = || {
        Occurrence::general(
            "this is an LXC container, which may not register anything",
            "AppArmor and the kernel reserve the table for the host; the host's entries with flag F work in here",
        )
        .with_repair(format!("sudo binfmt-nix register {}   # on the host of the container", systems_of(snapshot)))
    };
    refused.then(occurrence).into_iter().collect()
}

/// systemd-binfmt empties the table when it starts, including WSL's own entry: .exe files stop working (WSL#8843,
/// #8952, #10389, #9722). The line is the one that WSL's init writes. No test machine runs WSL: tested on facts, and in
/// a tree that looks like it.
fn check_wsl(snapshot: &Snapshot) -> Vec<Occurrence> {
    let wsl_entry_missing = snapshot.environment.wsl
        && matches!(snapshot.table, Table::Mounted { .. })
        && !snapshot.table.has_entry("WSLInterop")
        && !snapshot.table.has_entry("WSLInterop-late");
    let file = Path::new(paths::BINFMT_D).join("WSLInterop.conf");
    let occurrence = || {
        Occurrence::general(
            "WSL's own entry, WSLInterop, is gone",
            "the table was emptied (systemd-binfmt does that when it starts), so Windows programs no longer start; a \
             boot rule restores the entry permanently",
        )
        .with_repair(snapshot.shell.write_line_command(":WSLInterop:M::MZ::/init:PF", &file))
        .with_repair(snapshot.shell.as_root("systemctl restart systemd-binfmt"))
    };
    wsl_entry_missing.then(occurrence).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::doctor::run_checks;
    use crate::diagnose::doctor::snapshot::Environment;
    use binfmt_magic::{Arch, Entry, Recognition, Rule};

    fn ids(snapshot: &Snapshot) -> Vec<&'static str> {
        run_checks(snapshot).into_iter().map(|finding| finding.id).collect()
    }

    fn table(line: &str) -> Table {
        let entries = Rule::parse(line.as_bytes()).into_iter().map(|rule| Entry { enabled: true, rule }).collect();
        Table::of_entries(entries)
    }

    #[test]
    fn reports_wsl_without_its_entry() {
        let place = Environment { wsl: true, ..Environment::default() };
        let with = |line| Snapshot { table: table(line), environment: place.clone(), ..Snapshot::default() };
        assert_eq!(ids(&with(":other:E::x::/x:")), ["wsl-interop-gone"]);
        assert!(ids(&with(":WSLInterop:M::MZ::/init:PF")).is_empty());
        assert!(ids(&with(":WSLInterop-late:M::MZ::/init:PF")).is_empty());
    }

    #[test]
    fn entries_end_with_the_container_that_mounted_the_table() {
        let place = Environment { container: Some("docker".into()), table_is_younger: true, ..Environment::default() };
        let snapshot = |kernel, younger| {
            let place = Environment { table_is_younger: younger, ..place.clone() };
            Snapshot { kernel, table: table(":x:E::x::/x:"), environment: place, ..Snapshot::default() }
        };
        assert_eq!(ids(&snapshot((6, 7), true)), ["dies-with-container"]);
        assert!(ids(&snapshot((6, 6), true)).is_empty(), "entries kept the file system until 6.6");
        assert!(ids(&snapshot((6, 7), false)).is_empty());
    }

    #[test]
    fn reports_the_own_table_of_a_rootless_container() {
        let place = Environment { container: Some("podman".into()), user_namespace: true, ..Environment::default() };
        let arm = Arch::by_target("arm").unwrap_or_else(|| panic!("no system arm"));
        let rule = Rule::parse(b":x:E::x::/x:").unwrap_or_else(|e| panic!("{e}"));
        let rule = Rule { recognition: Recognition::Magic(arm.pattern()), ..rule };
        let entries = vec![Entry { enabled: true, rule }];
        let arm = Table::of_entries(entries);
        let mut snapshot = Snapshot { table: arm, environment: place, ..Snapshot::default() };
        let reports = |snapshot: &Snapshot| ids(snapshot).contains(&"own-table");
        snapshot.shell.is_root = true;
        assert!(reports(&snapshot));
        snapshot.shell.is_root = false;
        assert!(!reports(&snapshot));
        // Entries of other files need nothing from the machine outside.
        snapshot.table = table(":x:E::x::/x:");
        snapshot.shell.is_root = true;
        assert!(!reports(&snapshot));
    }
}
