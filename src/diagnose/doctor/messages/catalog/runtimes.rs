//! Messages of programs that run in an emulator.

use super::{EMULATOR, KnownMessage, Remedy};

pub(super) const KNOWN: &[KnownMessage] = &[
    KnownMessage {
        id: "argv0-lost",
        printed_by: "busybox and others",
        patterns: &["applet not found"],
        meaning: "the program reads the name that it was started with, but got another one: flag P is missing, or this QEMU \
                  does not support it",
        checks: &["argv0-lost", "argv0-not-understood"],
        remedy: Remedy::Lines(&["{register} --force"]),
        ..KnownMessage::EMPTY
    },
    KnownMessage {
        id: "sudo-without-rights",
        printed_by: "sudo",
        patterns: &["effective uid is not 0", "must be owned by uid 0 and have the setuid bit set"],
        meaning: "a foreign setuid program was started without its rights, which need flag C. Inside `binfmt-nix run`, and \
                  with no_new_privs, it never gets them",
        checks: &["credentials-missing"],
        remedy: Remedy::Lines(&[
            "# with C, every user who may start it can write files as root; if you accept that:",
            "{register} --credentials",
        ]),
        ..KnownMessage::EMPTY
    },
    KnownMessage {
        id: "go-newosproc",
        printed_by: "a Go program",
        // golang/go#20763: QEMU rejects a clone(2) without CLONE_SYSVSEM, which Go passes since 1.9; linuxkit#1348 (1.7),
        // multiarch/qemu-user-static#22 (1.6), tianon/gosu#93 (1.7), docker/for-mac#6137 (1.6). errno=11 is a limit.
        patterns: &["failed to create new os thread (have…errno=22)"],
        meaning: "a program that was built with Go before 1.9 cannot start threads under QEMU: it calls clone(2) without a \
                  flag that QEMU requires since 2.8 (golang/go#20763). No entry and no other release of QEMU helps",
        remedy: Remedy::Lines(&[
            "# use a newer release of the program (built with Go 1.9 or later), or a native machine",
        ]),
        ..KnownMessage::EMPTY
    },
    KnownMessage {
        id: "jvm-crash",
        printed_by: "the JVM",
        // jruby/docker-jruby#37, 2moe/tmoe#59; OpenJ9: ibmruntimes/Semeru-Runtimes#11.
        patterns: &[
            "a fatal error has been detected by the java runtime environment",
            "port library failed to initialize: -1",
        ],
        meaning: "the JVM crashed. If it is for another system than the machine, QEMU runs the code that the JVM generates, \
                  and releases of QEMU differ in that; a JVM of the machine's own system has no emulator",
        checks: EMULATOR,
        remedy: Remedy::NewerQemu,
        ..KnownMessage::EMPTY
    },
];
