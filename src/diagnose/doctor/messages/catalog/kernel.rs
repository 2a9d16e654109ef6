//! Errors of execve(2), as shells, libraries and languages print them. The vaguest messages: they come last.

use super::{KnownMessage, RUNS, RUNS_INSIDE, Remedy};

pub(super) const KNOWN: &[KnownMessage] = &[
    KnownMessage {
        id: "loop",
        printed_by: "the kernel",
        patterns: &["<file>: too many levels of symbolic links", "too many levels of symbolic links"],
        meaning: "an entry matches the program and its interpreter, too (ELOOP): the machine's own system is registered, or \
                  an interpreter is its own interpreter",
        checks: &["native-registered", "overlap", "interpreter-loop", "other-interpreter-loop", "interpreter-unfit"],
        remedy: Remedy::Lines(&[
            "# if nothing starts any more, in a shell that is already open: echo -1 > /proc/sys/fs/binfmt_misc/NAME",
        ]),
        ..KnownMessage::EMPTY
    },
    KnownMessage {
        id: "exec-format",
        printed_by: "the kernel",
        // bash, mksh, ksh93, fish (`fork_exec/postfork.rs`), zsh and Python, dash and coreutils, Java, Node.js, C, Rust.
        patterns: &[
            "<file>: cannot execute binary file",
            "<file>: not executable: 64-bit elf file",
            "<file>: not executable: 32-bit elf file",
            "<file>: cannot execute [exec format error]",
            "failed to execute process: '<file>' the file could not be run by the operating system",
            "failed to execute process '<file>'. reason: exec: exec format error",
            "<file>: exec format error",
            "cannot run program '<file>': error=8",
            "exec format error: <file>",
            "spawn <file> enoexec",
            "exec format error",
            "spawn enoexec",
            "cannot execute binary file",
            "could not be run by the operating system",
            "errno 8",
            "os error 8",
        ],
        meaning: "no entry matches this program, so the kernel cannot run it (ENOEXEC); a script without a first line #!/… \
                  fails in the same way",
        checks: RUNS,
        remedy: Remedy::Register,
        ..KnownMessage::EMPTY
    },
    KnownMessage {
        id: "no-such-file",
        printed_by: "the kernel",
        patterns: &[
            "<file>: cannot execute: required file not found",
            "<file>: <name>: bad interpreter",
            "<file>: bad interpreter",
            "failed to run command '<file>': no such file or directory",
            "<file>: no such file or directory",
            "no such file or directory: <file>",
            "spawn <file> enoent",
            "required file not found",
            "no such file or directory",
        ],
        meaning: "if the program itself exists, what runs it does not (ENOENT): the interpreter of its entry, or the loader \
                  that it needs",
        checks: RUNS_INSIDE,
        remedy: Remedy::Lines(&["binfmt-nix explain {file}"]),
        ..KnownMessage::EMPTY
    },
    KnownMessage {
        id: "permission-denied",
        printed_by: "the kernel",
        patterns: &[
            "<file>: permission denied",
            "permission denied: <file>",
            "spawn <file> eacces",
            "permission denied",
        ],
        meaning: "the program or what runs it may not be executed (EACCES): its mode, a mount with noexec, or SELinux",
        checks: &["interpreter-not-executable", "interpreter-noexec", "interpreter-label", "lxc-refuses"],
        remedy: Remedy::Lines(&["binfmt-nix explain {file}"]),
        ..KnownMessage::EMPTY
    },
];
