//! Messages of QEMU and of the programs that it runs.

use super::Known;

pub(super) const KNOWN: &[Known] = &[
    Known {
        id: "qemu-no-loader",
        by: "QEMU",
        wordings: &[
            &["qemu-", "could not open '", "no such file or directory"],
            &["could not open '/lib", "no such file or directory"],
        ],
        means: "emulation works, but the program is dynamically linked, and this system does not have its loader and \
                libraries. In a chroot, in a container, or built by Nix, the program has its own",
        checks: &[],
        otherwise: &[
            "# static programs run unchanged; for others, give QEMU a tree of that system:",
            "QEMU_LD_PREFIX=/path/to/its/root ./program",
        ],
        then: &[],
        covers: &["no-such-file"],
    },
    Known {
        id: "qemu-crash",
        by: "QEMU",
        wordings: &[&["uncaught target signal"]],
        means: "the emulated program crashed. It may have a bug of its own; old releases of QEMU crash under today's kernels, \
                and some newer ones with Ubuntu 22.04's libc-bin (tonistiigi/binfmt#215, #240)",
        checks: &["qemu-known-bad", "interpreter-noexec", "interpreter-stale", "does-not-run"],
        otherwise: &["# another release of QEMU may run it:", "{register} --qemu-version latest"],
        then: &[],
        covers: &[],
    },
    Known {
        id: "qemu-address-space",
        by: "QEMU",
        wordings: &[&["unable to reserve", "address space"], &["unable to find a guest_base"]],
        means: "QEMU reserves the guest's whole address space at once, and the limit is too low: ulimit -v, a container's limit, \
                or vm.mmap_min_addr for guests that begin at address 0",
        checks: &["qemu-known-bad"],
        otherwise: &["ulimit -v unlimited", "# or, for one program: QEMU_RESERVED_VA=0x40000000"],
        then: &[],
        covers: &[],
    },
    Known {
        id: "qemu-unsupported",
        by: "QEMU",
        wordings: &[
            &["unsupported syscall"],
            &["qemu", "unsupported ioctl"],
            &["qemu", "function not implemented"],
            &["invalid note in pt_gnu_property"],
        ],
        means: "the program uses a kernel feature that this release of QEMU does not emulate; most programs continue \
                without it",
        checks: &["qemu-known-bad", "interpreter-stale"],
        otherwise: &["# a newer QEMU may support it:", "{register} --qemu-version latest"],
        then: &[],
        covers: &[],
    },
    Known {
        id: "argv0-lost",
        by: "busybox and others",
        wordings: &[&["applet not found"]],
        means: "a program reads the name that it was started by, and got another one: flag P is missing, or this QEMU \
                does not support it",
        checks: &["argv0-lost", "argv0-not-understood"],
        otherwise: &["{register} --force"],
        then: &[],
        covers: &[],
    },
    Known {
        id: "sudo-without-rights",
        by: "sudo",
        wordings: &[&["effective uid is not 0"], &["must be owned by uid 0 and have the setuid bit set"]],
        means: "a foreign setuid program was started without its rights, which need flag C. Inside `binfmt-nix run`, and \
                with no_new_privs, it never gets them",
        checks: &["credentials-missing"],
        otherwise: &[
            "# with C, every user who may start it can write files as root; if you accept that:",
            "{register} --credentials",
        ],
        then: &[],
        covers: &[],
    },
];
