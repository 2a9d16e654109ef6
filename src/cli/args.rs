//! The arguments of each command.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::Origin;

/// Arguments of `register`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub struct Register {
    /// Systems by any name (aarch64, arm64, linux/arm64, ...), or "all"
    #[arg(required = true, value_name = "SYSTEM")]
    pub systems: Vec<String>,
    /// Where QEMU comes from
    #[command(flatten)]
    pub origin: Origin,
    /// Give setuid programs their rights (flag C); see the risk in the README
    #[arg(long)]
    pub credentials: bool,
    /// Tell Nix even if there is no trace of it here
    #[arg(long, overrides_with = "no_nix")]
    pub nix: bool,
    /// Do not tell Nix
    #[arg(long)]
    pub no_nix: bool,
    /// Do not register again after a restart of the machine
    #[arg(long)]
    pub no_persist: bool,
    /// Write nothing to disk: QEMU stays in memory until a restart
    #[arg(long, conflicts_with_all = ["nix", "no_persist"])]
    pub in_memory: bool,
    /// Go in above entries of others; nothing of theirs is deleted
    #[arg(long)]
    pub force: bool,
    /// Stay, watch the kernel's table, and put back what somebody removes
    #[arg(long)]
    pub watch: bool,
    /// What becomes of the entries when SIGTERM, SIGINT or SIGHUP ends --watch
    #[arg(long, value_enum, value_name = "WHAT", requires = "watch", default_value_t = OnStop::Leave)]
    pub on_stop: OnStop,
    /// A file that --watch keeps there while all is in place and proven
    #[arg(long, value_name = "PATH", requires = "watch")]
    pub ready_file: Option<PathBuf>,
    /// How long another binfmt-nix is waited for
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub wait: u64,
    /// Show what would be done, and do nothing
    #[arg(long, short = 'n')]
    pub dry_run: bool,
}

/// What becomes of entries that were held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OnStop {
    /// They stay
    Leave,
    /// They are taken away, as unregister does
    Remove,
}

/// Arguments of `run`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub struct Run {
    /// A system by any name; may be repeated
    #[arg(long = "system", short, value_name = "SYSTEM", required_unless_present = "all")]
    pub systems: Vec<String>,
    /// Every system that this machine does not run by itself
    #[arg(long, conflicts_with = "systems")]
    pub all: bool,
    /// Where QEMU comes from
    #[command(flatten)]
    pub origin: Origin,
    /// Write nothing to disk: a downloaded QEMU stays in memory
    #[arg(long)]
    pub no_cache: bool,
    /// Be root inside, with the subordinate ids (for podman and buildah)
    #[arg(long)]
    pub map_root: bool,
    /// Say what is taken over from the machine's own table, and what is not
    #[arg(long, short)]
    pub verbose: bool,
    /// The command; without one, your shell
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "CMD")]
    pub command: Vec<OsString>,
}

/// Arguments of `fetch`.
#[derive(Debug, Args)]
pub struct Fetch {
    /// Systems by any name (aarch64, arm64, linux/arm64, ...), or "all"
    #[arg(required = true, value_name = "SYSTEM")]
    pub systems: Vec<String>,
    /// The archive to write (.tar.gz); "-" is stdout
    #[arg(long, short, value_name = "FILE")]
    pub output: PathBuf,
    /// The machine that will use it: x86_64 or aarch64; default: this one
    #[arg(long, value_name = "MACHINE")]
    pub host: Option<String>,
    /// Another release of QEMU: 11.1.3, 7.2, ..., or "latest"
    #[arg(long, value_name = "VERSION")]
    pub qemu_version: Option<String>,
    /// Where QEMU comes from
    #[arg(long, value_enum, default_value_t = FetchSource::Download)]
    pub source: FetchSource,
    /// Ask this Debian mirror first (also: BINFMT_NIX_MIRROR)
    #[arg(long, value_name = "URL")]
    pub mirror: Option<String>,
}

