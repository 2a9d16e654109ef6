//! Checks of the Nix daemon: whether it read its current settings, and whether it accepts a user's settings.

use std::path::PathBuf;

use super::{Check, Fix, Occurrence, Snapshot, Urgency};
use crate::diagnose::doctor::snapshot::NixSnapshot;
use crate::sanitize::AsText as _;

pub(super) const CHECKS: &[Check] = &[
    Check { id: "daemon-not-restarted", urgency: Urgency::Broken, run: check_not_restarted },
    Check { id: "user-not-trusted", urgency: Urgency::Broken, run: check_not_trusted },
];

/// The daemon reads its settings when it starts (Nix manual, nix.conf: "restart the daemon"). A daemon that is older
/// than its files still refuses builds that the files allow.
fn check_not_restarted(snapshot: &Snapshot) -> Vec<Occurrence> {
    let older = snapshot.nix.as_ref().and_then(|nix| Some((nix, nix.daemon_is_older.as_ref()?)));
    let occurrence = |(nix, (pid, file)): (&NixSnapshot, &(u32, PathBuf))| {
        let what = format!("the nix-daemon (process {pid}) was started before {} was changed", file.as_text());
        let why = "the daemon reads its settings only when it starts: it still accepts builds by the old settings";
        nix.with_restart(Occurrence { fix: Some(Fix::RestartDaemon), ..Occurrence::general(what, why) })
    };
    older.map(occurrence).into_iter().collect()
}

/// If a daemon builds, a user's own nix.conf counts only if root trusts the user. Otherwise Nix prints "ignoring the
/// client-specified setting 'extra-platforms', because it is a restricted setting and you are not a trusted user" (Nix
/// 2.36, `daemon.cc`; aarch64-build-box#39). A trusted user is equivalent to root (Nix manual, `trusted-users`), so the
/// check does not propose to trust the user.
fn check_not_trusted(snapshot: &Snapshot) -> Vec<Occurrence> {
    let Some(nix) = snapshot.nix.as_ref().filter(|nix| nix.has_daemon) else { return Vec::new() };
    let occurrences = nix.untrusted.iter().map(|(user, file, setting)| {
        let what = format!("{} sets {setting}, and Nix ignores that setting of {user}", file.as_text());
        let why = "the daemon accepts this setting only from root and from trusted-users, and ignores it with a \
                   warning. What root registers applies to all users";
        // For everyone: what `register` writes, or the user's own line in the file of the machine.
        let conf = nix.conf.as_text();
        Occurrence::general(what, why)
            .with_repair(format!("# remove the line there, and register the system, or put the line into {conf}"))
    });
    occurrences.collect()
}
