//! The messages that people bring: as they are printed, by whom, and which checks may know the cause.
//!
//! Each line says where its text was seen. All of them are compared in lower case, with blanks run together, so that a
//! text which a terminal broke over two lines is known too.

/// One message, in all its wordings.
#[derive(Debug)]
pub struct Known {
    /// Its name, which stays.
    pub id: &'static str,
    /// Who says it.
    pub by: &'static str,
    /// Any of these: all words of it, in this order.
    pub wordings: &'static [&'static [&'static str]],
    /// What it means, wherever it is said.
    pub means: &'static str,
    /// The checks that find what may be behind it.
    pub checks: &'static [&'static str],
    /// What to do if none of them found anything: lines, with `{register}` for the one that registers the system,
    /// `{system}` for QEMU's name of it, and `{nix}` for Nix's.
    pub otherwise: &'static [&'static str],
    /// It says all that a vaguer one does: that one is left out.
    pub covers: &'static [&'static str],
}

/// A program ends because nothing runs it.
const RUNS: &[&str] = &[
    "native-registered",
    "switched-off",
    "no-module",
    "not-mounted",
    "entry-gone",
    "entry-disabled",
    "never-matches",
    "no-fix-binary",
    "interpreter-missing",
    "interpreter-dynamic",
    "interpreter-unfit",
    "interpreter-not-executable",
    "interpreter-noexec",
    "does-not-run",
    "lxc-refuses",
    "own-table",
    "dies-with-container",
    "nix-promises-too-much",
];

