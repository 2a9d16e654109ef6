//! Command lines: every command and option with odd values, as root and as an ordinary user.

use binfmt_nix::cli::Cli;
use clap::{Command, CommandFactory as _};

use super::pieces::{ODD, damage};
use super::{Input, Sweep, emulator, finish};
use crate::support::Tree;
use crate::support::rng::Noise;

/// Values that some option or command accepts.
const GOOD: &[&str] = &[
    "aarch64",
    "riscv64",
    "linux/arm64",
    "s390x",
    "host",
    "auto",
    "download",
    "fallback",
    "10.0.13",
    "latest",
    "1",
    "/tree",
    "/scratch/emulator-of-nothing",
    "/scratch/out",
    "json",
    "register",
    "x86_64",
    "builder",
    "leave",
];

/// An option of the command line, or `None` as its name for a positional argument.
struct Argument {
    name: Option<String>,
    has_value: bool,
}

/// The path of a command, and its arguments. `--watch` is left out, because it does not end.
struct Verb {
    path: Vec<String>,
    arguments: Vec<Argument>,
}

fn verbs() -> Vec<Verb> {
    let mut cli = Cli::command();
    cli.build();
    let mut verbs = Vec::new();
    collect(&cli, &[], &mut verbs);
    assert!(verbs.len() > 20);
    verbs
}

fn collect(command: &Command, path: &[String], verbs: &mut Vec<Verb>) {
    let all = command.get_arguments().filter(|argument| argument.get_id() != "watch");
    let argument = |argument: &clap::Arg| Argument {
        name: argument.get_long().map(|name| format!("--{name}")),
        has_value: argument.get_action().takes_values(),
    };
    verbs.push(Verb { path: path.to_vec(), arguments: all.map(argument).collect() });
    for inner in command.get_subcommands() {
        collect(inner, &[path, &[inner.get_name().to_owned()]].concat(), verbs);
    }
}

fn value(noise: &mut Noise) -> Vec<u8> {
    match noise.below(8) {
        0..4 => noise.pick(GOOD).as_bytes().to_vec(),
        4..7 => noise.pick(ODD).to_vec(),
        _ => {
            let good = noise.pick(GOOD);
            damage(noise, good.as_bytes())
        }
    }
}

/// A command with some of its options, each with a value, and some words.
fn line(noise: &mut Noise, verbs: &[Verb]) -> Vec<Vec<u8>> {
    let verb = &verbs[noise.index(verbs.len())];
    let mut words: Vec<Vec<u8>> = verb.path.iter().map(|word| word.clone().into_bytes()).collect();
    let most = if verb.arguments.is_empty() { 1 } else { 5 };
    for _ in 0..noise.below(most) {
        let argument = &verb.arguments[noise.index(verb.arguments.len())];
        let name = argument.name.clone().unwrap_or_default().into_bytes();
        let value = value(noise);
        match (argument.has_value, noise.below(4)) {
            (true, 0) if !name.is_empty() => words.push([&name[..], b"=", &value].concat()),
            (true, _) => words.extend([name, value].into_iter().filter(|word| !word.is_empty())),
            (false, _) => words.push(name),
        }
    }
    for _ in 0..noise.below(3) {
        words.push(value(noise));
    }
    // Some lines are damaged.
    match noise.below(8) {
        0 => words.rotate_left(1),
        1 => words.extend(words.clone()),
        2 if !words.is_empty() => {
            let at = noise.index(words.len());
            words[at] = damage(noise, &words[at]);
        }
        _ => {}
    }
    // The kernel accepts no NUL in an argument.
    words.iter().map(|word| word.iter().copied().filter(|byte| *byte != 0).collect()).collect()
}

/// Whether the words may start something that does not end by itself.
fn never_ends(words: &[Vec<u8>]) -> bool {
    words.iter().any(|word| word.starts_with(b"--watch"))
}

fn sweep(noise: &mut Noise, lines: usize, stranger: bool) -> Sweep {
    let tree = Tree::new().mounted().dir("var/cache");
    emulator();
    let verbs = verbs();
    let mut sweep = Sweep::default();
    while sweep.runs < lines {
        let words = line(noise, &verbs);
        if never_ends(&words) {
            continue;
        }
        let input = words.iter().fold(Input::on_tree(&[]), |input, word| input.bytes(word));
        sweep.run_and_undo(&Input { stranger, ..input }, &tree);
    }
    sweep
}

#[sandboxed]
fn odd_arguments_are_reported() {
    sweep(&mut Noise::new(14), 400, false).end("command lines with odd, overlong and binary arguments", 400);
}

#[sandboxed]
fn odd_arguments_of_an_ordinary_user_are_reported() {
    sweep(&mut Noise::new(15), 80, true).end("command lines of an ordinary user, with odd arguments", 80);
}

/// Without `--root`: the machine of the sandbox, whose files are read-only.
#[sandboxed]
fn odd_arguments_of_commands_that_only_read_are_reported() {
    let mut noise = Noise::new(16);
    let mut sweep = Sweep::default();
    for _ in 0..10 {
        for command in ["status", "doctor", "list", "nix-conf", "explain", "cache"] {
            sweep.run(&Input::new(&[command]).bytes(noise.pick(ODD)));
        }
    }
    for command in ["status", "doctor", "list", "nix-conf", "cache"] {
        sweep.run(&Input::new(&[command]));
        sweep.run(&Input::new(&[command, "--json"]));
    }
    sweep.end("commands that only read, with odd arguments", 70);
}

/// clap prints a value without its option, and bytes that are not UTF-8 as U+FFFD.
#[sandboxed]
fn arguments_in_usage_errors_forge_no_line() {
    let mut sweep = Sweep::default();
    let commands: [&[&[u8]]; 6] = [
        &[b"evil\nerror: forged"],
        &[b"evil\r\xff\nerror: forged"],
        &[b"register", b"aarch64", b"--wait=evil\nerror: forged\r"],
        &[b"register", b"aarch64", b"--wait", b"evil\nerror: forged\r"],
        &[b"status", b"--evil\nerror: forged=\x1b[2J"],
        &[b"list", b"--format=evil\nerror: forged\xc2\x9b"],
    ];
    for words in commands {
        let input = words.iter().fold(Input::new(&[]), |input, word| input.bytes(word));
        let output = finish(input.command()).unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!stderr.contains("\nerror: forged") && stderr.contains(r"evil"), "{stderr}");
        assert_eq!(sweep.run(&input), Some(2));
    }
    assert!(sweep.violations.is_empty(), "{:?}", sweep.violations);
}
