//! The options of `register`.

use crate::diagnose::situations::commands::paste;
use crate::support::Tree;
use crate::support::emulators::outside;
use crate::support::output::Done;
use crate::support::tree::{BOOT, EMULATOR, LOCK, NIX_CONF, OWN_CONF};

#[sandboxed]
fn a_dry_run_of_register_writes_nothing() {
    let tree = Tree::new();
    let before = tree.snapshot();
    tree.register_with("aarch64", &["--dry-run"])
        .exits(0)
        .prints("would register")
        .prints(BOOT)
        .prints("qemu-aarch64 (flags PF)")
        .omits("undo with");
    tree.register_with("aarch64", &["-n", "--json"]).exits(0);
    before.is_untouched_in(&tree);
    assert!(!tree.exists(LOCK) && !tree.is_mounted());
}

#[sandboxed]
fn a_dry_run_of_unregister_writes_nothing() {
    let tree = Tree::new();
    tree.register("aarch64").exits(0);
    let before = tree.snapshot();
    tree.run(&["unregister", "aarch64", "--dry-run"]).exits(0).prints("would withdraw").prints(EMULATOR);
    tree.run(&["unregister", "all", "-n"]).exits(0);
    before.is_untouched_in(&tree);
}

#[sandboxed]
fn a_dry_run_without_a_change_reports_nothing_to_do() {
    let tree = Tree::new();
    tree.run(&["unregister", "aarch64", "--dry-run"]).exits(0).prints("nothing to do");
    tree.register("aarch64").exits(0);
    let before = tree.snapshot();
    tree.register_with("aarch64", &["--dry-run"]).exits(0).prints("nothing to do");
    before.is_untouched_in(&tree);
}

/// The plan has the same verbs and objects as the run, in the same order.
#[sandboxed]
fn a_dry_run_shows_the_steps_of_the_run() {
    let tree = Tree::new();
    let planned = tree.register_with("aarch64", &["--dry-run", "--json"]).exits(0).json();
    let done = tree.register_with("aarch64", &["--json"]).exits(0).json();
    assert_eq!(planned["steps"], done["steps"]);
    assert_eq!((&planned["changed"], &done["changed"]), (&false.into(), &true.into()));
}

#[sandboxed]
fn a_dry_run_reports_the_errors_of_the_run() {
    let tree = Tree::new().file(BOOT, "# another tool's\n");
    let before = tree.snapshot();
    tree.register_with("aarch64", &["--dry-run"]).exits(3).says(BOOT);
    tree.run(&["register", "x86_64", "--dry-run"]).exits(2);
    before.is_untouched_in(&tree);
}

#[sandboxed]
fn no_nix_keeps_the_nix_configuration() {
    let tree = Tree::new();
    let before = tree.snapshot();
    tree.register_with("aarch64", &["--no-nix"]).exits(0);
    assert_eq!(tree.text(NIX_CONF), "sandbox = true\n");
    assert!(!tree.exists(OWN_CONF));
    assert!(tree.runs("aarch64"));
    tree.unregister("aarch64").exits(0);
    before.is_restored_in(&tree);
}

#[sandboxed]
fn no_nix_keeps_systems_configured_before() {
    let tree = Tree::new();
    tree.register("aarch64").exits(0);
    tree.register_with("riscv64", &["--no-nix"]).exits(0);
    assert_eq!(tree.settings()[0], "extra-extra-platforms = aarch64-linux");
    let before = tree.snapshot();
    tree.register_with("aarch64", &["--no-nix"]).exits(0);
    before.is_unchanged_in(&tree);
}

#[sandboxed]
fn nix_can_be_configured_later() {
    let tree = Tree::new();
    let before = tree.snapshot();
    tree.register_with("aarch64", &["--no-nix"]).exits(0);
    tree.run(&["register", "aarch64"]).exits(0);
    assert_eq!(tree.settings()[0], "extra-extra-platforms = aarch64-linux");
    let configured = tree.snapshot();
    tree.run(&["register", "aarch64"]).exits(0);
    configured.is_unchanged_in(&tree);
    tree.unregister("aarch64").exits(0);
    before.is_restored_in(&tree);
}

#[sandboxed]
fn a_host_without_nix_gets_a_note() {
    let tree = Tree::without_nix();
    tree.register("aarch64").exits(0).says("Nix was not found").says("--nix");
    assert!(!tree.exists("etc/nix"));
    assert!(tree.runs("aarch64"));
}

#[sandboxed]
fn nix_writes_the_configuration_without_an_installed_nix() {
    let tree = Tree::without_nix();
    let before = tree.snapshot();
    tree.register_with("aarch64", &["--nix"]).exits(0);
    assert_eq!(tree.text(NIX_CONF), "!include binfmt-nix.conf\n");
    assert_eq!((tree.mode_of("etc/nix"), tree.mode_of(NIX_CONF)), (0o755, 0o644));
    tree.unregister("aarch64").exits(0);
    before.is_restored_in(&tree);
}

#[sandboxed]
fn no_persist_writes_no_boot_rule() {
    let tree = Tree::new();
    let before = tree.snapshot();
    tree.register_with("aarch64", &["--no-persist"]).exits(0);
    assert!(!tree.exists("etc/binfmt.d"));
    assert!(tree.runs("aarch64"));
    tree.unregister("aarch64").exits(0);
    before.is_restored_in(&tree);
}

