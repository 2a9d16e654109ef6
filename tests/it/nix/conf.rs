//! nix.conf in the forms that users have: `register` adds one line, and `unregister` restores the file.

use crate::support::Tree;
use crate::support::tree::{NIX_CONF, OWN_CONF};

const LINE: &str = "!include binfmt-nix.conf";

/// Registers and unregisters: our line is added, every other byte is kept, and at the end every byte is restored.
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
fn crlf_line_ends_are_kept() {
    round_trip_of(b"a = b\r\nc = d\r\n", b"a = b\r\nc = d\r\n!include binfmt-nix.conf\r\n");
}

#[sandboxed]
fn a_missing_final_newline_is_restored() {
    round_trip_of(b"a = b\nc = d", b"a = b\nc = d\n!include binfmt-nix.conf\n");
}

/// Nix reads our line with either line end; the last line without a newline is restored.
#[sandboxed]
fn a_missing_final_newline_with_crlf_is_restored() {
    let text = b"a = b\r\nc = d";
    let tree = Tree::new().nix_conf(text);
    let before = tree.snapshot();
    tree.register("aarch64").exits(0);
    assert!(tree.text(NIX_CONF).lines().any(|line| line == LINE));
    tree.unregister("aarch64").exits(0);
    before.is_restored_in(&tree);
}

#[sandboxed]
fn bytes_that_are_not_utf8_are_kept() {
    round_trip_of(b"# caf\xe9 \xff\xfe\na = b\n", b"# caf\xe9 \xff\xfe\na = b\n!include binfmt-nix.conf\n");
}

#[sandboxed]
fn an_empty_file_is_restored() {
    round_trip_of(b"", b"!include binfmt-nix.conf\n");
}

#[sandboxed]
fn a_file_of_comments_is_restored() {
    round_trip_of(b"# a # b\n\n", b"# a # b\n\n!include binfmt-nix.conf\n");
}

#[sandboxed]
fn a_very_long_file_is_restored() {
    let text = "trusted-users = a-user\n".repeat(100_000);
    round_trip_of(text.as_bytes(), format!("{text}{LINE}\n").as_bytes());
}

#[sandboxed]
fn a_missing_file_is_created_and_removed() {
    let tree = Tree::new().without(NIX_CONF);
    let before = tree.snapshot();
    tree.register("aarch64").exits(0);
    assert_eq!(tree.text(NIX_CONF), format!("{LINE}\n"));
    assert_eq!(tree.mode_of(NIX_CONF), 0o644);
    tree.unregister("aarch64").exits(0);
    before.is_restored_in(&tree);
}

