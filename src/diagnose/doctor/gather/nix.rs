//! Gathers the facts about Nix: its files, its effective settings, and when its daemon was started.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::binfmt::container::{process_start_time, to_milliseconds};
use crate::diagnose::doctor::nix_sandbox::{PATHS, parse_sandbox_path};
use crate::diagnose::doctor::snapshot::NixSnapshot;
use crate::host::{self, Host, UserFiles};
use crate::nix::settings::Settings;
use crate::nix::{ConfState, config_show, daemon};
use crate::paths::NIX_DIR;
use crate::register::facts::Facts;
use crate::sanitize::command;

pub(super) fn gather_nix(host: &Host, facts: &Facts) -> Option<NixSnapshot> {
    facts.nix.trace.as_ref()?;
    let settings = Settings::read_files(&Path::new(NIX_DIR).join("nix.conf"), &|path| host.read_lossy(path));
    let words = settings.effective_lines(PATHS).1.into_iter().flat_map(|line| &line.words);
    let sources = words.map(|word| parse_sandbox_path(word).0).filter(|source| source.starts_with('/'));
    let missing: BTreeSet<String> =
        sources.filter(|source| !host.exists(Path::new(source))).map(str::to_owned).collect();
    let has_daemon = host
        .lstat(Path::new("/nix/store"))
        .is_ok_and(|store| store.is_some_and(|meta| host::trust::is_machine_root(meta.uid())));
    let daemon = daemon::find_daemon(host);
    let answer = config_show::show_config(host);
    Some(NixSnapshot {
        restart: daemon.map(|pid| command::as_root(daemon::restart_command(host, pid))),
        features: answer.as_ref().and_then(|answer| answer.features.clone()),
        answered: answer.map(|answer| answer.extra_platforms),
        conf: facts.nix.conf.clone(),
        left_alone: matches!(facts.nix.state, ConfState::LeaveAlone(_)),
        daemon_is_older: daemon.and_then(|pid| Some((pid, file_changed_since(host, pid, &settings.files)?))),
        untrusted: if has_daemon { find_untrusted_users(host, &settings) } else { Vec::new() },
        has_daemon,
        missing,
        settings,
    })
}

/// Finds a file that was changed after the process was started.
fn file_changed_since(host: &Host, pid: u32, files: &[PathBuf]) -> Option<PathBuf> {
    let start = process_start_time(host, &pid.to_string())?;
    // A daemon that was restarted right after the change is not outdated.
    let is_later =
        |meta: std::fs::Metadata| to_milliseconds(meta.mtime(), meta.mtime_nsec()) > start.saturating_add(100);
    let is_changed = |file: &&PathBuf| host.lstat(file).is_ok_and(|meta| meta.is_some_and(is_later));
    files.iter().find(is_changed).cloned()
}

/// The settings about emulation that a daemon accepts only from trusted users (Nix 2.36, `daemon.cc`).
const RESTRICTED: [&str; 6] =
    ["extra-platforms", "extra-extra-platforms", "sandbox-paths", "extra-sandbox-paths", "sandbox", "filter-syscalls"];

/// Longest time for reading the settings of all users together.
const USERS_TIMEOUT: Duration = Duration::from_secs(5);

/// Finds the settings in users' own nix.conf files that the daemon ignores. Each file is read with the rights of the
/// user, who may include any file and exchange each of them at any time. Files that cannot be read so are ignored.
fn find_untrusted_users(host: &Host, settings: &Settings) -> Vec<(String, PathBuf, String)> {
    let trusted = settings.effective_list(&["trusted-users"], &["root"]);
    let groups = host.read_lossy(Path::new("/etc/group")).unwrap_or_default();
    let is_trusted = |user: &str| {
        trusted.iter().any(|word| match word.strip_prefix('@') {
            Some(group) => is_group_member(&groups, group, user),
            None => word == "*" || word == user,
        })
    };
    let users = host.list_dir(Path::new("/home")).unwrap_or_default();
    let users = users.iter().filter_map(|user| user.to_str()).filter(|user| !is_trusted(user));
    let deadline = host::process::later(USERS_TIMEOUT);
    let ignored = users.filter_map(|user| {
        let home = Path::new("/home").join(user);
        let file = home.join(".config/nix/nix.conf");
        let read = move |files: &UserFiles| Settings::read_files(&file, &|path| files.read(path));
        let own = host.read_files_of_owner(&home, deadline, read).ok()?;
        let line = own.lines.into_iter().find(|line| RESTRICTED.contains(&line.name.as_str()))?;
        Some((user.to_owned(), line.file, line.name))
    });
    ignored.collect()
}

/// Whether a user is in a group, by the lines of group(5): `name:password:number:user,user`. Does not consider the
/// user's primary group.
fn is_group_member(groups: &str, group: &str, user: &str) -> bool {
    groups.lines().any(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        matches!(fields.as_slice(), [name, _, _, members] if *name == group && members.split(',').any(|m| m == user))
    })
}
