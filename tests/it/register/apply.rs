//! `apply`: the host gets exactly the systems of a file.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};

use super::conflicts::distribution;
use crate::support::output::{Done, tool};
use crate::support::tree::{BOOT, EMULATOR, NIX_CONF, OWN_CONF, RECEIPT, ROOT, TABLE};
use crate::support::{Tree, qemu};

const CONFIG: &str = "etc/binfmt-nix.toml";
const SECOND: &str = "usr/local/libexec/binfmt-nix/bin/qemu-riscv64";

/// A line that takes the emulators from the directory with the real ones.
fn from() -> String {
    let dir = qemu("aarch64").parent().map(Path::to_owned).unwrap();
    format!("from = \"{}\"\n", dir.display())
}

/// Writes the file with these systems and lines.
fn configure(tree: &Tree, systems: &[&str], lines: &str) {
    tree.write(CONFIG, format!("systems = {}\n{}{lines}", json!(systems), from()));
}

#[track_caller]
fn apply(tree: &Tree, options: &[&str]) -> Done {
    let config = tree.path(CONFIG);
    tree.run(&[&["apply", "--config", config.to_str().unwrap()], options].concat())
}

#[sandboxed]
fn apply_registers_what_is_listed_and_removes_what_is_not() {
    let tree = Tree::new();
    tree.register("aarch64").exits(0);
    configure(&tree, &["riscv64-linux"], "");
    apply(&tree, &[]).exits(0).prints("riscv64: registered, proven").prints("aarch64: unregistered");
    assert!(tree.runs("riscv64") && !tree.runs("aarch64"));
    assert!(!tree.exists(EMULATOR) && !tree.exists(BOOT));
    assert_eq!(tree.settings()[0], "extra-extra-platforms = riscv64-linux");
    let receipt: Value = serde_json::from_slice(&tree.read(RECEIPT)).unwrap();
    assert_eq!(receipt["systems"].as_object().unwrap().keys().collect::<Vec<_>>(), ["riscv64"]);
    assert!(!receipt.to_string().contains("aarch64"), "{receipt:#}");
}

#[sandboxed]
fn applying_again_changes_nothing() {
    let tree = Tree::new();
    configure(&tree, &["aarch64-linux", "riscv64-linux"], "");
    let done = apply(&tree, &["--json"]).exits(0).json();
    assert_eq!(done["changed"], true);
    assert!(tree.runs("aarch64") && tree.runs("riscv64"));
    let before = tree.snapshot();
    let done = apply(&tree, &["--json"]).exits(0).json();
    assert_eq!((&done["changed"], &done["steps"]), (&false.into(), &json!([])), "{done:#}");
    apply(&tree, &[]).exits(0).prints("aarch64: already registered");
    apply(&tree, &["--check"]).exits(0).prints("nothing differs");
    before.is_unchanged_in(&tree);
}

#[sandboxed]
fn an_applied_system_is_undone_by_an_empty_list() {
    let tree = Tree::new().file("etc/none.toml", "systems = []\n");
    configure(&tree, &["aarch64-linux"], "");
    let before = tree.snapshot();
    let apply_none = |options: &[&str]| tree.run(&[&["apply", "--config", "/tree/etc/none.toml"], options].concat());
    apply_none(&["--check"]).exits(0).prints("nothing differs");
    apply(&tree, &[]).exits(0);
    apply_none(&["--check"]).exits(3).prints("-system aarch64").prints("-entry qemu-aarch64");
    apply_none(&[]).exits(0).prints("aarch64: unregistered");
    before.is_restored_in(&tree);
    apply_none(&[]).exits(0).prints("nothing is registered");
}

