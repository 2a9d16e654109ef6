//! nix.conf as people have it: one line is added, and the file is given back as it was.

use crate::support::Tree;
use crate::support::tree::{NIX_CONF, OWN_CONF};

const LINE: &str = "!include binfmt-nix.conf";

/// In, and out again: our line is there, all else is too, and in the end every byte is as before.
#[track_caller]
fn round_trip(tree: &Tree, text: &[u8], expected: &[u8]) {
    assert_eq!(tree.read(NIX_CONF).escape_ascii().to_string(), text.escape_ascii().to_string());
    let before = tree.snapshot();
    tree.register("aarch64").exits(0);
    assert_eq!(tree.read(NIX_CONF).escape_ascii().to_string(), expected.escape_ascii().to_string());
    let registered = tree.snapshot();
    tree.run(&["register", "aarch64"]).exits(0);
    registered.is_unchanged_in(tree);
    tree.unregister("aarch64").exits(0);
    before.is_restored_in(tree);
}

#[track_caller]
fn round_trip_of(text: &[u8], expected: &[u8]) {
    round_trip(&Tree::new().nix_conf(text), text, expected);
}

#[sandboxed]
fn with_crlf() {
    round_trip_of(b"a = b\r\nc = d\r\n", b"a = b\r\nc = d\r\n!include binfmt-nix.conf\r\n");
}

#[sandboxed]
fn without_a_final_newline() {
    round_trip_of(b"a = b\nc = d", b"a = b\nc = d\n!include binfmt-nix.conf\n");
}

/// Whatever our line ends with, Nix reads it; the unfinished one comes back as it was.
#[sandboxed]
fn without_a_final_newline_in_crlf() {
    let text = b"a = b\r\nc = d";
    let tree = Tree::new().nix_conf(text);
    let before = tree.snapshot();
    tree.register("aarch64").exits(0);
    assert!(tree.text(NIX_CONF).lines().any(|line| line == LINE));
    tree.unregister("aarch64").exits(0);
    before.is_restored_in(&tree);
}

#[sandboxed]
fn not_in_utf8() {
    round_trip_of(b"# caf\xe9 \xff\xfe\na = b\n", b"# caf\xe9 \xff\xfe\na = b\n!include binfmt-nix.conf\n");
}

#[sandboxed]
fn empty() {
    round_trip_of(b"", b"!include binfmt-nix.conf\n");
}

#[sandboxed]
fn only_comments() {
    round_trip_of(b"# a # b\n\n", b"# a # b\n\n!include binfmt-nix.conf\n");
}

#[sandboxed]
fn very_long() {
    let text = "trusted-users = somebody\n".repeat(100_000);
    round_trip_of(text.as_bytes(), format!("{text}{LINE}\n").as_bytes());
}

#[sandboxed]
fn missing() {
    let tree = Tree::new().without(NIX_CONF);
    let before = tree.snapshot();
    tree.register("aarch64").exits(0);
    assert_eq!(tree.text(NIX_CONF), format!("{LINE}\n"));
    assert_eq!(tree.mode_of(NIX_CONF), 0o644);
    tree.unregister("aarch64").exits(0);
    before.is_restored_in(&tree);
}

#[sandboxed]
fn its_directory_is_missing() {
    let tree = Tree::new().without("etc");
    let before = tree.snapshot();
    tree.register("aarch64").exits(0);
    assert_eq!(tree.text(NIX_CONF), format!("{LINE}\n"));
    tree.unregister("aarch64").exits(0);
    before.is_restored_in(&tree);
}

#[sandboxed]
fn a_restrictive_mode_is_kept() {
    let tree = Tree::new().nix_conf("access-tokens = secret\n").mode(NIX_CONF, 0o600);
    let before = tree.snapshot();
    tree.register("aarch64").exits(0);
    assert_eq!(tree.mode_of(NIX_CONF), 0o600);
    assert_eq!(tree.mode_of(OWN_CONF), 0o644);
    tree.unregister("aarch64").exits(0);
    before.is_restored_in(&tree);
}

#[sandboxed]
fn attributes_are_kept() {
    let tree = Tree::new();
    if let Err(error) = xattr::set(tree.path(NIX_CONF), "user.origin", b"installer") {
        crate::support::skip("xattr", format!("tmpfs has no user attributes here: {error}"));
    }
    let before = tree.snapshot();
    tree.register("aarch64").exits(0);
    assert_eq!(xattr::get(tree.path(NIX_CONF), "user.origin").unwrap().as_deref(), Some(&b"installer"[..]));
    tree.unregister("aarch64").exits(0);
    before.is_restored_in(&tree);
}

#[sandboxed]
fn another_owner_is_kept() {
    let tree = Tree::new().owner(NIX_CONF, 1000).mode(NIX_CONF, 0o640);
    let before = tree.snapshot();
    tree.register("aarch64").exits(0);
    let meta = std::fs::metadata(tree.path(NIX_CONF)).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&meta), 1000);
    assert_eq!(tree.mode_of(NIX_CONF), 0o640);
    tree.unregister("aarch64").exits(0);
    before.is_restored_in(&tree);
}

