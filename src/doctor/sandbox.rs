//! Checks of Nix's sandbox: its paths, and whether it is used at all.

use super::seen::Nix;
use super::{Case, Check, Seen, Urgency};
use crate::nix::settings::Line;
use crate::text::quoted;

pub(super) const CHECKS: &[Check] = &[
    Check { id: "sandbox-path-cut", urgency: Urgency::Broken, run: cut },
    Check { id: "sandbox-path-missing", urgency: Urgency::Broken, run: missing },
    Check { id: "sandbox-silently-off", urgency: Urgency::Risk, run: silently_off },
    Check { id: "nix-inside-emulation", urgency: Urgency::Broken, run: inside_emulation },
];

/// Nix's names of the setting, old ones too (2.36, `libstore/globals.hh`).
pub(crate) const PATHS: &[&str] = &["sandbox-paths", "build-sandbox-paths", "build-chroot-dirs"];
const SANDBOX: &[&str] = &["sandbox", "build-use-sandbox", "build-use-chroot"];

/// Parses `TARGET=SOURCE?` (2.36, `parsedDerivations` and `sandbox-paths`): the source, and whether it may be missing.
pub(crate) fn source(word: &str) -> (&str, bool) {
    let (word, optional) = word.strip_suffix('?').map_or((word, false), |word| (word, true));
    (word.split_once('=').map_or(word, |(_, source)| source), optional)
}

/// `#` starts a comment anywhere and blanks end a word (2.36, `libutil/configuration.cc`), quotes or not: such a path
/// cannot be written, and Nix uses the remaining piece as a path.
fn cut(seen: &Seen) -> Vec<Case> {
    let Some(nix) = &seen.nix else { return Vec::new() };
    let odd = |word: &&String| !word.starts_with('/') || word.contains(['"', '\'', '\\']);
    let cases = nix.settings.of(PATHS).1.into_iter().filter_map(|line| {
        let of = format!("line {} of {}", line.number, line.file.display());
        let what = if line.cut {
            format!("a path in {of} ends at its #")
        } else {
            format!("{of} has {}, which is only a piece of a path", line.words.iter().find(odd)?)
        };
        let why = "in Nix's configuration # starts a comment anywhere and blanks end a word, even inside quotes: such a \
                   path cannot be written there. With flag F the sandbox needs no path at all";
        Some(drop_line(seen, nix, line, Case::general(what, why)))
    });
    cases.collect()
}

fn drop_line(seen: &Seen, nix: &Nix, line: &Line, case: Case) -> Case {
    if nix.left_alone {
        return case.repair(format!("# {} is generated: remove the path from its source", line.file.display()));
    }
    let edit = format!("sed -i '{}s/^/#/' {}", line.number, seen.shell.path(&line.file));
    nix.reread(case.repair(seen.shell.root(edit)))
}

/// A path without `?` that does not exist fails every build, of every system: "getting attributes of path … No such file
/// or directory" (2.36, `linux-derivation-builder`).
fn missing(seen: &Seen) -> Vec<Case> {
    let Some(nix) = &seen.nix else { return Vec::new() };
    let mut cases = Vec::new();
    for line in nix.settings.of(PATHS).1 {
        let gone = line.words.iter().filter(|word| {
            let (source, optional) = source(word);
            !optional && nix.missing.contains(source)
        });
        for word in gone {
            let what = format!(
                "{word}, which line {} of {} adds to the sandbox, does not exist",
                line.number,
                line.file.display()
            );
            let why = "every build fails because of it, for every system; with a ? at its end it may be missing";
            let case = Case::general(what, why);
            // Characters that are special to sed become `.`, any character.
            let old = word.replace(['.', '*', '[', ']', '^', '$', '\\', '|'], ".");
            let script = format!("{}s|{old}|{word}?|", line.number);
            let edit = format!("sed -i {} {}", quoted(&script), seen.shell.path(&line.file));
            let by_hand = format!("# write {word}? instead, in the source of {}", line.file.display());
            let odd = word.contains(['&', '|', '\\']);
            let line = if nix.left_alone || odd { by_hand } else { seen.shell.root(edit) };
            cases.push(nix.reread(case.repair(line)));
        }
    }
    cases
}

/// `sandbox = true` with `sandbox-fallback` (the default): if the kernel refuses namespaces, Nix builds without a
/// sandbox and logs that only with --debug (2.36, `linux-derivation-builder`: "auto-disabling sandboxing because the
/// prerequisite namespaces are not available").
fn silently_off(seen: &Seen) -> Vec<Case> {
    let Some(nix) = &seen.nix else { return Vec::new() };
    let wanted = nix.settings.word(SANDBOX).is_none_or(|value| value == "true" || value == "relaxed");
    let falls_back = nix.settings.word(&["sandbox-fallback"]).is_none_or(|value| value == "true");
    let off = wanted && falls_back && seen.place.namespaces == Some(false);
    let case = || {
        let line = if seen.place.container.is_some() {
            "# start the container with --privileged, or with --security-opt seccomp=unconfined and \
             --security-opt unmask=ALL"
                .to_owned()
        } else {
            seen.shell.root(
                "sysctl user.max_user_namespaces=15000 user.max_pid_namespaces=15000 user.max_mnt_namespaces=15000",
            )
        };
        Case::general(
            "Nix builds without a sandbox here, and does not report it",
            "this machine refuses namespaces, and sandbox-fallback lets Nix continue without them: builds see the \
             whole machine. With sandbox-fallback = false it is an error",
        )
        .repair(line)
    };
    off.then(case).into_iter().collect()
}

/// Nix run by an emulator: QEMU refuses to load a seccomp filter, and `sandbox = false` does not help (NixOS/nix#5258,
/// nix-installer#324). Tested on facts, and by hand with this tool built for arm64, run by QEMU.
fn inside_emulation(seen: &Seen) -> Vec<Case> {
    let Some(nix) = &seen.nix else { return Vec::new() };
    let filters = nix.settings.word(&["filter-syscalls"]).is_none_or(|value| value == "true");
    let case = || {
        let dir = seen.shell.path(crate::layout::NIX_DIR.as_ref());
        let conf = seen.shell.path(&nix.conf);
        let line = format!("sh -c 'mkdir -p {dir} && echo filter-syscalls = false >> {conf}'");
        let case = Case::general(
            format!("this whole system ({}) runs in an emulator, and Nix filters system calls", seen.machine),
            "QEMU cannot load the filter: each build fails with \"unable to load seccomp BPF program: Invalid argument\"",
        );
        nix.reread(case.repair(seen.shell.root(line)))
    };
    (seen.place.emulated && filters).then(case).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::examine;
    use crate::doctor::seen::Place;

    #[test]
    fn a_path_and_whether_it_may_be_missing() {
        assert_eq!(source("/a"), ("/a", false));
        assert_eq!(source("/a?"), ("/a", true));
        assert_eq!(source("/a=/b?"), ("/b", true));
    }

    #[test]
    fn nix_in_an_emulated_system_must_not_filter() {
        let place = Place { emulated: true, ..Place::default() };
        let mut seen = Seen { place, nix: Some(Nix::default()), ..Seen::default() };
        let ids = |seen: &Seen| examine(seen).into_iter().map(|finding| finding.id).collect::<Vec<_>>();
        assert_eq!(ids(&seen), ["nix-inside-emulation"]);
        seen.nix = None;
        assert!(ids(&seen).is_empty());
    }
}