#[sandboxed]
fn a_boot_rule_can_be_written_later() {
    let tree = Tree::new();
    let before = tree.snapshot();
    tree.register_with("aarch64", &["--no-persist"]).exits(0);
    let table = tree.table();
    tree.run(&["register", "aarch64"]).exits(0);
    assert!(tree.exists(BOOT));
    assert_eq!(tree.table(), table);
    tree.unregister("aarch64").exits(0);
    before.is_restored_in(&tree);
}

#[sandboxed]
fn no_persist_keeps_an_existing_boot_rule() {
    let tree = Tree::new();
    tree.register("aarch64").exits(0);
    let before = tree.snapshot();
    tree.register_with("aarch64", &["--no-persist"]).exits(0).prints("already registered");
    before.is_unchanged_in(&tree);
}

#[sandboxed]
fn credentials_are_set_with_a_warning() {
    let tree = Tree::new();
    let before = tree.snapshot();
    tree.register_with("aarch64", &["--credentials"]).exits(0).says("QEMU_LOG_FILENAME").says("setuid");
    assert_eq!(tree.entry_says("qemu-aarch64", "flags: "), "POCF");
    assert!(tree.text(BOOT).lines().any(|line| line.ends_with(":POCF") || line.ends_with(":PCF")));
    assert!(tree.runs("aarch64"));
    tree.unregister("aarch64").exits(0);
    before.is_restored_in(&tree);
}

#[sandboxed]
fn credentials_can_be_removed_again() {
    let tree = Tree::new();
    tree.register_with("aarch64", &["--credentials"]).exits(0);
    tree.run(&["register", "aarch64"]).exits(0).prints("aarch64: registered").omits("QEMU_LOG_FILENAME");
    assert_eq!(tree.entry_says("qemu-aarch64", "flags: "), "PF");
    assert!(tree.text(BOOT).trim_end().ends_with(":PF"));
    assert_eq!(tree.entries(), ["qemu-aarch64"]);
}

#[sandboxed]
fn nix_conf_prints_the_settings() {
    let tree = Tree::new();
    let before = tree.snapshot();
    let lines = "extra-extra-platforms = aarch64-linux\n\
                 extra-sandbox-paths = /usr/local/libexec/binfmt-nix/bin/qemu-aarch64?\n";
    assert_eq!(tree.run(&["nix-conf", "arm64"]).exits(0).out, lines);
    let unnamed = tree.run(&["nix-conf"]).exits(0).says("nothing is registered");
    assert_eq!(unnamed.out, "");
    assert_eq!(paste(unnamed.err.trim_end().rsplit_once(": ").unwrap().1).exits(0).out, lines);
    before.is_untouched_in(&tree);
    tree.register("aarch64").exits(0);
    assert_eq!(tree.run(&["nix-conf"]).exits(0).out, lines);
}

#[sandboxed]
fn status_reports_working_and_missing_entries() {
    let tree = Tree::new();
    tree.run(&["status"]).exits(0).prints("no other system is registered");
    tree.register("aarch64").exits(0);
    let before = tree.snapshot();
    let status = tree.run(&["status", "--json"]).exits(0).json();
    let system = &status["systems"][0];
    assert_eq!((&system["system"], &system["state"]), (&"aarch64".into(), &"works".into()), "{status:#}");
    assert_eq!((&system["by"], &system["flags"]), (&"binfmt-nix".into(), &"PF".into()), "{status:#}");
    assert_eq!(system["interpreter"], tree.path(EMULATOR).to_str().unwrap());
    assert_eq!(status["systems"].as_array().unwrap().len(), 1);
    before.is_untouched_in(&tree);
    tree.write_kernel("qemu-aarch64", "-1");
    tree.run(&["status"]).exits(0).prints("missing").says("run: binfmt-nix --root /tree register aarch64");
}

/// Another publisher is asked only with `--source fallback`; the error names the command.
#[sandboxed]
fn a_source_without_a_working_mirror_names_fallback_and_stays_with_its_publisher() {
    let mirror = "http://127.0.0.1:9/debian";
    for source in ["auto", "download"] {
        let tree = Tree::new();
        let before = tree.snapshot();
        tree.run(&["register", "aarch64", "--source", source, "--mirror", mirror])
            .exits(1)
            .says("register --source fallback aarch64 --mirror http://127.0.0.1:9/debian")
            .says("--mirror URL")
            .omits("downloading QEMU ");
        before.is_restored_in(&tree);
    }
    let tree = Tree::new();
    // A command without the option names another one.
    let config = outside("config.toml", b"systems = [\"aarch64\"]");
    let apply = tree.start_in(&["apply", "--config", config.to_str().unwrap()], &[("BINFMT_NIX_MIRROR", mirror)]);
    let done = Done::from(apply.wait_with_output().unwrap()).exits(1);
    let line = done.err.trim_end().rsplit_once("by its digest: ").unwrap().1;
    assert!(line.ends_with(" --root /tree/ register --source fallback aarch64"), "{line}");
    paste(line).exits(0);
    tree.unregister("aarch64").exits(0);
    tree.run(&["register", "aarch64", "--source", "fallback", "--mirror", mirror]).exits(1).says("downloading QEMU ");
    tree.run(&["register", "aarch64", "--source", "fallback", "--qemu-version", "latest"]).exits(2);
}
