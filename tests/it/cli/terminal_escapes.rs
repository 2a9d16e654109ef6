//! Escape sequences in foreign names, of entries, files and emulators, and in answers never reach a terminal.

use crate::support::output::Done;
use crate::support::table::line;
use crate::support::tree::{LOCK, NIX_CONF, RECEIPT};
use crate::support::{Tree, qemu};

/// Clears the screen, sets the title, reverses the line, hides text.
const EVIL: &str = "evil\x1b[2J\x1b]0;x\x07\u{9b}1m\u{202e}\u{200b}";

/// Checks both output streams, text or JSON.
#[track_caller]
fn assert_clean(done: Done) -> Done {
    let harmful = |c: char| (c.is_control() && c != '\n') || matches!(c, '\u{200b}' | '\u{202e}');
    assert!(!done.out.contains(harmful) && !done.err.contains(harmful), "{done:?}");
    done
}

/// Runs every command that may print the name, and checks the output.
#[track_caller]
fn assert_all_clean(tree: &Tree) {
    let commands: [&[&str]; 7] = [
        &["status"],
        &["status", "--json"],
        &["register", "aarch64"],
        &["register", "aarch64", "--json", "--dry-run", "--force"],
        &["register", "aarch64", "--dry-run", "--force"],
        &["unregister", "all", "--dry-run"],
        &["nix-conf"],
    ];
    let done: Vec<Done> = commands.iter().map(|args| assert_clean(tree.run(args))).collect();
    assert!(done.iter().any(|done| format!("{}{}", done.out, done.err).contains("evil")), "no command prints the name");
}

#[sandboxed]
fn escapes_in_entry_names_are_removed() {
    let tree = Tree::new().mounted().program("usr/bin/theirs", std::fs::read(qemu("aarch64")).unwrap());
    let theirs = tree.path("usr/bin/theirs");
    let tree = tree.entry(&line(EVIL, "aarch64", &theirs, "PF"));
    assert_all_clean(&tree);
    // The JSON string is the exact name.
    assert_eq!(tree.run(&["status", "--json"]).json()["systems"][0]["entry"], EVIL);
}

#[sandboxed]
fn escapes_in_interpreter_and_boot_file_names_are_removed() {
    let path = format!("usr/bin/{EVIL}");
    let tree = Tree::new().mounted().program(&path, std::fs::read(qemu("aarch64")).unwrap());
    let entry = line("qemu-aarch64", "aarch64", &tree.path(&path), "PF");
    let tree = tree.file(&format!("usr/lib/binfmt.d/{EVIL}.conf"), format!("{entry}\n")).entry(&entry);
    assert_all_clean(&tree);
    assert_clean(tree.register("aarch64"));
    assert_all_clean(&tree);
    assert_clean(tree.run(&["unregister", "aarch64"]));
}

#[sandboxed]
fn escapes_in_mirror_urls_are_removed() {
    let tree = Tree::new();
    let evil = tree.run(&["register", "aarch64", "--source", "download", "--mirror", &format!("http://{EVIL}/debian")]);
    assert_clean(evil.exits(2).says("evil"));
    let tree = tree
        .file("etc/apt/sources.list", format!("deb http://127.0.0.1:1/{EVIL} sid main\n"))
        .file(&format!("etc/apt/sources.list.d/{EVIL}.list"), "deb http://127.0.0.1:1/evil sid main\n");
    assert_clean(tree.run(&["register", "aarch64", "--source", "download", "--mirror", "http://127.0.0.1:1/debian"]));
}

#[sandboxed]
fn escapes_in_the_receipt_and_lock_are_removed() {
    let tree = Tree::new();
    tree.register("aarch64").exits(0);
    let receipt = tree.text(RECEIPT);
    tree.write(RECEIPT, receipt.replacen("\"10.0.13\"", &serde_json::to_string(EVIL).unwrap(), 1));
    assert_clean(tree.run(&["register", "aarch64"]));
    tree.write(RECEIPT, receipt.replacen("qemu-aarch64", &EVIL.replace(['\x1b', '\x07'], ""), 1));
    assert_clean(tree.run(&["unregister", "all"]).exits(1).says("evil"));
    tree.write(RECEIPT, receipt);
    tree.write(NIX_CONF, format!("{EVIL} = 1\n!include binfmt-nix.conf\n"));
    tree.write(LOCK, EVIL);
    tree.write(&LOCK.replace(".lock", ".holder"), EVIL);
    assert_clean(tree.run(&["unregister", "all"]).exits(0));
    assert_eq!(tree.text(NIX_CONF), format!("{EVIL} = 1\n"));
}
