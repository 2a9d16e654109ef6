//! Runs without root, on the machine itself: the tool prints the exact command for root and does nothing else.

use crate::support::Tree;
use crate::support::output::{Done, tool_path};
use crate::support::sandbox::itself;

/// Runs the tool as an ordinary user on the machine itself, which is this sandbox's read-only copy of it.
fn run_unprivileged(args: &[&str], variables: &[(&str, &str)]) -> Done {
    let mut command = itself("stranger").unwrap();
    for name in binfmt_nix::qemu::download::PROXY_VARIABLES.iter().chain(&["NIX_SSL_CERT_FILE", "BINFMT_NIX_MIRROR"]) {
        command.env_remove(name);
    }
    command.arg(tool_path()).args(args).envs(variables.iter().copied()).output().unwrap().into()
}

#[track_caller]
fn assert_suggests(done: &Done, line: &str) {
    let printed = done.err.replace(tool_path(), "binfmt-nix");
    assert!(printed.lines().any(|printed| printed.ends_with(line)), "no line ends with {line:?}: {done:#?}");
    assert_eq!(done.out, "");
}

#[sandboxed]
fn register_prints_the_sudo_command() {
    let done = run_unprivileged(&["register", "aarch64", "--source", "download"], &[]).exits(4);
    assert_suggests(&done, "sudo binfmt-nix register aarch64 --source download");
}

#[sandboxed]
fn the_sudo_command_preserves_relevant_variables() {
    let variables = [
        ("https_proxy", "http://127.0.0.1:1"),
        ("SSL_CERT_FILE", "/x"),
        ("BINFMT_NIX_MIRROR", "http://127.0.0.1:1/debian"),
        ("UNRELATED", "x"),
    ];
    let done = run_unprivileged(&["register", "aarch64"], &variables).exits(4);
    let kept = "https_proxy,SSL_CERT_FILE,BINFMT_NIX_MIRROR";
    assert_suggests(&done, &format!("sudo --preserve-env={kept} binfmt-nix register aarch64"));
    assert!(!done.err.contains("127.0.0.1"), "values may hold passwords: {done:#?}");
}

#[sandboxed]
fn the_sudo_command_quotes_arguments() {
    let done = run_unprivileged(&["register", "aarch64", "--qemu", "/a b/it's;$x"], &[]).exits(4);
    assert_suggests(&done, r"sudo binfmt-nix register aarch64 --qemu '/a b/it'\''s;$x'");
}

/// The command for root has a mark instead of the password, and a comment explains it.
#[sandboxed]
fn the_sudo_command_hides_passwords() {
    for url in ["https://fox:geheim@h.example/debian", "https://fox:ge/heim@h.example/debian"] {
        let done = run_unprivileged(&["register", "aarch64", "--source", "download", "--mirror", url], &[]).exits(4);
        let line = "sudo binfmt-nix register aarch64 --source download --mirror 'https://***@h.example/debian'";
        let done = done.says(&format!("{line}    # replace *** by your password"));
        done.omits("heim").omits("fox");
    }
}

#[sandboxed]
fn unregister_prints_the_sudo_command() {
    let done = run_unprivileged(&["unregister", "all"], &[]).exits(4);
    assert_suggests(&done, "sudo binfmt-nix unregister all");
}

#[sandboxed]
fn a_dry_run_needs_no_root() {
    let done = run_unprivileged(&["unregister", "all", "--dry-run"], &[]);
    assert!(!done.err.contains("sudo"), "{done:#?}");
}

#[sandboxed]
fn read_only_commands_need_no_root() {
    for args in [&["list"][..], &["status"], &["nix-conf", "aarch64"]] {
        let done = run_unprivileged(args, &[]).exits(0);
        assert!(!done.err.contains("sudo"), "{done:#?}");
    }
    // A tree may belong to any user.
    let tree = Tree::new();
    tree.run(&["unregister", "all"]).exits(0);
}
