//! Messages about registration: of the kernel, by the error of write(2) (measured on 6.18), and of the programs that
//! register.

use super::{KnownMessage, Remedy};

pub(super) const KNOWN: &[KnownMessage] = &[
    KnownMessage {
        id: "register-exists",
        printed_by: "the kernel, to an installer",
        // tonistiigi/binfmt `cmd/binfmt/main.go` (buildx#464), update-binfmts.
        patterns: &["<:register>…file exists", "<name> already registered", "<name> already enabled in kernel"],
        meaning: "an entry with that name exists already, perhaps without flag F (buildx#464): the installer did not change \
                  it (EEXIST). If it works, nothing has to be done",
        checks: &["no-fix-binary", "shadowed", "overlap", "interpreter-stale", "interpreter-missing", "does-not-run"],
        remedy: Remedy::Register,
        ..KnownMessage::EMPTY
    },
    KnownMessage {
        id: "register-no-interpreter",
        printed_by: "the kernel, to an installer",
        // systemd-binfmt since 252 names the entry (box64-debs#23 without it).
        patterns: &[
            "failed to add binary format '<name>': no such file or directory",
            "<:register>…no such file or directory",
            "<file>: rule '<name>'…no such file or directory",
        ],
        meaning: "an entry with flag F was not registered, because its interpreter does not exist (ENOENT): the package of \
                  the emulator is not installed, or its file has another name",
        checks: &["not-mounted", "no-module", "interpreter-missing"],
        remedy: Remedy::Register,
        covers: &["no-such-file"],
        ..KnownMessage::EMPTY
    },
    KnownMessage {
        id: "register-invalid",
        printed_by: "the kernel, to an installer",
        // multiarch/qemu-user-static#38; the kernel's `bm_register_write`.
        patterns: &["failed to add binary format '<name>': invalid argument", "<:register>…invalid argument"],
        meaning: "the kernel rejected a line as malformed (EINVAL): a field is missing, magic and mask are in one field, the \
                  line is longer than 1,920 bytes or has two lines; or the kernel is too old for a flag (F needs Linux 4.8)",
        checks: &["never-matches"],
        remedy: Remedy::Register,
        ..KnownMessage::EMPTY
    },
    KnownMessage {
        id: "register-unexplained",
        printed_by: "dash",
        // Measured with dash 0.5.12, which prints this for every error of write(2).
        patterns: &["echo: echo: i/o error", "printf: printf: i/o error"],
        meaning: "a write failed, and dash does not print why. If it was a rule for binfmt_misc/register, the kernel \
                  rejected it: the same line in bash prints the reason",
        checks: &["not-mounted", "never-matches", "interpreter-missing", "table-read-only", "lxc-refuses"],
        remedy: Remedy::Register,
        ..KnownMessage::EMPTY
    },
    KnownMessage {
        id: "register-denied",
        printed_by: "the kernel, to an installer",
        patterns: &[
            "failed to add binary format '<name>': permission denied",
            "<:register>…permission denied",
            "<:register>…operation not permitted",
            "eperm opening…binfmt_misc/register",
        ],
        meaning: "the kernel denied a registration: the interpreter may not be executed (its mode, or a noexec mount), or \
                  this is a container, or not root, that may not register",
        checks: &["lxc-refuses", "own-table", "interpreter-not-executable", "interpreter-noexec"],
        remedy: Remedy::Register,
        covers: &["permission-denied"],
        ..KnownMessage::EMPTY
    },
    KnownMessage {
        id: "register-busy",
        printed_by: "the kernel, to an installer",
        patterns: &["<:register>…text file busy"],
        meaning: "an entry with flag F was not registered, because its interpreter is open for writing (ETXTBSY): it is \
                  being installed or copied at this moment",
        remedy: Remedy::Register,
        ..KnownMessage::EMPTY
    },
    KnownMessage {
        id: "register-read-only",
        printed_by: "the kernel, to an installer",
        patterns: &["<:register>…read-only file system", "binfmt_misc…not mounted in read-write mode, skipping"],
        meaning: "the table is mounted read-only here (EROFS): an unprivileged container, or WSL, which protects its own entry",
        checks: &["table-read-only", "lxc-refuses"],
        remedy: Remedy::Register,
        ..KnownMessage::EMPTY
    },
    KnownMessage {
        id: "register-not-mounted",
        printed_by: "an installer",
        of_machine: true,
        // tonistiigi/binfmt `main.go`; systemd-binfmt (systemd#28501); mmdebstrap.
        patterns: &[
            "enoent opening…is it mounted",
            "failed to flush binfmt_misc rules, ignoring: no such file or directory",
            "binfmt_misc not found in /proc/mounts",
            "couldn't mount the binfmt_misc filesystem",
            // A shell cannot open the file (measured); with a mounted table it is `echo` that fails.
            "bash: /proc/sys/fs/binfmt_misc/register: no such file or directory",
            "bash: line…: /proc/sys/fs/binfmt_misc/register: no such file or directory",
            "cannot create /proc/sys/fs/binfmt_misc/register: directory nonexistent",
            // systemd's automount point without the mount (NixOS-WSL#196).
            "failed to flush binfmt_misc rules, ignoring: too many levels of symbolic links",
            "failed to add binary format '<name>': too many levels of symbolic links",
        ],
        meaning: "the kernel's table is not mounted on /proc/sys/fs/binfmt_misc, so nothing can be registered",
        checks: &["not-mounted", "no-module", "lxc-refuses"],
        remedy: Remedy::MountTable,
        covers: &["no-such-file", "register-no-interpreter", "loop"],
        ..KnownMessage::EMPTY
    },
    KnownMessage {
        id: "no-binfmt-misc",
        printed_by: "mount",
        of_machine: true,
        // RPi-Distro/pi-gen#45 (update-binfmts), tonistiigi/binfmt#162.
        patterns: &[
            "binfmt_misc…unknown filesystem type",
            "unknown filesystem type 'binfmt_misc'",
            "binfmt_misc…no such device",
            "module binfmt_misc not found",
            "couldn't load the binfmt_misc module",
            "binfmt_misc not found in /proc/filesystems",
        ],
        meaning: "the running kernel has no binfmt_misc, an upgrade removed its modules, or a container may not load them",
        checks: &["no-module", "not-mounted"],
        remedy: Remedy::MountTable,
        covers: &["register-not-mounted"],
        ..KnownMessage::EMPTY
    },
    KnownMessage {
        id: "rule-name",
        printed_by: "systemd-binfmt",
        of_machine: true,
        // `src/binfmt/binfmt.c`, 252.
        patterns: &["<file>: rule name '<name>' is not valid, refusing", "rule name '<name>' is not valid, refusing"],
        meaning: "a line in binfmt.d has a name that cannot be that of a file, so systemd-binfmt skipped it: perhaps the file \
                  is not for systemd (Debian's format files in /usr/share/binfmts are for update-binfmts)",
        // grep(1) fails for a directory that is missing, as /run/binfmt.d is on most machines.
        remedy: Remedy::Lines(&["grep -rn -- {name} /etc/binfmt.d /usr/lib/binfmt.d"]),
        ..KnownMessage::EMPTY
    },
    KnownMessage {
        id: "update-binfmts-database",
        printed_by: "update-binfmts",
        patterns: &["<name> not in database of installed binary formats"],
        meaning: "update-binfmts knows only what it registered itself, from /var/lib/binfmts. The kernel may have the entry all \
                  the same, from systemd-binfmt or from another tool",
        remedy: Remedy::Register,
        ..KnownMessage::EMPTY
    },
    KnownMessage {
        id: "interpreter-holds-mount",
        printed_by: "umount",
        of_machine: true,
        // systemd#14981; measured: an entry with flag F holds the file system of its interpreter (EBUSY).
        patterns: &[
            "umount: <file>: target is busy",
            "umount: <file>: device is busy",
            "failed to unmount <file>: device or resource busy",
        ],
        meaning: "something uses the file system: a process, a mount below it, or an entry of the kernel's table with flag F, \
                  which holds the file of its interpreter, and which neither lsof nor fuser shows",
        remedy: Remedy::NameHolders,
        ..KnownMessage::EMPTY
    },
];
