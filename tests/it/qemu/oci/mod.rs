//! Images of registries: real ones (Debian's docker-registry, on loopback, into which buildah pushes) and hostile ones.
//!
//! This program plays all parts: the harness, the tool, and its two children, which are honest. A real registry is
//! for `registry` in BINFMT_NIX_REQUIRE.

mod broken_registries;
mod confinement;
mod credentials;
mod frames;
mod image;
mod layers;
mod properties;
mod real_credentials;
mod real_registry;
mod registry;
mod server;
mod tls;
mod tokens;
pub(crate) mod tool;
mod wrong_bytes;

use std::process::ExitCode;

use binfmt_nix::{cli::Cli, cmd, ui::Ui};
use clap::Parser as _;

use crate::support::{fault_table, skip};

/// As the tool itself does what its command line says.
pub(crate) fn command() -> ExitCode {
    let cli = Cli::parse();
    let done = cmd::run(&cli, &Ui::new(false));
    done.map_or_else(
        |error| {
            eprintln!("{error}");
            ExitCode::FAILURE
        },
        |_| ExitCode::SUCCESS,
    )
}
