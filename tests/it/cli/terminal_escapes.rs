//! What others named: entries, files, emulators and answers with escape sequences in them steer nobody's terminal.

use crate::support::output::Done;
use crate::support::table::line;
use crate::support::tree::{LOCK, NIX_CONF, RECEIPT};
use crate::support::{Tree, qemu};

/// Clears the screen, sets the title, turns the line round, hides.
const EVIL: &str = "evil\x1b[2J\x1b]0;x\x07\u{9b}1m\u{202e}\u{200b}";

/// Whether as text or as JSON.
#[track_caller]
fn is_clean(done: Done) -> Done {
    let harmful = |c: char| (c.is_control() && c != '\n') || matches!(c, '\u{200b}' | '\u{202e}');
    assert!(!done.out.contains(harmful) && !done.err.contains(harmful), "{done:?}");
    done
}

/// Every command that may speak of it.
#[track_caller]
fn all_are_clean(tree: &Tree) {
    let commands: [&[&str]; 7] = [
        &["status"],
        &["status", "--json"],
        &["register", "aarch64"],
        &["register", "aarch64", "--json", "--dry-run", "--force"],
        &["register", "aarch64", "--dry-run", "--force"],
        &["unregister", "all", "--dry-run"],
        &["nix-conf"],
    ];
    let done: Vec<Done> = commands.iter().map(|args| is_clean(tree.run(args))).collect();
    assert!(done.iter().any(|done| format!("{}{}", done.out, done.err).contains("evil")), "nobody speaks of it");
}

#[sandboxed]
fn escapes_in_entry_names_are_removed() {
    let tree = Tree::new().mounted().program("usr/bin/theirs", std::fs::read(qemu("aarch64")).unwrap());
    let theirs = tree.path("usr/bin/theirs");
    let tree = tree.entry(&line(EVIL, "aarch64", &theirs, "PF"));
    all_are_clean(&tree);
    // As JSON it means the very name.
    assert_eq!(tree.run(&["status", "--json"]).json()["systems"][0]["entry"], EVIL);
}

#[sandboxed]
fn escapes_in_interpreter_and_boot_file_names_are_removed() {
    let path = format!("usr/bin/{EVIL}");
    let tree = Tree::new().mounted().program(&path, std::fs::read(qemu("aarch64")).unwrap());
    let entry = line("qemu-aarch64", "aarch64", &tree.path(&path), "PF");
    let tree = tree.file(&format!("usr/lib/binfmt.d/{EVIL}.conf"), format!("{entry}\n")).entry(&entry);
    all_are_clean(&tree);
    is_clean(tree.register("aarch64"));
    all_are_clean(&tree);
    is_clean(tree.run(&["unregister", "aarch64"]));
}

#[sandboxed]
fn escapes_in_mirror_urls_are_removed() {
    let tree = Tree::new();
    let evil = tree.run(&["register", "aarch64", "--source", "download", "--mirror", &format!("http://{EVIL}/debian")]);
    is_clean(evil.exits(2).says("evil"));
    let tree = tree
        .file("etc/apt/sources.list", format!("deb http://127.0.0.1:1/{EVIL} sid main\n"))
        .file(&format!("etc/apt/sources.list.d/{EVIL}.list"), "deb http://127.0.0.1:1/evil sid main\n");
    is_clean(tree.run(&["register", "aarch64", "--source", "download", "--mirror", "http://127.0.0.1:1/debian"]));
}

#[sandboxed]
fn escapes_in_the_receipt_and_lock_are_removed() {
    let tree = Tree::new();
    tree.register("aarch64").exits(0);
    let receipt = tree.text(RECEIPT);
    tree.write(RECEIPT, receipt.replacen("\"10.0.13\"", &serde_json::to_string(EVIL).unwrap(), 1));
    is_clean(tree.run(&["register", "aarch64"]));
    tree.write(RECEIPT, receipt.replacen("qemu-aarch64", &EVIL.replace(['\x1b', '\x07'], ""), 1));
    is_clean(tree.run(&["unregister", "all"]).exits(1).says("evil"));
    tree.write(RECEIPT, receipt);
    tree.write(NIX_CONF, format!("{EVIL} = 1\n!include binfmt-nix.conf\n"));
    tree.write(LOCK, EVIL);
    is_clean(tree.run(&["unregister", "all"]).exits(0));
    assert_eq!(tree.text(NIX_CONF), format!("{EVIL} = 1\n"));
}
