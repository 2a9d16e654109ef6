//! A nix.conf that is somebody else's to write: it stays, its lines are printed, and all else is done.

use std::path::Path;

use nix::mount::{MsFlags, mount};

use crate::support::Tree;
use crate::support::tree::{BOOT, NIX_CONF, OWN_CONF};

const SETTING: &str = "extra-extra-platforms = aarch64-linux";

/// Registered and proven, the lines shown, exit status 3; nix.conf as before. And the same again the second time.
#[track_caller]
fn left_alone(tree: &Tree, why: &str) {
    let nix_conf = || tree.snapshot_of("etc/nix");
    let before = (tree.snapshot(), nix_conf());
    let done = tree.register("aarch64").exits(3).prints("aarch64: registered, proven");
    let done = done.says("nix.conf is left alone").says(why).says(SETTING);
    done.says("extra-sandbox-paths = /usr/local/libexec/binfmt-nix/qemu-aarch64?");
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
    left_alone(&tree, "symbolic link");
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
    left_alone(&tree, "symbolic link");
}

#[sandboxed]
fn a_file_without_write_permission_is_kept() {
    left_alone(&Tree::new().mode(NIX_CONF, 0o444), "read-only");
}

/// Renaming over it gives EBUSY.
#[sandboxed]
fn a_mounted_file_is_kept() {
    let tree = Tree::new().file("srv/nix.conf", "a = b\n");
    bind(&tree.path("srv/nix.conf"), &tree.path(NIX_CONF), MsFlags::empty());
    left_alone(&tree, "mount");
    assert_eq!(tree.text("srv/nix.conf"), "a = b\n");
}

#[sandboxed]
fn a_read_only_directory_is_kept() {
    let tree = Tree::new();
    bind(&tree.path("etc/nix"), &tree.path("etc/nix"), MsFlags::MS_RDONLY);
    left_alone(&tree, "read-only");
}

fn bind(from: &Path, to: &Path, flags: MsFlags) {
    mount(Some(from), to, None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
    mount(None::<&str>, to, None::<&str>, MsFlags::MS_BIND | MsFlags::MS_REMOUNT | flags, None::<&str>).unwrap();
}

/// Nothing that Nix reads, and nothing that can be edited.
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

/// Our line went with the file to somebody else's place: it stays there, is told, and harms nobody.
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
