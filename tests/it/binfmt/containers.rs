//! The tool in a container with its own user namespace; the sandbox of a test is one. Tests of other containers are in
//! tests/e2e and tests/containers.

use std::fs;
use std::path::Path;

use nix::mount::umount;

use crate::diagnose::doctor::running_host::{TABLE, live};
use crate::support::output::{Done, tool};
use crate::support::qemu;

#[track_caller]
fn run(words: &[&str]) -> Done {
    tool(words).output().unwrap().into()
}

fn entries() -> Vec<String> {
    let names = fs::read_dir(TABLE).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name != "register" && name != "status").collect()
}

fn register() -> Done {
    run(&["register", "aarch64", "--qemu", qemu("aarch64").to_str().unwrap()])
}

/// An entry would exist only inside the container, so the tool does not register one.
#[sandboxed]
fn register_is_refused_in_a_user_namespace() {
    live();
    fs::write("/run/.containerenv", "").unwrap();
    register().exits(6).says("this container (podman) is in a user namespace").says("binfmt-nix run -s SYSTEM");
    run(&["unregister", "all"]).exits(6).says("in a user namespace");
    assert!(entries().is_empty());
    assert!(!Path::new("/run/binfmt-nix.lock").exists());
}

#[sandboxed]
fn status_reports_that_the_table_is_hidden() {
    live();
    fs::write("/run/.containerenv", "").unwrap();
    umount(TABLE).unwrap();
    run(&["status"]).exits(0).says("the machine's own table cannot be seen");
    run(&["status", "--check", "aarch64"]).exits(3);
    assert!(!Path::new(TABLE).join("register").exists(), "a table of its own would hide the machine's");
}

/// A container that runs a whole system is treated like a machine.
#[sandboxed]
fn register_works_in_a_system_container() {
    live();
    fs::create_dir_all("/run/systemd").unwrap();
    fs::write("/run/systemd/container", "lxc\n").unwrap();
    register().exits(0).prints("aarch64: registered, proven: a program ran in an empty chroot");
    assert_eq!(entries(), ["qemu-aarch64"]);
    run(&["unregister", "all"]).exits(0);
    assert!(entries().is_empty());
}
