//! Gathers the facts about Nix: its files, its effective settings, and when its daemon was started.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::binfmt::container::{process_start_time, to_milliseconds};
use crate::diagnose::doctor::nix_sandbox::{PATHS, parse_sandbox_path};
use crate::diagnose::doctor::snapshot::{CallerNix, NixSnapshot, NixView};
use crate::host::user_rights::calling_user;
use crate::host::{self, Host, UserFiles};
use crate::nix::build_user::store_owner;
use crate::nix::config_show::{ConfigError, NixConfig, show_config, show_config_of_caller};
use crate::nix::settings::{LineFault, Settings, VARIABLE};
use crate::nix::{ConfState, daemon, env, user_files};
use crate::paths::NIX_DIR;
use crate::register::facts::Facts;
use crate::sanitize::{AsText as _, command};

pub(super) fn gather_nix(host: &Host, facts: &Facts) -> Option<NixSnapshot> {
    facts.nix.trace.as_ref()?;
    let settings = Settings::read_files(&Path::new(NIX_DIR).join("nix.conf"), &|path| host.read_lossy(path));
    let has_daemon = host
        .lstat(Path::new("/nix/store"))
        .is_ok_and(|store| store.is_some_and(|meta| host::trust::is_machine_root(meta.uid())));
    let daemon = daemon::find_daemon(host);
    let machine = gather_machine(host, &settings);
    let mut missing: BTreeSet<String> =
        sandbox_sources(&machine).into_iter().filter(|source| !host.exists(Path::new(source))).collect();
    let caller = if host.is_live() { gather_caller(host, facts, &settings, has_daemon) } else { None };
    let caller = caller.map(|(caller, home)| {
        missing.extend(find_missing_for_caller(host, &home, sandbox_sources(&caller.view)));
        caller
    });
    let has_builders = settings.last_word(&["builders"]).is_some() || host.exists(&Path::new(NIX_DIR).join("machines"));
    Some(NixSnapshot {
        restart: daemon.map(|pid| command::shell_line_as_root(&daemon::restart_command(host, pid))),
        conf: facts.nix.conf.clone(),
        left_alone: matches!(facts.nix.state, ConfState::LeaveAlone(_)),
        daemon_is_older: daemon.and_then(|pid| Some((pid, file_changed_since(host, pid, &settings.files)?))),
        untrusted: if has_daemon { find_untrusted_users(host, &settings) } else { Vec::new() },
        missing,
        has_builders,
        builds: BTreeMap::new(),
        has_daemon,
        release: None,
        caller,
        machine,
    })
}

/// Gathers the settings of root's own shell and of the daemon. Root's Nix also reads root's own files.
fn gather_machine(host: &Host, settings: &Settings) -> NixView {
    view_of(with_other_files(host, settings.clone()), show_config(host), &|path| host.exists(path))
}

fn is_machine_root() -> bool {
    host::env::effective_ids().0 == 0 && !host::namespaces::is_root_an_ordinary_user()
}

/// Adds the files that Nix reads in a clean environment after those in /etc/nix.
fn with_other_files(host: &Host, mut settings: Settings) -> Settings {
    let of_root = is_machine_root().then_some("/root/.config/nix/nix.conf");
    for file in ["/etc/xdg/nix/nix.conf"].into_iter().chain(of_root).filter(|_| host.is_live()) {
        settings.add_file(Path::new(file), &|path| host.read_lossy(path));
    }
    settings
}

