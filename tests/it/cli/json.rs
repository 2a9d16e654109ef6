//! `--json`: stdout is one document for programs in every case; messages go to stderr.

use crate::support::table::line;
use crate::support::tree::BOOT;
use crate::support::{Tree, qemu};

#[sandboxed]
fn register_prints_one_document() {
    let tree = Tree::new();
    let first = tree.register_with("aarch64", &["--json"]).exits(0).json();
    let system = &first["systems"][0];
    assert_eq!(first["changed"], true);
    assert_eq!(first["findings"], serde_json::json!([]));
    for (field, value) in [("registered", true), ("already", false), ("proven", true), ("adopted", false)] {
        assert_eq!(system[field], value, "{field} in {first:#}");
    }
    assert_eq!(system["system"], "aarch64");
    assert_eq!(system["nix_systems"], serde_json::json!(["aarch64-linux"]));
    assert_eq!(system["entry"], "qemu-aarch64");
    assert_eq!(system["interpreter"], "/usr/local/libexec/binfmt-nix/bin/qemu-aarch64");
    let second = tree.register_with("aarch64", &["--json"]).exits(0).json();
    assert_eq!((&second["changed"], &second["steps"]), (&false.into(), &serde_json::json!([])));
    assert_eq!((&second["systems"][0]["already"], &second["systems"][0]["proven"]), (&true.into(), &true.into()));
}

#[sandboxed]
fn unregister_prints_one_document() {
    let tree = Tree::new();
    tree.register("aarch64").exits(0);
    let planned = tree.run(&["--json", "unregister", "aarch64", "-n"]).exits(0).json();
    let done = tree.run(&["--json", "unregister", "aarch64"]).exits(0).json();
    assert_eq!(planned["steps"], done["steps"]);
    assert_eq!((&planned["changed"], &done["changed"]), (&false.into(), &true.into()));
    assert_eq!(done["systems"][0]["registered"], false);
    let again = tree.run(&["--json", "unregister", "aarch64"]).exits(0).json();
    assert_eq!(again["changed"], false);
    let all = tree.run(&["--json", "unregister", "all"]).exits(0).json();
    assert_eq!((&all["changed"], &all["systems"]), (&false.into(), &serde_json::json!([])));
}

#[sandboxed]
fn findings_are_in_the_document() {
    let tree = Tree::new();
    tree.register("aarch64").exits(0);
    tree.append(BOOT, "# mine now\n");
    let done = tree.run(&["--json", "unregister", "aarch64"]).exits(3).json();
    let finding = done["findings"][0].as_str().unwrap();
    assert!(finding.contains(BOOT), "{finding}");
}

/// Each case is a command line, its exit status, and parts of its error and help.
const ERRORS: [(&[&str], i32, &str, &str); 24] = [
    (&["register", "x86_64"], 2, "without an emulator", "nothing needs to be registered"),
    (&["register", "aarch64", "--qemu", "/bin/sh"], 1, "/bin/sh", "--source"),
    (&["apply", "--config", "/dev/null"], 1, "/dev/null", ""),
    (&["unregister", "aarch46"], 2, "aarch46", "binfmt-nix list"),
    (&["disable", "aarch46"], 2, "aarch46", "binfmt-nix list"),
    (&["enable", "aarch64"], 3, "not registered by binfmt-nix", "register aarch64"),
    (&["upgrade", "aarch64"], 3, "not registered by binfmt-nix", "register aarch64"),
    (&["rollback", "aarch64"], 3, "not registered by binfmt-nix", "register aarch64"),
    (&["accelerate", "aarch46"], 2, "aarch46", "binfmt-nix list"),
    (&["run", "-s", "aarch46"], 2, "cannot be combined with --root", ""),
    (&["fetch", "aarch46", "-o", "/x"], 2, "aarch46", "binfmt-nix list"),
    (&["explain", "--pid", "1"], 2, "cannot be combined with --root", ""),
    (&["status", "--check", "aarch46"], 2, "aarch46", "binfmt-nix list"),
    (&["test", "aarch46"], 2, "aarch46", "binfmt-nix list"),
    (&["nix-conf", "aarch46"], 2, "aarch46", "binfmt-nix list"),
    // The parser of arguments prints these.
    (&["--nonsense"], 2, "--nonsense", "--help"),
    (&["nonsense"], 2, "nonsense", "--help"),
    (&["cache", "nonsense"], 2, "nonsense", "--help"),
    (&["doctor", "--fix", "a text"], 2, "--fix", "--help"),
    (&["list", "--format", "x"], 2, "[possible values: table, json, binfmt.d, register]", "--help"),
    (&["status", "--check"], 2, "--check", "--help"),
    (&["explain"], 2, "were not provided: <FILE>", "--help"),
    (&["register"], 2, "were not provided: <SYSTEM>...", "--help"),
    (&["help", "nonsense"], 2, "nonsense", "--help"),
];

#[sandboxed]
fn every_error_is_one_document() {
    let tree = Tree::new();
    for (args, code, error, help) in ERRORS {
        let document = tree.run(&[&["--json"], args].concat()).exits(code).says("error:").json();
        let text = document["error"].as_str().unwrap();
        let helps: Vec<&str> = document["help"].as_array().unwrap().iter().map(|help| help.as_str().unwrap()).collect();
        assert!(text.contains(error) && helps.join(" ").contains(help), "{document:#}");
        assert_eq!(document["exit_status"], code, "{document:#}");
        let plain = tree.run(args).exits(code);
        let said: Vec<&str> = plain.err.split_whitespace().collect();
        assert!(plain.out.is_empty() && said.join(" ").contains(text), "{plain:?} {text}");
    }
    // The words behind the command of `run` are its own.
    let done = tree.run(&["run", "-s", "aarch64", "--", "x", "--json"]).exits(2);
    assert_eq!(done.out, "");
}

/// The list of errors has every command that users see.
#[test]
fn every_command_has_an_error_in_the_list() {
    use clap::CommandFactory as _;
    let command = binfmt_nix::cli::Cli::command();
    let visible = command.get_subcommands().filter(|command| !command.is_hide_set());
    for name in visible.map(clap::Command::get_name) {
        assert!(ERRORS.iter().any(|(args, ..)| args[0] == name), "{name}");
    }
}

/// The details of an error are elements, and stderr has the same lines.
#[sandboxed]
fn details_of_an_error_are_in_its_document() {
    let rule = line("theirs", "aarch64", &qemu("aarch64"), "P");
    let tree = Tree::new().mounted().entry(&rule);
    let document = tree.register_with("aarch64", &["--json"]).exits(3).says("\n  existing: :theirs:").json();
    assert!(document["details"][0].as_str().unwrap().starts_with("existing: :theirs:"), "{document:#}");
    assert!(document["details"][1].as_str().unwrap().starts_with("wanted:   :qemu-aarch64:"), "{document:#}");
    assert!(document["help"][0].as_str().unwrap().contains("--force"));
}

#[sandboxed]
fn every_read_only_command_prints_one_document() {
    let tree = Tree::new();
    tree.register("aarch64").exits(0);
    let before = tree.snapshot();
    for args in [
        &["status"][..],
        &["doctor"],
        &["list"],
        &["list", "--format", "json"],
        &["accelerate", "--list"],
        &["nix-conf"],
        &["nix-conf", "arm"],
        &["nix-conf", "--builder", "build"],
    ] {
        tree.run(&[&["--json"], args].concat()).exits(0).json();
    }
    before.is_untouched_in(&tree);
}
