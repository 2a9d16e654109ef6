//! Messages of the kernel, through shells, containers and installers.

use super::{KnownMessage, RUNS};

pub(super) const KNOWN: &[KnownMessage] = &[
    KnownMessage {
        id: "register-exists",
        printed_by: "the kernel, to an installer",
        wordings: &[
            &["binfmt_misc/register", "file exists"],
            &["register", "already registered"],
            &["failed to add binary format", "file exists"],
        ],
        meaning: "an entry with that name exists already, perhaps without flag F (buildx#464): the installer did not change it",
        checks: &["no-fix-binary", "shadowed", "overlap", "interpreter-stale", "interpreter-missing"],
        fallback: &["{register}"],
        next_steps: &[],
        covers: &[],
    },
    KnownMessage {
        id: "register-refused",
        printed_by: "the kernel, to an installer",
        wordings: &[
            &["binfmt_misc/register", "invalid argument"],
            &["binfmt_misc/register", "permission denied"],
            &["binfmt_misc/register", "operation not permitted"],
            &["binfmt_misc/register", "no such file or directory"],
            &["binfmt_misc/register", "read-only file system"],
            &["failed to add binary format"],
        ],
        meaning: "the kernel rejected an entry: the interpreter is missing or on a noexec mount, the kernel is too old \
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
        fallback: &["{register}"],
        next_steps: &[],
        covers: &["no-such-file", "permission-denied"],
    },
    KnownMessage {
        id: "no-binfmt-misc",
        printed_by: "mount",
        wordings: &[
            &["binfmt_misc", "unknown filesystem type"],
            &["binfmt_misc", "no such device"],
            &["module binfmt_misc not found"],
        ],
        meaning: "the running kernel has no binfmt_misc, or an upgrade removed its modules",
        checks: &["no-module", "not-mounted"],
        fallback: &["sudo modprobe binfmt_misc"],
        next_steps: &[],
        covers: &[],
    },
    KnownMessage {
        id: "image-platform",
        printed_by: "docker and podman",
        wordings: &[
            &["requested image's platform", "does not match the detected host platform"],
            &["image platform", "does not match the expected platform"],
            &["no matching manifest for"],
            &["no image found in", "for architecture"],
        ],
        meaning: "the image is for another system, or no image exists for the requested one. The message appears before a \
                program runs; the kernel's table decides whether it can run",
        checks: RUNS,
        fallback: &["{register}"],
        next_steps: &[],
        covers: &[],
    },
    KnownMessage {
        id: "container-exec-format",
        printed_by: "docker, podman and runc",
        wordings: &[
            &["exec user process caused", "exec format error"],
            &["exec /", "exec format error"],
            &["exec container process", "exec format error"],
            &["did not complete successfully", "exec format error"],
        ],
        meaning: "the first program of a container is for another system, and the kernel has no entry for it. With flag F \
                the machine's own entry works in every container; the image needs no emulator",
        checks: RUNS,
        fallback: &["{register}"],
        next_steps: &[],
        covers: &["exec-format"],
    },
    KnownMessage {
        id: "container-no-interpreter",
        printed_by: "docker, podman and runc",
        wordings: &[
            &["exec user process caused", "no such file or directory"],
            &["exec /", ": no such file or directory"],
            &["exec container process", "no such file or directory"],
        ],
        meaning: "the program exists, but what runs it does not: an entry without flag F, whose interpreter is not in the \
                container; an interpreter that is dynamically linked; or the loader of the program itself",
        checks: &["no-fix-binary", "interpreter-dynamic", "interpreter-missing"],
        fallback: &["binfmt-nix test {system}"],
        next_steps: &[],
        covers: &["no-such-file"],
    },
    KnownMessage {
        id: "loop",
        printed_by: "the kernel",
        wordings: &[&["too many levels of symbolic links"]],
        meaning: "an entry matches the program and its interpreter, too (ELOOP): the machine's own system is registered, or \
                an interpreter is its own interpreter",
        checks: &["native-registered", "overlap", "interpreter-unfit"],
        fallback: &[
            "# if nothing starts any more, in a shell that is already open:",
            "echo -1 > /proc/sys/fs/binfmt_misc/NAME",
        ],
        next_steps: &[],
        covers: &[],
    },
    KnownMessage {
        id: "exec-format",
        printed_by: "the kernel",
        wordings: &[&["exec format error"], &["cannot execute binary file"], &["errno 8"], &["os error 8"]],
        meaning: "no entry matches this program, so the kernel cannot run it (ENOEXEC); a script without a first line #!/… \
                fails in the same way",
        checks: RUNS,
        fallback: &["{register}"],
        next_steps: &[],
        covers: &[],
    },
    KnownMessage {
        id: "no-such-file",
        printed_by: "the kernel",
        wordings: &[&["required file not found"], &["no such file or directory"], &["cannot execute: required file"]],
        meaning: "if the program itself exists, what runs it does not (ENOENT): the interpreter of its entry, or the loader \
                that it needs",
        checks: &["no-fix-binary", "interpreter-dynamic", "interpreter-missing"],
        fallback: &["binfmt-nix explain FILE"],
        next_steps: &[],
        covers: &[],
    },
    KnownMessage {
        id: "permission-denied",
        printed_by: "the kernel",
        wordings: &[&["permission denied"]],
        meaning: "the program or what runs it may not be executed (EACCES): its mode, a mount with noexec, or SELinux",
        checks: &["interpreter-not-executable", "interpreter-noexec", "interpreter-label", "lxc-refuses"],
        fallback: &["binfmt-nix explain FILE"],
        next_steps: &[],
        covers: &[],
    },
];
