//! Checks that Nix has the features that nixpkgs requires of a builder for the emulated systems.

use super::nix_edit::ExaminedSettings;
use super::{Check, Fix, Occurrence, Snapshot, Urgency};
use crate::diagnose::doctor::snapshot::NixSnapshot;
use crate::nix::conf;
use crate::nix::settings::SettingLine;
use crate::register::receipt::NixUse;

pub(super) const CHECKS: &[Check] =
    &[Check { id: "nix-lacks-feature", urgency: Urgency::Broken, run: check_missing_features }];

const FEATURES: &[&str] = &["system-features"];

/// Nix builds for the system, but refuses every derivation of nixpkgs for it: "a 'armv7l-linux' with features
/// {gccarch-armv7-a} is required to build" (nix-community/infra#1916, since nixpkgs#403960). `--no-nix` is the user's
/// choice, and not a finding.
fn check_missing_features(snapshot: &Snapshot) -> Vec<Occurrence> {
    let Some(nix) = &snapshot.nix else { return Vec::new() };
    let platforms = snapshot.extra_platforms(nix);
    let available = nix.available_features();
    let occurrences = snapshot.emulated_systems().filter_map(|(arch, _)| {
        let known = snapshot.registered.get(arch.target);
        let accepted: Vec<&str> =
            arch.nix_systems.iter().copied().filter(|system| platforms.iter().any(|name| name == system)).collect();
        let mut missing = conf::required_features(&accepted);
        missing.retain(|feature| available.iter().all(|name| name != feature));
        if missing.is_empty() || known.is_some_and(|system| system.nix == NixUse::Declined) {
            return None;
        }
        let features = missing.join(" ");
        let what = format!("nixpkgs requires {features} for {}, and Nix lacks that", arch.target);
        let why = "Nix refuses every derivation of nixpkgs for this system, although it builds others for it: \
                   \"Required features\", \"missing system features\"";
        let occurrence = Occurrence::for_system(arch, what, why);
        let from_files = nix.features_of_files();
        if nix.printed_features().is_some()
            && missing.iter().all(|feature| from_files.iter().any(|name| name == feature))
        {
            let line = snapshot.shell.as_root("grep -n system-features /root/.config/nix/nix.conf");
            return Some(occurrence.with_repair(line));
        }
        if let Some(line) = replacing_line(nix).filter(|line| is_set_before(nix, line, &missing)) {
            let script = format!("a extra-system-features = {features}");
            let by_hand = format!("write extra-system-features = {features}");
            let settings = ExaminedSettings::of_machine(snapshot, nix);
            return Some(settings.with_edit(occurrence, (&line.file, line.number), &script, &by_hand));
        }
        let fix = (known.is_some() && !nix.left_alone).then(|| Fix::Register(vec![arch.target]));
        Some(Occurrence { fix, ..occurrence }.with_repair(snapshot.shell.register_command(arch)))
    });
    occurrences.collect()
}

impl NixSnapshot {
    /// Returns the features that Nix has, as it reports them, or by its files.
    pub(super) fn available_features(&self) -> Vec<String> {
        self.printed_features().unwrap_or_else(|| self.features_of_files())
    }

    fn printed_features(&self) -> Option<Vec<String>> {
        self.machine.effective.as_ref()?.features.clone()
    }

    /// Returns the features that the files set. The default has none that nixpkgs requires for a system.
    fn features_of_files(&self) -> Vec<String> {
        self.machine.settings.effective_list(FEATURES, &[])
    }
}

/// Returns the last line that replaces the features.
fn replacing_line(nix: &NixSnapshot) -> Option<&SettingLine> {
    let (replaces, lines) = nix.machine.settings.effective_lines(FEATURES);
    lines.into_iter().next().filter(|_| replaces)
}

/// Whether a line before `line` sets one of the features, so that `line` is the one that removes it.
fn is_set_before(nix: &NixSnapshot, line: &SettingLine, features: &[&str]) -> bool {
    let sets = |line: &SettingLine| line.words.iter().any(|word| features.contains(&word.as_str()));
    nix.machine.settings.lines.iter().take_while(|other| *other != line).any(sets)
}
