//! Generates `packaging/completions`: completions for shells.

use std::collections::BTreeMap;

use clap_complete::{Shell, generate};

use super::{check_or_write, command_line};

/// The shells, and the file names that each of them expects.
const FILES: [(Shell, &str); 3] =
    [(Shell::Bash, "binfmt-nix.bash"), (Shell::Zsh, "_binfmt-nix"), (Shell::Fish, "binfmt-nix.fish")];

#[test]
fn completions_match_the_command_line() {
    let file = |(shell, name): (Shell, &str)| {
        let mut text = Vec::new();
        generate(shell, &mut visible(), "binfmt-nix", &mut text);
        (name.to_owned(), String::from_utf8_lossy(&text).into_owned())
    };
    let files: BTreeMap<_, _> = FILES.into_iter().map(file).collect();
    for text in files.values() {
        assert!(text.contains("in-memory") && !text.contains("chroot-exec") && !text.contains("catalog"));
    }
    check_or_write("completions", &files);
}

/// Returns the command line without hidden commands, because clap_complete would complete them too.
fn visible() -> clap::Command {
    let whole = command_line();
    let mut visible = clap::Command::new("binfmt-nix").disable_help_subcommand(true);
    visible = visible.args(whole.get_arguments().filter(|arg| !matches!(arg.get_id().as_str(), "help" | "version")));
    for command in whole.get_subcommands().filter(|command| !command.is_hide_set()) {
        visible = visible.subcommand(command.clone());
    }
    visible.version(env!("CARGO_PKG_VERSION"))
}
