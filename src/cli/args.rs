//! The arguments of each command.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::SourceArgs;

/// Arguments of `register`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub struct RegisterArgs {
    /// Systems by any name (aarch64, arm64, linux/arm64, ...), or "all"
    ///
    /// Several systems are separated by blanks or commas.
    #[arg(required_unless_present = "rule", value_name = "SYSTEM", value_delimiter = ',')]
    pub systems: Vec<String>,
    /// Register a rule of your own: a line of binfmt.d, or a file
    ///
    /// A rule is a value such as ':jar:E::jar::/usr/local/bin/run-jar:', also with another delimiter than the colon. Any
    /// other value is a file of such lines (binfmt.d(5)). The interpreter has to be a program of this machine that only root can change. A
    /// rule that takes its own interpreter, or programs of this machine, is refused. Repeat the option for more rules.
    #[arg(long, value_name = "RULE|FILE", conflicts_with = "in_memory")]
    pub rule: Vec<String>,
    /// Run FILE to prove that the rule which takes it works
    ///
    /// FILE is run without arguments, as the user nobody, and has to end with status 0. Without this option a rule is
    /// registered, and the result says that it was not tested.
    #[arg(long, value_name = "FILE")]
    pub test: Vec<PathBuf>,
    /// Use this emulator instead of QEMU: box64, fex, rosetta, wine, ...
    ///
    /// A name that is searched on this machine, or a path: see SYSTEMS THAT QEMU DOES NOT RUN and OTHER EMULATORS.
    #[arg(long, value_name = "NAME|PATH", conflicts_with = "in_memory")]
    pub emulator: Option<String>,
    /// Where QEMU comes from
    #[command(flatten)]
    pub source_args: SourceArgs,
    /// Give setuid programs their rights (flag C); this is a risk
    ///
    /// Foreign setuid programs, such as sudo in a container, then run with the rights of their owner. So does QEMU, and
    /// it obeys QEMU_LOG_FILENAME and similar variables of its caller: every user who may start a foreign setuid
    /// program can write files as the program's owner. Builds never need this.
    #[arg(long)]
    pub credentials: bool,
    /// Configure Nix even if it was not found here
    #[arg(long, overrides_with = "no_nix")]
    pub nix: bool,
    /// Do not configure Nix, and do not build with it
    ///
    /// Without this option register ends with a build: Nix builds a tiny derivation for each system, as the user who
    /// called sudo. If Nix does not build, the exit status is 3, and the output has Nix's message and its cause; the
    /// registration stays. With --root, with --in-memory and in a container, nothing is built, and a note reports that.
    #[arg(long)]
    pub no_nix: bool,
    /// Write no boot rule; the registration ends with a restart
    #[arg(long)]
    pub no_persist: bool,
    /// Keep QEMU in memory and write nothing to disk
    ///
    /// For hosts whose files cannot be written. QEMU is kept in a sealed memory file, and the registration ends with
    /// the next restart. Nix is not configured; the line for nix.conf is printed.
    #[arg(long, conflicts_with_all = ["nix", "no_persist"])]
    pub in_memory: bool,
    /// Register even if another tool's entry handles this system
    ///
    /// Our entry takes precedence over the other one, which is kept. unregister removes ours, and the other one is used
    /// again.
    #[arg(long)]
    pub force: bool,
    /// Keep running, and register again what is removed
    ///
    /// Keeps running in the foreground. If an entry is removed, it is registered again after half a second without
    /// further changes, so that it ends up above the entries that a restarted systemd-binfmt adds. QEMU in memory stays
    /// open for that; an installed one is not installed again. An unmounted table is mounted again, and still has its
    /// entries. Deliberate changes are reported but not reverted: another entry that takes precedence, or a 0 written
    /// to an entry or to `status`. The table is also checked every 30 seconds, in case an event was missed; failed
    /// attempts are retried then, and at every change. It needs 6 MB, and no processor time while nothing happens. One
    /// instance handles all systems; a second one exits with status 3 and names the first.
    ///
    /// Before it starts to watch, everything is as without --watch: errors, exit status and output. Findings are
    /// reported, and it keeps running. SIGTERM, SIGINT or SIGHUP ends it; see --on-stop. A second signal ends it at
    /// once.
    ///
    /// For systemd: Type=notify, with WatchdogSec= if wanted. READY=1 is sent when everything is in place, STATUS= says
    /// what is not. Each event is a line on standard error, such as `2026-11-24T18:00:00Z info registered
    /// system=aarch64 entry=qemu-aarch64`. With --json it is a JSON object on standard output, one document a line:
    /// first the usual result of register, then the events.
    #[arg(long)]
    pub watch: bool,
    /// Leave or remove the entries when a signal ends --watch
    #[arg(long, value_enum, value_name = "WHAT", requires = "watch", default_value_t = StopAction::Leave)]
    pub on_stop: StopAction,
    /// Keep a file at PATH while --watch has everything in place
    ///
    /// PATH is absolute, in a directory that only root can write. The file exists while all entries are in place and
    /// proven, and only then.
    #[arg(long, value_name = "PATH", requires = "watch")]
    pub ready_file: Option<PathBuf>,
    /// How the change is made.
    #[command(flatten)]
    pub change: ChangeArgs,
}

