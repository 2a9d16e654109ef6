//! `packaging/completions`: completions for shells.

use std::collections::BTreeMap;

use clap_complete::{Shell, generate};

use super::{command_line, is_generated};

/// The files by the names under which each shell looks for them.
const FILES: [(Shell, &str); 3] =
    [(Shell::Bash, "binfmt-nix.bash"), (Shell::Zsh, "_binfmt-nix"), (Shell::Fish, "binfmt-nix.fish")];

#[test]
fn completions_are_those_of_the_command_line() {
    let file = |(shell, name): (Shell, &str)| {
        let mut text = Vec::new();
        generate(shell, &mut visible(), "binfmt-nix", &mut text);
        (name.to_owned(), String::from_utf8_lossy(&text).into_owned())
    };
    let files: BTreeMap<_, _> = FILES.into_iter().map(file).collect();
    for text in files.values() {
        assert!(text.contains("in-memory") && !text.contains("chroot-exec") && !text.contains("catalog"));
    }
    is_generated("completions", &files);
}

/// Without hidden commands, which clap_complete completes as well.
fn visible() -> clap::Command {
    let whole = command_line();
    let mut visible = clap::Command::new("binfmt-nix").disable_help_subcommand(true);
    visible = visible.args(whole.get_arguments().filter(|arg| !matches!(arg.get_id().as_str(), "help" | "version")));
    for command in whole.get_subcommands().filter(|command| !command.is_hide_set()) {
        visible = visible.subcommand(command.clone());
    }
    visible.version(env!("CARGO_PKG_VERSION"))
}
