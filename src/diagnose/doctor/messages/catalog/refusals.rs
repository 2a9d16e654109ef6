//! What a refusal of Nix means. The sentences are in [`refusal`](super::super::refusal), because one sentence has
//! several meanings.

use super::{KnownMessage, Remedy};

/// The system is not one of the machine's (nixos-generators#219, raspberry-pi-nix#129).
pub(in super::super) const WRONG_PLATFORM: KnownMessage = KnownMessage {
    id: "nix-wrong-platform",
    printed_by: "Nix",
    of_nix: true,
    meaning: "Nix refuses a build: its system is neither the machine's nor in extra-platforms. Nix does not read the \
              kernel's table, so it has to be configured; and a daemon reads its settings only when it starts",
    checks: &[
        "nix-rejects-settings",
        "nix-platform-name",
        "nix-foreign-system",
        "nix-not-told",
        "nix-caller-overrides",
        "nix-lost-i686",
        "daemon-not-restarted",
        "user-not-trusted",
        "entry-gone",
        "not-mounted",
        "switched-off",
    ],
    remedy: Remedy::Register,
    ..KnownMessage::EMPTY
};

/// The system is right, the features are not: `{kvm}` on a machine without /dev/kvm (cachix-action#26), `gccarch-…`
/// because nixpkgs since #403960 requires it of platforms with gcc.arch (nix-community/infra#1916), `big-parallel`.
pub(in super::super) const MISSING_FEATURES: KnownMessage = KnownMessage {
    id: "nix-missing-features",
    printed_by: "Nix",
    of_nix: true,
    meaning: "Nix refuses a build because of its system features, not of its system: the derivation requires a feature that \
              the machine's system-features does not list. A feature is only a name: gccarch-X means code for the \
              processor X, kvm means /dev/kvm, big-parallel means many cores. Features belong to the machine, not to one of \
              its systems",
    checks: &["nix-lacks-feature", "daemon-not-restarted"],
    remedy: Remedy::AddFeatures,
    ..KnownMessage::EMPTY
};

/// A virtual machine of another system (nixpkgs#475740). The kernel's KVM runs only the processor's own instructions.
pub(in super::super) const KVM_EMULATED: KnownMessage = KnownMessage {
    id: "nix-kvm-emulated",
    printed_by: "Nix",
    of_nix: true,
    meaning: "the derivation starts a virtual machine with KVM, for another processor than this one: KVM runs only the \
              processor's own instructions, and an emulated program cannot use it. Adding kvm to system-features would \
              start the build and let it fail. It needs a native builder with /dev/kvm",
    remedy: Remedy::Lines(&[
        "# in /etc/nix/machines, a native machine: ssh://HOST {nix} - 4 1 kvm,nixos-test,big-parallel,benchmark",
    ]),
    ..KnownMessage::EMPTY
};

/// darwin and freebsd (svanderburg/node2nix#297, the other way round): QEMU's user-mode emulation for Linux runs Linux
/// programs only.
pub(in super::super) const NOT_EMULATED: KnownMessage = KnownMessage {
    id: "nix-not-emulated",
    printed_by: "Nix",
    of_nix: true,
    meaning: "the build is for another operating system than Linux. An emulator of a processor does not help: its programs \
              need the kernel of that system. Only a machine of that system can build it, as a remote builder",
    remedy: Remedy::Lines(&["# in /etc/nix/machines, a machine of that system: ssh://HOST {wanted} - 4 1 - -"]),
    ..KnownMessage::EMPTY
};

/// The build hook's warning about a system that this machine builds itself (nixos-anywhere#169).
pub(in super::super) const NO_BUILDER: KnownMessage = KnownMessage {
    id: "nix-no-builder",
    printed_by: "Nix",
    of_nix: true,
    meaning: "no machine in /etc/nix/machines (builders) lists the system and the features of a build. Nix then builds it on \
              its own machine, if that has them",
    remedy: Remedy::Lines(&[
        "# the line of a builder in /etc/nix/machines has to list {nix} and the features of the build",
    ]),
    ..KnownMessage::EMPTY
};

/// Nix 2.30 to 2.33 print the sentence with equal systems and features (NixOS/nix#14883); before and after that
/// NixOS/nix#7101 (`worker.cc`) and 2.34 (`derivation-building-goal.cc`).
pub(in super::super) const NO_JOBS: KnownMessage = KnownMessage {
    id: "nix-no-jobs",
    printed_by: "Nix",
    of_nix: true,
    of_machine: true,
    patterns: &[
        "unable to start any build; either increase '--max-jobs'",
        "reason: local builds are disabled (max-jobs = 0)",
        "unable to start any build; remote machines may not have all required system features",
    ],
    meaning: "Nix may not build on this machine: max-jobs is 0, in its settings or by --max-jobs 0 (-j0), and no remote \
              builder takes the build. An emulated build is a local build, too",
    checks: &["nix-no-local-jobs"],
    remedy: Remedy::AllowLocalBuilds,
    ..KnownMessage::EMPTY
};
