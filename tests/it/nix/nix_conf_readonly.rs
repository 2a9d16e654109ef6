//! Files nix.conf that the tool must not write: the file is kept, the settings are printed, and everything else is
//! done.

use std::path::Path;

use nix::mount::{MsFlags, mount};

use crate::support::Tree;
use crate::support::tree::{BOOT, NIX_CONF, OWN_CONF};

const SETTING: &str = "extra-extra-platforms = aarch64-linux";

/// Checks that the system is registered and proven, the settings are printed, the exit status is 3 and nix.conf is
/// kept; and the same for a second run.
#[track_caller]
fn assert_kept(tree: &Tree, why: &str) {
    let nix_conf = || tree.snapshot_of("etc/nix");
    let before = (tree.snapshot(), nix_conf());
    let done = tree.register("aarch64").exits(3).prints("aarch64: registered, proven");
    let done = done.says("nix.conf is left as it is").says(why).says(SETTING);
    done.says("extra-sandbox-paths = /usr/local/libexec/binfmt-nix/bin/qemu-aarch64?");
    assert_eq!(before.1, nix_conf());
    assert!(tree.runs("aarch64") && tree.exists(BOOT));
    let registered = tree.snapshot();
    tree.run(&["register", "aarch64"]).exits(3).says(SETTING).prints("already registered");
    registered.is_unchanged_in(tree);
    tree.unregister("aarch64").exits(0);
    before.0.is_restored_in(tree);
}

#[sandboxed]
fn a_link_into_the_store_is_kept() {
    let tree = Tree::new().file("nix/store/x-nix.conf", "a = b\n").mode("nix/store/x-nix.conf", 0o444);
    let tree = tree.without(NIX_CONF).link(NIX_CONF, "../../nix/store/x-nix.conf");
    assert_kept(&tree, "symbolic link");
    assert_eq!(tree.text("nix/store/x-nix.conf"), "a = b\n");
}

#[sandboxed]
fn a_link_as_its_directory_is_kept() {
    let tree = Tree::new().without("etc/nix").file("srv/nix/nix.conf", "a = b\n").link("etc/nix", "../srv/nix");
    let before = tree.snapshot();
    tree.register("aarch64").exits(3).says("symbolic link").says(SETTING);
    assert_eq!(tree.text("srv/nix/nix.conf"), "a = b\n");
    assert!(!tree.exists("srv/nix/binfmt-nix.conf"));
    tree.unregister("aarch64").exits(0);
    before.is_restored_in(&tree);
}

#[sandboxed]
fn a_dangling_link_is_kept() {
    let tree = Tree::new().without(NIX_CONF).link(NIX_CONF, "/nix/store/gone-nix.conf");
    assert_kept(&tree, "symbolic link");
}

#[sandboxed]
fn a_file_without_write_permission_is_kept() {
    assert_kept(&Tree::new().mode(NIX_CONF, 0o444), "read-only");
}

/// Renaming another file to a mount point fails with EBUSY.
#[sandboxed]
fn a_mounted_file_is_kept() {
    let tree = Tree::new().file("srv/nix.conf", "a = b\n");
    bind(&tree.path("srv/nix.conf"), &tree.path(NIX_CONF), MsFlags::empty());
    assert_kept(&tree, "mount");
    assert_eq!(tree.text("srv/nix.conf"), "a = b\n");
}

#[sandboxed]
fn a_read_only_directory_is_kept() {
    let tree = Tree::new();
    bind(&tree.path("etc/nix"), &tree.path("etc/nix"), MsFlags::MS_RDONLY);
    assert_kept(&tree, "read-only");
}

fn bind(from: &Path, to: &Path, flags: MsFlags) {
    mount(Some(from), to, None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
    mount(None::<&str>, to, None::<&str>, MsFlags::MS_BIND | MsFlags::MS_REMOUNT | flags, None::<&str>).unwrap();
}

/// Nix does not read a directory, and the tool cannot edit it.
#[sandboxed]
fn a_directory_instead_of_nix_conf_is_kept() {
    let tree = Tree::new().without(NIX_CONF).dir(NIX_CONF);
    let before = tree.snapshot();
    let done = tree.register("aarch64").omits("panicked");
    assert!(done.err.contains("nix.conf"), "{done:#?}");
    if done.err.contains(SETTING) {
        done.exits(3);
        assert!(tree.runs("aarch64"));
        tree.unregister("aarch64").exits(0);
        before.is_restored_in(&tree);
    } else {
        done.exits(1);
        before.is_unchanged_in(&tree);
    }
}

/// The file with our line was moved to the store: it stays there, is reported, and does no harm.
#[sandboxed]
fn a_file_that_became_a_link_is_kept() {
    let tree = Tree::new();
    tree.register("aarch64").exits(0);
    std::fs::rename(tree.path(NIX_CONF), tree.path("nix/store/x-nix.conf")).unwrap();
    let tree = tree.link(NIX_CONF, "../../nix/store/x-nix.conf");
    tree.unregister("aarch64").exits(3).says(NIX_CONF).says("left as it is");
    assert_eq!(tree.text("nix/store/x-nix.conf"), "sandbox = true\n!include binfmt-nix.conf\n");
    assert!(!tree.exists(OWN_CONF) && !tree.exists(BOOT) && !tree.runs("aarch64"));
}

#[sandboxed]
fn an_edited_own_file_is_kept() {
    let tree = Tree::new();
    tree.register("aarch64").exits(0);
    tree.append(OWN_CONF, "mine = true\n");
    let before = tree.text(OWN_CONF);
    tree.register_with("riscv64", &[]).exits(3).says(OWN_CONF);
    assert_eq!(tree.entries(), ["qemu-aarch64"]);
    tree.unregister("aarch64").exits(3).says(OWN_CONF);
    assert_eq!(tree.text(OWN_CONF), before);
    assert_eq!(tree.text(NIX_CONF), "sandbox = true\n");
    assert!(!tree.runs("aarch64"));
}

#[sandboxed]
fn an_existing_own_file_is_kept() {
    let tree = Tree::new().file(OWN_CONF, "theirs = true\n");
    let before = tree.snapshot();
    tree.register("aarch64").exits(3).says(OWN_CONF);
    before.is_unchanged_in(&tree);
    tree.register_with("aarch64", &["--no-nix"]).exits(0);
    tree.unregister("aarch64").exits(0);
    before.is_restored_in(&tree);
}

#[sandboxed]
fn a_link_as_own_file_is_kept() {
    let tree = Tree::new().file("srv/conf", "theirs = true\n").link(OWN_CONF, "../../srv/conf");
    let before = tree.snapshot();
    tree.register("aarch64").exits(3).says(OWN_CONF);
    before.is_unchanged_in(&tree);
}
