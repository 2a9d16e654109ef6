//! Checks of the settings themselves: whether Nix accepts them, and values with which it builds nothing.
//!
//! Each check examines the settings of the machine and those of the calling user. What Nix prints decides. The files
//! are read to find the line.

use binfmt_magic::Arch;

use super::nix::PLATFORMS;
use super::nix_edit::{ExaminedSettings, check_views, describe_place};
use super::{Check, Occurrence, Urgency};
use crate::nix::settings::{FaultyLine, LineFault, SettingLine};
use crate::nix::system_names::{PlatformWord, judge_platform};
use crate::sanitize::AsText as _;

pub(super) const CHECKS: &[Check] = &[
    Check {
        id: "nix-rejects-settings",
        urgency: Urgency::Broken,
        run: |snapshot| check_views(snapshot, check_rejected),
    },
    Check {
        id: "nix-platform-name",
        urgency: Urgency::Broken,
        run: |snapshot| check_views(snapshot, check_platform_names),
    },
    Check {
        id: "nix-foreign-system",
        urgency: Urgency::Broken,
        run: |snapshot| check_views(snapshot, check_foreign_system),
    },
    Check {
        id: "nix-no-local-jobs",
        urgency: Urgency::Broken,
        run: |snapshot| check_views(snapshot, check_no_local_jobs),
    },
];

/// Nix reads its whole configuration before it does anything. Of a line that it cannot read, an `include` of a missing
/// file, or a value of the wrong type, it prints file and text, and ends with 1 (2.8, 2.34). So does the daemon.
fn check_rejected(settings: ExaminedSettings) -> Vec<Occurrence> {
    let view = settings.view;
    let Some(message) = &view.rejection else {
        // Nix accepted all lines, it was not asked, or it died.
        let faults = view.settings.faults.iter().filter(|_| view.effective.is_none());
        let why = |fault: &FaultyLine| match fault.fault {
            LineFault::Recursive => "Nix reads it again and again, and dies of a segmentation fault (2.8, 2.34)",
            _ => "Nix rejects such a line, and then does nothing at all (2.8, 2.34)",
        };
        return faults.map(|fault| fault_occurrence(&settings, fault, why(fault))).collect();
    };
    let why = format!("Nix reads its settings before it does anything, and ends with: {message}");
    if let Some(fault) = find_reported_fault(&view.settings.faults, message) {
        return vec![fault_occurrence(&settings, fault, &why)];
    }
    // `option 'sandbox' has invalid value 'maybe'` has no file: the last line that sets it counts.
    let is_named = |line: &&SettingLine| message.contains(&format!("'{}'", setting_of(&line.name)));
    if let Some(line) = view.settings.lines.iter().rfind(is_named) {
        let what = format!(
            "Nix rejects {}: {} = {}",
            describe_place(&line.file, line.number),
            line.name,
            line.words.join(" ")
        );
        return vec![settings.with_line_removed(Occurrence::general(what, why), &line.file, line.number)];
    }
    vec![Occurrence::general("Nix does not start", why)]
}

/// Returns the name of the setting to which a line appends.
fn setting_of(name: &str) -> &str {
    if PLATFORMS.contains(&name) { name } else { name.strip_prefix("extra-").unwrap_or(name) }
}

/// Finds the line that a message of Nix is about. Nix quotes its text or, of an include, the path.
fn find_reported_fault<'a>(faults: &'a [FaultyLine], message: &str) -> Option<&'a FaultyLine> {
    let flat = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let message = flat(message);
    let is_reported = |fault: &&FaultyLine| match &fault.fault {
        LineFault::Unread(path) => message.contains(&path.as_text()),
        LineFault::NoBlanks | LineFault::NotASetting => {
            message.contains(&flat(&fault.text)) && message.contains(&fault.file.as_text())
        }
        LineFault::Recursive => false,
    };
    faults.iter().find(is_reported)
}

fn fault_occurrence(settings: &ExaminedSettings, line: &FaultyLine, why: &str) -> Occurrence {
    let place = describe_place(&line.file, line.number);
    let text = line.text.trim();
    let what = match &line.fault {
        LineFault::NoBlanks => format!("{place} has no blanks around its =: {text}"),
        LineFault::NotASetting => format!("{place} is not a setting: {text}"),
        LineFault::Unread(path) => format!("{place} includes {}, which does not exist", path.as_text()),
        LineFault::Recursive => format!("{place} includes a file that includes this one: {text}"),
    };
    let occurrence = Occurrence::general(what, why);
    let at = (line.file.as_path(), line.number);
    match &line.fault {
        LineFault::NoBlanks => {
            settings.with_edit(occurrence, at, "s/[[:blank:]]*=[[:blank:]]*/ = /", "write blanks around the =")
        }
        LineFault::Unread(_) => settings.with_edit(occurrence, at, "s/include/!include/", "write !include"),
        LineFault::NotASetting | LineFault::Recursive => settings.with_line_removed(occurrence, at.0, at.1),
    }
}

