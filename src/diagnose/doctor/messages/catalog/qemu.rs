//! Messages of QEMU itself.

use super::{EMULATOR, KnownMessage, Remedy};

pub(super) const KNOWN: &[KnownMessage] = &[
    KnownMessage {
        id: "qemu-no-loader",
        printed_by: "QEMU",
        patterns: &["qemu-…could not open '<file>': no such file or directory", "could not open '/lib…no such file"],
        meaning: "emulation works, but the program is dynamically linked, and this system does not have its loader and \
                  libraries. In a chroot, in a container, or built by Nix, the program has its own",
        remedy: Remedy::Lines(&[
            "# static programs run unchanged; for others, give QEMU a tree of that system:",
            "# QEMU_LD_PREFIX=/path/to/its/root ./program",
        ]),
        covers: &["no-such-file"],
        ..KnownMessage::EMPTY
    },
    KnownMessage {
        id: "qemu-internal",
        printed_by: "QEMU",
        // `accel/tcg/cpu-exec.c` (NixOS/nix#9074), `translate-all.c` (golang/go#24656, tolstoyevsky/pieman#36),
        // `linux-user/signal.c` since 8.1 (build2#470), `tcg/tcg.c`, glib's g_assert.
        patterns: &[
            "assertion failed: (cpu == current_cpu)",
            "accel/tcg/…assertion failed",
            "plugins/core.c:…assertion failed",
            "translate-all.c:…assertion",
            "assertion failed:…translate-all.c",
            "qemu internal sigsegv",
            "qemu internal sigbus",
            "qemu internal sigill",
            "tcg fatal error",
            "accel/tcg/…code should not be reached",
            "tcg/tcg.c:…code should not be reached",
        ],
        meaning: "QEMU itself failed, not the emulated program: an assertion, or a fault in its translator. Such faults belong \
                  to a release of QEMU, and often to programs with many threads",
        checks: EMULATOR,
        remedy: Remedy::NewerQemu,
        covers: &["qemu-crash"],
        ..KnownMessage::EMPTY
    },
    KnownMessage {
        id: "qemu-crash",
        printed_by: "QEMU",
        // docker/buildx#1170, golang/go#15050 (unhandled CPU exception).
        patterns: &["uncaught target signal", "qemu: unhandled cpu exception"],
        meaning: "the emulated program crashed. It may have a bug of its own; old releases of QEMU crash under today's \
                  kernels, and some newer ones with Ubuntu 22.04's libc-bin (tonistiigi/binfmt#215, #240)",
        checks: EMULATOR,
        remedy: Remedy::NewerQemu,
        ..KnownMessage::EMPTY
    },
    KnownMessage {
        id: "qemu-address-space",
        printed_by: "QEMU",
        patterns: &["unable to reserve…address space", "unable to find a guest_base"],
        meaning: "QEMU reserves the guest's whole address space at once, and the limit is too low: ulimit -v, a container's \
                  limit, or vm.mmap_min_addr for guests that begin at address 0",
        checks: &["qemu-known-bad"],
        remedy: Remedy::Lines(&["ulimit -v unlimited", "# or, for one program: QEMU_RESERVED_VA=0x40000000"]),
        ..KnownMessage::EMPTY
    },
    KnownMessage {
        id: "qemu-unsupported",
        printed_by: "QEMU",
        patterns: &[
            "unsupported syscall",
            "unsupported ioctl: cmd",
            "qemu…function not implemented",
            "invalid note in pt_gnu_property",
        ],
        meaning: "the program uses a kernel feature that this release of QEMU does not emulate; most programs continue \
                  without it",
        checks: &["qemu-known-bad", "interpreter-stale"],
        remedy: Remedy::NewerQemu,
        ..KnownMessage::EMPTY
    },
    KnownMessage {
        id: "qemu-wrong-program",
        printed_by: "QEMU",
        // `linux-user/elfload.c`.
        patterns: &[
            "error while loading <file>: invalid elf image for this architecture",
            "invalid elf image for this architecture",
        ],
        meaning: "a QEMU got a program of another system: it was started by hand with the wrong emulator, or an entry takes \
                  programs that are not its own",
        checks: &["overlap", "shadowed", "native-registered"],
        remedy: Remedy::Lines(&["binfmt-nix explain {file}"]),
        ..KnownMessage::EMPTY
    },
];
