//! Nix's refusals of a build, as each of its generations writes them: what is required, and what the machine has. Pure.
//!
//! | Nix | sentence | source |
//! |---|---|---|
//! | 2.0 | a 'X' is required to build 'D', but I am a 'Y' | `libstore/build.cc` |
//! | 2.2 | a 'X' with features {F} is required to build 'D', but I am a 'Y' with features {G} | the same |
//! | 2.4 | Failed to find a machine for remote build! … required (system, features): (X, F) | `build-remote.cc` |
//! | 2.30 | Reason: required system or feature not available … Required system: 'X' with features {F} … Current system: 'Y' … | `unix/build/derivation-builder.cc` |
//! | 2.34 | Reason: platform mismatch … Required system: 'X' … Current system: 'Y' | `build/derivation-building-goal.cc` |
//! | 2.34 | Reason: missing system features … Required features: {F} … Available features: {G} | the same |
//!
//! Read in the tags of NixOS/nix from 2.0 to 2.35 and at 88b09c64 (2.36). A text such as a log names other systems as
//! well, in paths and in the settings of the machine; only these sentences have the required one.

use crate::diagnose::doctor::messages::catalog::KnownMessage;
use crate::diagnose::doctor::messages::catalog::refusals::{
    KVM_EMULATED, MISSING_FEATURES, NO_BUILDER, NO_JOBS, NOT_EMULATED, WRONG_PLATFORM,
};
use crate::diagnose::doctor::messages::pattern::{Captures, Role, find_all};
use crate::diagnose::doctor::messages::systems::SystemName;
use crate::diagnose::doctor::messages::text::MessageText;
use crate::sorted;

const PATTERNS: &[&str] = &[
    "a '<wanted>' with features {<features>} is required to build '<drv>', but i am a '<host>' with features {<available>}",
    "a '<wanted>' with features {<features>} is required to build '<drv>', but i am a '<host>'",
    "a '<wanted>' is required to build '<drv>', but i am a '<host>'",
    "required system: '<wanted>' with features {<features>} current system: '<host>' with features {<available>}",
    "required system: '<wanted>' with features {<features>}",
    "required system: '<wanted>' current system: '<host>' reason: missing system features required features: {<features>} \
     available features: {<available>}",
    "required system: '<wanted>' current system: '<host>'",
    "reason: missing system features required features: {<features>} available features: {<available>}",
    BUILD_HOOK,
];

/// The build hook found no machine for a build. Nix then tries to build here.
const BUILD_HOOK: &str = "derivation: <drv> required (system, features): (<wanted>,<features>)";

/// The maximum number of different refusals of one text that are explained.
const MAX_REFUSALS: usize = 4;

/// What a build needs, and what the machine that refuses it has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refusal {
    /// The system of the derivation. `None` if Nix names only features.
    pub required: Option<SystemName>,
    /// The required features.
    pub features: Vec<String>,
    /// Those of them that the machine does not have. All of them, if Nix does not name those of the machine.
    pub missing_features: Vec<String>,
    /// The system of the machine, where Nix names it.
    pub current: Option<SystemName>,
    /// The URI of the store on another machine, if that machine refused.
    pub store: Option<String>,
    /// Whether no remote builder takes the build, and nothing is said about this machine.
    pub by_hook: bool,
}

/// Finds the refusals in a text, each once, in order.
pub(super) fn find_refusals(text: &MessageText) -> Vec<Refusal> {
    let mut places: Vec<(usize, usize, Refusal)> = Vec::new();
    for pattern in PATTERNS {
        for captures in find_all(pattern, text) {
            // A longer pattern has been there before.
            if !places.iter().any(|(start, end, _)| captures.start < *end && *start < captures.end) {
                places.push((captures.start, captures.end, Refusal::of(pattern, &captures, text)));
            }
            if places.len() > 64 {
                break;
            }
        }
    }
    sorted::sort_by_key(&mut places, |(start, ..)| *start);
    let mut refusals: Vec<Refusal> = Vec::new();
    for (.., refusal) in places {
        if !refusals.contains(&refusal) && refusals.len() < MAX_REFUSALS {
            refusals.push(refusal);
        }
    }
    refusals
}

