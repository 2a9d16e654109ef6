//! The command line: its arguments as clap types, and the commands.
//!
//! Doc comments of the types are the help texts. `-h` prints the first paragraph of a comment; `--help` and the man
//! page have all of it.

pub mod args;
pub mod commands;
pub mod config;
#[cfg(test)]
mod generated;
pub mod internal;
pub mod json;
pub mod source_args;

pub use args::*;
pub use internal::{Internal, InternalCommand, WorkerLine};
pub use source_args::{SourceArgs, SourceKind};

use std::iter;
use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand};

use crate::host::INTERNAL;
use crate::sanitize::escape_line;

/// Run programs and Nix builds of other architectures on any Linux
///
/// binfmt-nix installs a static QEMU, registers it with the kernel's binfmt_misc, proves that a program of the other
/// architecture runs, and configures Nix to build for it. From then on such programs run as if they were native: in
/// Nix's sandbox, in chroots and in containers, now and after every restart.
///
/// A system can be given by any of its names: aarch64, arm64, aarch64-linux, linux/arm64, aarch64-unknown-linux-gnu.
/// binfmt-nix-list(8) prints them all.
///
/// Everything that register does is recorded, and unregister undoes exactly that. Data from the network, and archives,
/// are decoded by a process without rights: it has no user, no files and few system calls (Landlock, seccomp).
#[derive(Debug, Parser)]
#[command(name = "binfmt-nix", version, max_term_width = 80, propagate_version = true)]
#[command(after_help = "Exit status: 0 done, 1 failed, 2 usage, 3 conflict or finding, 4 needs root, 5 digest \
mismatch, 6 unsupported by this kernel or machine. run exits with the status of CMD, or with 126 if CMD cannot be \
executed and 127 if it does not exist.")]
pub struct Cli {
    /// Act on the tree below DIR instead of this machine
    ///
    /// DIR is the root directory of an installed system that is not running, such as an image that is being built.
    /// Files are written below it; the kernel's table and the nix-daemon of this machine are left alone. A symbolic
    /// link that leads out of the tree is an error.
    #[arg(long, value_name = "DIR", default_value = "/", hide_default_value = true, global = true)]
    pub root: PathBuf,
    /// Print the result as JSON on standard output
    ///
    /// Each document has a version. Within one version, fields are added but not changed. The schemas are in
    /// packaging/schema. Notes, warnings and errors stay on standard error; the error that ends a command is printed on standard output,
    /// too, as one line of JSON. A text that is not UTF-8 begins with "bytes:"; \xNN stands for a byte in it, and \\ for a
    /// backslash.
    #[arg(long, global = true)]
    pub json: bool,
    /// Command to run
    #[command(subcommand)]
    pub command: Command,
}

impl Cli {
    /// Parses the arguments of this process. `words` are the same as texts.
    ///
    /// clap prints arguments as they are, whole or in part, and they may be names of files that another user chose. So
    /// the error is that of a command line whose words are escaped.
    pub fn parse_words(words: &[String]) -> Result<Self, clap::Error> {
        // To describe all other arguments would take most of the time of a worker's start.
        if words.first().is_some_and(|word| word == INTERNAL)
            && let Ok(line) = WorkerLine::try_parse_from(std::env::args_os().skip(1))
        {
            return Ok(Self { root: "/".into(), json: false, command: Command::Internal(line.internal) });
        }
        Self::try_parse().map_err(|error| {
            let escaped = words.iter().map(|word| escape_line(word));
            let again = Self::try_parse_from(iter::once("binfmt-nix".to_owned()).chain(escaped)).err();
            again.filter(|_| error.use_stderr()).unwrap_or(error)
        })
    }

    /// Returns the directory of `--root`, if it is not this machine.
    pub fn root_option(&self) -> Option<&Path> {
        Some(self.root.as_path()).filter(|root| *root != Path::new("/"))
    }
}

