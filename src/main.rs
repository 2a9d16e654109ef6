//! The command `binfmt-nix`.

use std::process::ExitCode;

use binfmt_nix::cli::{Cli, commands};
use binfmt_nix::ui::Ui;
use clap::Parser as _;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let ui = Ui::new(cli.json);
    let code = commands::run_command(&cli, &ui).unwrap_or_else(|error| {
        ui.print_error(&error);
        error.exit_code()
    });
    ExitCode::from(code as u8)
}