/// What happens to watched entries when a signal ends `--watch`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StopAction {
    /// Keep them registered, and exit with status 0
    Leave,
    /// Unregister them, and exit with the status of unregister
    Remove,
}

/// Arguments of `run`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub struct RunArgs {
    /// Emulate this system (any name); may be repeated
    ///
    /// One option may also name several systems, separated by commas.
    #[arg(long = "system", short, value_name = "SYSTEM", value_delimiter = ',', required_unless_present = "all")]
    pub systems: Vec<String>,
    /// Emulate every system that this machine does not run natively
    #[arg(long, conflicts_with = "systems")]
    pub all: bool,
    /// Where QEMU comes from
    #[command(flatten)]
    pub source_args: SourceArgs,
    /// Keep QEMU in memory, and leave the cache alone
    #[arg(long)]
    pub no_cache: bool,
    /// Be root inside, with the subordinate ids (podman, buildah)
    ///
    /// Maps the ids of /etc/subuid and /etc/subgid, and needs newuidmap(1). Rootless podman and buildah then work as in
    /// a namespace of their own: binfmt-nix run --map-root -s aarch64 -- podman run --arch arm64 .... Without this
    /// option they cannot map ids inside.
    #[arg(long)]
    pub map_root: bool,
    /// Print how many of the machine's own entries are copied
    #[arg(long, short)]
    pub verbose: bool,
    /// The command and its arguments; default: your shell
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "CMD")]
    pub command: Vec<OsString>,
}

/// Arguments of `fetch`.
#[derive(Debug, Args)]
pub struct FetchArgs {
    /// Systems by any name (aarch64, arm64, linux/arm64, ...), or "all"
    ///
    /// Several systems are separated by blanks or commas.
    #[arg(required = true, value_name = "SYSTEM", value_delimiter = ',')]
    pub systems: Vec<String>,
    /// Write the archive (.tar.gz) to FILE; "-" is standard output
    #[arg(long, short, value_name = "FILE")]
    pub output: PathBuf,
    /// Fetch for this kind of machine: x86_64 or aarch64 [default: this]
    #[arg(long, value_name = "MACHINE")]
    pub host: Option<String>,
    /// Download this release of QEMU: 11.1.3, 7.2, ..., or "latest"
    #[arg(long, value_name = "VERSION")]
    pub qemu_version: Option<String>,
    /// Choose where QEMU comes from
    #[arg(long, value_enum, default_value_t = FetchSource::Download)]
    pub source: FetchSource,
    /// Try this Debian mirror first (also: BINFMT_NIX_MIRROR)
    #[arg(long, value_name = "URL")]
    pub mirror: Option<String>,
}

/// The values of `fetch --source`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FetchSource {
    /// A package of Debian
    Download,
    /// The same; if no Debian mirror works, another publisher's archive
    Fallback,
}

/// Arguments of `cache`.
#[derive(Debug, Args)]
pub struct CacheArgs {
    /// What to do with the cache; default: show it
    #[command(subcommand)]
    pub what: Option<CacheCommand>,
}

/// The subcommands of `cache`.
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum CacheCommand {
    /// Remove all cached downloads
    Prune,
}

/// Arguments of `explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// The program or script to explain
    #[arg(value_name = "FILE", required_unless_present = "pid")]
    pub file: Option<PathBuf>,
    /// Explain the running process N instead of a file
    #[arg(long, value_name = "N", conflicts_with = "file")]
    pub pid: Option<u32>,
}

