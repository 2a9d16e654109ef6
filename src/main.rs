//! The command `binfmt-nix`.

use std::process::ExitCode;

use binfmt_nix::{cli::Cli, cmd, ui::Ui};
use clap::Parser as _;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let ui = Ui::new(cli.json);
    let code = cmd::run(&cli, &ui).unwrap_or_else(|error| {
        ui.error(&error);
        error.exit_code()
    });
    ExitCode::from(code as u8)
}
