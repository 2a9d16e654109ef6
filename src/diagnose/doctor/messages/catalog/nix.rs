//! Messages of Nix, of three generations (2.3; 2.4 to 2.29; 2.30 and later), read in the tags of NixOS/nix.

use super::refusals::NO_JOBS;
use super::{EMULATOR, KnownMessage, RUNS, RUNS_INSIDE, Remedy};

pub(super) const KNOWN: &[KnownMessage] = &[
    NO_JOBS,
    KnownMessage {
        id: "nix-no-local-store",
        printed_by: "Nix",
        of_nix: true,
        of_machine: true,
        // `derivation-goal.cc`, since 2.4.
        patterns: &["unable to build with a primary store that isn't a local store"],
        meaning: "the store that Nix uses (--store, or NIX_REMOTE) is not on this machine, and Nix does not build for such \
                  a store, whatever is registered here. The store of this machine is `auto`, or `daemon`",
        remedy: Remedy::Lines(&["env -u NIX_REMOTE nix-build --store auto"]),
        ..KnownMessage::EMPTY
    },
    KnownMessage {
        id: "nix-untrusted-setting",
        printed_by: "Nix",
        of_nix: true,
        // Before 2.4 "user-specified" (`nix-daemon.cc`), then `daemon.cc`; aarch64-build-box#39.
        patterns: &[
            "ignoring the client-specified setting '<name>', because it is a restricted setting",
            "ignoring the user-specified setting '<name>', because it is a restricted setting",
        ],
        meaning: "a user's own setting, or one on the command line, is ignored: the daemon accepts extra-platforms and \
                  sandbox-paths only from root and from trusted-users. What root registers applies to all users",
        checks: &["user-not-trusted", "nix-not-told"],
        remedy: Remedy::Register,
        ..KnownMessage::EMPTY
    },
    KnownMessage {
        id: "nix-seccomp",
        printed_by: "Nix, run by an emulator",
        patterns: &["unable to load seccomp bpf program", "cannot load seccomp…invalid argument"],
        meaning: "Nix itself runs through QEMU (in a container for another system, say), and QEMU cannot load its filter of \
                  system calls. sandbox = false does not help, filter-syscalls = false does (NixOS/nix#5258)",
        checks: &["nix-inside-emulation"],
        remedy: Remedy::Lines(&["# inside the emulated system: echo filter-syscalls = false >> /etc/nix/nix.conf"]),
        ..KnownMessage::EMPTY
    },
    KnownMessage {
        id: "nix-personality",
        printed_by: "Nix",
        of_nix: true,
        patterns: &["set 32-bit personality"],
        meaning: "Nix requests a 32-bit personality before it starts an armv7l (armv6l, armv5tel, i686) builder. An arm64 \
                  processor without AArch32 has none, so no emulator is ever started (NixOS/nix#2595)",
        checks: &["no-aarch32"],
        remedy: Remedy::Lines(&[
            "# build it on x86_64, where armv7l is emulated, or cross: pkgsCross.armv7l-hf-multiplatform",
        ]),
        ..KnownMessage::EMPTY
    },
    KnownMessage {
        id: "nix-no-namespaces",
        printed_by: "Nix",
        of_nix: true,
        of_machine: true,
        patterns: &[
            "does not support the kernel namespaces…sandboxing",
            "cloning builder process: operation not permitted",
            "unable to start build process…operation not permitted",
        ],
        meaning: "the kernel, or the container in which Nix runs, refuses the namespaces for Nix's sandbox",
        checks: &["sandbox-silently-off"],
        remedy: Remedy::Lines(&[
            "# in a container: start it with --privileged; else: sysctl user.max_user_namespaces=15000",
        ]),
        ..KnownMessage::EMPTY
    },
    KnownMessage {
        id: "nix-sandbox-path",
        printed_by: "Nix",
        of_nix: true,
        of_machine: true,
        // NixOS-WSL#552; since 2.34 with `"`; NixOS/nix#2466 has an empty path (Nix built without a shell for its sandbox).
        patterns: &[
            "getting attributes of path '<file>': no such file or directory",
            "getting attributes of path '': no such file or directory",
            "getting status of '<file>': no such file or directory",
            "bind mount from '<file>'…failed",
        ],
        meaning: "a path in sandbox-paths does not exist, or was cut at a # or a blank: every build fails because of it. A \
                  path that ends in ? may be missing. NixOS adds /run/binfmt to it, which its systemd-binfmt makes",
        checks: &["sandbox-path-missing", "sandbox-path-cut"],
        remedy: Remedy::CompareSandboxPaths,
        covers: &["no-such-file"],
        ..KnownMessage::EMPTY
    },
    KnownMessage {
        id: "nix-builder-exec-format",
        printed_by: "Nix",
        of_nix: true,
        // nixos-generators#59, nixpkgs#110540.
        patterns: &["executing '<file>': exec format error"],
        meaning: "Nix accepted the build, and the kernel could not start its builder: Nix's extra-platforms lists the system, \
                  but no entry of the kernel's table runs its programs, or not in the sandbox",
        checks: RUNS,
        remedy: Remedy::Register,
        covers: &["exec-format"],
        ..KnownMessage::EMPTY
    },
    KnownMessage {
        id: "nix-builder-no-interpreter",
        printed_by: "Nix",
        of_nix: true,
        // nixpkgs#160300: the entry has no flag F.
        patterns: &["executing '<file>': no such file or directory"],
        meaning: "Nix accepted the build, and the builder exists, but what runs it is not in the sandbox: an entry without \
                  flag F, an interpreter that is dynamically linked, or the builder's own loader",
        checks: RUNS_INSIDE,
        remedy: Remedy::Lines(&["binfmt-nix explain {file}"]),
        covers: &["no-such-file"],
        ..KnownMessage::EMPTY
    },
    KnownMessage {
        id: "nix-builder-signal",
        printed_by: "Nix",
        of_nix: true,
        // `builder for 'D' failed …` up to 2.29, then `Cannot build 'D'. Reason: builder failed …`. A shell reports a
        // child that died of a signal as 128 and the number. NixOS/nix#5744, NixOS/nix#16184.
        patterns: &[
            "builder for '<drv>' failed due to signal 4",
            "builder for '<drv>' failed due to signal 11",
            "builder for '<drv>' failed with exit code 132",
            "builder for '<drv>' failed with exit code 139",
            "cannot build '<drv>'. reason: builder failed due to signal 4",
            "cannot build '<drv>'. reason: builder failed due to signal 11",
            "cannot build '<drv>'. reason: builder failed with exit code 132",
            "cannot build '<drv>'. reason: builder failed with exit code 139",
        ],
        meaning: "the builder, or a program that it started, died of an illegal instruction (signal 4) or a segmentation \
                  fault (signal 11). Under emulation that is most often QEMU's fault: the same build succeeds natively, or \
                  with another release of QEMU",
        checks: EMULATOR,
        remedy: Remedy::NewerQemu,
        next_steps: &["nix-store --query --binding system {drv}   # the system of the build"],
        ..KnownMessage::EMPTY
    },
];