#[sandboxed]
fn a_missing_directory_is_created_and_removed() {
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

/// Registers, edits nix.conf and unregisters: the edit stays, our line is removed.
#[track_caller]
fn assert_edits_kept(before: &str, edit: impl Fn(&Tree), after: &str) {
    let tree = Tree::new().nix_conf(before);
    tree.register("aarch64").exits(0);
    edit(&tree);
    tree.unregister("aarch64").exits(0);
    assert_eq!(tree.text(NIX_CONF), after);
    assert!(!tree.exists(OWN_CONF));
}

#[sandboxed]
fn unregister_keeps_lines_added_by_the_user() {
    assert_edits_kept("a = b\n", |tree| tree.append(NIX_CONF, "c = d\n"), "a = b\nc = d\n");
}

#[sandboxed]
fn unregister_keeps_a_line_added_without_a_newline() {
    assert_edits_kept("a = b", |tree| tree.append(NIX_CONF, "c = d"), "a = b\nc = d");
}

#[sandboxed]
fn unregister_keeps_a_changed_line() {
    let edit = |tree: &Tree| tree.write(NIX_CONF, format!("a = changed\n{LINE}\n"));
    assert_edits_kept("a = b\n", edit, "a = changed\n");
}

#[sandboxed]
fn unregister_keeps_a_created_file_with_other_lines() {
    let tree = Tree::new().without(NIX_CONF);
    tree.register("aarch64").exits(0);
    tree.append(NIX_CONF, "theirs = true\n");
    tree.unregister("aarch64").exits(0);
    assert_eq!(tree.text(NIX_CONF), "theirs = true\n");
}

#[sandboxed]
fn a_removed_include_line_is_added_again() {
    let tree = Tree::new();
    let before = tree.snapshot();
    tree.register("aarch64").exits(0);
    tree.write(NIX_CONF, "sandbox = true\n");
    // Registering again adds the line again.
    tree.run(&["register", "aarch64"]).exits(0);
    assert!(tree.text(NIX_CONF).contains(LINE));
    tree.write(NIX_CONF, "sandbox = true\n");
    tree.unregister("aarch64").exits(0);
    before.is_restored_in(&tree);
}

#[sandboxed]
fn unregister_accepts_a_removed_nix_conf() {
    let tree = Tree::new();
    tree.register("aarch64").exits(0);
    tree.remove(NIX_CONF);
    tree.unregister("aarch64").exits(0);
    assert!(!tree.exists(NIX_CONF) && !tree.exists(OWN_CONF));
}

#[track_caller]
fn assert_include_reused(text: &str) {
    let tree = Tree::new().nix_conf(text);
    let before = tree.snapshot();
    tree.register("aarch64").exits(0);
    assert_eq!(tree.text(NIX_CONF), text);
    assert!(tree.exists(OWN_CONF));
    tree.unregister("aarch64").exits(0);
    before.is_restored_in(&tree);
}

#[sandboxed]
fn an_existing_include_line_is_used_and_kept() {
    assert_include_reused("a = b\n!include binfmt-nix.conf\n");
}

#[sandboxed]
fn an_include_line_with_an_absolute_path_is_used() {
    assert_include_reused("!include /etc/nix/binfmt-nix.conf # ours\na = b\n");
}

#[sandboxed]
fn a_commented_include_line_is_ignored() {
    let text = "# !include binfmt-nix.conf\n";
    round_trip_of(text.as_bytes(), format!("{text}{LINE}\n").as_bytes());
}

#[sandboxed]
fn determinate_nix_gets_the_line_in_its_custom_file() {
    let unedited = "# do not edit\n!include nix.custom.conf\n";
    let tree = Tree::new().nix_conf(unedited).file("etc/nix/nix.custom.conf", "a = b\n");
    let tree = tree.program("usr/local/bin/determinate-nixd", "");
    let before = tree.snapshot();
    tree.register("aarch64").exits(0);
    assert_eq!(tree.text(NIX_CONF), unedited);
    assert_eq!(tree.text("etc/nix/nix.custom.conf"), format!("a = b\n{LINE}\n"));
    tree.unregister("aarch64").exits(0);
    before.is_restored_in(&tree);
}

#[sandboxed]
fn a_custom_file_that_is_not_included_is_ignored() {
    let tree = Tree::new().nix_conf("a = b\n").file("etc/nix/nix.custom.conf", "c = d\n");
    let tree = tree.program("usr/local/bin/determinate-nixd", "");
    round_trip(&tree, b"a = b\n", format!("a = b\n{LINE}\n").as_bytes());
}

/// The other name of the file keeps its content.
#[sandboxed]
fn a_hard_link_keeps_its_content() {
    let tree = Tree::new().nix_conf("a = b\n");
    std::fs::hard_link(tree.path(NIX_CONF), tree.path("etc/backup")).unwrap();
    tree.register("aarch64").exits(0);
    assert_eq!(tree.text("etc/backup"), "a = b\n");
    tree.unregister("aarch64").exits(0);
    assert_eq!((tree.text("etc/backup"), tree.text(NIX_CONF)), ("a = b\n".into(), "a = b\n".into()));
}