/// Options of the commands that change what is registered.
#[derive(Debug, Args)]
pub struct ChangeArgs {
    /// Wait at most SECONDS for another binfmt-nix to finish
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub wait: u64,
    /// Print what would be done, and change nothing
    #[arg(long, short = 'n')]
    pub dry_run: bool,
}

/// Arguments of `unregister`.
#[derive(Debug, Args)]
pub struct UnregisterArgs {
    /// Systems by any name, names of own rules, or "all"
    ///
    /// Several names are separated by blanks or commas.
    #[arg(required = true, value_name = "SYSTEM", value_delimiter = ',')]
    pub systems: Vec<String>,
    /// How the change is made.
    #[command(flatten)]
    pub change: ChangeArgs,
}

/// Arguments of `enable`, `disable` and `rollback`.
#[derive(Debug, Args)]
pub struct SwitchArgs {
    /// Systems by any name, or "all" that are registered
    ///
    /// Several systems are separated by blanks or commas.
    #[arg(required = true, value_name = "SYSTEM", value_delimiter = ',')]
    pub systems: Vec<String>,
    /// How the change is made.
    #[command(flatten)]
    pub change: ChangeArgs,
}

/// Arguments of `upgrade`.
#[derive(Debug, Args)]
pub struct UpgradeArgs {
    /// Systems by any name, or "all" that are registered
    ///
    /// Several systems are separated by blanks or commas.
    #[arg(default_value = "all", value_name = "SYSTEM", value_delimiter = ',')]
    pub systems: Vec<String>,
    /// Download nothing; use the cache
    #[arg(long)]
    pub offline: bool,
    /// Try this Debian mirror first (also: BINFMT_NIX_MIRROR)
    #[arg(long, value_name = "URL")]
    pub mirror: Option<String>,
    /// How the change is made.
    #[command(flatten)]
    pub change: ChangeArgs,
}

/// Arguments of `accelerate`.
#[derive(Debug, Args)]
pub struct AccelerateArgs {
    /// The system whose programs are replaced, by any name
    #[arg(required_unless_present_any = ["off", "list", "check"], conflicts_with = "check", value_name = "SYSTEM", value_delimiter = ',')]
    pub systems: Vec<String>,
    /// Find the compilers of a Debian or Ubuntu tree below DIR
    ///
    /// The native programs are those of this host's cross compilers of the same version: gcc-14-aarch64-linux-gnu and the
    /// like. DIR may also be a store path of Nix.
    #[arg(long, value_name = "DIR")]
    pub tree: Option<PathBuf>,
    /// Find the native programs below DIR, instead of on this machine
    #[arg(long, value_name = "DIR")]
    pub native_tree: Option<PathBuf>,
    /// Replace one guest program by one native program
    ///
    /// GUEST is a path of this machine, or with --tree a path below it. Both have to be the same tool, of the same version.
    /// Repeat the option for more programs.
    #[arg(long, value_name = "GUEST=NATIVE")]
    pub pair: Vec<OsString>,
    /// Find the compilers of one nixpkgs, and their native counterparts
    ///
    /// FLAKEREF is a reference such as nixpkgs or github:NixOS/nixpkgs/nixos-25.11. Nix builds or downloads both.
    #[arg(long, value_name = "FLAKEREF", conflicts_with_all = ["tree", "pair"])]
    pub nixpkgs: Option<String>,
    /// Run both programs for one start in N, and fail if they differ
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), conflicts_with_all = ["off", "list", "check"])]
    pub audit: Option<u32>,
    /// Emulate all programs again; without SYSTEM, those of every system
    #[arg(long, conflicts_with_all = ["tree", "pair", "nixpkgs", "list", "check"])]
    pub off: bool,
    /// List the programs that are replaced
    #[arg(long, conflicts_with_all = ["tree", "pair", "nixpkgs", "check"])]
    pub list: bool,
    /// Build DRV with and without native programs, and compare
    ///
    /// DRV is a path of a derivation in the store of Nix. It is built as by nix-store --check, in the sandbox of this
    /// machine, with the native programs and without them, and both times are printed. The exit status is 3 if the outputs
    /// differ. Root is needed where a nix-daemon owns the store: the daemon would not obey other users.
    #[arg(long, value_name = "DRV", conflicts_with_all = ["tree", "pair", "nixpkgs"])]
    pub check: Option<String>,
    /// How the change is made.
    #[command(flatten)]
    pub change: ChangeArgs,
}