impl Refusal {
    fn of(pattern: &str, captures: &Captures, text: &MessageText) -> Self {
        let system = |role| captures.get(role).and_then(SystemName::parse);
        let available = captures.get(Role::Available).map(words).unwrap_or_default();
        let features = captures.get(Role::Features).map(words).unwrap_or_default();
        Self {
            required: system(Role::Wanted),
            missing_features: features.iter().filter(|feature| !available.contains(feature)).cloned().collect(),
            features,
            current: system(Role::Host),
            store: store_of(text.before(captures.start, 300)),
            by_hook: pattern == BUILD_HOOK,
        }
    }

    /// Returns what the refusal means. `is_native` answers for a text that does not name the system of the machine.
    pub(super) fn kinds(&self, is_native: impl Fn(&SystemName) -> bool) -> Vec<&'static KnownMessage> {
        let is_own = match (&self.required, &self.current) {
            (Some(required), Some(current)) => required == current,
            (Some(required), None) => is_native(required),
            (None, _) => true,
        };
        let mut kinds = Vec::new();
        match &self.required {
            Some(SystemName::NotEmulated(_)) if !is_own => return vec![&NOT_EMULATED],
            // The machine may have kvm, for its own system.
            Some(_) if !is_own && self.features.iter().any(|feature| feature == "kvm") => return vec![&KVM_EMULATED],
            Some(_) if !is_own => kinds.push(&WRONG_PLATFORM),
            _ => {}
        }
        match (self.by_hook, self.missing_features.as_slice()) {
            (true, _) if is_own => return vec![&NO_BUILDER],
            (true, _) | (_, []) => {}
            _ => kinds.push(&MISSING_FEATURES),
        }
        // Nix 2.30 to 2.33 print this sentence for max-jobs = 0, too (NixOS/nix#14883).
        if kinds.is_empty() { vec![&NO_JOBS] } else { kinds }
    }
}

/// Splits a list of features: `kvm, nixos-test`, and `[kvm, nixos-test]` in messages of the build hook.
fn words(list: &str) -> Vec<String> {
    let words = list.split([',', ' ', '[', ']']).filter(|word| !word.is_empty());
    words.map(str::to_owned).collect()
}