#[sandboxed]
fn check_prints_what_differs_and_changes_nothing() {
    let tree = Tree::new();
    tree.register("riscv64").exits(0);
    configure(&tree, &["aarch64-linux"], "");
    let before = tree.snapshot();
    let done = apply(&tree, &["--check"]).exits(3);
    let config = tree.path(CONFIG);
    let head = format!("--- {ROOT}\n+++ {}\n", config.display());
    assert!(done.out.starts_with(&head), "{done:#?}");
    for line in [
        "+system aarch64 (QEMU 10.0.13)",
        "-system riscv64 (QEMU 10.0.13)",
        "+file /usr/local/libexec/binfmt-nix/bin/qemu-aarch64",
        "-file /usr/local/libexec/binfmt-nix/bin/qemu-riscv64",
        "+file /etc/binfmt.d/zz-binfmt-nix-aarch64.conf",
        "-file /etc/nix/binfmt-nix.conf",
        "+file /etc/nix/binfmt-nix.conf",
        "+entry qemu-aarch64 (flags PF, /tree/usr/local/libexec/binfmt-nix/bin/qemu-aarch64)",
        "-entry qemu-riscv64 (flags PF, /tree/usr/local/libexec/binfmt-nix/bin/qemu-riscv64)",
    ] {
        assert!(done.out.lines().any(|found| found == line), "no line {line}: {done:#?}");
    }
    let document = apply(&tree, &["--check", "--json"]).exits(3).json();
    assert_eq!(document["diff"][0], json!({ "change": "add", "what": "system aarch64 (QEMU 10.0.13)" }));
    before.is_untouched_in(&tree);
}

/// What another program has removed is missing for `--check`, and the next run repairs it.
#[sandboxed]
fn check_finds_a_missing_entry() {
    let tree = Tree::new();
    configure(&tree, &["aarch64-linux"], "");
    apply(&tree, &[]).exits(0);
    let complete = tree.table();
    fs::write(tree.path(&format!("{TABLE}/qemu-aarch64")), "-1").unwrap();
    let done = apply(&tree, &["--check"]).exits(3).prints("+entry qemu-aarch64");
    assert!(!done.out.contains("system"), "{done:#?}");
    apply(&tree, &[]).exits(0);
    assert_eq!(tree.table(), complete);
    apply(&tree, &["--check"]).exits(0);
}

#[sandboxed]
fn a_dry_run_of_apply_shows_the_steps_of_the_run() {
    let tree = Tree::new();
    tree.register("riscv64").exits(0);
    configure(&tree, &["aarch64-linux"], "nix = false\n");
    let before = tree.snapshot();
    let planned = apply(&tree, &["--dry-run", "--json"]).exits(0).json();
    before.is_untouched_in(&tree);
    let done = apply(&tree, &["--json"]).exits(0).json();
    assert_eq!(planned["steps"], done["steps"]);
    tree.run(&["apply", "--config", "/x", "--dry-run", "--check"]).exits(2);
}

#[sandboxed]
fn changed_flags_replace_the_entry() {
    let tree = Tree::new();
    configure(&tree, &["aarch64-linux"], "");
    apply(&tree, &[]).exits(0);
    configure(&tree, &["aarch64-linux"], "flags = \"POCF\"\n");
    apply(&tree, &["--check"])
        .exits(3)
        .prints("-entry qemu-aarch64 (flags PF,")
        .prints("+entry qemu-aarch64 (flags POCF,");
    apply(&tree, &[]).exits(0).says("flag C");
    assert!(String::from_utf8(tree.read(&format!("{TABLE}/qemu-aarch64"))).unwrap().contains("flags: POCF"));
    apply(&tree, &["--check"]).exits(0);
}

#[sandboxed]
fn without_nix_its_lines_are_removed() {
    let tree = Tree::new();
    configure(&tree, &["aarch64-linux"], "nix = true\n");
    let before = tree.text(NIX_CONF);
    apply(&tree, &[]).exits(0);
    assert!(tree.exists(OWN_CONF));
    configure(&tree, &["aarch64-linux"], "nix = false\n");
    apply(&tree, &["--check"]).exits(3).prints("-line of /etc/nix/nix.conf: !include binfmt-nix.conf");
    apply(&tree, &[]).exits(0);
    assert!(tree.runs("aarch64") && !tree.exists(OWN_CONF));
    assert_eq!(tree.text(NIX_CONF), before);
    apply(&tree, &["--check"]).exits(0);
    configure(&tree, &["aarch64-linux"], "nix = true\n");
    apply(&tree, &[]).exits(0);
    assert_eq!(tree.settings()[0], "extra-extra-platforms = aarch64-linux");
}

#[sandboxed]
fn all_systems_of_the_source_are_registered() {
    let tree = Tree::new();
    configure(&tree, &["all"], "");
    let done = apply(&tree, &["--json"]).exits(0).json();
    let registered = done["systems"].as_array().unwrap().iter().filter(|system| system["registered"] == true).count();
    assert!(registered > 1, "{done:#}");
    apply(&tree, &["--check"]).exits(0);
    configure(&tree, &["riscv64"], "");
    let done = apply(&tree, &["--json"]).exits(0).json();
    let removed = done["systems"].as_array().unwrap().iter().filter(|system| system["registered"] == false).count();
    assert_eq!(removed, registered - 1, "{done:#}");
    assert!(tree.runs("riscv64") && !tree.runs("aarch64"));
}

