//! Checks of Nix's sandbox: its paths, and whether it is used at all.

use super::nix_edit::{ExaminedSettings, check_views, describe_place};
use super::{Check, Occurrence, Snapshot, Urgency};
use crate::diagnose::doctor::snapshot::NixSnapshot;
use crate::sanitize::shell_quote;

pub(super) const CHECKS: &[Check] = &[
    Check { id: "sandbox-path-cut", urgency: Urgency::Broken, run: |snapshot| check_views(snapshot, check_cut_path) },
    Check {
        id: "sandbox-path-missing",
        urgency: Urgency::Broken,
        run: |snapshot| check_views(snapshot, check_missing_path),
    },
    Check { id: "sandbox-silently-off", urgency: Urgency::Risk, run: check_silently_off },
    Check { id: "nix-inside-emulation", urgency: Urgency::Broken, run: check_inside_emulation },
];

/// Nix's names of the setting, including the old ones (2.36, `libstore/globals.hh`).
pub(crate) const PATHS: &[&str] = &["sandbox-paths", "build-sandbox-paths", "build-chroot-dirs"];
const SANDBOX: &[&str] = &["sandbox", "build-use-sandbox", "build-use-chroot"];

/// Parses `TARGET=SOURCE?` (2.36, `parsedDerivations` and `sandbox-paths`): the source, and whether it may be missing.
pub(crate) fn parse_sandbox_path(word: &str) -> (&str, bool) {
    let (word, optional) = word.strip_suffix('?').map_or((word, false), |word| (word, true));
    (word.split_once('=').map_or(word, |(_, source)| source), optional)
}

/// A path contains `#`, which starts a comment anywhere, or a blank, which ends a word, even inside quotes (2.36,
/// `libutil/configuration.cc`). Such a path cannot be written in nix.conf, and Nix uses the remaining piece as a path.
fn check_cut_path(settings: ExaminedSettings) -> Vec<Occurrence> {
    if !settings.decides_builds() {
        return Vec::new();
    }
    let has_special = |word: &&String| !word.starts_with('/') || word.contains(['"', '\'', '\\']);
    let occurrences = settings.view.settings.effective_lines(PATHS).1.into_iter().filter_map(|line| {
        let position = describe_place(&line.file, line.number);
        let what = if line.is_truncated {
            format!("a path in {position} ends at its #")
        } else {
            format!("{position} has {}, which is only a piece of a path", line.words.iter().find(has_special)?)
        };
        let why = "in Nix's configuration # starts a comment anywhere and blanks end a word, even inside quotes: such a \
                   path cannot be written there. With flag F the sandbox needs no path at all";
        Some(settings.with_line_removed(Occurrence::general(what, why), &line.file, line.number))
    });
    occurrences.collect()
}

/// A path without `?` that does not exist fails every build, of every system: "getting attributes of path … No such
/// file or directory" (2.36, `linux-derivation-builder`).
fn check_missing_path(settings: ExaminedSettings) -> Vec<Occurrence> {
    if !settings.decides_builds() {
        return Vec::new();
    }
    let why = "every build for every system fails because of it; a path with a ? at its end may be missing";
    let is_absent = |word: &&String| {
        let (source, optional) = parse_sandbox_path(word);
        !optional && settings.nix.missing.contains(source)
    };
    let (mut occurrences, mut explained) = (Vec::new(), Vec::new());
    for line in settings.view.settings.effective_lines(PATHS).1 {
        for word in line.words.iter().filter(is_absent) {
            let place = describe_place(&line.file, line.number);
            let what = format!("{word}, which {place} adds to the sandbox, does not exist");
            // Characters that are special to sed become `.`, any character.
            let old = word.replace(['.', '*', '[', ']', '^', '$', '\\', '|', '&'], ".");
            // `&` is what was found, which has the special characters.
            let script = format!("s|{old}|&?|");
            let by_hand = format!("write {word}?");
            let at = (line.file.as_path(), line.number);
            occurrences.push(settings.with_edit(Occurrence::general(what, why), at, &script, &by_hand));
            explained.push(word);
        }
    }
    // The default has /bin/sh from a file of the distribution (Nix's SANDBOX_SHELL).
    let effective = settings.view.effective.iter().flat_map(|config| &config.sandbox_paths);
    let rest: Vec<&str> =
        effective.filter(is_absent).filter(|word| !explained.contains(word)).map(String::as_str).collect();
    if !rest.is_empty() {
        let what =
            format!("{}, which Nix adds to the sandbox without a line in /etc/nix, does not exist", rest.join(" "));
        occurrences.push(with_optional_default(&settings, Occurrence::general(what, why), &rest));
    }
    occurrences
}

/// Adds the command that replaces the default of the setting. It has to be the first line, so that later lines append to
/// it.
fn with_optional_default(settings: &ExaminedSettings, occurrence: Occurrence, words: &[&str]) -> Occurrence {
    let shell = &settings.snapshot.shell;
    let conf = shell.quote_path(&settings.nix.conf);
    let line = format!("sandbox-paths = {}?", words.join("? "));
    let has_lines = settings.view.settings.lines.iter().any(|line| line.file == settings.nix.conf);
    let command = if has_lines {
        shell.as_root(format_args!("sed -i {} {conf}", shell_quote(&format!("1i {line}"))))
    } else {
        shell.line_as_root(&format!("echo {} >> {conf}", shell_quote(&line)))
    };
    let occurrence = occurrence.with_repair(command);
    settings.nix.with_restart(occurrence)
}

