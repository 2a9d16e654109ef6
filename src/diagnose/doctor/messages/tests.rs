//! Tests of the catalogue, and of any text.

use proptest::prelude::*;

use super::*;
use crate::diagnose::doctor::run_checks;
use crate::diagnose::doctor::snapshot::{NixSnapshot, NixView};
use crate::nix::config_show::NixConfig;

fn all_meanings() -> impl Iterator<Item = &'static KnownMessage> {
    use catalog::refusals::{KVM_EMULATED, MISSING_FEATURES, NO_BUILDER, NOT_EMULATED, WRONG_PLATFORM};
    const REFUSALS: [&KnownMessage; 6] =
        [&WRONG_PLATFORM, &MISSING_FEATURES, &KVM_EMULATED, &NOT_EMULATED, &NO_BUILDER, &CROSS];
    catalog::all_messages().chain(REFUSALS)
}

#[test]
fn every_pattern_is_well_formed() {
    for known in all_meanings() {
        for pattern in known.patterns {
            assert!(pattern::is_well_formed(pattern), "{}: {pattern}", known.id);
        }
        assert!(!known.meaning.ends_with('.') && !known.meaning.contains("  "), "{}", known.id);
    }
}

#[test]
fn names_of_messages_are_unique() {
    let ids: Vec<&str> = all_meanings().map(|known| known.id).collect();
    for (number, id) in ids.iter().enumerate() {
        assert!(id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'), "{id}");
        assert!(!ids.iter().skip(number + 1).any(|other| other == id), "{id} is used twice");
    }
}

/// A message points to checks and to other messages by their names.
#[test]
fn the_checks_of_a_message_exist() {
    for known in all_meanings() {
        for id in known.checks {
            assert!(crate::diagnose::doctor::all_checks().any(|check| check.id == *id), "{} names {id}", known.id);
        }
        assert!(known.covers.iter().all(|id| catalog::all_messages().any(|other| other.id == *id)), "{}", known.id);
    }
}

/// A PC without entries.
fn pc() -> Snapshot {
    Snapshot { natives: ["x86_64"].into(), ..Snapshot::default() }
}

fn answer(text: &str, snapshot: &Snapshot) -> Advice {
    Reading::of(text).explain(snapshot, &run_checks(snapshot)).remove(0)
}

const REFUSED: &str = "error: a 'aarch64-linux' with features {} is required to build '/nix/store/sh-ensure.drv', but I am \
                       a 'x86_64-linux' with features {benchmark, big-parallel, kvm, nixos-test}";

#[test]
fn the_same_message_means_another_thing_on_another_machine() {
    let unregistered = answer(REFUSED, &pc());
    assert_eq!(unregistered.repair, ["sudo binfmt-nix register aarch64"]);
    assert!(unregistered.here[0].contains("nothing runs them"), "{unregistered:#?}");
    let mut arm = Snapshot { machine: "aarch64".into(), ..Snapshot::default() };
    arm.natives.extend(["aarch64"]);
    let other = answer(REFUSED, &arm);
    assert_eq!(other.machine.as_deref(), Some("x86_64-linux"));
    assert!(other.repair[0].starts_with("# on that machine: binfmt-nix register aarch64"), "{other:#?}");
    assert!(!other.repair.iter().any(|line| line.starts_with("sudo")), "{other:#?}");
    let config = NixConfig { extra_platforms: vec!["aarch64-linux".into()], ..NixConfig::default() };
    let nix = NixSnapshot {
        machine: NixView { effective: Some(config), ..NixView::default() },
        daemon_is_older: Some((7, "/etc/nix/nix.conf".into())),
        restart: Some("systemctl restart nix-daemon".into()),
        ..NixSnapshot::default()
    };
    let outdated = answer(REFUSED, &Snapshot { nix: Some(nix), ..pc() });
    assert!(outdated.here.iter().any(|line| line.contains("process 7")), "{outdated:#?}");
    assert_eq!(outdated.repair, ["systemctl restart nix-daemon"]);
}

#[test]
fn a_cross_build_gets_the_commands_of_a_native_build() {
    let text = "these 630 derivations will be built:\n  /nix/store/0-riscv64-unknown-linux-gnu-gcc-13.drv";
    let advice = answer(text, &Snapshot::default());
    assert!(advice.means.contains("(system = riscv64-linux)"), "{advice:#?}");
    assert_eq!(advice.repair[0], "sudo binfmt-nix register riscv64");
    assert!(advice.repair[1].contains(" nixpkgs#legacyPackages.riscv64-linux.hello"), "{advice:#?}");
    let mut native = Snapshot::default();
    native.natives.insert("riscv64");
    assert!(Reading::of(text).explain(&native, &[]).is_empty(), "its own triple");
    let unnamed = answer("import <nixpkgs> { crossSystem = x; }", &Snapshot::default());
    assert!(unnamed.repair.iter().all(|line| line.starts_with('#')), "{unnamed:#?}");
}

#[test]
fn a_text_that_is_not_known_gets_the_state_of_its_system() {
    let text = "something about aarch64-linux";
    let unknown = answer(text, &Snapshot::default());
    assert_eq!((unknown.id, unknown.is_known()), ("unknown", false));
    assert!(!unknown.needs_nothing() && unknown.here[0].contains("nothing runs them"), "{unknown:#?}");
    let mut native = Snapshot::default();
    native.natives.insert("aarch64");
    assert!(answer(text, &native).needs_nothing());
    assert!(Reading::of("all is well").explain(&native, &[]).is_empty());
}

/// The file and the names of a message come into commands as they are, quoted.
#[test]
fn pieces_of_a_message_are_quoted() {
    let advice = answer("env: './my program; reboot': No such file or directory", &Snapshot::default());
    assert_eq!(advice.repair, ["binfmt-nix explain './my program; reboot'"]);
    let syntax = answer("error: illegal configuration line 'a $(reboot)' in '/etc/nix/nix.conf'", &Snapshot::default());
    assert!(syntax.repair[0].starts_with("grep -nF -- 'a $(reboot)' /etc/nix/nix.conf"), "{syntax:#?}");
}

proptest! {
    #[test]
    fn accepts_any_text(text in ".{0,200}") {
        let _ = Reading::of(&text).explain(&Snapshot::default(), &[]);
    }

    /// Pieces of patterns, cut and joined anywhere.
    #[test]
    fn accepts_pieces_of_messages(pieces in proptest::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..8)) {
        let patterns: Vec<&str> = all_meanings().flat_map(|known| known.patterns).copied().collect();
        let cut = |(number, at): (prop::sample::Index, prop::sample::Index)| {
            let chars: Vec<char> = number.get(&patterns).chars().collect();
            chars[..at.index(chars.len())].iter().collect::<String>()
        };
        let text: String = pieces.into_iter().map(cut).collect();
        for advice in Reading::of(&text).explain(&Snapshot::default(), &[]) {
            prop_assert!(!advice.means.is_empty());
        }
    }
}
