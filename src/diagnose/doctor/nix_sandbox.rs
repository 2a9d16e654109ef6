//! Checks of Nix's sandbox: its paths, and whether it is used at all.

use super::{Check, Occurrence, Snapshot, Urgency};
use crate::diagnose::doctor::snapshot::NixSnapshot;
use crate::nix::settings::SettingLine;
use crate::sanitize::AsText as _;
use crate::sanitize::shell_quote;

pub(super) const CHECKS: &[Check] = &[
    Check { id: "sandbox-path-cut", urgency: Urgency::Broken, run: check_cut_path },
    Check { id: "sandbox-path-missing", urgency: Urgency::Broken, run: check_missing_path },
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
fn check_cut_path(snapshot: &Snapshot) -> Vec<Occurrence> {
    let Some(nix) = &snapshot.nix else { return Vec::new() };
    let has_special = |word: &&String| !word.starts_with('/') || word.contains(['"', '\'', '\\']);
    let occurrences = nix.settings.effective_lines(PATHS).1.into_iter().filter_map(|line| {
        let position = format!("line {} of {}", line.number, line.file.as_text());
        let what = if line.is_truncated {
            format!("a path in {position} ends at its #")
        } else {
            format!("{position} has {}, which is only a piece of a path", line.words.iter().find(has_special)?)
        };
        let why = "in Nix's configuration # starts a comment anywhere and blanks end a word, even inside quotes: such a \
                   path cannot be written there. With flag F the sandbox needs no path at all";
        Some(with_drop_line(snapshot, nix, line, Occurrence::general(what, why)))
    });
    occurrences.collect()
}

fn with_drop_line(snapshot: &Snapshot, nix: &NixSnapshot, line: &SettingLine, occurrence: Occurrence) -> Occurrence {
    if nix.left_alone {
        return occurrence
            .with_repair(format!("# {} is generated: remove the path from its source", line.file.as_text()));
    }
    let edit = format!("sed -i '{}s/^/#/' {}", line.number, snapshot.shell.quote_path(&line.file));
    nix.with_restart(occurrence.with_repair(snapshot.shell.as_root(edit)))
}

/// A path without `?` that does not exist fails every build, of every system: "getting attributes of path … No such
/// file or directory" (2.36, `linux-derivation-builder`).
fn check_missing_path(snapshot: &Snapshot) -> Vec<Occurrence> {
    let Some(nix) = &snapshot.nix else { return Vec::new() };
    let mut occurrences = Vec::new();
    for line in nix.settings.effective_lines(PATHS).1 {
        let absent = line.words.iter().filter(|word| {
            let (source, optional) = parse_sandbox_path(word);
            !optional && nix.missing.contains(source)
        });
        for word in absent {
            let what = format!(
                "{word}, which line {} of {} adds to the sandbox, does not exist",
                line.number,
                line.file.as_text()
            );
            let why = "every build for every system fails because of it; a path with a ? at its end may be missing";
            let occurrence = Occurrence::general(what, why);
            // Characters that are special to sed become `.`, any character.
            let old = word.replace(['.', '*', '[', ']', '^', '$', '\\', '|'], ".");
            let script = format!("{}s|{old}|{word}?|", line.number);
            let edit = format!("sed -i {} {}", shell_quote(&script), snapshot.shell.quote_path(&line.file));
            let manual_hint = format!("# write {word}? instead, in the source of {}", line.file.as_text());
            let has_special = word.contains(['&', '|', '\\']);
            let line = if nix.left_alone || has_special { manual_hint } else { snapshot.shell.as_root(edit) };
            occurrences.push(nix.with_restart(occurrence.with_repair(line)));
        }
    }
    occurrences
}

/// `sandbox = true` with `sandbox-fallback` (the default): if the kernel refuses namespaces, Nix builds without a
/// sandbox and logs that only with --debug (2.36, `linux-derivation-builder`: "auto-disabling sandboxing because the
/// prerequisite namespaces are not available").
fn check_silently_off(snapshot: &Snapshot) -> Vec<Occurrence> {
    let Some(nix) = &snapshot.nix else { return Vec::new() };
    let wanted = nix.settings.last_word(SANDBOX).is_none_or(|value| value == "true" || value == "relaxed");
    let falls_back = nix.settings.last_word(&["sandbox-fallback"]).is_none_or(|value| value == "true");
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
/// nix-installer#324). Tested on facts, and by hand with this tool built for arm64, run by QEMU.
fn check_inside_emulation(snapshot: &Snapshot) -> Vec<Occurrence> {
    let Some(nix) = &snapshot.nix else { return Vec::new() };
    let filters = nix.settings.last_word(&["filter-syscalls"]).is_none_or(|value| value == "true");
    let occurrence = || {
        let dir = snapshot.shell.quote_path(crate::paths::NIX_DIR.as_ref());
        let conf = snapshot.shell.quote_path(&nix.conf);
        let line = format!("sh -c 'mkdir -p {dir} && echo filter-syscalls = false >> {conf}'");
        let occurrence = Occurrence::general(
            format!("this whole system ({}) runs in an emulator, and Nix filters system calls", snapshot.machine),
            "QEMU cannot load the filter: each build fails with \"unable to load seccomp BPF program: Invalid argument\"",
        );
        nix.with_restart(occurrence.with_repair(snapshot.shell.as_root(line)))
    };
    (snapshot.environment.emulated && filters).then(occurrence).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::doctor::run_checks;
    use crate::diagnose::doctor::snapshot::Environment;

    #[test]
    fn parses_a_path_and_whether_it_may_be_missing() {
        assert_eq!(parse_sandbox_path("/a"), ("/a", false));
        assert_eq!(parse_sandbox_path("/a?"), ("/a", true));
        assert_eq!(parse_sandbox_path("/a=/b?"), ("/b", true));
    }

    #[test]
    fn nix_in_an_emulated_system_must_not_filter() {
        let place = Environment { emulated: true, ..Environment::default() };
        let mut snapshot = Snapshot { environment: place, nix: Some(NixSnapshot::default()), ..Snapshot::default() };
        let ids = |snapshot: &Snapshot| run_checks(snapshot).into_iter().map(|finding| finding.id).collect::<Vec<_>>();
        assert_eq!(ids(&snapshot), ["nix-inside-emulation"]);
        snapshot.nix = None;
        assert!(ids(&snapshot).is_empty());
    }
}