/// Arguments of `apply`.
#[derive(Debug, Args)]
pub struct ApplyArgs {
    /// Read the systems from FILE (TOML); "-" is standard input
    ///
    /// FILE is a path on this machine, also with --root.
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Change nothing; print what differs, and exit with 3
    ///
    /// The output is a diff: lines with - are removed, lines with + are added. The exit status is 0 if nothing differs.
    #[arg(long, conflicts_with = "dry_run")]
    pub check: bool,
    /// How the change is made.
    #[command(flatten)]
    pub change: ChangeArgs,
}

/// Arguments of `restore`.
#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// Change nothing; exit 3 if an entry is missing
    #[arg(long)]
    pub check: bool,
    /// Wait at most SECONDS for another binfmt-nix to finish
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub wait: u64,
}

/// Arguments of `status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Check one system in one line; exit 3 if it does not work
    ///
    /// For scripts and health checks: takes about 10 ms, and reads neither files nor Nix's settings.
    #[arg(long, value_name = "SYSTEM")]
    pub check: Option<String>,
    /// Print every path, digest and origin
    #[arg(long, short, conflicts_with = "check")]
    pub verbose: bool,
}

/// Arguments of `test`.
#[derive(Debug, Args)]
pub struct TestArgs {
    /// Systems by any name, or "all" that have an entry, from any tool
    #[arg(required = true, value_name = "SYSTEM", value_delimiter = ',')]
    pub systems: Vec<String>,
    /// Build a derivation of the system with Nix
    ///
    /// The derivation is new and its builder is a program of the system. It is built on this machine, with the settings
    /// of the user: below sudo that is the user who called sudo, and without a nix-daemon the owner of the store. The
    /// result says whether the builder ran in Nix's sandbox. What Nix puts into its store is deleted afterwards, except
    /// for lock files of builds that failed. If root runs this, status shows the result.
    #[arg(long)]
    pub nix: bool,
}

/// Arguments of `list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Print the list in this format
    #[arg(long, value_enum, default_value_t = ListFormat::Table)]
    pub format: ListFormat,
}

/// The values of `--format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ListFormat {
    /// A table of names
    Table,
    /// Names and rules as JSON
    Json,
    /// Rules for /etc/binfmt.d, with the interpreter paths of this tool
    #[value(name = "binfmt.d")]
    BinfmtD,
    /// The same rules, to be written to the kernel's register file
    Register,
}

/// Arguments of `nix-conf`.
#[derive(Debug, Args)]
pub struct NixConfArgs {
    /// Systems by any name; default: the registered ones
    #[arg(value_name = "SYSTEM", value_delimiter = ',')]
    pub systems: Vec<String>,
    /// Print lines for the machines file of other hosts
    ///
    /// Prints what this host runs natively, and what it emulates: slower and without kvm, so that Nix sends foreign
    /// builds here when no native machine is free. Systems with different features have lines of their own. Other hosts reach this one as HOST, as user@HOST, or by the URI of a
    /// store; the default is its own name. The user that they log in as must be in trusted-users of this host's
    /// nix.conf.
    #[arg(long, value_name = "HOST")]
    pub builder: Option<Option<String>>,
}

/// Arguments of the hidden `gen`.
#[derive(Debug, Args)]
pub struct GenArgs {
    /// What to generate
    #[command(subcommand)]
    pub what: GenTarget,
}

/// The subcommands of `gen`.
#[derive(Debug, Subcommand)]
pub enum GenTarget {
    /// Print the catalogue of pinned QEMUs for qemu-user packages
    Catalog {
        /// The .deb files; the first of each host is its default
        #[arg(required = true, value_name = "DEB")]
        debs: Vec<PathBuf>,
    },
}

/// Arguments of `doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// An error message to explain; "-" reads it from standard input
    #[arg(value_name = "ERROR TEXT")]
    pub message: Vec<String>,
    /// Repair what can be repaired safely
    ///
    /// Repairs what register would repair: removed entries are registered again, also those of own rules, and the
    /// nix-daemon is restarted.
    /// Findings that need a decision are only reported.
    #[arg(long, conflicts_with = "message")]
    pub fix: bool,
    /// Wait at most SECONDS for another binfmt-nix to finish
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub wait: u64,
}