/// Returns the store in `build of 'D' on 'ssh://H' failed: ` and `failure building 'D' on 'H': ` before a refusal.
fn store_of(before: &str) -> Option<String> {
    let (sentence, _) =
        before.trim_end_matches([' ', '\'']).rsplit_once("':").or_else(|| before.rsplit_once("' failed:"))?;
    let (sentence, uri) = sentence.trim_end_matches("' failed").rsplit_once(" on '")?;
    let is_build = ["build of ", "building ", "cannot build"]
        .iter()
        .any(|word| sentence.ends_with('\'') && sentence.contains(word));
    (is_build && !uri.contains('\'') && !matches!(uri, "localhost" | "" | "auto" | "daemon" | "local"))
        .then(|| uri.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(raw: &str) -> Refusal {
        find_refusals(&MessageText::new(raw)).into_iter().next().unwrap_or_default()
    }

    fn names(refusal: &Refusal) -> (String, String) {
        let name = |name: &Option<SystemName>| match name {
            Some(SystemName::Known(arch)) => arch.target.to_owned(),
            Some(SystemName::NotEmulated(name)) => name.clone(),
            None => String::new(),
        };
        (name(&refusal.required), name(&refusal.current))
    }

    fn kinds(refusal: &Refusal) -> Vec<&'static str> {
        let is_native = |name: &SystemName| name.arch().is_some_and(|arch| arch.target == "x86_64");
        refusal.kinds(is_native).iter().map(|known| known.id).collect()
    }

    /// The sentences of every generation, with everything that they can have.
    #[test]
    fn parses_every_generation() {
        let of = |raw: &str| {
            let refusal = first(raw);
            let (required, current) = names(&refusal);
            (required, current, refusal.missing_features.join(" "), kinds(&refusal).join(" "))
        };
        let is = |required: &str, current: &str, missing: &str, kinds: &str| {
            (required.to_owned(), current.to_owned(), missing.to_owned(), kinds.to_owned())
        };
        assert_eq!(
            of("a 'aarch64-linux' is required to build '/nix/store/x.drv', but I am a 'x86_64-linux'"),
            is("aarch64", "x86_64", "", "nix-wrong-platform")
        );
        assert_eq!(
            of(
                "a 'armv7l-linux' with features {gccarch-armv7-a} is required to build '/x.drv', but I am a 'x86_64-linux' \
                with features {benchmark, kvm}"
            ),
            is("arm", "x86_64", "gccarch-armv7-a", "nix-wrong-platform nix-missing-features")
        );
        assert_eq!(
            of(
                "Required system: 'aarch64-linux' with features {kvm}\n Current system: 'x86_64-linux' with features {kvm}"
            ),
            is("aarch64", "x86_64", "", "nix-kvm-emulated")
        );
        assert_eq!(
            of("Required system: 'aarch64-linux'\nCurrent system: 'x86_64-linux'\nReason: missing system features\n\
                Required features: {kvm}\nAvailable features: {}"),
            is("aarch64", "x86_64", "kvm", "nix-kvm-emulated")
        );
        assert_eq!(
            of("Required system: 'aarch64-darwin'\n       Current system: 'x86_64-linux'"),
            is("aarch64-darwin", "x86_64", "", "nix-not-emulated")
        );
        assert_eq!(
            of("Reason: missing system features\nRequired features: {kvm, x}\nAvailable features: {x}"),
            is("", "", "kvm", "nix-missing-features")
        );
        assert_eq!(
            of("derivation: x.drv\nrequired (system, features): (aarch64-linux, [])"),
            is("aarch64", "", "", "nix-wrong-platform")
        );
        // Nix 2.4 to 2.17 have no brackets.
        assert_eq!(
            of("derivation: x.drv\nrequired (system, features): (x86_64-linux, kvm, big-parallel)"),
            is("x86_64", "", "kvm big-parallel", "nix-no-builder")
        );
        assert_eq!(
            of("Required system: 'x86_64-linux' with features {} Current system: 'x86_64-linux' with features {}"),
            is("x86_64", "x86_64", "", "nix-no-jobs")
        );
    }

    #[test]
    fn finds_each_refusal_once() {
        let one = "a 'aarch64-linux' is required to build '/a.drv', but I am a 'x86_64-linux'\n";
        let other = "a 'riscv64-linux' is required to build '/b.drv', but I am a 'x86_64-linux'\n";
        let found = find_refusals(&MessageText::new(&[one, one, other, one].concat()));
        assert_eq!(found.iter().map(|refusal| names(refusal).0).collect::<Vec<_>>(), ["aarch64", "riscv64"]);
    }

    #[test]
    fn another_machine_may_have_refused() {
        let refused = "a 'aarch64-linux' is required to build '/a.drv', but I am a 'x86_64-linux'";
        let store = |before: &str| first(&format!("{before}{refused}")).store.unwrap_or_default();
        assert_eq!(
            store("error: build of '/a.drv' on 'ssh-ng://root@builder' failed: error: "),
            "ssh-ng://root@builder"
        );
        assert_eq!(store("possibly transient failure building ‘/a.drv’ on ‘localhost’: "), "");
        assert_eq!(store("build of '/a.drv' on 'ssh://b' failed: error: it\n"), "ssh://b");
        assert_eq!(store("error: "), "");
    }
}
