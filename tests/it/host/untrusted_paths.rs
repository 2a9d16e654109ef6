//! Paths that other users can change, and other users who change them: nothing is written through a path that is not
//! only root's, and no file stays registered but the verified one.

use std::fs;
use std::os::unix::fs::{lchown, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, sleep};
use std::time::Instant;

use crate::support::alongside::run_alongside;
use crate::support::emulators::{busybox, other_qemu, outside};
use crate::support::output::{Done, tool};
use crate::support::sandbox::SCRATCH;
use crate::support::tree::{BOOT, EMULATOR, NIX_CONF, RECEIPT};
use crate::support::{LiarBehavior, Tree, liar, qemu, skip};

/// On an ostree host, /usr is read-only and /usr/local is in /var.
#[sandboxed]
fn a_link_owned_by_root_is_followed() {
    let tree = Tree::new().without("usr/local").dir("var/usrlocal").link("usr/local", "../var/usrlocal");
    let before = tree.snapshot();
    tree.register("aarch64").exits(0).prints("registered, proven");
    assert!(tree.exists("var/usrlocal/libexec/binfmt-nix/bin/qemu-aarch64") && tree.runs("aarch64"));
    tree.register("aarch64").exits(0).prints("already registered");
    tree.unregister("aarch64").exits(0);
    before.is_restored_in(&tree);
}

#[sandboxed]
fn a_chain_of_links_is_followed() {
    let tree = Tree::new().without("usr/local").dir("srv/a/b/local");
    let tree = tree.link("usr/local", "./../srv/way/../b/local").link("srv/way", "a/b").link("srv/b", "a/b");
    let before = tree.snapshot();
    tree.register("aarch64").exits(0).prints("registered, proven");
    assert!(tree.exists("srv/a/b/local/libexec/binfmt-nix/bin/qemu-aarch64"));
    tree.unregister("aarch64").exits(0);
    before.is_restored_in(&tree);
}

#[track_caller]
fn assert_unsafe(tree: &Tree, why: &str) {
    let before = tree.snapshot();
    tree.register("aarch64").exits(1).says("not safe").says(why).says("chown root, chmod go-w");
    before.is_unchanged_in(tree);
}

#[sandboxed]
fn a_link_owned_by_another_user_is_rejected() {
    let tree = Tree::new().without("usr/local").dir("var/usrlocal").link("usr/local", "../var/usrlocal");
    if let Err(error) = lchown(tree.path("usr/local"), Some(1000), Some(1000)) {
        skip("users", format!("an ordinary user's namespace has one user: {error}"));
    }
    assert_unsafe(&tree, "/tree/usr/local belongs to user 1000");
}

#[sandboxed]
fn a_link_into_a_writable_directory_is_rejected() {
    let tree = Tree::new().without("usr/local").dir("srv/open/local").link("usr/local", "../srv/open/local");
    assert_unsafe(&tree.mode("srv/open", 0o777), "/tree/srv/open may be written by others");
}

#[sandboxed]
fn circular_links_are_rejected() {
    let tree = Tree::new().without("usr/local").link("usr/local", "there").link("usr/there", "local");
    let before = tree.snapshot();
    tree.register("aarch64").exits(1).says("/tree/usr/local");
    before.is_unchanged_in(&tree);
}

#[sandboxed]
fn a_writable_binfmt_d_is_rejected() {
    assert_unsafe(
        &Tree::new().dir("etc/binfmt.d").mode("etc/binfmt.d", 0o775),
        "etc/binfmt.d may be written by others",
    );
    let tree = Tree::new().dir("etc/binfmt.d").mode("etc/binfmt.d", 0o775);
    tree.register_with("aarch64", &["--no-persist"]).exits(0);
}

#[sandboxed]
fn a_writable_nix_directory_is_rejected() {
    assert_unsafe(&Tree::new().mode("etc/nix", 0o777), "etc/nix may be written by others");
    assert_unsafe(&Tree::new().mode("etc", 0o777), "etc may be written by others");
    Tree::new().mode("etc/nix", 0o777).register_with("aarch64", &["--no-nix"]).exits(0);
}