/// The values of `fetch --source`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FetchSource {
    /// A package of Debian
    Download,
    /// The same; if no Debian mirror works, an archive of another publisher
    Fallback,
}

/// Arguments of `cache`.
#[derive(Debug, Args)]
pub struct Cache {
    /// What to do with it; without a word, it is shown
    #[command(subcommand)]
    pub what: Option<CacheCommand>,
}

/// What can be done with the cache.
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum CacheCommand {
    /// Remove all of it
    Prune,
}

/// Arguments of `explain`.
#[derive(Debug, Args)]
pub struct Explain {
    /// A program, a script, or whatever it is
    #[arg(value_name = "FILE", required_unless_present = "pid")]
    pub file: Option<PathBuf>,
    /// A process that runs, by its number
    #[arg(long, value_name = "N", conflicts_with = "file")]
    pub pid: Option<u32>,
}

/// Arguments of `unregister`.
#[derive(Debug, Args)]
pub struct Unregister {
    /// Systems by any name, or "all"
    #[arg(required = true, value_name = "SYSTEM")]
    pub systems: Vec<String>,
    /// How long another binfmt-nix is waited for
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub wait: u64,
    /// Show what would be done, and do nothing
    #[arg(long, short = 'n')]
    pub dry_run: bool,
}

/// Arguments of `status`.
#[derive(Debug, Args)]
pub struct Status {
    /// Say in one line whether programs of this system run; exit 3 if they do not
    #[arg(long, value_name = "SYSTEM")]
    pub check: Option<String>,
    /// Show every path, digest and origin
    #[arg(long, short, conflicts_with = "check")]
    pub verbose: bool,
}

/// Arguments of `test`.
#[derive(Debug, Args)]
pub struct Test {
    /// Systems by any name, or "all" that are registered here, by whomever
    #[arg(required = true, value_name = "SYSTEM")]
    pub systems: Vec<String>,
    /// Have the Nix that is installed here build with it, in its sandbox
    #[arg(long)]
    pub nix: bool,
}

/// Arguments of `list`.
#[derive(Debug, Args)]
pub struct List {
    /// How to print them
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
}

/// The values of `--format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Table,
    /// Names and rules, for programs
    Json,
    /// Lines for /etc/binfmt.d, with the interpreters' paths of this tool
    #[value(name = "binfmt.d")]
    BinfmtD,
    /// The same lines, as the kernel's register file takes them one by one
    Register,
}

/// Arguments of `nix-conf`.
#[derive(Debug, Args)]
pub struct NixConf {
    /// Systems by any name; without any, those that are registered
    #[arg(value_name = "SYSTEM")]
    pub systems: Vec<String>,
    /// Print this host's lines for the machines file of others; they reach it as
    /// HOST (or user@HOST, or a store's URI; default: its own name)
    #[arg(long, value_name = "HOST")]
    pub builder: Option<Option<String>>,
}

/// Arguments of the hidden `gen`.
#[derive(Debug, Args)]
pub struct Gen {
    /// What to make
    #[command(subcommand)]
    pub what: Generated,
}

/// What `gen` can make.
#[derive(Debug, Subcommand)]
pub enum Generated {
    /// The catalogue of pinned QEMUs, from qemu-user packages, to stdout
    Catalog {
        /// The .deb files; the first of a host is its default
        #[arg(required = true, value_name = "DEB")]
        debs: Vec<PathBuf>,
    },
}

/// Arguments of `doctor`.
#[derive(Debug, Args)]
pub struct Doctor {
    /// An error message to explain; "-" reads it from standard input
    #[arg(value_name = "ERROR TEXT")]
    pub message: Vec<String>,
    /// Repair what can be repaired safely, as register would
    #[arg(long, conflicts_with = "message")]
    pub fix: bool,
    /// How long another binfmt-nix is waited for
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub wait: u64,
}