/// Most exact first.
pub const KNOWN: &[Known] = &[
    Known {
        id: "nix-wrong-platform",
        by: "Nix",
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
        means: "Nix refuses a build: its system is neither this machine's nor in extra-platforms. Nix does not look at \
                the kernel's table, so it has to be told; and a daemon reads what it is told only when it starts",
        checks: &[
            "nix-not-told",
            "nix-lost-i686",
            "daemon-not-restarted",
            "user-not-trusted",
            "entry-gone",
            "not-mounted",
            "switched-off",
        ],
        otherwise: &["{register}"],
        covers: &[],
    },
    Known {
        id: "nix-untrusted-setting",
        by: "Nix",
        // Before 2.4 "user-specified" (Nix 2.36 `daemon.cc`; aarch64-build-box#39).
        wordings: &[
            &["ignoring the client-specified setting", "restricted setting"],
            &["ignoring the user-specified setting", "restricted setting"],
            &["ignoring untrusted", "you are not a trusted user"],
        ],
        means: "a user's own setting, or one on the command line, is not listened to: the daemon takes extra-platforms \
                and sandbox-paths from root and from trusted-users alone. What root registers counts for everybody",
        checks: &["user-not-trusted", "nix-not-told"],
        otherwise: &["{register}"],
        covers: &[],
    },
    Known {
        id: "nix-seccomp",
        by: "Nix, run by an emulator",
        wordings: &[&["unable to load seccomp bpf program"], &["cannot load seccomp", "invalid argument"]],
        means: "Nix itself runs through QEMU (in a container for another system, say), and QEMU cannot load its filter of \
                system calls. sandbox = false does not help, filter-syscalls = false does (NixOS/nix#5258)",
        checks: &["nix-inside-emulation"],
        otherwise: &["# inside the emulated system:", "echo filter-syscalls = false >> /etc/nix/nix.conf"],
        covers: &[],
    },
    Known {
        id: "nix-personality",
        by: "Nix",
        wordings: &[&["set 32-bit personality"]],
        means: "Nix asks the kernel for a 32-bit personality before it starts an armv7l (armv6l, armv5tel, i686) builder. \
                An arm64 processor without AArch32 has none, so that no emulator is ever reached (NixOS/nix#2595)",
        checks: &["no-aarch32"],
        otherwise: &["# build it on x86_64, where armv7l is emulated, or cross: pkgsCross.armv7l-hf-multiplatform"],
        covers: &[],
    },
    Known {
        id: "nix-no-namespaces",
        by: "Nix",
        wordings: &[
            &["does not support the kernel namespaces", "sandboxing"],
            &["cloning builder process: operation not permitted"],
            &["unable to start build process", "operation not permitted"],
        ],
        means: "the kernel, or the container this runs in, gives Nix no namespaces for its sandbox",
        checks: &["sandbox-silently-off"],
        otherwise: &["# in a container: start it with --privileged; else: sysctl user.max_user_namespaces=15000"],
        covers: &[],
    },
    Known {
        id: "nix-sandbox-path",
        by: "Nix",
        wordings: &[
            &["getting attributes of path '", "no such file or directory"],
            &["getting status of '", "no such file or directory"],
            &["bind mount from '", "failed"],
        ],
        means: "a path that sandbox-paths names does not exist, or was cut at a # or a blank: every build fails on it. A \
                ? at its end lets it be missing",
        checks: &["sandbox-path-missing", "sandbox-path-cut"],
        otherwise: &["nix config show sandbox-paths"],
        covers: &["no-such-file"],
    },
    Known {
        id: "qemu-no-loader",
        by: "QEMU",
        wordings: &[
            &["qemu-", "could not open '", "no such file or directory"],
            &["could not open '/lib", "no such file or directory"],
        ],
        means: "emulation works, and the program is dynamically linked: its loader and libraries are looked for here, and \
                this system has none for it. In a chroot, a container, or as built by Nix it has its own",
        checks: &[],
        otherwise: &[
            "# static programs run as they are; for others, give QEMU a tree of that system:",
            "QEMU_LD_PREFIX=/path/to/its/root ./program",
        ],
        covers: &["no-such-file"],
    },
    Known {
        id: "qemu-crash",
        by: "QEMU",
        wordings: &[&["uncaught target signal"]],
        means: "the emulated program crashed. It may be its own fault; old releases of QEMU crash under today's kernels, \
                and some newer ones with Ubuntu 22.04's libc-bin (tonistiigi/binfmt#215, #240)",
        checks: &["qemu-known-bad", "interpreter-noexec", "interpreter-stale", "does-not-run"],
        otherwise: &["# another release of QEMU may run it:", "{register} --qemu-version latest"],
        covers: &[],
    },
    Known {
        id: "qemu-address-space",
        by: "QEMU",
        wordings: &[&["unable to reserve", "address space"], &["unable to find a guest_base"]],
        means: "QEMU wants the guest's whole address space at once, and gets too little: ulimit -v, a container's limit, \
                or vm.mmap_min_addr for guests that begin at address 0",
        checks: &["qemu-known-bad"],
        otherwise: &["ulimit -v unlimited", "# or, for one program: QEMU_RESERVED_VA=0x40000000"],
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
        means: "the program uses something of the kernel that this release of QEMU does not emulate; most programs do \
                without when they are refused",
        checks: &["qemu-known-bad", "interpreter-stale"],
        otherwise: &["# a newer QEMU may know it:", "{register} --qemu-version latest"],
        covers: &[],
    },
    Known {
        id: "argv0-lost",
        by: "busybox and others",
        wordings: &[&["applet not found"]],
        means: "a program looks at the name that it was started by, and was told another: flag P is missing, or this QEMU \
                does not understand it",
        checks: &["argv0-lost", "argv0-not-understood"],
        otherwise: &["{register} --force"],
        covers: &[],
    },
    Known {
        id: "sudo-without-rights",
        by: "sudo",
        wordings: &[&["effective uid is not 0"], &["must be owned by uid 0 and have the setuid bit set"]],
        means: "a foreign setuid program was started without its rights: that takes flag C. Inside `binfmt-nix run`, and \
                where no_new_privs is set, it gets none in any case",
        checks: &["credentials-missing"],
        otherwise: &[
            "# C lets whoever may start it write files as root; if you want that:",
            "{register} --credentials",
        ],
        covers: &[],
    },
    Known {
        id: "register-exists",
        by: "the kernel, to an installer",
        wordings: &[
            &["binfmt_misc/register", "file exists"],
            &["register", "already registered"],
            &["failed to add binary format", "file exists"],
        ],
        means: "an entry of that name is there already, perhaps without flag F (buildx#464): the installer left it as it is",
        checks: &["no-fix-binary", "shadowed", "overlap", "interpreter-stale", "interpreter-missing"],
        otherwise: &["{register}"],
        covers: &[],
    },
    Known {
        id: "register-refused",
        by: "the kernel, to an installer",
        wordings: &[
            &["binfmt_misc/register", "invalid argument"],
            &["binfmt_misc/register", "permission denied"],
            &["binfmt_misc/register", "operation not permitted"],
            &["binfmt_misc/register", "no such file or directory"],
            &["binfmt_misc/register", "read-only file system"],
            &["failed to add binary format"],
        ],
        means: "the kernel did not take an entry: the interpreter is missing or on a noexec mount, the kernel is too old \
                for flag F (4.8), or this is a container that may not",
        checks: &[
            "lxc-refuses",
            "table-read-only",
            "not-mounted",
            "no-module",
            "interpreter-missing",
            "interpreter-noexec",
            "interpreter-not-executable",
            "own-table",
        ],
        otherwise: &["{register}"],
        covers: &["no-such-file", "permission-denied"],
    },
    Known {
        id: "no-binfmt-misc",
        by: "mount",
        wordings: &[
            &["binfmt_misc", "unknown filesystem type"],
            &["binfmt_misc", "no such device"],
            &["module binfmt_misc not found"],
        ],
        means: "the running kernel has no binfmt_misc, or its modules are not there any more since an upgrade",
        checks: &["no-module", "not-mounted"],
        otherwise: &["sudo modprobe binfmt_misc"],
        covers: &[],
    },
    Known {
        id: "image-platform",
        by: "docker and podman",
        wordings: &[
            &["requested image's platform", "does not match the detected host platform"],
            &["image platform", "does not match the expected platform"],
            &["no matching manifest for"],
            &["no image found in", "for architecture"],
        ],
        means: "an image for another system is used, or there is none for the one that was asked for. That is said before \
                anything runs; whether it will is up to the kernel's table",
        checks: RUNS,
        otherwise: &["{register}"],
        covers: &[],
    },
    Known {
        id: "container-exec-format",
        by: "docker, podman and runc",
        wordings: &[
            &["exec user process caused", "exec format error"],
            &["exec /", "exec format error"],
            &["exec container process", "exec format error"],
            &["did not complete successfully", "exec format error"],
        ],
        means: "the first program of a container is for another system, and the kernel has no entry that takes it. With \
                flag F the machine's own entry works in every container; nothing has to be in the image",
        checks: RUNS,
        otherwise: &["{register}"],
        covers: &["exec-format"],
    },
    Known {
        id: "container-no-interpreter",
        by: "docker, podman and runc",
        wordings: &[
            &["exec user process caused", "no such file or directory"],
            &["exec /", ": no such file or directory"],
            &["exec container process", "no such file or directory"],
        ],
        means: "the program is there, and what runs it is not: an entry without flag F, whose interpreter is not in the \
                container; an interpreter that is dynamically linked; or the loader of the program itself",
        checks: &["no-fix-binary", "interpreter-dynamic", "interpreter-missing"],
        otherwise: &["binfmt-nix test {system}"],
        covers: &["no-such-file"],
    },
    Known {
        id: "loop",
        by: "the kernel",
        wordings: &[&["too many levels of symbolic links"]],
        means: "an entry takes the program, and its interpreter too: the machine's own system is registered, or a script's \
                interpreter is emulated by itself (ELOOP)",
        checks: &["native-registered", "overlap", "interpreter-unfit"],
        otherwise: &[
            "# if nothing starts any more, from a shell that is open:",
            "echo -1 > /proc/sys/fs/binfmt_misc/NAME",
        ],
        covers: &[],
    },
    Known {
        id: "exec-format",
        by: "the kernel",
        wordings: &[&["exec format error"], &["cannot execute binary file"], &["errno 8"], &["os error 8"]],
        means: "no entry takes this program, so that the kernel does not know how to run it (ENOEXEC); a script without \
                its first line #!/… looks the same",
        checks: RUNS,
        otherwise: &["{register}"],
        covers: &[],
    },
    Known {
        id: "no-such-file",
        by: "the kernel",
        wordings: &[&["required file not found"], &["no such file or directory"], &["cannot execute: required file"]],
        means: "if the program itself is there, what runs it is not (ENOENT): the interpreter of its entry, or the loader \
                that it asks for",
        checks: &["no-fix-binary", "interpreter-dynamic", "interpreter-missing"],
        otherwise: &["binfmt-nix explain FILE"],
        covers: &[],
    },
    Known {
        id: "permission-denied",
        by: "the kernel",
        wordings: &[&["permission denied"]],
        means: "the program or what runs it may not be executed (EACCES): its mode, a mount with noexec, or SELinux",
        checks: &["interpreter-not-executable", "interpreter-noexec", "interpreter-label", "lxc-refuses"],
        otherwise: &["binfmt-nix explain FILE"],
        covers: &[],
    },
];
