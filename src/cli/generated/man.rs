//! Generates `packaging/man`: a man page for the program and one for each command, in section 8.
//!
//! Names, synopsis, description and options come from the help texts of the command line. The sections after them are
//! in `pages.rs`.

use std::collections::BTreeMap;

use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, italic, roman};

use super::pages::{COMMON, PAGES, Page};
use super::{check_or_write, command_line};

/// Section of the manual for the pages: commands of the administrator
const SECTION: &str = "8";

#[test]
fn man_pages_have_every_command_and_option() {
    let command = command_line();
    let mut files = BTreeMap::new();
    files.insert(format!("binfmt-nix.{SECTION}"), page(&command, "binfmt-nix"));
    for command in command.get_subcommands().filter(|command| is_documented(command)) {
        let name = format!("binfmt-nix-{}", command.get_name());
        files.insert(format!("{name}.{SECTION}"), page(command, &name));
    }
    assert_eq!(files.len(), PAGES.len());
    for (name, text) in &files {
        for section in ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "FILES", "ENVIRONMENT", "EXAMPLES"]
        {
            let heading = [format!(".SH {section}\n"), format!(".SH \"{section}\"\n")];
            assert!(heading.iter().any(|heading| text.contains(heading)), "{name} has no {section}");
        }
        assert!(!text.contains("chroot\\-exec"), "{name} names a hidden command");
    }
    check_or_write("man", &files);
}

#[test]
fn short_help_is_shorter_than_70_characters() {
    let whole = command_line();
    let mut commands: Vec<&clap::Command> = vec![&whole];
    while let Some(command) = commands.pop() {
        commands.extend(command.get_subcommands());
        let of_arguments = command
            .get_arguments()
            .filter_map(|argument| argument.get_help().map(|help| (argument.get_id().to_string(), help.to_string())));
        let of_command = command.get_about().map(|about| ("about".to_owned(), about.to_string()));
        for (what, help) in of_arguments.chain(of_command) {
            assert!(help.chars().count() < 70, "{} {what}: {help:?}", command.get_name());
            assert!(!help.ends_with('.') || help.ends_with("..."), "{} {what}: {help:?}", command.get_name());
        }
    }
}

fn page(command: &clap::Command, name: &str) -> String {
    let own = PAGES.iter().find(|page| page.name == name);
    let own = own.unwrap_or_else(|| panic!("src/cli/generated/pages.rs has no page {name}"));
    let man = Man::new(command.clone())
        .title(name.to_uppercase())
        .section(SECTION)
        .date("")
        .source(concat!("binfmt-nix ", env!("CARGO_PKG_VERSION")))
        .manual("System Administration");
    let mut text = Vec::new();
    let rendered = man
        .render_title(&mut text)
        .and_then(|()| man.render_name_section(&mut text))
        .and_then(|()| man.render_synopsis_section(&mut text))
        .and_then(|()| man.render_description_section(&mut text))
        .and_then(|()| man.render_options_section(&mut text))
        .and_then(|()| subcommands(command).to_writer(&mut text))
        .and_then(|()| sections(own).to_writer(&mut text));
    rendered.unwrap_or_else(|e| panic!("{name}: {e}"));
    String::from_utf8_lossy(&text).into_owned()
}

/// Whether a command has a place in the manual: every command that the help lists, and those with a page of their own.
fn is_documented(command: &clap::Command) -> bool {
    let page = format!("binfmt-nix-{}", command.get_name());
    !command.is_hide_set() || PAGES.iter().any(|known| known.name == page)
}

/// Lists the subcommands. A command of the program has its own page; a subcommand of a command is only named.
fn subcommands(command: &clap::Command) -> Roff {
    let mut roff = Roff::new();
    let visible: Vec<_> = command.get_subcommands().filter(|command| is_documented(command)).collect();
    if !visible.is_empty() {
        roff.control("SH", ["COMMANDS"]);
    }
    for one in visible {
        roff.control("TP", []);
        let page = format!("binfmt-nix-{}", one.get_name());
        if PAGES.iter().any(|known| known.name == page) {
            roff.text([bold(page), roman(format!("({SECTION})"))]);
        } else {
            roff.text([bold(one.get_name())]);
        }
        roff.text([roman(one.get_about().map(ToString::to_string).unwrap_or_default())]);
    }
    roff
}

fn sections(page: &Page) -> Roff {
    let mut roff = Roff::new();
    for (heading, entries) in [("EXIT STATUS", page.exit), ("FILES", page.files), ("ENVIRONMENT", page.environment)] {
        roff.control("SH", [heading]);
        let common = COMMON.iter().find(|(of, _)| *of == heading).map_or(&[][..], |(_, entries)| *entries);
        // Files and variables of all pages are on the page of the program.
        let is_whole = page.name == "binfmt-nix" || heading == "EXIT STATUS";
        for (term, text) in entries.iter().chain(if is_whole { common } else { &[] }) {
            roff.control("TP", []);
            roff.text([italic(*term)]);
            roff.text([roman(*text)]);
        }
        if !is_whole {
            roff.control("PP", []);
            roff.text([roman("See also "), bold("binfmt-nix"), roman(format!("({SECTION})."))]);
        }
    }
    roff.control("SH", ["EXAMPLES"]);
    for (text, lines) in page.examples {
        roff.control("PP", []);
        roff.text([roman(*text)]);
        roff.control("PP", []);
        roff.control("RS", ["4"]);
        roff.control("nf", []);
        for line in *lines {
            roff.text([roman(*line)]);
        }
        roff.control("fi", []);
        roff.control("RE", []);
    }
    for (heading, paragraphs) in page.more {
        roff.control("SH", [*heading]);
        for paragraph in *paragraphs {
            roff.control("PP", []);
            roff.text([roman(*paragraph)]);
        }
    }
    roff.control("SH", ["SEE ALSO"]);
    let mut others: Vec<_> = PAGES.iter().map(|page| page.name).filter(|name| *name != page.name).collect();
    others.truncate(if page.name == "binfmt-nix" { others.len() } else { 1 });
    others.extend(page.see);
    let others: Vec<_> = others
        .iter()
        .map(|name| if name.contains('(') { (*name).to_owned() } else { format!("{name}({SECTION})") })
        .collect();
    roff.text([roman(others.join(", "))]);
    roff
}
