//! Checks that Nix has the features that nixpkgs requires of a builder for the emulated systems.

use super::nix::append_command;
use super::nix_edit::{ExaminedSettings, check_views};
use super::{Check, Fix, Occurrence, Urgency};
use crate::diagnose::doctor::snapshot::NixView;
use crate::nix::conf;
use crate::nix::settings::SettingLine;
use crate::register::receipt::NixUse;

pub(super) const CHECKS: &[Check] = &[Check {
    id: "nix-lacks-feature",
    urgency: Urgency::Broken,
    run: |snapshot| check_views(snapshot, check_missing_features),
}];

const FEATURES: &[&str] = &["system-features"];

/// Nix builds for the system, but refuses every derivation of nixpkgs for it: "a 'armv7l-linux' with features
/// {gccarch-armv7-a} is required to build" (nix-community/infra#1916, since nixpkgs#403960). `--no-nix` is the user's
/// choice, and not a finding.
fn check_missing_features(settings: ExaminedSettings) -> Vec<Occurrence> {
    let (snapshot, nix, view) = (settings.snapshot, settings.nix, settings.view);
    let platforms = snapshot.platforms_of(view);
    let available = available_features(view);
    let occurrences = snapshot.emulated_systems().filter_map(|(arch, entry)| {
        let known = snapshot.registered.get(arch.target);
        let accepted: Vec<&str> =
            arch.nix_systems.iter().copied().filter(|system| platforms.iter().any(|name| name == system)).collect();
        let mut missing = conf::required_features(&accepted);
        missing.retain(|feature| available.iter().all(|name| name != feature));
        let is_declined = known.is_some_and(|system| system.nix == NixUse::Declined);
        if missing.is_empty() || is_declined || !settings.decides_for(entry) {
            return None;
        }
        let features = missing.join(" ");
        let what = format!("nixpkgs requires {features} for {}, and Nix lacks that", arch.target);
        let why = "Nix refuses every derivation of nixpkgs for this system, although it builds others for it: \
                   \"Required features\", \"missing system features\"";
        let occurrence = Occurrence::for_system(arch, what, why);
        let replacing = replacing_line(view);
        if let Some(line) = replacing.filter(|line| snapshot.is_of_run(entry) || is_set_before(view, line, &missing)) {
            let script = format!("a extra-system-features = {features}");
            let by_hand = format!("write extra-system-features = {features}");
            return Some(settings.with_edit(occurrence, (&line.file, line.number), &script, &by_hand));
        }
        if snapshot.is_of_run(entry) {
            return Some(occurrence.with_repair(append_command(arch.nix_systems)));
        }
        let from_files = view.settings.effective_list(FEATURES, &[]);
        let is_printed = printed_features(view).is_some();
        if is_printed && missing.iter().all(|feature| from_files.iter().any(|name| name == feature)) {
            return Some(settings.with_unknown_place(occurrence, "system-features"));
        }
        let fix = (known.is_some() && !nix.left_alone).then(|| Fix::Register(vec![arch.target]));
        Some(Occurrence { fix, ..occurrence }.with_repair(snapshot.shell.register_command(arch)))
    });
    occurrences.collect()
}

/// Returns the features that Nix has, as it reports them, or by its files.
pub(super) fn available_features(view: &NixView) -> Vec<String> {
    // The default has no feature that nixpkgs requires for a system.
    printed_features(view).unwrap_or_else(|| view.settings.effective_list(FEATURES, &[]))
}

fn printed_features(view: &NixView) -> Option<Vec<String>> {
    view.effective.as_ref()?.features.clone()
}

/// Returns the last line that replaces the features.
fn replacing_line(view: &NixView) -> Option<&SettingLine> {
    let (replaces, lines) = view.settings.effective_lines(FEATURES);
    lines.into_iter().next().filter(|_| replaces)
}

/// Whether a line before `line` sets one of the features, so that `line` is the one that removes it.
fn is_set_before(view: &NixView, line: &SettingLine, features: &[&str]) -> bool {
    let sets = |line: &SettingLine| line.words.iter().any(|word| features.contains(&word.as_str()));
    view.settings.lines.iter().take_while(|other| *other != line).any(sets)
}