/// Nix told, others edit, undo: their edit stays, our line goes.
#[track_caller]
fn edited(before: &str, edit: impl Fn(&Tree), after: &str) {
    let tree = Tree::new().nix_conf(before);
    tree.register("aarch64").exits(0);
    edit(&tree);
    tree.unregister("aarch64").exits(0);
    assert_eq!(tree.text(NIX_CONF), after);
    assert!(!tree.exists(OWN_CONF));
}

#[sandboxed]
fn later_lines_of_others_are_kept() {
    edited("a = b\n", |tree| tree.append(NIX_CONF, "c = d\n"), "a = b\nc = d\n");
}

#[sandboxed]
fn a_later_line_after_an_unfinished_one_is_kept() {
    edited("a = b", |tree| tree.append(NIX_CONF, "c = d"), "a = b\nc = d");
}

#[sandboxed]
fn a_changed_line_before_ours_is_kept() {
    let edit = |tree: &Tree| tree.write(NIX_CONF, format!("a = changed\n{LINE}\n"));
    edited("a = b\n", edit, "a = changed\n");
}

#[sandboxed]
fn a_created_file_that_others_use_is_kept() {
    let tree = Tree::new().without(NIX_CONF);
    tree.register("aarch64").exits(0);
    tree.append(NIX_CONF, "theirs = true\n");
    tree.unregister("aarch64").exits(0);
    assert_eq!(tree.text(NIX_CONF), "theirs = true\n");
}

#[sandboxed]
fn a_removed_include_line_is_no_trouble() {
    let tree = Tree::new();
    let before = tree.snapshot();
    tree.register("aarch64").exits(0);
    tree.write(NIX_CONF, "sandbox = true\n");
    // Registering again puts it back.
    tree.run(&["register", "aarch64"]).exits(0);
    assert!(tree.text(NIX_CONF).contains(LINE));
    tree.write(NIX_CONF, "sandbox = true\n");
    tree.unregister("aarch64").exits(0);
    before.is_restored_in(&tree);
}

#[sandboxed]
fn a_removed_nix_conf_is_no_trouble() {
    let tree = Tree::new();
    tree.register("aarch64").exits(0);
    tree.remove(NIX_CONF);
    tree.unregister("aarch64").exits(0);
    assert!(!tree.exists(NIX_CONF) && !tree.exists(OWN_CONF));
}

#[track_caller]
fn already_included(text: &str) {
    let tree = Tree::new().nix_conf(text);
    let before = tree.snapshot();
    tree.register("aarch64").exits(0);
    assert_eq!(tree.text(NIX_CONF), text);
    assert!(tree.exists(OWN_CONF));
    tree.unregister("aarch64").exits(0);
    before.is_restored_in(&tree);
}

#[sandboxed]
fn a_line_of_somebody_else_is_used_and_kept() {
    already_included("a = b\n!include binfmt-nix.conf\n");
}

#[sandboxed]
fn a_line_with_an_absolute_path_is_used() {
    already_included("!include /etc/nix/binfmt-nix.conf # ours\na = b\n");
}

#[sandboxed]
fn a_commented_line_is_not_it() {
    let text = "# !include binfmt-nix.conf\n";
    round_trip_of(text.as_bytes(), format!("{text}{LINE}\n").as_bytes());
}

#[sandboxed]
fn determinate_nix_has_its_own_file() {
    let theirs = "# do not edit\n!include nix.custom.conf\n";
    let tree = Tree::new().nix_conf(theirs).file("etc/nix/nix.custom.conf", "a = b\n");
    let tree = tree.program("usr/local/bin/determinate-nixd", "");
    let before = tree.snapshot();
    tree.register("aarch64").exits(0);
    assert_eq!(tree.text(NIX_CONF), theirs);
    assert_eq!(tree.text("etc/nix/nix.custom.conf"), format!("a = b\n{LINE}\n"));
    tree.unregister("aarch64").exits(0);
    before.is_restored_in(&tree);
}

#[sandboxed]
fn a_file_that_determinate_nix_does_not_include() {
    let tree = Tree::new().nix_conf("a = b\n").file("etc/nix/nix.custom.conf", "c = d\n");
    let tree = tree.program("usr/local/bin/determinate-nixd", "");
    round_trip(&tree, b"a = b\n", format!("a = b\n{LINE}\n").as_bytes());
}

/// The other name of the file keeps what it holds.
#[sandboxed]
fn a_hard_link_of_others_is_not_written_through() {
    let tree = Tree::new().nix_conf("a = b\n");
    std::fs::hard_link(tree.path(NIX_CONF), tree.path("etc/backup")).unwrap();
    tree.register("aarch64").exits(0);
    assert_eq!(tree.text("etc/backup"), "a = b\n");
    tree.unregister("aarch64").exits(0);
    assert_eq!((tree.text("etc/backup"), tree.text(NIX_CONF)), ("a = b\n".into(), "a = b\n".into()));
}
