//! Names of unknown systems and of systems that cannot be registered: exit status 2, and nothing is changed.

use std::process::Command;

use crate::support::output::{Done, tool};
use crate::support::table::{line, probe};
use crate::support::tree::LOCK;
use crate::support::{Tree, skip};

fn assert_usage_error(tree: &Tree, args: &[&str]) -> Done {
    let before = tree.snapshot();
    let done = tree.run(args).exits(2);
    before.is_unchanged_in(tree);
    done
}

#[sandboxed]
fn an_unknown_system_gets_suggestions() {
    let tree = Tree::new();
    for verb in ["register", "unregister", "nix-conf"] {
        let done = assert_usage_error(&tree, &[verb, "aarch46"]).says("aarch46").says("aarch64");
        assert_eq!(done.out, "");
    }
    assert_usage_error(&tree, &["register", "risc64"]).says("riscv64");
    assert_usage_error(&tree, &["register", "quite-another-thing"]).says("quite-another-thing").says("binfmt-nix list");
    assert_usage_error(&tree, &["register", ""]);
    assert!(!tree.exists(LOCK));
}

/// Every name in the list is one by which the commands find that system.
#[sandboxed]
fn listed_names_are_those_of_the_commands() {
    let tree = Tree::new();
    let system = |name: &str| binfmt_magic::Arch::find(name).unwrap().target;
    let table = tree.run(&["list"]).exits(0).out;
    let (table, others) = table.split_once("\n\n").unwrap();
    assert_eq!((table.lines().count(), others.lines().count()), (34, 5));
    for line in table.lines().skip(1) {
        let names: Vec<&str> = line.split_whitespace().collect();
        assert!(names.iter().all(|name| system(name) == names[0]), "{line}");
    }
    let list = tree.run(&["list", "--json"]).exits(0).json();
    for row in list["systems"].as_array().unwrap() {
        let names = row["names"].as_array().unwrap();
        assert!(names.iter().all(|name| system(name.as_str().unwrap()) == row["system"]), "{row:#}");
    }
    tree.run(&["nix-conf", "mips64"]).exits(0).prints(" mips64-linux\n");
}

#[sandboxed]
fn systems_may_be_separated_by_commas() {
    let tree = Tree::new();
    let listed = tree.run(&["nix-conf", "arm64,riscv64", "s390x"]).exits(0);
    listed.prints("aarch64-linux riscv64-linux s390x-linux");
    assert_usage_error(&tree, &["register", "arm64,"]);
    assert_usage_error(&tree, &["register", "arm64,nonsense"]).says("nonsense");
    assert_usage_error(&tree, &["test", "arm64,nonsense"]).says("nonsense");
}

#[sandboxed]
fn the_hosts_own_system_is_refused() {
    let tree = Tree::new();
    let machine = std::env::consts::ARCH;
    assert_usage_error(&tree, &["register", machine]).says(machine).says("without an emulator");
    assert_usage_error(&tree, &["register", &format!("{machine}-linux"), "--force"]);
}

#[sandboxed]
fn one_invalid_system_rejects_the_command() {
    let tree = Tree::new();
    assert_usage_error(&tree, &["register", "aarch64", "nonsense"]).says("nonsense");
    assert_usage_error(&tree, &["register", "aarch64", std::env::consts::ARCH, "--no-nix"]);
    assert_usage_error(&tree, &["register", "all", "aarch64"]).says("all");
    assert_usage_error(&tree, &["register"]);
}

/// Native execution is proven by the probe itself, with any entries.
#[sandboxed]
fn a_system_that_the_host_runs_natively_is_refused() {
    let tree = Tree::new();
    let started = Command::new(probe("i386")).output();
    if !cfg!(target_arch = "x86_64") || !started.is_ok_and(|output| output.status.success()) {
        skip("ia32", "this machine does not run i386 programs by itself");
    }
    assert_usage_error(&tree, &["register", "i386"]).says("i386").says("without an emulator");
    assert_usage_error(&tree, &["register", "i686-linux", "--force"]);
    // A disabled emulator changes nothing.
    let tree = tree.mounted().entry(&line("theirs", "i386", "/bin/true".as_ref(), ""));
    tree.write_kernel("theirs", "0");
    assert_usage_error(&tree, &["register", "i386"]).says("without an emulator");
}

#[sandboxed]
fn a_missing_root_directory_fails() {
    let done = Done::from(tool(&["--root", "/tree/nowhere", "register", "aarch64"]).output().unwrap());
    done.exits(1).says("/tree/nowhere").omits("panicked");
}

#[sandboxed]
fn a_file_as_root_directory_fails() {
    let tree = Tree::new().file("file", "");
    let before = tree.snapshot();
    Done::from(tool(&["--root", "/tree/file", "register", "aarch64"]).output().unwrap()).exits(1).says("/tree/file");
    before.is_untouched_in(&tree);
}