/// Gathers the settings of the ordinary user who runs this process, or who started it by sudo(8). Nix runs, and files
/// are read, with that user's rights. Inside of `run` the user is the one of this process, also if that is root. Returns
/// the user's home directory as well.
fn gather_caller(host: &Host, facts: &Facts, machine: &Settings, has_daemon: bool) -> Option<(CallerNix, PathBuf)> {
    let is_in_run = facts.run.is_some();
    let user = if host::env::effective_ids().0 != 0 || is_in_run {
        None
    } else {
        // Without a daemon, the owner of the store builds.
        Some(calling_user().or_else(|| store_owner(host).filter(|_| !has_daemon))?)
    };
    let (name, home) = match &user {
        Some(user) => (user.name.clone(), user.home.clone()),
        None => host::user_rights::current_user(),
    };
    let settings = if user.is_none() && is_machine_root() {
        let lines = env::config_for_root_in_run(host);
        with_variable(with_other_files(host, machine.clone()), lines.as_deref(), &|_| None)
    } else {
        let (files, lines, known) = (user_files::config_files(&home), host::env::var(VARIABLE), machine.clone());
        let variable = lines.clone();
        let read = move |readable: &UserFiles| {
            let mut settings = known;
            for file in files {
                settings.add_file(&file, &|path| readable.read(path));
            }
            with_variable(settings, variable.as_deref(), &|path| readable.read(path))
        };
        let with_own = host.read_files_of_owner(&home, host::process::later(USERS_TIMEOUT), read);
        with_own.unwrap_or_else(|_| with_variable(machine.clone(), lines.as_deref(), &|_| None))
    };
    // Inside of `run`, the builds that can be emulated are those that no daemon makes.
    let decides = is_in_run || !has_daemon || is_trusted(host, machine, &name);
    let unread = settings.faults.iter().filter_map(|line| match &line.fault {
        LineFault::Unread(path) => Some(path.as_text()),
        _ => None,
    });
    let missing = find_missing_for_caller(host, &home, unread.collect());
    let view = view_of(settings, show_config_of_caller(host, user.as_ref(), &home), &|path| {
        !missing.contains(&path.as_text())
    });
    Some((CallerNix { name, view, decides }, home))
}

/// Adds the lines of `NIX_CONFIG`, which Nix reads last.
fn with_variable(mut settings: Settings, lines: Option<&str>, open: &dyn Fn(&Path) -> Option<String>) -> Settings {
    if let Some(lines) = lines {
        settings.add_text(Path::new(VARIABLE), lines, open, &mut Vec::new());
    }
    settings
}

/// `exists` says whether a file exists.
fn view_of(mut settings: Settings, answer: Result<NixConfig, ConfigError>, exists: &dyn Fn(&Path) -> bool) -> NixView {
    // Nix ignores an included file that exists and that it may not read.
    settings.faults.retain(|line| !matches!(&line.fault, LineFault::Unread(path) if exists(path)));
    let (effective, rejection, unasked) = match answer {
        Ok(config) => (Some(config), None, None),
        Err(error) => match error.rejection() {
            Some(message) => (None, Some(message.to_owned()), None),
            None => (None, None, Some(error.to_string())),
        },
    };
    NixView { settings, effective, rejection, unasked }
}

/// Returns the paths of the machine that the sandbox paths of a view name.
fn sandbox_sources(view: &NixView) -> BTreeSet<String> {
    let lines = view.settings.effective_lines(PATHS).1.into_iter().flat_map(|line| &line.words);
    let words = lines.chain(view.effective.iter().flat_map(|config| &config.sandbox_paths));
    let sources = words.map(|word| parse_sandbox_path(word).0).filter(|source| source.starts_with('/'));
    sources.map(str::to_owned).collect()
}

/// Returns those paths that do not exist, as the caller sees them: root must not look at a path because a user wrote it.
/// What the caller may not see is not among them.
fn find_missing_for_caller(host: &Host, home: &Path, paths: BTreeSet<String>) -> BTreeSet<String> {
    if host::env::effective_ids().0 != 0 || paths.is_empty() {
        return paths.into_iter().filter(|path| matches!(host.lstat(Path::new(path)), Ok(None))).collect();
    }
    let find = move |files: &UserFiles| paths.into_iter().filter(|path| files.is_missing(Path::new(path))).collect();
    host.read_files_of_owner(home, host::process::later(USERS_TIMEOUT), find).unwrap_or_default()
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
    let users = host.list_dir(Path::new("/home")).unwrap_or_default();
    let users = users.iter().filter_map(|user| user.to_str()).filter(|user| !is_trusted(host, settings, user));
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

/// Whether the daemon trusts a user (`trusted-users`).
fn is_trusted(host: &Host, settings: &Settings, user: &str) -> bool {
    let groups = host.read_lossy(Path::new("/etc/group")).unwrap_or_default();
    settings.effective_list(&["trusted-users"], &["root"]).iter().any(|word| match word.strip_prefix('@') {
        Some(group) => is_group_member(&groups, group, user),
        None => word == "*" || word == user,
    })
}

/// Whether a user is in a group, by the lines of group(5): `name:password:number:user,user`. Does not consider the
/// user's primary group.
fn is_group_member(groups: &str, group: &str, user: &str) -> bool {
    groups.lines().any(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        matches!(fields.as_slice(), [name, _, _, members] if *name == group && members.split(',').any(|m| m == user))
    })
}
