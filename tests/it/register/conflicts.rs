//! Entries of other tools: an equivalent one is used, any other is reported with both lines, and none is changed.

use std::fs;

use crate::support::table::line;
use crate::support::tree::{BOOT, EMULATOR, NIX_CONF, OWN_CONF};
use crate::support::{LiarBehavior, Tree, liar, qemu};

pub(crate) const FOREIGN_EMULATOR: &str = "usr/bin/qemu-aarch64-static";
pub(crate) const FOREIGN_BOOT_FILE: &str = "usr/lib/binfmt.d/qemu-aarch64.conf";

/// A distribution's emulator, its entry with these flags, and its boot file.
pub(crate) fn distribution(flags: &str) -> Tree {
    let tree = Tree::new().mounted().program(FOREIGN_EMULATOR, fs::read(qemu("aarch64")).unwrap());
    let entry = line("qemu-aarch64", "aarch64", &tree.path(FOREIGN_EMULATOR), flags);
    tree.file(FOREIGN_BOOT_FILE, format!("{entry}\n")).entry(&entry)
}

/// Checks exit status 3, both lines and the help, and that only the lock was touched.
#[track_caller]
fn assert_reported(tree: &Tree, why: &str) {
    let before = tree.snapshot();
    let done = tree.register("aarch64").exits(3).says(why).says("existing: :").says("wanted:   :").says("--force");
    assert_eq!(done.out, "");
    before.is_unchanged_in(tree);
    tree.register_with("aarch64", &["--dry-run"]).exits(3).says("existing: :");
    before.is_unchanged_in(tree);
}

#[sandboxed]
fn register_uses_an_equivalent_foreign_entry() {
    let tree = distribution("PF");
    let table = tree.table();
    let done = tree.register("aarch64").exits(0).says("left as it is").prints("runs through another tool's entry");
    done.prints("proven: a program ran");
    assert_eq!(tree.table(), table);
    assert!(!tree.exists(EMULATOR) && !tree.exists(BOOT));
    assert_eq!(
        tree.settings(),
        [
            "extra-extra-platforms = aarch64-linux".to_owned(),
            format!("extra-sandbox-paths = /tree/{FOREIGN_EMULATOR}?")
        ]
    );
}

#[sandboxed]
fn unregister_keeps_a_foreign_entry_that_was_used() {
    let tree = distribution("F");
    let before = tree.snapshot();
    let done = tree.register_with("aarch64", &["--json"]).exits(0).json();
    assert_eq!(done["systems"][0]["adopted"], true, "{done:#}");
    tree.unregister("aarch64").exits(0);
    before.is_restored_in(&tree);
    assert!(tree.runs_somehow("aarch64"));
}

#[sandboxed]
fn registering_again_with_a_foreign_entry_changes_nothing() {
    let tree = distribution("PF");
    tree.register("aarch64").exits(0);
    let before = tree.snapshot();
    tree.run(&["register", "aarch64"]).exits(0);
    before.is_unchanged_in(&tree);
}

#[sandboxed]
fn a_foreign_entry_is_used_without_nix() {
    let tree = distribution("PF");
    let before = tree.snapshot();
    tree.register_with("aarch64", &["--no-nix"]).exits(0);
    assert_eq!(tree.text(NIX_CONF), "sandbox = true\n");
    assert!(!tree.exists(OWN_CONF));
    tree.unregister("aarch64").exits(0);
    before.is_restored_in(&tree);
}

/// Debian's format: one value a line.
#[sandboxed]
fn an_entry_of_update_binfmts_is_used() {
    let tree = distribution("PF").without(FOREIGN_BOOT_FILE);
    let entry = line("qemu-aarch64", "aarch64", &tree.path(FOREIGN_EMULATOR), "PF");
    let fields: Vec<_> = entry.split(':').collect();
    let admin =
        format!("qemu-user-static\nmagic\n0\n{}\n{}\n/tree/{FOREIGN_EMULATOR}\n\n\nyes\n", fields[4], fields[5]);
    let tree = tree.file("var/lib/binfmts/qemu-aarch64", admin);
    tree.register("aarch64").exits(0).prints("runs through another tool's entry");
}

#[sandboxed]
fn a_foreign_entry_without_flag_f_is_reported() {
    assert_reported(&distribution("P"), "without flag F");
}

#[sandboxed]
fn a_foreign_entry_with_credentials_is_reported() {
    assert_reported(&distribution("OC"), "without flag F");
}

#[sandboxed]
fn a_foreign_entry_without_a_boot_rule_is_reported() {
    assert_reported(&distribution("PF").without(FOREIGN_BOOT_FILE), "no boot file");
}

#[sandboxed]
fn a_foreign_entry_with_a_differing_boot_rule_is_reported() {
    let other = line("qemu-aarch64", "aarch64", "/usr/bin/another".as_ref(), "F");
    assert_reported(&distribution("PF").file(FOREIGN_BOOT_FILE, other), "no boot file");
}

#[sandboxed]
fn a_foreign_entry_with_a_wider_rule_is_reported() {
    // Every 64-bit little-endian ELF for machine 0xb7, objects and libraries of any kind included.
    let rule = r":qemu-aarch64:M:18:\xb7\x00:";
    let tree = Tree::new().mounted().program(FOREIGN_EMULATOR, fs::read(qemu("aarch64")).unwrap());
    let line = format!("{rule}:{}:PF", tree.path(FOREIGN_EMULATOR).display());
    assert_reported(&tree.file(FOREIGN_BOOT_FILE, &line).entry(&line), "other programs");
}

