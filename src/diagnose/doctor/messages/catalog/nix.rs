//! Messages of Nix, of three generations (2.3; 2.4 to 2.29; 2.30 and later).

use super::KnownMessage;

pub(super) const KNOWN: &[KnownMessage] = &[
    KnownMessage {
        id: "nix-wrong-platform",
        printed_by: "Nix",
        wordings: &[
            // 2.3; then with features, up to 2.29 (facts of Nix, "Messages by age"; nixos-generators#219).
            &["a '", "is required to build '", "but i am a '"],
            // 2.30 and later.
            &["cannot build '", "required system or feature not available"],
            &["required system: '", "current system: '"],
            // 2.36.
            &["cannot build '", "platform mismatch"],
            // The build hook, since 2.4.
            &["failed to find a machine for remote build", "required (system, features)"],
        ],
        meaning: "Nix refuses a build: its system is neither this machine's nor in extra-platforms. Nix does not read \
                the kernel's table, so it has to be configured; and a daemon reads its settings only when it starts",
        checks: &[
            "nix-not-told",
            "nix-lost-i686",
            "daemon-not-restarted",
            "user-not-trusted",
            "entry-gone",
            "not-mounted",
            "switched-off",
        ],
        fallback: &["{register}"],
        next_steps: &[],
        covers: &[],
    },
    KnownMessage {
        id: "nix-untrusted-setting",
        printed_by: "Nix",
        // Before 2.4 "user-specified" (Nix 2.36 `daemon.cc`; aarch64-build-box#39).
        wordings: &[
            &["ignoring the client-specified setting", "restricted setting"],
            &["ignoring the user-specified setting", "restricted setting"],
            &["ignoring untrusted", "you are not a trusted user"],
        ],
        meaning: "a user's own setting, or one on the command line, is ignored: the daemon accepts extra-platforms and \
                sandbox-paths only from root and from trusted-users. What root registers applies to all users",
        checks: &["user-not-trusted", "nix-not-told"],
        fallback: &["{register}"],
        next_steps: &[],
        covers: &[],
    },
    KnownMessage {
        id: "nix-seccomp",
        printed_by: "Nix, run by an emulator",
        wordings: &[&["unable to load seccomp bpf program"], &["cannot load seccomp", "invalid argument"]],
        meaning: "Nix itself runs through QEMU (in a container for another system, say), and QEMU cannot load its filter of \
                system calls. sandbox = false does not help, filter-syscalls = false does (NixOS/nix#5258)",
        checks: &["nix-inside-emulation"],
        fallback: &["# inside the emulated system:", "echo filter-syscalls = false >> /etc/nix/nix.conf"],
        next_steps: &[],
        covers: &[],
    },
    KnownMessage {
        id: "nix-personality",
        printed_by: "Nix",
        wordings: &[&["set 32-bit personality"]],
        meaning: "Nix requests a 32-bit personality before it starts an armv7l (armv6l, armv5tel, i686) builder. An arm64 \
                processor without AArch32 has none, so no emulator is ever started (NixOS/nix#2595)",
        checks: &["no-aarch32"],
        fallback: &["# build it on x86_64, where armv7l is emulated, or cross: pkgsCross.armv7l-hf-multiplatform"],
        next_steps: &[],
        covers: &[],
    },
    KnownMessage {
        id: "nix-no-namespaces",
        printed_by: "Nix",
        wordings: &[
            &["does not support the kernel namespaces", "sandboxing"],
            &["cloning builder process: operation not permitted"],
            &["unable to start build process", "operation not permitted"],
        ],
        meaning: "the kernel, or the container in which Nix runs, refuses the namespaces for Nix's sandbox",
        checks: &["sandbox-silently-off"],
        fallback: &["# in a container: start it with --privileged; else: sysctl user.max_user_namespaces=15000"],
        next_steps: &[],
        covers: &[],
    },
    KnownMessage {
        id: "nix-sandbox-path",
        printed_by: "Nix",
        wordings: &[
            &["getting attributes of path '", "no such file or directory"],
            &["getting status of '", "no such file or directory"],
            &["bind mount from '", "failed"],
        ],
        meaning: "a path in sandbox-paths does not exist, or was cut at a # or a blank: every build fails because of it. A \
                path that ends in ? may be missing",
        checks: &["sandbox-path-missing", "sandbox-path-cut"],
        fallback: &["nix config show sandbox-paths"],
        next_steps: &[],
        covers: &["no-such-file"],
    },
];