impl Command {
    /// Whether the command, once it is done, has changed something.
    pub fn is_change(&self) -> bool {
        match self {
            Self::Register(args) => !args.change.dry_run,
            Self::Apply(args) => !args.change.dry_run && !args.check,
            Self::Unregister(args) => !args.change.dry_run,
            Self::Enable(args) | Self::Disable(args) | Self::Rollback(args) => !args.change.dry_run,
            Self::Upgrade(args) => !args.change.dry_run,
            Self::Doctor(args) => args.fix,
            Self::Cache(args) => args.what.is_some(),
            Self::Restore(args) => !args.check,
            Self::Fetch(_) => true,
            _ => false,
        }
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make programs of other systems run here, and configure Nix
    ///
    /// Installs an emulator, registers it with the kernel, runs a program of the system in an empty chroot to prove
    /// that it works, writes a boot rule, so that the registration survives a restart, and adds the system to
    /// nix.conf. If a step fails, the steps before it are undone. Repeating the command changes nothing.
    ///
    /// Where nothing reads boot rules at boot, as with sysvinit or runit, the init system is set up to start
    /// binfmt-nix-restore(8). If that is not possible, the exit status is 3.
    ///
    /// Another tool's entry that works as well as ours would is used instead of a new one. One that does not is an
    /// error, unless --force is given.
    ///
    /// A nix.conf that is generated (a symbolic link), read-only or bind-mounted is not changed: the lines to add are
    /// printed, and the exit status is 3. The nix-daemon is restarted where systemd or OpenRC runs it; elsewhere the
    /// exit status is 3 and the message says to restart it. After that, Nix is asked for its effective settings: a
    /// later extra-platforms or system-features line, or one in a user's nix.conf, replaces ours, and is reported.
    ///
    /// nixpkgs requires a system feature of builders for some systems, such as gccarch-armv7-a for armv7l-linux. It is
    /// added to nix.conf too. Nix has no features per system, so it then accepts builds of every system that require the
    /// feature.
    ///
    /// In a container of docker, podman or Kubernetes, register changes the machine's table and keeps QEMU in memory,
    /// as by --in-memory. This needs the right to mount: --privileged, or --cap-drop all --cap-add SYS_ADMIN where no
    /// AppArmor profile forbids it. unregister works from any other container. An entry that the machine already has
    /// and that runs programs in chroots is used, so a newer image does not replace the QEMU of an older one:
    /// unregister first. With --nix, files are used as on a machine, for a container that has Nix in it; unregister in
    /// that container, or on the machine, removes what is left. Containers that run as machines (LXC, systemd-nspawn)
    /// are treated as machines. A rootless container has only a table of its own: register fails with exit status 6
    /// there, and binfmt-nix-run(8) works. Since Linux 6.7 entries end with the last mount of the table: if the machine
    /// never mounted it, the exit status is 3 and the message says how to mount it, or use --watch.
    Register(RegisterArgs),
    /// Undo register completely
    ///
    /// Removes exactly what register made: entries, own rules, boot rules, emulators, lines of nix.conf, directories. Lines that
    /// the user added, and files that were changed since, are kept and reported. After the last system nothing of
    /// binfmt-nix is left on the machine.
    ///
    /// While register --watch keeps a system registered, unregister fails with exit status 3 and names the process to
    /// end.
    Unregister(UnregisterArgs),
    /// Install the QEMU release of this version for registered systems
    ///
    /// Replaces emulators that are older than the release that this version downloads, or that are known to be bad. A
    /// newer one stays. Flags, boot rule and the lines for Nix stay as they are, and so does a system that is off. With
    /// `all`, an emulator whose file, archive or image you named (--qemu, --from) stays and is reported: name its system
    /// to replace it. Emulators of other tools are never replaced.
    ///
    /// Programs run all the time: the new entry is registered above the old one and proven, before that one is removed.
    /// If it fails, the old one stays. The emulator that is replaced is kept beside the new one until the next upgrade,
    /// for rollback; unregister removes it, too. The same holds for register with another emulator.
    Upgrade(UpgradeArgs),
    /// Put the emulators back that the last upgrade replaced
    ///
    /// Exchanges each emulator with the one that upgrade or register has kept, compares its digest, registers it in the
    /// same way as upgrade, and proves it. A second rollback goes forward again. If nothing is kept, the exit status is
    /// 3.
    Rollback(SwitchArgs),
    /// Turn systems off, and keep everything for enable
    ///
    /// Writes 0 to the entry of each system: its programs do not run until enable turns it on again. This lasts over a
    /// restart: the boot rule becomes a comment, because binfmt.d(5) has no form for an entry that is off. The lines of
    /// the system for Nix are removed, so that Nix refuses builds that would fail. Emulators stay installed.
    ///
    /// status shows such a system as `disabled`, doctor reports it as a note, and register --watch leaves it alone.
    /// register turns a system on, too, and so does apply for the systems of its file.
    Disable(SwitchArgs),
    /// Turn systems on again that disable turned off
    ///
    /// Writes 1 to the entry of each system, or registers it again if a restart has left it out, and runs a program to
    /// prove that it works. The boot rule and the lines for Nix are as before disable. If a step fails, the steps before
    /// it are undone.
    Enable(SwitchArgs),
    /// Start native compilers instead of emulated ones
    ///
    /// Emulated builds spend most of their time in a few programs: cc1, as, xz. For such a program of a registered system
    /// (the guest program), accelerate registers one more entry, which takes exactly that file, and starts the native
    /// program of the same source version in its place: a cross compiler makes the same output in a tenth of the time. QEMU,
    /// Nix and derivations stay as they are. A build in which the native program is not visible, or for which it is not
    /// made, is emulated as before.
    ///
    /// A pair is accepted only if both programs have given the same output, byte for byte, for every file of a corpus,
    /// compiled with several options. That takes minutes for compilers. Any difference refuses the pair, and is shown.
    /// The native program and its libraries are copied, and the copies and the guest program are identified whenever
    /// they are started: after an upgrade of either, the guest program is emulated until accelerate is run again. See
    /// TRUST.
    Accelerate(AccelerateArgs),
    /// Register the systems of a file, and remove all others
    ///
    /// Brings the host to the state that a TOML file describes: registers the systems that are missing, changes those
    /// that differ, and unregisters what binfmt-nix has registered and the file does not list. All of it is one change
    /// as by register: if a step fails, the steps before it are undone. Repeating the command changes nothing. Other
    /// tools' entries and files are never removed. The keys of the file are:
    ///
    /// systems: a list of systems by any name, or of the one name "all". An empty list unregisters all. The key is required.
    /// Systems that QEMU does not run, and box64-x86_64 and the like, are run by an emulator of this machine.
    ///
    /// source, qemu-version, mirror, from, sha256: the same as the options of binfmt-nix-register(8). A path in from is
    /// absolute.
    ///
    /// flags: "PF", or "POCF" for the same as --credentials.
    ///
    /// nix: true configures Nix in any case, as --nix. false does not, and removes the lines of an earlier run. Without
    /// this key, Nix is configured if it is found.
    ///
    /// force: true is the same as --force.
    ///
    /// rule: a table `[[rule]]` for each rule of your own, as by register --rule. Its keys are name, interpreter, flags,
    /// extension or magic, mask and offset, with bytes as \xHH in '...', and test, a file that proves it. Registered rules
    /// that the file does not have are removed.
    ///
    /// A key that is not known is an error, and so is a file or directory on its path that another user can change. The schema is
    /// packaging/schema/config.json.
    Apply(ApplyArgs),
    /// Register entries again that a restart has removed
    ///
    /// Reads what register recorded, mounts the kernel's table if needed, and registers the entries that are missing. It
    /// needs no network, changes nothing of Nix, and starts no program. Systems without a boot rule (--no-persist) are
    /// left out, and so are files that were changed.
    ///
    /// Where nothing reads /etc/binfmt.d at boot, register lets the init system start this command: by a script of
    /// sysvinit, OpenRC, runit or BusyBox, by a unit where systemd-binfmt is missing or masked, by the boot command of
    /// WSL, or by cron. unregister removes that.
    #[command(hide = true)]
    Restore(RestoreArgs),
    /// Run one command with emulation, as any user, without root
    ///
    /// Creates a user namespace and a mount namespace, mounts a binfmt_misc table in them, registers QEMU there, enters
    /// a second namespace in which the user is the same as before, and executes CMD. Home, directory, terminal, signals
    /// and exit status are the usual ones. The table ends with the command; nothing on the machine changes except the
    /// cache of emulators. This needs Linux 6.7 or newer.
    ///
    /// Entries of the machine's own table whose interpreter can be opened are copied into the new table, without those of
    /// accelerate: inside, the programs that those entries take are emulated. NIX_CONFIG gets the lines that let Nix build
    /// for these systems. Builds of a store that a nix-daemon owns run in the daemon, outside of the namespace: use a store of
    /// your own (nix-build --store ~/store; with --map-root also --option build-users-group ''), or
    /// binfmt-nix-register(8). A Nix that root runs uses the store itself, inside.
    ///
    /// The commands of binfmt-nix that read work inside, too: status shows such entries as made by "run", doctor examines
    /// the settings of Nix with NIX_CONFIG, and what they propose works inside.
    ///
    /// Inside, setuid programs such as sudo do not get their rights, supplementary groups show as nogroup but still
    /// count, and files of other users show as owned by `nobody`. If the machine forbids user namespaces, the error
    /// names the setting and the change; packaging/apparmor has a profile for Ubuntu.
    Run(RunArgs),
    /// Download emulators into an archive, for register --from
    ///
    /// Writes the pinned emulators and a list of their digests as a .tar.gz, for machines without a network. The same
    /// release and systems always give the same bytes. Root is not needed.
    Fetch(FetchArgs),
    /// Show the cached downloads, or remove them
    ///
    /// The cache holds downloads by their digest, in $XDG_CACHE_HOME/binfmt-nix or ~/.cache/binfmt-nix, and for root in
    /// /var/cache/binfmt-nix. Every file is verified again before it is used.
    Cache(CacheArgs),
    /// Explain why a program runs or does not run
    ///
    /// Reads a file as the kernel's execve(2) does, and reports for each entry whether it matches, and which command
    /// makes the file run. Scripts are followed to their interpreter, and interpreters to their own. With --pid,
    /// reports whether a process is emulated, which program runs in it, and which entry it came from; for the user's
    /// own processes this needs no root.
    ///
    /// Files that are not programs of Linux are named: programs of other operating systems, archives, files that are
    /// cut off. With --root, absolute paths are those below DIR.
    ///
    /// What a security module forbids, and files that are open for writing (ETXTBSY), cannot be seen.
    Explain(ExplainArgs),
    /// Find out what is wrong and how to repair it
    ///
    /// Checks the kernel, the entries, the emulators, the boot rules and Nix. Each finding has its cause and the
    /// command that repairs it. The exit status is 3 if there is a finding.
    ///
    /// With an error message of Nix, the kernel, a shell, docker, podman, BuildKit, QEMU, debootstrap, systemd-binfmt or
    /// another installer, explains the message for this machine: is the system registered, is Nix configured, was its
    /// daemon restarted. It also detects that a build of hundreds of derivations is a cross build, which finds nothing
    /// in the binary cache, and says how to get the native build.
    Doctor(DoctorArgs),
    /// Show which systems are registered, and whether they work
    ///
    /// Prints a line for each system. A state is `works`, `partial` (programs run, but not in chroots, containers and
    /// builds), `untried`, `broken` or `missing`. Release and digest of QEMU are those of the file that the kernel
    /// really runs: with flag F that is the file that was there at registration. If the path names another file now,
    /// both are shown.
    Status(StatusArgs),
    /// Prove that programs of other systems run here
    ///
    /// Runs a program of each system: directly, with another `argv[0]`, in an empty chroot, and in namespaces like
    /// those of Nix's sandbox. Each result is `proven`, `FAILED` or `untried`; one that is not proven has its cause and
    /// repair. The exit status is 0 if all are proven, and 3 otherwise. Root is not needed, nothing is downloaded, and
    /// nothing is written except by --nix.
    Test(TestArgs),
    /// List the known systems with their names and rules
    ///
    /// 33 systems are known. The formats binfmt.d and register print the rules as lines for systemd-binfmt or the
    /// kernel, with the interpreter paths of binfmt-nix and the flags PF.
    List(ListArgs),
    /// Print lines for nix.conf or for a machines file
    ///
    /// Prints the lines that register writes, for a nix.conf that is managed by other means. With --builder, prints the
    /// lines of this host for /etc/nix/machines of other hosts.
    NixConf(NixConfArgs),
    /// Generate files of the source tree
    #[command(hide = true)]
    Gen(GenArgs),
    /// Run this process as a worker of another binfmt-nix
    #[command(hide = true)]
    Internal(Internal),
}