#[sandboxed]
fn a_foreign_entry_without_its_interpreter_is_reported() {
    assert_reported(&distribution("PF").without(FOREIGN_EMULATOR), "its interpreter");
}

#[sandboxed]
fn a_foreign_entry_with_a_writable_interpreter_is_reported() {
    assert_reported(&distribution("PF").mode(FOREIGN_EMULATOR, 0o757), "may be written by others");
}

#[sandboxed]
fn a_foreign_entry_whose_interpreter_is_not_qemu_is_reported() {
    let tree = Tree::new().mounted().program(FOREIGN_EMULATOR, liar("something else", LiarBehavior::Crash));
    let entry = line("qemu-aarch64", "aarch64", &tree.path(FOREIGN_EMULATOR), "PF");
    assert_reported(&tree.file(FOREIGN_BOOT_FILE, &entry).entry(&entry), "its interpreter");
}

/// The entry is equivalent, and its interpreter answers like QEMU.
#[sandboxed]
fn a_foreign_entry_that_does_not_work_is_reported() {
    let tree =
        Tree::new().mounted().program(FOREIGN_EMULATOR, liar("qemu-aarch64 version 10.0.0", LiarBehavior::Crash));
    let entry = line("qemu-aarch64", "aarch64", &tree.path(FOREIGN_EMULATOR), "PF");
    let tree = tree.file(FOREIGN_BOOT_FILE, &entry).entry(&entry);
    let before = tree.snapshot();
    tree.register("aarch64").exits(3).says("does not work").says("--force");
    before.is_restored_in(&tree);
    tree.register_with("aarch64", &["--force"]).exits(0);
    assert!(tree.runs("aarch64"));
}

#[sandboxed]
fn two_foreign_entries_for_one_system_are_reported() {
    let tree = distribution("PF");
    // A newer entry that takes precedence for System V programs alone, so that the older one still runs the GNU ones.
    let rule = r":sysv:M::\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00:";
    let tree = tree.entry(&format!("{rule}:/tree/{FOREIGN_EMULATOR}:PF"));
    assert_reported(&tree, "sysv");
}

/// Registering again adds our own entry.
#[sandboxed]
fn register_adds_its_own_entry_when_the_foreign_one_is_gone() {
    let tree = distribution("PF");
    tree.register("aarch64").exits(0);
    tree.write_kernel("qemu-aarch64", "-1");
    tree.remove(FOREIGN_BOOT_FILE);
    let without_foreign = tree.table();
    tree.register("aarch64").exits(0).prints("aarch64: registered, proven");
    assert!(tree.exists(EMULATOR) && tree.runs("aarch64"));
    assert!(tree.settings()[1].contains(EMULATOR));
    tree.unregister("aarch64").exits(0);
    assert_eq!(tree.table(), without_foreign);
    assert!(tree.exists(FOREIGN_EMULATOR) && !tree.exists(EMULATOR) && !tree.exists(OWN_CONF));
}

#[sandboxed]
fn entries_for_other_formats_are_kept() {
    let riscv64 = line("qemu-riscv64", "riscv64", "/bin/true".as_ref(), "");
    let tree = Tree::new()
        .mounted()
        .entry(":WSLInterop:M::MZ::/init:PF".replace("/init", "/bin/true").as_str())
        .entry(":java:E::jar::/usr/bin/jexec:")
        .entry(",with spaces,E,,exe,,/usr/bin/wine,")
        .entry(&riscv64);
    tree.write_kernel("java", "0");
    let before = tree.snapshot();
    tree.register("aarch64").exits(0);
    assert_eq!(tree.table()[1..], *before.table());
    tree.unregister("aarch64").exits(0);
    before.is_restored_in(&tree);
}

#[sandboxed]
fn a_disabled_foreign_entry_is_ignored() {
    let tree = distribution("PF");
    tree.write_kernel("qemu-aarch64", "0");
    let before = tree.snapshot();
    tree.register("aarch64").exits(0);
    // The disabled entry has the name that ours would have.
    assert_eq!(tree.entries(), ["binfmt-nix-aarch64", "qemu-aarch64"]);
    assert!(tree.runs("aarch64") && tree.text(BOOT).contains(":binfmt-nix-aarch64:M:"));
    tree.unregister("aarch64").exits(0);
    before.is_restored_in(&tree);
}

#[sandboxed]
fn the_second_name_is_used_when_a_foreign_entry_has_the_first() {
    let tree = Tree::new().mounted().entry(":qemu-aarch64:E::aarch64::/bin/true:");
    let before = tree.snapshot();
    tree.register("aarch64").exits(0);
    assert_eq!(tree.entries(), ["binfmt-nix-aarch64", "qemu-aarch64"]);
    tree.run(&["register", "aarch64"]).exits(0).prints("already registered");
    tree.unregister("aarch64").exits(0);
    before.is_restored_in(&tree);
    // Both names are taken: nothing is overwritten.
    tree.enter(":binfmt-nix-aarch64:E::aarch64::/bin/true:");
    let before = tree.snapshot();
    tree.register("aarch64").exits(3).says("binfmt-nix-aarch64");
    before.is_unchanged_in(&tree);
}