#[sandboxed]
fn a_writable_lock_directory_is_rejected() {
    assert_unsafe(&Tree::new().mode("run", 0o777), "run may be written by others");
}

/// Checks that the receipt is rejected, because it decides what root removes.
#[track_caller]
fn assert_receipt_untrusted(tree: &Tree, why: &str) {
    let before = tree.snapshot();
    for command in [&["register", "riscv64", "--qemu", "/x"][..], &["unregister", "all"], &["status"]] {
        tree.run(command).exits(1).says(why);
    }
    before.is_unchanged_in(tree);
}

fn registered_tree() -> Tree {
    let tree = Tree::new();
    tree.register("aarch64").exits(0);
    tree
}

#[sandboxed]
fn a_writable_receipt_is_rejected() {
    let mut tree = registered_tree();
    for (path, mode) in [(RECEIPT, 0o644), ("var/lib/binfmt-nix", 0o755), ("var", 0o755)] {
        tree = tree.mode(path, mode | 0o020);
        assert_receipt_untrusted(&tree, &format!("{path} may be written by others"));
        tree = tree.mode(path, mode);
    }
    tree.unregister("all").exits(0);
}

#[sandboxed]
fn a_receipt_owned_by_another_user_is_rejected() {
    let tree = registered_tree().owner(RECEIPT, 1000);
    assert_receipt_untrusted(&tree, "receipt.json belongs to user 1000");
    let tree = tree.owner(RECEIPT, 0).owner("var/lib", 1000);
    assert_receipt_untrusted(&tree, "var/lib belongs to user 1000");
}

#[sandboxed]
fn a_receipt_behind_a_link_is_rejected() {
    let tree = registered_tree();
    let text = tree.read(RECEIPT);
    tree.remove(RECEIPT);
    assert_receipt_untrusted(&tree.file("srv/receipt", text).link(RECEIPT, "../../../srv/receipt"), "receipt.json");
}

/// Another process, which only root could start, replaces the emulator again and again. Either side may win, but a registration
/// that reports success runs the verified file.
#[sandboxed]
fn an_emulator_replaced_continuously_is_never_trusted() {
    let bad = outside("swapped", &liar("qemu-aarch64 version 10.0.13", LiarBehavior::DoNothing));
    for _ in 0..20 {
        let tree = Tree::new();
        let swapping = |end: &AtomicBool| swap(&tree.path(EMULATOR), &bad, end);
        let ((), done) = run_alongside(swapping, || tree.register("aarch64").omits("panicked"));
        if done.out.contains("proven") {
            assert!(tree.runs("aarch64"), "{done:#?}");
        } else {
            done.exits(1);
            assert_eq!(tree.entries(), [""; 0]);
            assert!(!tree.exists(BOOT) && !tree.text(NIX_CONF).contains("binfmt-nix"));
        }
        nix::mount::umount2("/tree", nix::mount::MntFlags::MNT_DETACH).unwrap();
    }
}

