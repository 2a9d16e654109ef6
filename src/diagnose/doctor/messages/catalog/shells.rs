//! Messages of shells that read a program as text, of programs that make root directories for other systems, and of
//! programs of Windows.

use super::{KnownMessage, RUNS, Remedy};

pub(super) const KNOWN: &[KnownMessage] = &[
    KnownMessage {
        id: "windows-program",
        printed_by: "a shell",
        of_machine: true,
        // microsoft/WSL#8749, #8952; the shell read it as text: #8843; binfmt-support's entry `cli`: #5466.
        patterns: &[
            "<file>.exe: cannot execute binary file",
            "<file>.exe: exec format error",
            "exec format error: <file>.exe",
            "<file>: mz…: not found",
        ],
        meaning: "a program of Windows. Under WSL the entry WSLInterop starts it on Windows; elsewhere Wine can run it. It \
                  needs no emulator of a processor",
        checks: &["wsl-interop-gone"],
        remedy: Remedy::Lines(&["# here, install Wine, which registers an entry of its own for .exe files"]),
        covers: &["exec-format", "elf-read-as-text"],
        ..KnownMessage::EMPTY
    },
    KnownMessage {
        id: "run-detectors",
        printed_by: "binfmt-support",
        of_machine: true,
        patterns: &["run-detectors: unable to find an interpreter for <file>"],
        meaning: "an entry of binfmt-support took the file, and none of its detectors knows it. The entry `cli` of Mono takes \
                  every program of Windows, also under WSL, before WSL's own entry (WSL#5466, #9146)",
        checks: &["wsl-interop-gone"],
        remedy: Remedy::NameDetectors,
        ..KnownMessage::EMPTY
    },
    KnownMessage {
        id: "mmdebstrap-check",
        printed_by: "mmdebstrap",
        // mmdebstrap 1.3.5, `check/qemu`: it asks arch-test, and where that fails update-binfmts --display.
        patterns: &["<wanted> can neither be executed natively nor via qemu user emulation with binfmt_misc"],
        meaning: "mmdebstrap asked arch-test whether programs of {wanted} run, and got no. It needs the package arch-test, and \
                  the helper of arch-test for that architecture",
        checks: RUNS,
        remedy: Remedy::Register,
        if_works: &[
            "sudo apt-get install arch-test",
            "# or skip the check, which is about arch-test and not about the kernel: mmdebstrap --skip=check/qemu",
        ],
        covers: &["register-not-mounted", "no-binfmt-misc"],
        ..KnownMessage::EMPTY
    },
    KnownMessage {
        id: "mmdebstrap-arch-test",
        printed_by: "mmdebstrap",
        of_machine: true,
        // mmdebstrap 1.5.7, `check/qemu`: it does not start without arch-test, whatever the kernel's table has.
        patterns: &["install arch-test for foreign architecture support"],
        meaning: "mmdebstrap asks arch-test whether programs of the other system run, and arch-test is not installed",
        remedy: Remedy::Lines(&[
            "sudo apt-get install arch-test",
            "# or skip the check, which is about arch-test and not about the kernel: mmdebstrap --skip=check/qemu",
        ]),
        ..KnownMessage::EMPTY
    },
    KnownMessage {
        id: "bootstrap-cannot-run",
        printed_by: "debootstrap and arch-test",
        // debootstrap 1.0.128; RPi-Distro/pi-gen#133, #603, #925, #567.
        patterns: &[
            "<wanted>: not supported on this machine/kernel",
            "unable to execute target architecture",
            "failure trying to run: chroot…/bin/true",
            "failed to run command '/debootstrap/debootstrap': exec format error",
            "failed to run command '/debootstrap/debootstrap': no such file or directory",
        ],
        meaning: "debootstrap could not start a program of the new system in its root directory: no entry of the kernel's \
                  table takes it, or the entry has no flag F, so that the kernel looks for the emulator inside, where it is \
                  missing. arch-test for armhf also fails on an ARMv6 processor (pi-gen#603)",
        checks: RUNS,
        remedy: Remedy::Register,
        covers: &["exec-format", "no-such-file"],
        ..KnownMessage::EMPTY
    },
    KnownMessage {
        id: "elf-read-as-text",
        printed_by: "a shell",
        // teamdfir/sift#452 and ev3dev-browser#20 (dash), google/oauth2l#129 (busybox), gophish#2673, AdGuardHome#4985,
        // philippe44/AirConnect#208 (an HTML page).
        patterns: &[
            "<file>: elf: not found",
            "<file>: elf…: not found",
            "<file>: syntax error: '(' unexpected",
            "<file>: syntax error: unexpected '('",
            "<file>: syntax error: unterminated quoted string",
            "<file>: line…syntax error: unterminated quoted string",
            "<file>: line…syntax error: unexpected '('",
            "<file>: line…syntax error: unexpected word",
            "<file>: syntax error: newline unexpected",
            "syntax error: '(' unexpected",
            "syntax error: unterminated quoted string",
        ],
        meaning: "the kernel did not know the file (ENOEXEC), so the shell read it as a script, as POSIX requires. If the file \
                  is a program, it is for another system, cut off, or not what was downloaded (a page of HTML)",
        checks: RUNS,
        remedy: Remedy::Register,
        ..KnownMessage::EMPTY
    },
];