/// Nix accepts any word as a platform and compares it with the `system` of a derivation (2.8, 2.34). So brackets,
/// quotes, commas, and names of other tools (`arm64-linux`) have no effect, and no message: Nix refuses the builds as if
/// the line were missing.
fn check_platform_names(settings: ExaminedSettings) -> Vec<Occurrence> {
    if !settings.decides_builds() {
        return Vec::new();
    }
    let is_wrong = |word: &&String| judge_platform(word) != PlatformWord::System;
    let mut explained: Vec<&str> = Vec::new();
    let mut occurrences = Vec::new();
    for line in settings.view.settings.effective_lines(PLATFORMS).1 {
        let wrong: Vec<&str> = line.words.iter().filter(is_wrong).map(String::as_str).collect();
        if !wrong.is_empty() {
            explained.extend(&wrong);
            occurrences.push(wrong_words_occurrence(&settings, line, &wrong));
        }
    }
    let effective = settings.view.effective.iter().flat_map(|config| &config.extra_platforms);
    let rest: Vec<&str> =
        effective.filter(is_wrong).map(String::as_str).filter(|word| !explained.contains(word)).collect();
    if !rest.is_empty() {
        let what = format!("Nix's extra-platforms lists {}, which names no system", rest.join(" "));
        let repair = format!(
            "grep -rn -e extra-platforms {}   # and correct the words there",
            settings.snapshot.shell.quote_path(crate::paths::NIX_DIR.as_ref())
        );
        occurrences.push(Occurrence::general(what, WRONG_NAME).with_repair(repair));
    }
    occurrences
}

const WRONG_NAME: &str = "Nix compares each word with the system of a build, without a message: such a word has no effect. \
                          Words are separated by blanks, without quotes, brackets and commas, and are Nix's names, such \
                          as aarch64-linux";

fn wrong_words_occurrence(settings: &ExaminedSettings, line: &SettingLine, wrong: &[&str]) -> Occurrence {
    let mut right: Vec<String> = Vec::new();
    for word in &line.words {
        let names = match judge_platform(word) {
            PlatformWord::System => vec![word.clone()],
            PlatformWord::Misspelled(names) => names,
            PlatformWord::Unknown => Vec::new(),
        };
        right.extend(names.into_iter().filter(|name| !right.contains(name)).collect::<Vec<_>>());
    }
    let names = if wrong.len() == 1 { "which names no system" } else { "which name no systems" };
    let place = describe_place(&line.file, line.number);
    let occurrence =
        Occurrence::general(format!("{place} has {} in {}, {names}", wrong.join(" "), line.name), WRONG_NAME);
    if right.is_empty() {
        return settings.with_line_removed(occurrence, &line.file, line.number);
    }
    let value = right.join(" ");
    // A comment at the end of the line stays.
    let script = format!("s/=[^#]*/= {value} /; s/ $//");
    let script = if line.is_truncated { format!("s/=.*/= {value}/") } else { script };
    settings.with_edit(occurrence, (&line.file, line.number), &script, &format!("write {value}"))
}

/// `system` is the machine's own system. If it names another one, Nix evaluates for that one by default, and refuses the
/// builds of this machine ("a 'x86_64-linux' … is required …, but I am a 'aarch64-linux'"; measured with 2.8).
fn check_foreign_system(settings: ExaminedSettings) -> Vec<Occurrence> {
    let snapshot = settings.snapshot;
    let line = settings.last_line(&["system"]);
    let from_file = || Some(line?.words.first()?.clone());
    let effective = settings.view.effective.as_ref().and_then(|config| config.system.clone());
    let Some(system) = effective.or_else(from_file) else { return Vec::new() };
    let Some(host) = Arch::of_host(&snapshot.machine) else { return Vec::new() };
    let is_native = |arch: &Arch| arch.target == host.target || snapshot.natives.contains(arch.target);
    let arch = Arch::ALL.iter().find(|arch| arch.nix_systems.contains(&system.as_str()));
    if arch.is_some_and(is_native) || snapshot.environment.emulated {
        return Vec::new();
    }
    let own = host.nix_systems.first().copied().unwrap_or_default();
    let place = line.map(|line| format!(" ({})", describe_place(&line.file, line.number))).unwrap_or_default();
    let what = format!("system = {system} makes Nix take this machine for another one{place}");
    let why = format!(
        "Nix then evaluates for {system} by default and refuses builds for {own}, this machine's own system. \
         extra-extra-platforms is the setting for systems that run as well"
    );
    let occurrence =
        Occurrence { systems: arch.iter().map(|arch| arch.target).collect(), ..Occurrence::general(what, why) };
    vec![match line {
        Some(line) => settings.with_line_removed(occurrence, &line.file, line.number),
        None => settings.with_unknown_place(occurrence, "system"),
    }]
}

/// With `max-jobs = 0` Nix builds nothing on this machine, and emulated systems only run here. That is right for a
/// machine that only uses remote builders.
fn check_no_local_jobs(settings: ExaminedSettings) -> Vec<Occurrence> {
    const JOBS: &[&str] = &["max-jobs", "build-max-jobs"];
    let snapshot = settings.snapshot;
    let line = settings.last_line(JOBS);
    let from_file = || Some(line?.words.first()?.clone());
    let effective = settings.view.effective.as_ref().and_then(|config| config.max_jobs.clone());
    let emulated: Vec<&'static str> = snapshot.emulated_systems().map(|(arch, _)| arch.target).collect();
    let is_intended = emulated.is_empty() && snapshot.registered.is_empty() && settings.nix.has_builders;
    if effective.or_else(from_file).as_deref() != Some("0") || is_intended {
        return Vec::new();
    }
    let place = line.map(|line| format!(" ({})", describe_place(&line.file, line.number))).unwrap_or_default();
    let what = format!("max-jobs = 0 keeps Nix from building on this machine{place}");
    let why = "emulated systems are built here, so Nix does not build them: it only asks remote builders, and without \
               those it fails with \"unable to start any build\"";
    let occurrence = Occurrence::general(what, why);
    vec![match line {
        Some(line) => settings.with_edit(
            occurrence,
            (&line.file, line.number),
            "s/=[[:blank:]]*0/= auto/",
            "write max-jobs = auto",
        ),
        None => settings.with_unknown_place(occurrence, "max-jobs"),
    }]
}