/// Another tool's entry is used where it works, and is never removed, listed or not.
#[sandboxed]
fn an_entry_of_another_tool_is_never_removed() {
    let tree = distribution("PF");
    let table = tree.table();
    configure(&tree, &["riscv64-linux"], "");
    apply(&tree, &[]).exits(0);
    configure(&tree, &["aarch64-linux"], "");
    apply(&tree, &[]).exits(0).prints("runs through another tool's entry").prints("riscv64: unregistered");
    assert_eq!(tree.table(), table);
    apply(&tree, &["--check"]).exits(0);
    tree.write(CONFIG, "systems = []\n");
    apply(&tree, &[]).exits(0).prints("aarch64: unregistered");
    assert_eq!(tree.table(), table);
}

#[sandboxed]
fn a_conflict_changes_nothing_and_force_resolves_it() {
    let tree = distribution("P");
    tree.register("riscv64").exits(0);
    configure(&tree, &["aarch64-linux"], "");
    let before = tree.snapshot();
    apply(&tree, &[]).exits(3).says("existing: :");
    apply(&tree, &["--check"]).exits(3).says("existing: :");
    before.is_unchanged_in(&tree);
    configure(&tree, &["aarch64-linux"], "force = true\n");
    apply(&tree, &[]).exits(0);
    assert!(tree.runs_somehow("aarch64") && !tree.runs("riscv64"));
}

/// A changed file of a system that is not listed is kept and reported, as by `unregister`.
#[sandboxed]
fn a_changed_file_is_kept_and_reported() {
    let tree = Tree::new();
    tree.register("aarch64").exits(0);
    tree.append(BOOT, "# a line of the user\n");
    configure(&tree, &["riscv64-linux"], "");
    apply(&tree, &[]).exits(3).says(BOOT);
    assert!(tree.exists(BOOT) && !tree.runs("aarch64") && tree.runs("riscv64"));
    apply(&tree, &["--check"]).exits(3).says(BOOT);
    tree.remove(BOOT);
    apply(&tree, &[]).exits(0);
    apply(&tree, &["--check"]).exits(0);
}

/// An emulator that does not run ends the change: the system that is not listed is still registered.
#[sandboxed]
fn a_failure_leaves_the_old_systems() {
    let tree = Tree::new().file("srv/qemu-aarch64", "not a program");
    tree.register("riscv64").exits(0);
    tree.write(CONFIG, "systems = [\"aarch64\"]\nfrom = \"/tree/srv\"\n");
    let before = tree.snapshot();
    apply(&tree, &[]).exits(1).says("qemu-aarch64");
    before.is_unchanged_in(&tree);
    assert!(tree.runs("riscv64") && tree.exists(SECOND));
}

#[sandboxed]
fn errors_of_the_file_have_its_path_and_line() {
    let tree = Tree::new();
    tree.register("aarch64").exits(0);
    let cases = [
        ("", ":1: systems is missing", ""),
        ("systems = [\"aarch64\"]\nflag = \"PF\"\n", ":2: the key flag is not known", "did you mean flags?"),
        ("[[nonsense]]\n", ":1: the key nonsense is not known", ""),
        ("systems = [\"aarch46\"]\n", ":1: systems: ", "did you mean aarch64"),
        ("systems = [\n\"aarch64\"\n", ":", ""),
        ("systems = [\"aarch64\"]\nsystems = []\n", ":2: ", ""),
        ("systems = [\"aarch64\"]\n\nqemu-version = \"ten\"\n", ":3: ", ""),
        ("systems = [\"aarch64\"]\nfrom = \"/x.tar\"\nsha256 = \"0\"\n", ":2: ", ""),
        ("systems = \"\u{1b}[31m\"\n", ":1: ", ""),
    ];
    for (text, error, help) in cases {
        tree.write(CONFIG, text);
        let before = tree.snapshot();
        for option in [&["--check"][..], &["--dry-run"], &[]] {
            let done =
                apply(&tree, option).exits(2).says(&format!("{}{error}", tree.path(CONFIG).display())).says(help);
            assert!(!done.err.contains('\u{1b}'), "{done:#?}");
        }
        before.is_unchanged_in(&tree);
    }
    tree.write(CONFIG, b"systems = []\n# \xff\n");
    apply(&tree, &[]).exits(2).says(":2: a byte is not UTF-8");
}

