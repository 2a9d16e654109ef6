//! Sections of the man pages that the help texts of the command line do not contain.

/// Sections of a page besides the help texts of its command.
pub(super) struct Page {
    /// Name of the page, without the section of the manual
    pub(super) name: &'static str,
    /// Entries of EXIT STATUS
    pub(super) exit: Entries,
    /// Entries of FILES
    pub(super) files: Entries,
    /// Entries of ENVIRONMENT
    pub(super) environment: Entries,
    /// Entries of EXAMPLES: a sentence and the lines to type
    pub(super) examples: &'static [(&'static str, &'static [&'static str])],
    /// Further sections: heading and paragraphs
    pub(super) more: &'static [(&'static str, &'static [&'static str])],
    /// Other pages in SEE ALSO, besides the page of the program
    pub(super) see: &'static [&'static str],
}

type Entries = &'static [(&'static str, &'static str)];

/// Entries on the page of the program. The exit statuses are on every page.
pub(super) const COMMON: &[(&str, Entries)] = &[
    (
        "EXIT STATUS",
        &[
            ("0", "Done."),
            (
                "1",
                "Failed, and its changes are undone; or done, but the result could not be printed. The message says which.",
            ),
            ("2", "Usage error."),
            (
                "3",
                "A conflict, a finding, a lock that another process holds, or a step that the user has to take; the message says which, and what to do.",
            ),
            ("4", "Root is needed; the exact command is printed."),
            ("5", "A file from a server or from --from does not have the expected digest."),
            ("6", "This kernel or machine cannot do it."),
            ("130, 129, 143", "Interrupted by SIGINT, SIGHUP or SIGTERM; the changes are undone."),
        ],
    ),
    (
        "FILES",
        &[
            ("/usr/local/libexec/binfmt-nix/bin/qemu-TARGET", "The emulators."),
            (
                "/usr/local/libexec/binfmt-nix/bin/qemu-TARGET.previous",
                "The emulator that the last upgrade replaced, for binfmt-nix-rollback(8).",
            ),
            (
                "/usr/local/libexec/binfmt-nix/bin/binfmt-nix",
                "A copy of the program, where nothing reads /etc/binfmt.d at boot: see binfmt-nix-restore(8).",
            ),
            (
                "/proc/sys/fs/binfmt_misc/qemu-TARGET",
                "The kernel's entries; binfmt-nix-TARGET where --force put one above another tool's, or QEMU is in memory.",
            ),
            (
                "/etc/binfmt.d/zz-binfmt-nix-TARGET.conf",
                "The boot rules, read by systemd-binfmt or OpenRC's binfmt. They sort after the distribution's, and so take precedence over rules of the same name. A file that sorts later still takes precedence over them, and so does systemd-binfmt FILE typed by hand, until systemd-binfmt is restarted.",
            ),
            ("/etc/binfmt.d/zz-binfmt-nix-rule-NAME.conf", "The boot rules of register --rule."),
            (
                "/usr/local/libexec/binfmt-nix/native, /usr/local/libexec/binfmt-nix/bin/qemu-TARGET.accelerator, /etc/binfmt.d/zzz-binfmt-nix-accelerate-NAME.conf",
                "Native programs, emulators with a launcher, and boot rules of binfmt-nix-accelerate(8).",
            ),
            (
                "/etc/nix/binfmt-nix.conf",
                "extra-extra-platforms, extra-system-features and extra-sandbox-paths for Nix.",
            ),
            ("/etc/nix/nix.conf", "One line at its end: !include binfmt-nix.conf."),
            ("/var/lib/binfmt-nix/receipt.json", "Records of what register made, for unregister."),
            (
                "/run/binfmt-nix-change.lock, /run/binfmt-nix-change.holder",
                "Locked while a command changes the machine, and the process that holds the lock. Both are deleted afterwards. Only root can open the first, so no other user can block a command. Commands in containers lock the file register of the kernel's table instead.",
            ),
            (
                "~/.cache/binfmt-nix, /var/cache/binfmt-nix",
                "The cache of downloads and of what was unpacked from local archives, of a user and of root. run writes and reads it; register and fetch read it. Partial downloads of whole files are kept there too, and continued.",
            ),
            (
                "~/.netrc, /etc/apt/auth.conf, /etc/apt/auth.conf.d, /etc/nix/netrc",
                "Passwords for mirrors and URLs. A password is sent over plain http only if its line says http://.",
            ),
            (
                "~/.config/containers/auth.json, ~/.docker/config.json",
                "Passwords for registries, as podman login and docker login write them. Credential helpers are not run.",
            ),
        ],
    ),
    (
        "ENVIRONMENT",
        &[
            ("BINFMT_NIX_MIRROR", "The Debian mirror to try first, unless --mirror is given."),
            ("HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY", "Proxies for downloads."),
            (
                "SSL_CERT_FILE, SSL_CERT_DIR",
                "Certificate authorities instead of those of the system. Mozilla's list is compiled in for machines without any.",
            ),
            ("NIX_SSL_CERT_FILE", "More certificate authorities, as Nix uses them."),
            ("NETRC", "The user's file of passwords, instead of ~/.netrc."),
            (
                "REGISTRY_AUTH_FILE, DOCKER_CONFIG, XDG_RUNTIME_DIR, XDG_CONFIG_HOME",
                "Where the passwords for registries are.",
            ),
            ("XDG_CACHE_HOME", "Where the cache is, instead of ~/.cache."),
            ("NO_COLOR, CLICOLOR, CLICOLOR_FORCE, TERM", "Whether the output has colours."),
        ],
    ),
];