/// The file is replaced at the worst moments: while it is verified, registered and tried. The other file works as
/// well, so only its bytes are different.
#[sandboxed]
fn an_emulator_replaced_once_is_never_trusted() {
    let (good, other, program) = (qemu("aarch64"), other_qemu("aarch64"), busybox());
    let (mut refused, mut proven) = (0, 0);
    // The times that a registration takes after each of the two files appeared, on this machine.
    let remaining = [EMULATOR, BOOT].map(|path| {
        let tree = Tree::new();
        let registering = tree.start(&["register", "aarch64", "--qemu", good.to_str().unwrap()]);
        let appeared = wait_for_file(&tree, path);
        Done::from(registering.wait_with_output().unwrap()).exits(0).prints("proven");
        let remaining = appeared.elapsed();
        tree.unregister("all").exits(0);
        nix::mount::umount2("/tree", nix::mount::MntFlags::MNT_DETACH).unwrap();
        remaining
    });
    for round in 0..40 {
        let tree = Tree::new();
        let beside = tree.path("beside");
        fs::copy(&other, &beside).unwrap();
        let registering = tree.start(&["register", "aarch64", "--qemu", good.to_str().unwrap()]);
        let (path, whole) = if round < 20 { (EMULATOR, remaining[0]) } else { (BOOT, remaining[1]) };
        wait_for_file(&tree, path);
        // From at once to shortly after the usual end.
        sleep(whole * (round % 20) / 16);
        fs::rename(&beside, tree.path(EMULATOR)).unwrap();
        let done = Done::from(registering.wait_with_output().unwrap()).omits("panicked");
        if done.out.contains("proven") {
            proven += 1;
            let mut running = Command::new(&program).args(["sleep", "60"]).spawn().unwrap();
            let runs = fs::read(format!("/proc/{}/exe", running.id())).unwrap();
            running.kill().and_then(|()| running.wait()).unwrap();
            assert!(runs == fs::read(&good).unwrap(), "in round {round} another file was registered: {done:#?}");
        } else {
            refused += 1;
            done.exits(1);
            assert_eq!(tree.entries(), [""; 0]);
        }
        tree.run(&["unregister", "all"]);
        nix::mount::umount2("/tree", nix::mount::MntFlags::MNT_DETACH).unwrap();
    }
    assert!(refused > 0 && proven > 0, "always too early or too late: {refused} times refused, {proven} times proven");
}

/// The moment at which the file was seen first.
fn wait_for_file(tree: &Tree, path: &str) -> Instant {
    while !tree.exists(path) {
        thread::yield_now();
    }
    Instant::now()
}

fn swap(place: &Path, bad: &Path, end: &AtomicBool) {
    let beside = place.with_file_name("swapped");
    while !end.load(Ordering::Relaxed) {
        if place.exists() {
            // The directory may be removed at any moment: then there is nothing to do.
            drop(symlink(bad, &beside).and_then(|()| fs::rename(&beside, place)));
            drop(fs::copy(bad, &beside).and_then(|_| fs::rename(&beside, place)));
        }
    }
}

/// The tool runs no program by PATH, writes no file to TMPDIR and reads nothing in HOME.
#[sandboxed]
fn the_callers_environment_is_ignored() {
    let tree = Tree::new();
    let before = tree.snapshot();
    let planted = Path::new(SCRATCH).join("planted");
    let temporary = Path::new(SCRATCH).join("temporary");
    fs::create_dir(&planted).unwrap();
    fs::create_dir(&temporary).unwrap();
    let witness = planted.join("witness");
    for name in ["qemu-aarch64", "qemu-aarch64-static", "nix", "modprobe", "restorecon", "systemctl", "sh", "mount"] {
        let script = outside(name, format!("#!/bin/sh\necho {name} >> {}\n", witness.display()).as_bytes());
        fs::rename(script, planted.join(name)).unwrap();
    }
    let qemu = qemu("aarch64");
    let run_in_environment = |args: &[&str]| -> Done {
        let mut command = tool(&[&["--root", "/tree"], args].concat());
        command.env("PATH", &planted).env("TMPDIR", &temporary).env("HOME", &planted).env("IFS", "/");
        command.env("NIX_CONF_DIR", &planted).env("NIX_USER_CONF_FILES", planted.join("nix.conf"));
        command.output().unwrap().into()
    };
    run_in_environment(&["register", "aarch64", "--source", "host"]).exits(1).says("none is installed");
    run_in_environment(&["register", "aarch64", "--qemu", qemu.to_str().unwrap()])
        .exits(0)
        .prints("registered, proven");
    run_in_environment(&["status"]).exits(0);
    run_in_environment(&["unregister", "aarch64"]).exits(0);
    before.is_restored_in(&tree);
    assert!(!witness.exists(), "{}", fs::read_to_string(witness).unwrap());
    assert_eq!(fs::read_dir(temporary).unwrap().count(), 0);
}
