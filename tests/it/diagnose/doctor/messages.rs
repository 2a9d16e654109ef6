//! `doctor 'ERROR TEXT'`: messages of the running kernel, of the real QEMU and of the real shell, and repairs that work.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::diagnose::doctor::reports::{finds, registered_tree, run_repair};
use crate::register::conflicts::distribution;
use crate::support::Tree;
use crate::support::emulators::busybox;
use crate::support::output::{Done, tool};
use crate::support::sandbox::SCRATCH;
use crate::support::table::{line, probe};

/// Runs `doctor -` on a text.
#[track_caller]
fn explain_text(text: &str) -> Done {
    let mut child = tool(&["--root", "/tree", "doctor", "-", "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    Done::from(child.wait_with_output().unwrap()).omits("panicked")
}

/// Returns the first recognised message and checks its name.
#[track_caller]
fn first_meaning(text: &str, id: &str) -> Value {
    let found = explain_text(text).exits(3).json();
    assert_eq!(found["meanings"][0]["id"], id, "{text}: {found:#}");
    found["meanings"][0].clone()
}

/// Returns the message of a shell that cannot start a program.
fn shell_says(program: &Path) -> String {
    let mut command = Command::new("/bin/bash");
    let output = command.args(["-c", &program.display().to_string()]).env_clear().output().unwrap();
    assert!(!output.status.success(), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

fn current_state(meaning: &Value) -> String {
    meaning["here"].to_string()
}

#[sandboxed]
fn an_exec_format_error_leads_to_register() {
    let tree = Tree::new();
    let said = shell_says(&probe("aarch64"));
    let meaning = first_meaning(&format!("qemu-aarch64 wanted\n{said}"), "exec-format");
    assert!(current_state(&meaning).contains("nothing runs them"), "{meaning:#}");
    run_repair(&tree, &meaning, Some("aarch64"));
    assert!(tree.runs("aarch64"));
    assert!(Command::new(probe("aarch64")).status().unwrap().success());
}

/// The same program runs outside of the chroot.
#[sandboxed]
fn a_missing_file_in_a_chroot_leads_to_flag_f() {
    let tree = distribution("");
    let room = Path::new(SCRATCH).join("chroot");
    fs::create_dir_all(&room).unwrap();
    fs::copy(probe("aarch64"), room.join("probe")).unwrap();
    let mut command = Command::new("/usr/sbin/chroot");
    let output = command.arg(&room).arg("/probe").env_clear().output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("No such file or directory"), "{said}");
    let meaning = first_meaning(&said, "no-such-file");
    assert!(current_state(&meaning).contains("no-fix-binary"), "{meaning:#}");
    run_repair(&tree, &meaning, Some("aarch64"));
    let again = Command::new("/usr/sbin/chroot").arg(&room).arg("/probe").env_clear().output().unwrap();
    assert!(again.status.success(), "{again:?}");
}

/// The interpreter is itself a program of the entry, so that the kernel looks for its interpreter again and again.
#[sandboxed]
fn a_loop_of_interpreters_is_explained() {
    let tree = Tree::without_nix().mounted();
    let itself = binfmt_magic::Arch::find("aarch64").unwrap().probe().unwrap();
    let tree = tree.program("usr/bin/qemu-aarch64", itself);
    let entry = line("qemu-aarch64", "aarch64", &tree.path("usr/bin/qemu-aarch64"), "PF");
    let tree = tree.file("etc/binfmt.d/q.conf", format!("{entry}\n")).entry(&entry);
    let said = shell_says(&probe("aarch64"));
    assert!(said.contains("Too many levels of symbolic links"), "{said}");
    let meaning = first_meaning(&said, "loop");
    assert!(current_state(&meaning).contains("interpreter-unfit"), "{meaning:#}");
    run_repair(&tree, &meaning, Some("aarch64"));
    assert!(tree.runs("aarch64"));
}

/// A real program that kills itself with a signal, under the real QEMU.
#[sandboxed]
fn a_crash_under_qemu_leads_to_a_newer_release() {
    let _tree = registered_tree();
    let output = Command::new(busybox()).args(["sh", "-c", "kill -SEGV $$"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("uncaught target signal 11"), "{said}");
    let meaning = first_meaning(&said, "qemu-crash");
    assert!(meaning["repair"].to_string().contains("--qemu-version latest"), "{meaning:#}");
}

const REFUSED: &str = "error: a 'aarch64-linux' with features {} is required to build '/nix/store/x.drv', but I am a \
                       'x86_64-linux' with features {benchmark, big-parallel, nixos-test, uid-range}";

#[sandboxed]
fn a_refusal_by_nix_is_explained_from_the_current_settings() {
    let tree = Tree::new();
    let before = first_meaning(REFUSED, "nix-wrong-platform");
    assert!(current_state(&before).contains("Nix does not build for aarch64-linux"), "{before:#}");
    run_repair(&tree, &before, Some("aarch64"));
    let after = first_meaning(REFUSED, "nix-wrong-platform");
    assert!(current_state(&after).contains("Nix builds for aarch64-linux"), "{after:#}");
    assert!(
        current_state(&after).contains("one ran just now") && current_state(&after).contains("try it again"),
        "{after:#}"
    );
    tree.append("etc/nix/nix.conf", "extra-platforms = i686-linux\n");
    let lost = first_meaning(REFUSED, "nix-wrong-platform");
    assert!(current_state(&lost).contains("nix-not-told"), "{lost:#}");
    run_repair(&tree, &lost, None);
    finds(&tree, &[]);
}

#[sandboxed]
fn a_cross_build_is_explained() {
    let _tree = Tree::new();
    let text = "these 630 derivations will be built:\n  /nix/store/0-binutils-aarch64-unknown-linux-gnu-2.43.drv\n";
    let meaning = first_meaning(text, "cross-build");
    assert!(meaning["means"].to_string().contains("binary cache"), "{meaning:#}");
    let repair = meaning["repair"].to_string();
    assert!(repair.contains("register aarch64") && repair.contains("packages.aarch64-linux"), "{repair}");
}

#[sandboxed]
fn a_message_is_read_from_the_command_line() {
    let tree = Tree::new();
    let done = tree.run(&["doctor", "exec", "/bin/sh:", "exec format error"]).exits(3);
    done.prints("container-exec-format, by docker").prints("binfmt-nix --root /tree register SYSTEM");
    tree.run(&["doctor", REFUSED]).exits(3).prints("    binfmt-nix --root /tree register aarch64");
    tree.run(&["doctor", "--fix", REFUSED]).exits(2);
}

#[sandboxed]
fn an_unknown_message_leads_to_the_usual_checks() {
    let tree = Tree::new();
    tree.run(&["doctor", "all is well"])
        .exits(0)
        .says("binfmt-nix does not know this message")
        .prints("nothing is wrong");
    let tree = tree.mounted();
    tree.write_kernel("status", "0");
    tree.run(&["doctor", "all is well"]).exits(3).prints("switched-off");
}

/// Only the end of the log is kept in memory.
#[sandboxed]
fn the_end_of_a_long_log_is_read() {
    let _tree = Tree::new();
    let log = "compiling\n".repeat(400_000);
    assert_eq!(explain_text(&log).exits(0).json()["meanings"], serde_json::json!([]));
    first_meaning(&format!("{log}{REFUSED}\n"), "nix-wrong-platform");
}
