//! The command line: clap types only. Doc comments are the help texts.

mod args;
mod doctor;
mod internal;
mod origin;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

pub use args::*;
pub use doctor::Doctor;
pub use internal::{Internal, Worker};
pub use origin::{Origin, Source};

/// Run programs and Nix builds of other architectures on any Linux
#[derive(Debug, Parser)]
#[command(name = "binfmt-nix", version, max_term_width = 80, propagate_version = true)]
#[command(after_help = "Exit status: 0 done, 1 failed, 2 usage, 3 something is in the way or not as it \
should be, 4 needs root, 5 unverified bytes, 6 unsupported by this kernel or machine. Of run: \
126 CMD cannot be executed, 127 there is no CMD; else CMD's own.")]
pub struct Cli {
    /// Act on the tree below DIR instead of this machine
    #[arg(long, value_name = "DIR", default_value = "/", hide_default_value = true, global = true)]
    pub root: PathBuf,
    /// Print the result as JSON on stdout
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make programs of other systems run here, and tell Nix
    Register(Register),
    /// Take away what register made, exactly
    Unregister(Unregister),
    /// Run a command with emulation: without root, without a trace
    Run(Run),
    /// Download QEMU into an archive, for register --from
    Fetch(Fetch),
    /// Show what downloads are kept, or remove it
    Cache(Cache),
    /// Say what the kernel does with a program, or did with a process, and why
    Explain(Explain),
    /// Find out what is wrong, and what repairs it; explain an error message
    Doctor(Doctor),
    /// Show what is registered, by whom, and whether it works
    Status(Status),
    /// Prove that programs of other systems run here, in chroots, in sandboxes
    Test(Test),
    /// Show the known systems, their names and rules
    List(List),
    /// Print nix.conf lines to be put there by hand, or machines lines for others
    NixConf(NixConf),
    /// Write files that are made from other files
    #[command(hide = true)]
    Gen(Gen),
    /// Start this program as a worker of its own
    #[command(hide = true)]
    Internal(Internal),
}
