//! Images of registries: of real ones (Debian's docker-registry, on loopback, into which buildah pushes) and of hostile
//! ones.
//!
//! This program plays all parts: the harness, the tool, and its two honest workers. Tests that need a real registry have
//! the key `registry` in BINFMT_NIX_REQUIRE.

pub(crate) mod broken_registries;
pub(crate) mod confinement;
pub(crate) mod credentials;
pub(crate) mod frames;
pub(crate) mod image;
pub(crate) mod layers;
pub(crate) mod properties;
pub(crate) mod real_credentials;
pub(crate) mod real_registry;
pub(crate) mod registry;
pub(crate) mod server;
pub(crate) mod tls;
pub(crate) mod tokens;
pub(crate) mod tool;
pub(crate) mod wrong_bytes;

use std::process::ExitCode;

use binfmt_nix::cli::{Cli, commands};
use binfmt_nix::ui::Ui;
use clap::Parser as _;

use crate::support::{fault_table, skip};

/// Runs the command line of this process like the tool does.
pub(crate) fn command() -> ExitCode {
    let cli = Cli::parse();
    let done = commands::run_command(&cli, &Ui::new(false, &[]));
    done.map_or_else(
        |error| {
            eprintln!("{error}");
            ExitCode::FAILURE
        },
        |_| ExitCode::SUCCESS,
    )
}