/// Root opens no file that another user can change, and nothing but a regular file.
/// apply has no options for the source.
#[sandboxed]
fn an_error_of_the_source_names_the_keys() {
    let tree = Tree::new();
    tree.write(CONFIG, "systems = [\"aarch64\"]\nsource = \"host\"\n");
    let before = tree.snapshot();
    for options in [&["--check"][..], &[]] {
        let done = apply(&tree, options).exits(1).says("no usable qemu-aarch64 found").omits("--");
        done.says("write another source into the file: source = \"download\", or from = \"PATH\"");
        before.is_unchanged_in(&tree);
    }
    // The proposed key, with the program itself.
    tree.write(CONFIG, format!("systems = [\"aarch64\"]\nfrom = \"{}\"\n", qemu("aarch64").display()));
    apply(&tree, &[]).exits(0).prints("aarch64: registered, proven");
}

/// The command of the help is on its own, so that it can be pasted.
#[sandboxed]
fn a_table_that_is_off_is_switched_on_by_the_proposed_command() {
    let tree = Tree::new().mounted();
    tree.write_kernel("status", "0");
    configure(&tree, &["aarch64-linux"], "");
    let done = apply(&tree, &[]).exits(3).says("switched off");
    let command = done.err.lines().find_map(|line| line.split_once("run: ")).unwrap().1.to_owned();
    assert!(command.ends_with("/status"), "{command}");
    assert!(std::process::Command::new("sh").args(["-c", &command]).status().unwrap().success());
    apply(&tree, &[]).exits(0).prints("aarch64: registered, proven");
}

#[sandboxed]
fn unsafe_files_are_not_opened() {
    let tree = Tree::new();
    apply(&tree, &[]).exits(1).says(CONFIG).says("No such file");
    configure(&tree, &["aarch64-linux"], "");
    let tree = tree.mode(CONFIG, 0o666);
    apply(&tree, &[]).exits(1).says(CONFIG).says("may be written by others");
    let tree = tree.mode(CONFIG, 0o644).mode("etc", 0o777);
    apply(&tree, &[]).exits(1).says("etc may be written by others");
    let tree = tree.mode("etc", 0o755).without(CONFIG);
    nix::unistd::mkfifo(&tree.path(CONFIG), nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    apply(&tree, &[]).exits(1).says(CONFIG);
    let tree = tree.without(CONFIG).dir(CONFIG);
    apply(&tree, &[]).exits(1).says(CONFIG);
    let tree = tree.without(CONFIG).link(CONFIG, "/tree/etc/real.toml");
    tree.write("etc/real.toml", format!("systems = [\"aarch64\"]\n{}", from()));
    apply(&tree, &["--check"]).exits(3).prints("+system aarch64");
}

#[sandboxed]
fn a_file_of_another_user_is_not_opened() {
    let tree = Tree::new();
    configure(&tree, &["aarch64-linux"], "");
    let tree = tree.owner(CONFIG, 1000);
    apply(&tree, &[]).exits(1).says("belongs to user 1000");
    assert!(!tree.exists(EMULATOR));
}

#[sandboxed]
fn the_file_can_be_standard_input() {
    let tree = Tree::new();
    let text = format!("systems = [\"aarch64\"]\n{}", from());
    let run = |text: &str| {
        let mut child = tool(&["--root", ROOT, "apply", "--config", "-"]);
        let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        Done::from(child.wait_with_output().unwrap())
    };
    run(&text).exits(0);
    assert!(tree.runs("aarch64"));
    run("nix = 1\n").exits(2).says("/dev/stdin:1: ");
}

#[sandboxed]
fn an_image_without_a_kernel_gets_its_files() {
    let tree = Tree::offline();
    configure(&tree, &["aarch64-linux"], "nix = true\n");
    apply(&tree, &[]).exits(0);
    assert!(tree.exists(EMULATOR) && tree.exists(BOOT));
    apply(&tree, &["--check"]).exits(0);
    configure(&tree, &["riscv64-linux"], "");
    apply(&tree, &[]).exits(0);
    assert!(!tree.exists(EMULATOR) && tree.exists(SECOND));
    apply(&tree, &["--check"]).exits(0);
}