/// Builds of nixpkgs that work with the default settings of Nix. tests/e2e runs those of the README.
const NIX_BUILD: &str = "nix-build '<nixpkgs>' -A hello --argstr system aarch64-linux";
const NIX_BUILD_OF_FLAKE: &str =
    "nix build --extra-experimental-features 'nix-command flakes' nixpkgs#legacyPackages.aarch64-linux.hello";
const EXPLAIN_NIX_BUILD: &str =
    "nix-build '<nixpkgs>' -A hello --argstr system aarch64-linux 2>&1 | binfmt-nix doctor -";

const NOTHING: Page = Page { name: "", exit: &[], files: &[], environment: &[], examples: &[], more: &[], see: &[] };

/// All man pages.
pub(super) const PAGES: [Page; 19] = [
    Page {
        name: "binfmt-nix",
        examples: &[
            (
                "Make programs and Nix builds for aarch64 work on this machine:",
                &["sudo binfmt-nix register aarch64", NIX_BUILD, NIX_BUILD_OF_FLAKE],
            ),
            ("Undo it:", &["sudo binfmt-nix unregister aarch64"]),
            ("Run one program, without root and without a trace:", &["binfmt-nix run --system aarch64 -- ./a-program"]),
            (
                "Find out why something does not work:",
                &["binfmt-nix doctor", EXPLAIN_NIX_BUILD, "binfmt-nix explain ./a-program"],
            ),
        ],
        more: &[
            (
                "CONTAINERS",
                &[
                    "In a container of docker, podman or Kubernetes, register changes the machine's table and keeps QEMU in the machine's memory. binfmt-nix-register(8) says what it needs.",
                    "packaging/container/build builds two images, one of them with the emulators of the usual systems, so that no network is needed. packaging/kubernetes and packaging/compose keep one running with register --watch.",
                ],
            ),
            (
                "LIMITATIONS",
                &[
                    "On Linux before 5.12 QEMU cannot see flag P, so programs do not keep their argv[0].",
                    "Builds of a store that a nix-daemon owns run in the daemon: run cannot emulate for them, register can.",
                    "An extra-platforms or system-features line after the include line in nix.conf, or in a user's own nix.conf, replaces the setting of binfmt-nix. register asks Nix for the effective value and reports this.",
                    "nixpkgs requires a system feature of builders for some systems: gccarch-armv7-a for armv7l-linux, others for armv5tel, armv6l, loongarch64 and mipsel. register adds it. Nix has no features per system, so it then accepts builds of every system that require the feature.",
                ],
            ),
        ],
        see: &["nix.conf(5)", "binfmt.d(5)", "systemd-binfmt.service(8)"],
        ..NOTHING
    },
    Page {
        name: "binfmt-nix-register",
        files: &[(
            "/run/binfmt-nix-watcher.lock, /run/binfmt-nix-watcher.holder",
            "Locked by the process that runs register --watch, and that process with its systems.",
        )],
        environment: &[(
            "NOTIFY_SOCKET, WATCHDOG_USEC, WATCHDOG_PID",
            "Set by systemd; --watch then reports readiness and status, and keeps the watchdog satisfied.",
        )],
        examples: &[
            (
                "Register two systems, and see first what would be done:",
                &["sudo binfmt-nix register aarch64 riscv64 --dry-run", "sudo binfmt-nix register aarch64 riscv64"],
            ),
            (
                "Use the newest good QEMU of this machine, and see why others are not used:",
                &["sudo binfmt-nix register aarch64 --source host"],
            ),
            (
                "Use QEMU from a package whose digest is known, from an image, or from an archive that fetch wrote:",
                &[
                    "sudo binfmt-nix register aarch64 --from https://HOST/qemu-user.deb --sha256 HEX",
                    "sudo binfmt-nix register aarch64 --from oci://HOST/NAME@sha256:HEX",
                    "sudo binfmt-nix register all --from qemu.tar.gz",
                ],
            ),
            (
                "Start Java archives with a program of your own, and prove it with one:",
                &[
                    r"sudo binfmt-nix register --rule ':jar:M::PK\x03\x04::/usr/local/bin/run-jar:' --test ./hello.jar",
                    "sudo binfmt-nix unregister jar",
                ],
            ),
            (
                "Run modules of WebAssembly, and programs of Windows:",
                &["sudo binfmt-nix register wasm32-wasi", "sudo binfmt-nix register x86_64-windows --emulator wine"],
            ),
            (
                "Register in a machine's image that is being built:",
                &["sudo binfmt-nix register aarch64 --root /mnt/image"],
            ),
            (
                "In a container, for the machine that it is on:",
                &["podman run --rm --privileged localhost/binfmt-nix:0.1.0-qemu register aarch64 riscv64"],
            ),
            (
                "As a systemd service of Type=notify:",
                &["ExecStart=/opt/bin/binfmt-nix register arm64 --in-memory --watch --on-stop remove"],
            ),
        ],
        more: &[
            (
                "EMULATORS OF THE HOST",
                &[
                    "--source auto uses the installed emulator of binfmt-nix, else the newest good static one on the machine, else a cached download, else a download. A good one is from the distribution, in a profile of Nix or Guix, or in /usr/local/bin; only root could have put it there; it is QEMU 7.2 or newer, and not a release that is known to break its guests. --source host also considers the interpreters of other tools' entries, and reports why each other emulator is not used. auto never downloads from another publisher than Debian; only --source fallback does.",
                ],
            ),
            (
                "SYSTEMS THAT QEMU DOES NOT RUN",
                &[
                    "wasm32-wasi and wasm64-wasi are run by wasmtime, wasmer or wasmedge, x86_64-windows and i686-windows by wine or wine64. The emulator is searched in PATH and where QEMU is searched, or named by --emulator, and never downloaded. Only root may be able to change it, and it has to answer --version. wazero is refused, because it needs a word before the file; a script that runs it can be registered by --rule.",
                    "The system is registered as a rule that has its name. A tiny program of the system is run to prove it; Wine runs it without making its files. The programs of both systems of WebAssembly begin with the same bytes, and so do those of both systems of Windows: the newest entry runs both, so the second one has to have the same emulator. Modules of another version and components are not taken.",
                    "Flag F is used only if the emulator needs no other file. Those of distributions are dynamically linked or scripts: without F, programs start only where the emulator and its files are, so not in a chroot, a container, or Nix's sandbox without extra-sandbox-paths. extra-platforms is set as for other systems. wasmtime gives a module neither directories nor variables, so a builder that is a module writes no output.",
                    "A script that gives it both works in the sandbox (tried with wasmtime 49 and Nix 2.8): exec wasmtime run --dir=/ -S inherit-env=y \"$@\", after an answer to --version. It is named by --emulator, and extra-sandbox-paths needs /bin/sh, wasmtime, and the loader and libraries that ldd lists for both.",
                    "Tried: wasmtime 49, wasmedge 0.14 (wasm32-wasi only), Wine 8, and its 64-bit part also of Wine 10. wasmer is from its documentation.",
                ],
            ),
            (
                "OTHER EMULATORS",
                &[
                    "register x86_64 --emulator box64, fex or rosetta uses that emulator for programs of Linux, on arm64 machines: they are faster than QEMU. It is found, validated and proven as above, and registered as a rule, such as box64-x86_64; register and apply know this name, too. fex also runs i386. A path is judged by its answer to --version. An existing entry for the system stays, and --force registers above it.",
                    "box64 is dynamically linked and uses libraries of the machine, so it has no flag F and does not work in containers and Nix's sandbox. FEX gets PO, and F if it is static; dynamic programs need its RootFS (FEXRootFSFetcher). Rosetta gets F; it is a share of a virtual machine on a Mac, such as mount -t virtiofs rosetta /media/rosetta, which fstab has to mount at boot, and root has to own it. --credentials adds C, as the publishers of FEX and Rosetta recommend.",
                    "Tried: box64 0.3.4 of Debian 13, on an arm64 machine. FEX and Rosetta are from their documentation.",
                ],
            ),
            (
                "EVENTS",
                &[
                    "The events of --watch are holding, removed, registered, adopted, failed, shadowed, disabled, switched-off, unmounted, mounted, resolved, note, warning, stopping, left, expired and unregistered. An event about a rule of register --rule has the field rule instead of system. packaging/schema/watch-event.json has the fields of each. Readers ignore events and fields that they do not know.",
                ],
            ),
        ],
        see: &["binfmt-nix-unregister(8)", "binfmt-nix-status(8)", "binfmt-nix-test(8)", "sd_notify(3)"],
        ..NOTHING
    },
    Page {
        name: "binfmt-nix-apply",
        exit: &[("3", "With --check: something differs.")],
        files: &[("/etc/binfmt-nix.toml", "A usual path for the file of --config.")],
        examples: &[
            (
                "Have exactly two systems, and see first what differs:",
                &[
                    "echo 'systems = [\"aarch64-linux\", \"riscv64-linux\"]' | sudo tee /etc/binfmt-nix.toml",
                    "sudo binfmt-nix apply --config /etc/binfmt-nix.toml --check",
                    "sudo binfmt-nix apply --config /etc/binfmt-nix.toml",
                ],
            ),
            ("Without a file:", &["echo 'systems = [\"aarch64-linux\"]' | sudo binfmt-nix apply --config -"]),
        ],
        see: &["binfmt-nix-register(8)", "binfmt-nix-unregister(8)"],
        ..NOTHING
    },
    Page {
        name: "binfmt-nix-unregister",
        examples: &[
            (
                "Undo the registration of one system, or of all:",
                &["sudo binfmt-nix unregister aarch64", "sudo binfmt-nix unregister all"],
            ),
            ("See what would be removed:", &["binfmt-nix unregister all --dry-run"]),
        ],
        see: &["binfmt-nix-register(8)"],
        ..NOTHING
    },
    Page {
        name: "binfmt-nix-upgrade",
        examples: &[
            ("Upgrade all systems:", &["sudo binfmt-nix upgrade"]),
            ("See what would be done:", &["binfmt-nix upgrade aarch64 --dry-run"]),
        ],
        see: &["binfmt-nix-rollback(8)", "binfmt-nix-register(8)", "binfmt-nix-status(8)"],
        ..NOTHING
    },
    Page {
        name: "binfmt-nix-accelerate",
        examples: &[
            (
                "Use this host's cross compilers in builds that use a tree of Debian for arm64:",
                &[
                    "sudo apt-get install gcc-14-aarch64-linux-gnu g++-14-aarch64-linux-gnu",
                    "sudo binfmt-nix accelerate aarch64 --tree /srv/trixie-arm64",
                ],
            ),
            (
                "Replace one program:",
                &["sudo binfmt-nix accelerate aarch64 --pair /nix/store/HASH-xz/bin/xz=/usr/bin/xz"],
            ),
            (
                "See what is replaced, and emulate everything again:",
                &["binfmt-nix accelerate --list", "sudo binfmt-nix accelerate --off"],
            ),
            (
                "Build a derivation with native programs and without them, and compare:",
                &["binfmt-nix accelerate --check /nix/store/HASH-NAME.drv"],
            ),
        ],
        more: &[
            (
                "HOW IT WORKS",
                &[
                    "The entry of a program compares the first 64 bytes of a file, its ELF header, which is a fingerprint of a build but not an identity: of the 183 programs of a Debian 13 tree for arm64 with GCC, 34 have the header of another one. The interpreter of these entries is a copy of the installed QEMU with a launcher in it. The launcher compares size and build ID, or the digest, of the file that it was started for, and of the native program. If both are those that were proven, it executes the native one; for every other file, or if the native one is not visible, it continues as QEMU, in the same process.",
                    "The native program is copied with its loader and libraries to /usr/local/libexec/binfmt-nix/native, which extra-sandbox-paths of Nix names, as an optional path. Programs with the same libraries share their copies. In a chroot or a container without this directory, programs are emulated.",
                    "Programs are emulated, too, if they get rights by setuid, if LC_ALL, LANG or another variable sets a locale other than C or POSIX, if LD_PRELOAD, LD_AUDIT or a variable of QEMU (QEMU_...) is set, or BINFMT_NIX_ACCELERATE=off, for options that the proof does not cover, and inside of run, whose own emulators run all programs of their systems.",
                    "The proof of all 23 pairs of Debian 13 for arm64 took 8.5 minutes of CPU time on one machine, most of them for the compilers. A pair is proven again only after a change of one of its files or of the corpus, which a new version of binfmt-nix may bring.",
                ],
            ),
            (
                "TRUST",
                &[
                    "With this command, outputs are made by a native program instead of the one that the derivation declares. That the outputs are the same was shown for a corpus on this machine, and is not guaranteed for other inputs. So it is off unless you turn it on.",
                    "Do not use it for builds whose results you give to others, such as those of a binary cache, unless each of them was compared: --check compares one derivation, and --audit N compares one start in N while it builds.",
                    "--audit makes a start twice, so it leaves out those that would not do the same again: of tar, of sed -i, of a compressor that replaces a file, and those that may leave a part of a pipe to another program. A build whose start differs fails, with the arguments in its log. To stop, run the same command without --audit.",
                    "Only root can change the native programs, their copies and the launcher. Who can replace the guest program in its tree, and restore its size, its build ID and its times, can let the native program run in its place.",
                ],
            ),
            (
                "LIMITATIONS",
                &[
                    "--nixpkgs was not run on nixpkgs itself: it is tested with a stand-in for Nix, and with stores that have the paths of nixpkgs. It proves each pair on your machine before it turns anything on. The store paths are not protected from the garbage collector: when one is collected, its program is emulated, and doctor names it.",
                    "A system that is accelerated cannot be disabled: run accelerate --off first.",
                ],
            ),
        ],
        see: &["binfmt-nix-register(8)", "binfmt-nix-doctor(8)", "nix.conf(5)"],
        ..NOTHING
    },
    Page {
        name: "binfmt-nix-rollback",
        examples: &[("Go back to the emulator before the last upgrade:", &["sudo binfmt-nix rollback aarch64"])],
        see: &["binfmt-nix-upgrade(8)", "binfmt-nix-register(8)"],
        ..NOTHING
    },
    Page {
        name: "binfmt-nix-disable",
        examples: &[
            (
                "Turn a system off, and on again:",
                &["sudo binfmt-nix disable aarch64", "sudo binfmt-nix enable aarch64"],
            ),
            ("See what would be done:", &["binfmt-nix disable all --dry-run"]),
        ],
        see: &["binfmt-nix-enable(8)", "binfmt-nix-register(8)", "binfmt-nix-status(8)"],
        ..NOTHING
    },
    Page {
        name: "binfmt-nix-enable",
        examples: &[("Turn on everything that is off:", &["sudo binfmt-nix enable all"])],
        see: &["binfmt-nix-disable(8)", "binfmt-nix-register(8)", "binfmt-nix-status(8)"],
        ..NOTHING
    },
    Page {
        name: "binfmt-nix-restore",
        exit: &[("3", "An entry could not be registered; with --check: an entry is missing.")],
        examples: &[
            ("Register what a restart has removed:", &["sudo binfmt-nix restore"]),
            ("Ask whether an entry is missing:", &["binfmt-nix restore --check"]),
        ],
        more: &[(
            "BOOT HOOKS",
            &[
                "sysvinit, and Debian's runit: /etc/init.d/binfmt-nix with links in /etc/rc2.d to /etc/rc5.d. Where startpar starts the scripts, insserv is run, because startpar ignores links of scripts that are not in its list.",
                "OpenRC without its binfmt service in a runlevel: /etc/init.d/binfmt-nix with a link in /etc/runlevels/default.",
                "Void's runit: /etc/runit/core-services/90-binfmt-nix.sh.",
                "BusyBox with Buildroot's rcS: /etc/init.d/S99binfmt-nix.",
                "systemd without a working systemd-binfmt: /etc/systemd/system/binfmt-nix.service, wanted by multi-user.target. Packages have the same unit in /usr/lib/systemd/system. It is not enabled, because register writes its own one where it is needed.",
                "WSL without systemd: a command below [boot] in /etc/wsl.conf, unless there is one.",
                "Elsewhere: /etc/cron.d/binfmt-nix, if Debian's cron or cronie is installed. If nothing is possible, register exits with status 3 and gives the reason.",
                "A hook starts /usr/bin/binfmt-nix if register was run by it and only root can change it, and otherwise a copy, /usr/local/libexec/binfmt-nix/bin/binfmt-nix.",
            ],
        )],
        see: &["binfmt-nix-register(8)", "binfmt.d(5)"],
        ..NOTHING
    },
    Page {
        name: "binfmt-nix-run",
        exit: &[
            ("CMD's own", "If CMD was executed, its exit status; 128 and the number of the signal if one ended it."),
            ("126", "CMD cannot be executed."),
            ("127", "CMD does not exist."),
        ],
        files: &[
            ("/etc/subuid, /etc/subgid", "The subordinate ids for --map-root."),
            ("/etc/apparmor.d/binfmt-nix", "Where the profile of packaging/apparmor is installed, on Ubuntu."),
        ],
        environment: &[
            ("SHELL", "The shell to run without CMD."),
            ("NIX_CONFIG", "Gets the lines that let Nix build for the systems."),
            (
                "NIX_REMOTE",
                "With daemon or nothing, builds run in the nix-daemon, without emulation; this is reported.",
            ),
        ],
        examples: &[
            (
                "Run a program, or build with Nix in a store of your own:",
                &[
                    "binfmt-nix run --system aarch64 -- ./a-program",
                    "binfmt-nix run -s aarch64 -- nix-build --store ~/store '<nixpkgs>' -A hello --argstr system aarch64-linux",
                ],
            ),
            ("A shell in which programs of every known system run:", &["binfmt-nix run --all"]),
            (
                "A foreign container, with rootless podman:",
                &["binfmt-nix run --map-root -s aarch64 -- podman run --arch arm64 docker.io/library/alpine uname -m"],
            ),
        ],
        see: &["user_namespaces(7)", "binfmt-nix-cache(8)"],
        ..NOTHING
    },
    Page {
        name: "binfmt-nix-fetch",
        examples: &[
            (
                "Prepare an archive, and register from it on a machine without a network:",
                &["binfmt-nix fetch aarch64 riscv64 -o qemu.tar.gz", "sudo binfmt-nix register all --from qemu.tar.gz"],
            ),
            ("For an aarch64 machine:", &["binfmt-nix fetch x86_64 --host aarch64 -o qemu.tar.gz"]),
        ],
        see: &["binfmt-nix-register(8)"],
        ..NOTHING
    },
    Page {
        name: "binfmt-nix-cache",
        examples: &[("Show the cached downloads, then remove them:", &["binfmt-nix cache", "binfmt-nix cache prune"])],
        see: &["binfmt-nix-run(8)"],
        ..NOTHING
    },
    Page {
        name: "binfmt-nix-explain",
        exit: &[
            ("0", "The file would run; or the process was explained."),
            ("3", "The file would not run, or does not exist."),
        ],
        environment: &[("QEMU_LD_PREFIX", "Where QEMU looks for a loader, instead of its default directories.")],
        examples: &[
            ("Why does this program not run?", &["binfmt-nix explain ./hello"]),
            ("Is this process emulated?", &["binfmt-nix explain --pid 4242"]),
        ],
        see: &["execve(2)", "binfmt-nix-doctor(8)"],
        ..NOTHING
    },
    Page {
        name: "binfmt-nix-doctor",
        exit: &[("3", "There is a finding, or the message is known.")],
        environment: &[
            (
                "NIX_CONFIG, NIX_USER_CONF_FILES, XDG_CONFIG_HOME, XDG_CONFIG_DIRS",
                "Lead to the caller's own settings of Nix. Nix is run, and files are read, with the caller's rights only.",
            ),
            ("SUDO_UID, SUDO_GID", "Set by sudo: the user whose settings of Nix are examined, too."),
        ],
        examples: &[
            (
                "Check everything, and repair what can be repaired safely:",
                &["binfmt-nix doctor", "sudo binfmt-nix doctor --fix"],
            ),
            (
                "Explain a message, or the output of a build:",
                &["binfmt-nix doctor \"exec /bin/sh: exec format error\"", EXPLAIN_NIX_BUILD],
            ),
        ],
        see: &["binfmt-nix-explain(8)", "binfmt-nix-test(8)"],
        ..NOTHING
    },
    Page {
        name: "binfmt-nix-status",
        exit: &[("3", "With --check: the system does not work.")],
        examples: &[
            ("Show all systems with paths and digests:", &["binfmt-nix status -v"]),
            ("A health check:", &["binfmt-nix status --check aarch64"]),
        ],
        see: &["binfmt-nix-test(8)", "binfmt-nix-doctor(8)"],
        ..NOTHING
    },
    Page {
        name: "binfmt-nix-test",
        exit: &[("3", "Something was not proven.")],
        environment: &[
            (
                "NIX_CONFIG, NIX_REMOTE, NIX_USER_CONF_FILES, XDG_CONFIG_HOME, XDG_CONFIG_DIRS",
                "Passed to Nix by --nix, unless Nix runs as root. Inside run, root's Nix gets the lists of systems and features of NIX_CONFIG.",
            ),
            ("SUDO_UID, SUDO_GID", "Set by sudo: --nix runs Nix as this user."),
        ],
        examples: &[
            ("Prove one system, with a build by Nix:", &["binfmt-nix test aarch64 --nix"]),
            ("Prove every system that has an entry:", &["binfmt-nix test all"]),
        ],
        see: &["binfmt-nix-status(8)", "binfmt-nix-doctor(8)"],
        ..NOTHING
    },
    Page {
        name: "binfmt-nix-list",
        examples: &[
            ("Show the names of all systems:", &["binfmt-nix list"]),
            ("Print rules for a boot file:", &["binfmt-nix list --format binfmt.d"]),
        ],
        see: &["binfmt.d(5)"],
        ..NOTHING
    },
    Page {
        name: "binfmt-nix-nix-conf",
        examples: &[
            ("The lines for this machine's nix.conf:", &["binfmt-nix nix-conf aarch64"]),
            (
                "The lines for other hosts, which reach this one as build:",
                &["binfmt-nix nix-conf --builder root@build"],
            ),
        ],
        see: &["nix.conf(5)"],
        ..NOTHING
    },
];
