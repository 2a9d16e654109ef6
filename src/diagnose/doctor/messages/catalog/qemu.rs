//! Messages of QEMU and of the programs that it runs.

use super::KnownMessage;

pub(super) const KNOWN: &[KnownMessage] = &[
    KnownMessage {
        id: "qemu-no-loader",
        printed_by: "QEMU",
        wordings: &[
            &["qemu-", "could not open '", "no such file or directory"],
            &["could not open '/lib", "no such file or directory"],
        ],
        meaning: "emulation works, but the program is dynamically linked, and this system does not have its loader and \
                libraries. In a chroot, in a container, or built by Nix, the program has its own",
        checks: &[],
        fallback: &[
            "# static programs run unchanged; for others, give QEMU a tree of that system:",
            "QEMU_LD_PREFIX=/path/to/its/root ./program",
        ],
        next_steps: &[],
        covers: &["no-such-file"],
    },
    KnownMessage {
        id: "qemu-crash",
        printed_by: "QEMU",
        wordings: &[&["uncaught target signal"]],
        meaning: "the emulated program crashed. It may have a bug of its own; old releases of QEMU crash under today's kernels, \
                and some newer ones with Ubuntu 22.04's libc-bin (tonistiigi/binfmt#215, #240)",
        checks: &["qemu-known-bad", "interpreter-noexec", "interpreter-stale", "does-not-run"],
        fallback: &["# another release of QEMU may run it:", "{register} --qemu-version latest"],
        next_steps: &[],
        covers: &[],
    },
    KnownMessage {
        id: "qemu-address-space",
        printed_by: "QEMU",
        wordings: &[&["unable to reserve", "address space"], &["unable to find a guest_base"]],
        meaning: "QEMU reserves the guest's whole address space at once, and the limit is too low: ulimit -v, a container's limit, \
                or vm.mmap_min_addr for guests that begin at address 0",
        checks: &["qemu-known-bad"],
        fallback: &["ulimit -v unlimited", "# or, for one program: QEMU_RESERVED_VA=0x40000000"],
        next_steps: &[],
        covers: &[],
    },
    KnownMessage {
        id: "qemu-unsupported",
        printed_by: "QEMU",
        wordings: &[
            &["unsupported syscall"],
            &["qemu", "unsupported ioctl"],
            &["qemu", "function not implemented"],
            &["invalid note in pt_gnu_property"],
        ],
        meaning: "the program uses a kernel feature that this release of QEMU does not emulate; most programs continue \
                without it",
        checks: &["qemu-known-bad", "interpreter-stale"],
        fallback: &["# a newer QEMU may support it:", "{register} --qemu-version latest"],
        next_steps: &[],
        covers: &[],
    },
    KnownMessage {
        id: "argv0-lost",
        printed_by: "busybox and others",
        wordings: &[&["applet not found"]],
        meaning: "the program reads the name that it was started with, but got another one: flag P is missing, or this QEMU \
                does not support it",
        checks: &["argv0-lost", "argv0-not-understood"],
        fallback: &["{register} --force"],
        next_steps: &[],
        covers: &[],
    },
    KnownMessage {
        id: "sudo-without-rights",
        printed_by: "sudo",
        wordings: &[&["effective uid is not 0"], &["must be owned by uid 0 and have the setuid bit set"]],
        meaning: "a foreign setuid program was started without its rights, which need flag C. Inside `binfmt-nix run`, and \
                with no_new_privs, it never gets them",
        checks: &["credentials-missing"],
        fallback: &[
            "# with C, every user who may start it can write files as root; if you accept that:",
            "{register} --credentials",
        ],
        next_steps: &[],
        covers: &[],
    },
];
