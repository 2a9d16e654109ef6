//! The boot file, and foreign files with its name.

use crate::support::Tree;
use crate::support::tree::{BOOT, EMULATOR};

#[sandboxed]
fn a_foreign_boot_file_is_kept() {
    let tree = Tree::new().file(BOOT, ":theirs:E::x::/bin/true:\n");
    let before = tree.snapshot();
    tree.register("aarch64").exits(3).says(BOOT).says("mv ");
    before.is_unchanged_in(&tree);
    tree.register_with("aarch64", &["--no-persist"]).exits(0);
    tree.unregister("aarch64").exits(0);
    before.is_restored_in(&tree);
}

/// A copied command must change the file in the tree, not the file of the machine on which it is typed.
#[sandboxed]
fn the_suggested_command_names_the_root_directory() {
    let tree = Tree::new().file(BOOT, "# another tool's\n");
    tree.register("aarch64").exits(3).says(&format!("mv /tree/{BOOT} /tree/{BOOT}.old"));
}

/// binfmt.d(5) documents `ln -s /dev/null` as the way to disable a file.
#[sandboxed]
fn a_link_to_dev_null_is_kept() {
    let tree = Tree::new().dir("etc/binfmt.d").link(BOOT, "/dev/null");
    let before = tree.snapshot();
    tree.register("aarch64").exits(3).says(BOOT);
    before.is_unchanged_in(&tree);
}

#[sandboxed]
fn a_directory_instead_of_the_boot_file_is_reported() {
    let tree = Tree::new().dir(BOOT);
    let before = tree.snapshot();
    tree.register("aarch64").exits(3).says(BOOT);
    before.is_unchanged_in(&tree);
}

#[sandboxed]
fn an_edited_boot_file_is_kept() {
    let tree = Tree::new();
    tree.register("aarch64").exits(0);
    tree.append(BOOT, "# mine\n");
    let edited = tree.text(BOOT);
    tree.register("aarch64").exits(3).says(BOOT);
    tree.unregister("aarch64").exits(3).says(BOOT).says("left as it is");
    assert_eq!(tree.text(BOOT), edited);
    assert!(!tree.exists(EMULATOR) && !tree.runs("aarch64"));
    // After its removal, unregister removes everything else.
    tree.remove(BOOT);
    tree.unregister("all").exits(0);
    assert!(!tree.exists("etc/binfmt.d") && !tree.exists("var/lib/binfmt-nix") && !tree.is_mounted());
}

#[sandboxed]
fn a_deleted_boot_file_is_written_again() {
    let tree = Tree::new();
    tree.register("aarch64").exits(0);
    let text = tree.text(BOOT);
    tree.remove("etc/binfmt.d");
    let table = tree.table();
    tree.run(&["register", "aarch64"]).exits(0);
    assert_eq!((tree.text(BOOT), tree.table()), (text, table));
}

#[sandboxed]
fn unregister_accepts_a_deleted_boot_file() {
    let tree = Tree::new();
    let before = tree.snapshot();
    tree.register("aarch64").exits(0);
    tree.remove(BOOT);
    tree.unregister("aarch64").exits(0);
    before.is_restored_in(&tree);
}

/// After a restart the kernel has the same entry as now, except that its path does not start with the root directory.
#[sandboxed]
fn the_boot_rule_creates_the_same_entry() {
    let tree = Tree::new();
    tree.register("aarch64").exits(0);
    let now = tree.table();
    let text = tree.text(BOOT);
    let line = text.lines().find(|line| !line.starts_with('#')).unwrap();
    tree.write_kernel("status", "-1");
    tree.enter(&line.replace(":/usr", ":/tree/usr"));
    assert_eq!(tree.table(), now);
}

#[sandboxed]
fn a_missing_reader_of_boot_rules_is_reported() {
    let tree = Tree::new().without("usr/lib/systemd");
    tree.register("aarch64").exits(3).says("nothing on this system reads /etc/binfmt.d").says("no boot script for");
    tree.register_with("riscv64", &["--no-persist"]).exits(0).omits("no boot script for");
}
