//! Messages of the kernel, through shells, containers and installers.

use super::{Known, RUNS};

pub(super) const KNOWN: &[Known] = &[
    Known {
        id: "register-exists",
        by: "the kernel, to an installer",
        wordings: &[
            &["binfmt_misc/register", "file exists"],
            &["register", "already registered"],
            &["failed to add binary format", "file exists"],
        ],
        means: "an entry with that name exists already, perhaps without flag F (buildx#464): the installer did not change it",
        checks: &["no-fix-binary", "shadowed", "overlap", "interpreter-stale", "interpreter-missing"],
        otherwise: &["{register}"],
        then: &[],
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
        means: "the kernel rejected an entry: the interpreter is missing or on a noexec mount, the kernel is too old \
                for flag F (4.8), or this is a container that may not register",
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
        then: &[],
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
        means: "the running kernel has no binfmt_misc, or an upgrade removed its modules",
        checks: &["no-module", "not-mounted"],
        otherwise: &["sudo modprobe binfmt_misc"],
        then: &[],
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
        means: "the image is for another system, or no image exists for the requested one. The message appears before a \
                program runs; the kernel's table decides whether it can run",
        checks: RUNS,
        otherwise: &["{register}"],
        then: &[],
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
        means: "the first program of a container is for another system, and the kernel has no entry for it. With flag F \
                the machine's own entry works in every container; the image needs no emulator",
        checks: RUNS,
        otherwise: &["{register}"],
        then: &[],
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
        means: "the program exists, but what runs it does not: an entry without flag F, whose interpreter is not in the \
                container; an interpreter that is dynamically linked; or the loader of the program itself",
        checks: &["no-fix-binary", "interpreter-dynamic", "interpreter-missing"],
        otherwise: &["binfmt-nix test {system}"],
        then: &[],
        covers: &["no-such-file"],
    },
    Known {
        id: "loop",
        by: "the kernel",
        wordings: &[&["too many levels of symbolic links"]],
        means: "an entry matches the program and its interpreter too (ELOOP): the machine's own system is registered, or \
                the interpreter of a script is run by itself",
        checks: &["native-registered", "overlap", "interpreter-unfit"],
        otherwise: &[
            "# if nothing starts any more, from a shell that is open:",
            "echo -1 > /proc/sys/fs/binfmt_misc/NAME",
        ],
        then: &[],
        covers: &[],
    },
    Known {
        id: "exec-format",
        by: "the kernel",
        wordings: &[&["exec format error"], &["cannot execute binary file"], &["errno 8"], &["os error 8"]],
        means: "no entry matches this program, so the kernel cannot run it (ENOEXEC); a script without a first line #!/… \
                fails in the same way",
        checks: RUNS,
        otherwise: &["{register}"],
        then: &[],
        covers: &[],
    },
    Known {
        id: "no-such-file",
        by: "the kernel",
        wordings: &[&["required file not found"], &["no such file or directory"], &["cannot execute: required file"]],
        means: "if the program itself exists, what runs it does not (ENOENT): the interpreter of its entry, or the loader \
                that it needs",
        checks: &["no-fix-binary", "interpreter-dynamic", "interpreter-missing"],
        otherwise: &["binfmt-nix explain FILE"],
        then: &[],
        covers: &[],
    },
    Known {
        id: "permission-denied",
        by: "the kernel",
        wordings: &[&["permission denied"]],
        means: "the program or what runs it may not be executed (EACCES): its mode, a mount with noexec, or SELinux",
        checks: &["interpreter-not-executable", "interpreter-noexec", "interpreter-label", "lxc-refuses"],
        otherwise: &["binfmt-nix explain FILE"],
        then: &[],
        covers: &[],
    },
];
