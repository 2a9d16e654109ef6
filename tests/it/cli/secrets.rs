//! Passwords of URLs are printed nowhere, also if the URL is malformed or in a place where none belongs.

use crate::support::Tree;
use crate::support::output::Done;

/// URLs and near misses with the user `fox` and a password that contains "heim".
const URLS: [&str; 12] = [
    "https://fox:geheim@h.example/x",
    "https://fox:geheim@",
    "https://fox:ge/heim@h.example/x",
    "https://fox:ge heim@h.example/x",
    "https://fox:ge?heim@h.example/x",
    "https://fox:ge#heim@h.example",
    "https://fox:g@heim@h.example/a b",
    "https:/fox:geheim@h.example/x",
    "ftp://fox:geheim@h.example/x",
    "oci://fox:geheim@h.example/n:v1",
    "oci://fox:geheim@h.example/n@sha256:00",
    "fox:geheim@h.example/x",
];

#[track_caller]
fn assert_hidden(done: &Done, args: &[&str]) {
    for text in ["heim", "fox"] {
        assert!(!done.out.contains(text) && !done.err.contains(text), "{args:?}: {done:#?}");
    }
}

#[sandboxed]
fn passwords_of_malformed_urls_are_hidden() {
    let tree = Tree::new();
    let before = tree.snapshot();
    for url in URLS {
        let option = format!("--mirro={url}");
        let joined = format!("--from={url}");
        for args in [
            &["register", "aarch64", "-n", "--source", "download", "--mirror", url, "--offline"][..],
            &["register", "aarch64", "-n", "--from", url],
            &["register", "aarch64", "-n", &joined, "--insecure-no-digest", "--offline"],
            &["register", "aarch64", "-n", "--qemu", url],
            // Where no URL belongs.
            &["register", url],
            &["register", "aarch64", &option],
            &["status", url],
            &["explain", url],
            &["nix-conf", "--builder", url, "aarch64"],
            &["fetch", "aarch64", "-o", "/missing/x", "--mirror", url],
            &["doctor", url],
        ] {
            let done = tree.run(args).omits("panicked");
            assert_ne!(done.code, Some(101));
            // A message to explain, and a host to name, are printed as they are.
            if !["doctor", "nix-conf"].contains(&args[0]) {
                assert_hidden(&done, args);
                assert_hidden(&tree.run(&[&["--json"], args].concat()), args);
            }
        }
        let child =
            tree.start_in(&["register", "aarch64", "-n", "--source", "download"], &[("BINFMT_NIX_MIRROR", url)]);
        let done: Done = child.wait_with_output().unwrap().into();
        assert_hidden(&done, &["BINFMT_NIX_MIRROR"]);
    }
    before.is_untouched_in(&tree);
}