/// `sandbox = true` with `sandbox-fallback` (the default): if the kernel refuses namespaces, Nix builds without a
/// sandbox and logs that only with --debug (2.36, `linux-derivation-builder`: "auto-disabling sandboxing because the
/// prerequisite namespaces are not available").
fn check_silently_off(snapshot: &Snapshot) -> Vec<Occurrence> {
    let Some(nix) = &snapshot.nix else { return Vec::new() };
    let wanted = nix.machine.settings.last_word(SANDBOX).is_none_or(|value| value == "true" || value == "relaxed");
    let falls_back = nix.machine.settings.last_word(&["sandbox-fallback"]).is_none_or(|value| value == "true");
    let is_disabled = wanted && falls_back && snapshot.environment.namespaces == Some(false);
    let occurrence = || {
        let line = if snapshot.environment.container.is_some() {
            "# start the container with --privileged, or with --security-opt seccomp=unconfined and \
             --security-opt unmask=ALL"
                .to_owned()
        } else {
            snapshot.shell.as_root(
                "sysctl user.max_user_namespaces=15000 user.max_pid_namespaces=15000 user.max_mnt_namespaces=15000",
            )
        };
        Occurrence::general(
            "Nix builds without a sandbox here, and does not report it",
            "this machine refuses namespaces, and sandbox-fallback lets Nix continue without them: builds see the \
             whole machine. With sandbox-fallback = false such builds fail",
        )
        .with_repair(line)
    };
    is_disabled.then(occurrence).into_iter().collect()
}

/// Nix run by an emulator: QEMU refuses to load a seccomp filter, and `sandbox = false` does not help (NixOS/nix#5258,
/// nix-installer#324). Before 2.30, Nix ignores the failure where it builds without build users: `runChild` of 2.29
/// throws only if there is one (in QEMU 10.0, builds were seen to work with 2.26 and to fail with 2.34).
fn check_inside_emulation(snapshot: &Snapshot) -> Vec<Occurrence> {
    let fails = |nix: &&NixSnapshot| {
        nix.release.is_some_and(|release| release >= (2, 30)) || has_build_users(nix, snapshot.shell.is_root)
    };
    let Some(nix) = snapshot.nix.as_ref().filter(fails) else {
        return Vec::new();
    };
    let filters = nix.machine.settings.last_word(&["filter-syscalls"]).is_none_or(|value| value == "true");
    let occurrence = || {
        let dir = snapshot.shell.quote_path(crate::paths::NIX_DIR.as_ref());
        let conf = snapshot.shell.quote_path(&nix.conf);
        let line = format!("mkdir -p {dir} && echo filter-syscalls = false >> {conf}");
        let occurrence = Occurrence::general(
            format!("this whole system ({}) runs in an emulator, and Nix filters system calls", snapshot.machine),
            "QEMU cannot load the filter: each build fails with \"unable to load seccomp BPF program: Invalid argument\"",
        );
        nix.with_restart(occurrence.with_repair(snapshot.shell.line_as_root(&line)))
    };
    (snapshot.environment.emulated && filters).then(occurrence).into_iter().collect()
}

/// Whether builds run as build users (2.36, `useBuildUsers`): root builds, and the group, whose default for root is
/// `nixbld`, is not empty.
fn has_build_users(nix: &NixSnapshot, is_root: bool) -> bool {
    let settings = &nix.machine.settings;
    let group = settings.lines.iter().rfind(|line| line.name == "build-users-group");
    let allocates = settings.last_word(&["auto-allocate-uids"]) == Some("true");
    (nix.has_daemon || is_root) && (allocates || group.is_none_or(|line| !line.words.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::doctor::run_checks;
    use crate::diagnose::doctor::snapshot::Environment;
    use crate::nix::settings::Settings;

    #[test]
    fn parses_a_path_and_whether_it_may_be_missing() {
        assert_eq!(parse_sandbox_path("/a"), ("/a", false));
        assert_eq!(parse_sandbox_path("/a?"), ("/a", true));
        assert_eq!(parse_sandbox_path("/a=/b?"), ("/b", true));
    }

    #[test]
    fn nix_in_an_emulated_system_must_not_filter() {
        let place = Environment { emulated: true, ..Environment::default() };
        let nix = NixSnapshot { has_daemon: true, ..NixSnapshot::default() };
        let mut snapshot = Snapshot { environment: place, nix: Some(nix), ..Snapshot::default() };
        let ids = |snapshot: &Snapshot| run_checks(snapshot).into_iter().map(|finding| finding.id).collect::<Vec<_>>();
        assert_eq!(ids(&snapshot), ["nix-inside-emulation"]);
        snapshot.shell.root = Some("/an image".into());
        let repair = run_checks(&snapshot).into_iter().flat_map(|finding| finding.occurrence.repair).next();
        let expected = r"sudo sh -c 'mkdir -p '\''/an image/etc/nix'\'' && echo ";
        assert!(repair.as_ref().is_some_and(|line| line.starts_with(expected)), "{repair:?}");
        // Without build users, Nix builds without the filter before 2.30.
        for (text, release, is_reported) in [
            ("build-users-group = nixbld\n", Some((2, 29)), true),
            ("build-users-group =\n", Some((2, 29)), false),
            ("build-users-group =\n", Some((2, 30)), true),
            ("build-users-group =\n", None, false),
            ("build-users-group =\nauto-allocate-uids = true\n", None, true),
            ("filter-syscalls = false\n", Some((2, 30)), false),
        ] {
            let settings = Settings::read_files("/etc/nix/nix.conf".as_ref(), &|_| Some(text.to_owned()));
            let nix = NixSnapshot { has_daemon: true, release, ..NixSnapshot::default() };
            snapshot.nix = Some(nix);
            snapshot.nix.as_mut().into_iter().for_each(|nix| nix.machine.settings = settings.clone());
            assert_eq!(ids(&snapshot) == ["nix-inside-emulation"], is_reported, "{text}");
        }
        snapshot.nix = None;
        assert!(ids(&snapshot).is_empty());
    }
}
