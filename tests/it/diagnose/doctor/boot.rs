//! `doctor`: entries that do not survive the next boot; and LXC and WSL.

use std::fs;

use crate::diagnose::doctor::reports::{finding, finds, registered_tree, repaired};
use crate::register::conflicts::{FOREIGN_BOOT_FILE, distribution};
use crate::support::table::line;
use crate::support::tree::BOOT;
use crate::support::{Tree, qemu};

#[sandboxed]
fn a_missing_boot_file_is_found_and_repaired() {
    let tree = registered_tree();
    tree.remove(BOOT);
    repaired(&tree, &["not-persistent"], "not-persistent", None, &[]);
    assert!(tree.exists(BOOT));
}

#[sandboxed]
fn a_foreign_entry_without_a_boot_file_is_found_and_repaired() {
    let tree = distribution("PF").without(FOREIGN_BOOT_FILE);
    repaired(&tree, &["not-persistent", "nix-not-told"], "not-persistent", Some("aarch64"), &[]);
}

#[sandboxed]
fn a_boot_file_without_a_reader_is_found() {
    let tree = registered_tree();
    tree.remove("usr/lib/systemd/systemd-binfmt");
    let found = finds(&tree, &["not-persistent"]);
    assert!(finding(&found, "not-persistent")["why"].as_str().unwrap().contains("nothing here reads"), "{found:#}");
}

fn later_rule(tree: &Tree, name: &str, system: &str) -> String {
    let qemu = qemu("aarch64");
    let place = tree.path("usr/bin/another");
    fs::copy(qemu, &place).unwrap();
    format!("{}\n", line(name, system, std::path::Path::new("/usr/bin/another"), "PF"))
}

#[sandboxed]
fn a_later_file_of_a_package_is_masked() {
    let tree = registered_tree();
    let text = later_rule(&tree, "qemu-aarch64", "aarch64");
    tree.write("usr/lib/binfmt.d/zzz.conf", text);
    repaired(&tree, &["boot-file-overrides"], "boot-file-overrides", None, &[]);
    assert_eq!(fs::read_link(tree.path("etc/binfmt.d/zzz.conf")).unwrap().to_str(), Some("/dev/null"));
}

#[sandboxed]
fn a_later_file_of_the_administrator_is_moved_aside() {
    let tree = registered_tree();
    let text = later_rule(&tree, "mine", "aarch64");
    tree.write("etc/binfmt.d/zzz.conf", text);
    repaired(&tree, &["boot-file-overrides"], "boot-file-overrides", None, &[]);
    assert!(tree.exists("etc/binfmt.d/zzz.conf.off"));
}

#[sandboxed]
fn a_later_file_for_another_system_is_accepted() {
    let tree = registered_tree();
    let text = later_rule(&tree, "mine", "riscv64");
    tree.write("etc/binfmt.d/zzz.conf", text);
    finds(&tree, &[]);
}

/// At the next boot the kernel refuses a rule with flag F whose interpreter is missing.
#[sandboxed]
fn a_later_file_without_its_interpreter_is_accepted() {
    let tree = registered_tree();
    tree.write("etc/binfmt.d/zzz.conf", line("mine", "aarch64", std::path::Path::new("/usr/bin/gone"), "PF"));
    finds(&tree, &[]);
}

/// In such a container the table is not mounted, and a file of systemd names the kind of container.
#[sandboxed]
fn an_lxc_container_without_a_table_is_found() {
    let tree = registered_tree();
    tree.unmount();
    let tree = tree.file("run/systemd/container", "lxc\n");
    let found = finds(&tree, &["lxc-refuses", "not-mounted"]);
    assert!(finding(&found, "lxc-refuses")["repair"].to_string().contains("on the host"), "{found:#}");
}

/// WSL after systemd-binfmt has emptied the table. The command of the finding registers the entry again.
#[sandboxed]
fn a_missing_wsl_entry_is_found_and_repaired() {
    let tree = registered_tree().file("proc/sys/kernel/osrelease", "6.6.87.2-microsoft-standard-WSL2\n");
    let found = finds(&tree, &["wsl-interop-gone"]);
    let repair = finding(&found, "wsl-interop-gone")["repair"][0].as_str().unwrap().to_owned();
    let rule = repair.split('\'').nth(1).unwrap();
    tree.enter(&rule.replace("/init:PF", "/init:P"));
    finds(&tree, &[]);
}
