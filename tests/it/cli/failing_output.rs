//! Standard output that cannot be written, and files that may not grow.

use std::fs::{File, OpenOptions};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use crate::support::output::{Done, tool, tool_path};
use crate::support::table::probe;
use crate::support::tree::{EMULATOR, NIX_CONF};
use crate::support::{Tree, fault_table, qemu};

/// A device on which every write fails with ENOSPC (full(4)).
fn full() -> File {
    OpenOptions::new().write(true).open("/dev/full").unwrap()
}

/// The writing end of a pipe whose reading end is closed.
fn closed_pipe() -> OwnedFd {
    let (_, writer) = nix::unistd::pipe().unwrap();
    writer
}

/// Runs the tool on the tree with this standard output.
fn run_into(tree: &Tree, stdout: impl Into<Stdio>, args: &[&str]) -> Done {
    let root = tree.path("");
    let mut command = tool(&[&["--root", root.to_str().unwrap()], args].concat());
    command.stdin(Stdio::null()).stdout(stdout).stderr(Stdio::piped()).output().unwrap().into()
}

const FULL: &str = "error: cannot write to standard output: No space left on device";
const DONE: &str = "the command is done and its changes are kept, but its result could not be printed";

#[sandboxed]
fn a_result_that_cannot_be_printed_is_an_error() {
    let tree = Tree::new().dir("var/cache");
    tree.register("aarch64").exits(0);
    let before = tree.snapshot();
    let program = probe("aarch64");
    let seed = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fuzz/corpus/package/one-program");
    let commands: [&[&str]; 25] = [
        &["--help"],
        &["-h"],
        &["help", "register"],
        &["register", "--help"],
        &["--version"],
        &["list"],
        &["list", "--format", "json"],
        &["list", "--format", "binfmt.d"],
        &["list", "--format", "register"],
        &["status"],
        &["status", "--json"],
        &["status", "--check", "aarch64"],
        &["restore", "--check"],
        &["restore", "--check", "--json"],
        &["unregister", "all", "-n"],
        &["cache"],
        &["cache", "--json"],
        &["nix-conf"],
        &["nix-conf", "--json"],
        &["doctor"],
        &["doctor", "cannot execute binary file: Exec format error"],
        &["explain", program.to_str().unwrap()],
        &["explain", program.to_str().unwrap(), "--json"],
        &["register", "riscv64", "-n", "--source", "host", "--json"],
        &["gen", "catalog", seed],
    ];
    for args in commands {
        // A finding is a result, too; a failure has its own status.
        let usual = tree.run(args);
        let code = if matches!(usual.code, Some(0 | 3)) { 1 } else { usual.code.unwrap() };
        let done = run_into(&tree, full(), args).exits(code).says(FULL).omits("panicked").omits(DONE);
        assert_eq!(done.err.matches(FULL).count(), 1, "{done:?}");
        // A reader may stop reading: that is as before.
        run_into(&tree, closed_pipe(), args).exits(usual.code.unwrap()).omits("standard output");
    }
    before.is_untouched_in(&tree);
}

#[sandboxed]
fn a_change_whose_result_cannot_be_printed_is_kept() {
    let tree = Tree::new();
    let before = tree.snapshot();
    let qemu = qemu("aarch64");
    let register = ["register", "aarch64", "--qemu", qemu.to_str().unwrap()];
    for json in [&[][..], &["--json"]] {
        run_into(&tree, full(), &[&register[..], json].concat()).exits(1).says(FULL).says(DONE);
        assert!(tree.runs("aarch64") && tree.exists(EMULATOR));
        tree.run(&["status", "--check", "aarch64"]).exits(0);
        // Nothing was planned that could be lost, but the result is lost.
        run_into(&tree, full(), &[&["unregister", "aarch64"], json].concat()).exits(1).says(FULL).says(DONE);
        before.is_restored_in(&tree);
    }
    // The entry is restored, too.
    let tree = {
        tree.discard();
        Tree::new().mounted()
    };
    tree.run(&register).exits(0);
    tree.write_kernel("qemu-aarch64", "-1");
    run_into(&tree, full(), &["restore"]).exits(1).says(FULL).says(DONE);
    assert!(tree.runs("aarch64"));
    tree.run(&["unregister", "aarch64"]).exits(0);
    let before = tree.snapshot();
    // A dry run changes nothing, and does not claim it.
    run_into(&tree, full(), &[&register[..], &["-n"]].concat()).exits(1).says(FULL).omits(DONE);
    before.is_restored_in(&tree);
}

/// Runs `register` with a limit on the size of files, in blocks of 512 bytes (POSIX, `ulimit`).
fn register_with_limit(tree: &Tree, blocks: u64) -> Done {
    let script = format!("ulimit -f {blocks} && exec \"$@\"");
    let mut command = Command::new("/bin/sh");
    command.args(["-c", &script, "sh", tool_path(), "--root", tree.path("").to_str().unwrap()]);
    command.args(["register", "aarch64", "--qemu", qemu("aarch64").to_str().unwrap()]);
    command.env_clear().env("PATH", "/usr/bin:/bin").stdin(Stdio::null()).output().unwrap().into()
}

#[sandboxed]
fn a_limit_on_the_size_of_files_is_an_ordinary_error() {
    let blocks = std::fs::metadata(qemu("aarch64")).unwrap().len().div_ceil(512);
    let limits = [0, 1, 2, 3, 4, 8, 100, blocks - 1];
    let mut too_large = 0;
    for limit in limits {
        let tree = Tree::new();
        let before = tree.snapshot();
        let done = register_with_limit(&tree, limit).exits(1).says("error:").omits("panicked");
        // With the smallest limits QEMU cannot print its version: it does not handle the signal.
        too_large += usize::from(done.err.contains("File too large"));
        let differences = before.unrestored_in(&tree);
        assert!(differences.is_empty(), "with {limit} blocks: {}{differences}", done.err);
        assert!(tree.entries().is_empty() && tree.text(NIX_CONF) == "sandbox = true\n");
        tree.discard();
    }
    assert!(too_large > 4, "{too_large}");
    let tree = Tree::new();
    register_with_limit(&tree, blocks).exits(0);
    assert!(tree.runs("aarch64"));
    fault_table::line("`register`, with a limit on the size of files", limits.len());
}
