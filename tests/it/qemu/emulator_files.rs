//! `--qemu FILE`: files that are not usable as the emulator are refused before any change, and an emulator that does not
//! run programs is detected and rolled back.

use std::path::{Path, PathBuf};
use std::{env, fs};

use binfmt_magic::Arch;

use crate::support::emulators::outside;
use crate::support::output::{Done, tool};
use crate::support::sandbox::SCRATCH;
use crate::support::tree::EMULATOR;
use crate::support::{LiarBehavior, Tree, liar, qemu};

/// Checks that the file is refused with exit status 1, its path and this reason, and that only the lock changed.
#[track_caller]
fn refused(file: &Path, why: &str) {
    let tree = Tree::new();
    let before = tree.snapshot();
    let done = tree.register_by("aarch64", file, &[]).exits(1).says(file.to_str().unwrap()).says(why);
    assert_eq!(done.out, "");
    before.is_unchanged_in(&tree);
}

#[sandboxed]
fn a_dynamic_program_is_refused() {
    refused(&env::current_exe().unwrap(), "dynamically linked");
}

#[sandboxed]
fn a_program_of_another_machine_is_refused() {
    let foreign = Arch::find("riscv64").unwrap().probe().unwrap();
    refused(&outside("foreign", foreign), "another machine");
}

#[sandboxed]
fn a_script_is_refused() {
    refused(&outside("script", b"#!/bin/sh\necho qemu-aarch64 version 10.0.13\n"), "not an ELF");
}

#[sandboxed]
fn an_empty_file_is_refused() {
    refused(&outside("empty", b""), "not an ELF");
}

#[sandboxed]
fn a_truncated_elf_is_refused() {
    refused(&outside("elf", b"\x7fELF\x02\x01\x01"), "");
}

#[sandboxed]
fn a_bare_elf_header_is_refused() {
    refused(&outside("header", &liar("x", LiarBehavior::Crash)[..64]), "");
}

#[sandboxed]
fn a_directory_is_refused() {
    refused(Path::new(SCRATCH), "not a regular file");
}

#[sandboxed]
fn a_missing_file_is_reported() {
    refused(Path::new("/scratch/nowhere/qemu-aarch64"), "No such file");
}

/// The pipe has no writer, so that opening it could block.
#[sandboxed]
fn a_pipe_is_refused_without_waiting() {
    let path = Path::new(SCRATCH).join("pipe");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    refused(&path, "not a regular file");
}

#[sandboxed]
fn a_device_is_refused() {
    refused(Path::new("/dev/zero"), "not a regular file");
}

#[sandboxed]
fn the_qemu_of_another_system_is_refused() {
    refused(&qemu("riscv64"), "qemu-riscv64");
}

#[sandboxed]
fn a_static_program_other_than_qemu_is_refused() {
    let own = Arch::of_host(env::consts::ARCH).unwrap().probe().unwrap();
    refused(&outside("probe", own), "--version");
}

#[sandboxed]
fn a_program_that_crashes_at_once_is_refused() {
    let mut program = liar("", LiarBehavior::Crash);
    program[0xb0..0xb2].copy_from_slice(&[0x0f, 0x0b]);
    refused(&outside("qemu-aarch64", &program), "--version failed with signal");
}

#[sandboxed]
fn a_malformed_version_text_is_refused() {
    for text in [
        "",
        "qemu-aarch64",
        "qemu-aarch64 version",
        "qemu-aarch64 version x.y",
        "\x1b[2J\u{7f}",
        "qemu-arm version 9.0.0",
    ] {
        let tree = Tree::new();
        let before = tree.snapshot();
        let file = outside("qemu-aarch64", &liar(text, LiarBehavior::Crash));
        tree.register_by("aarch64", &file, &[]).exits(1).says("--version").omits("\x1b[2J");
        before.is_unchanged_in(&tree);
    }
}

/// Checks that an emulator with a good version text is registered, fails its test, and is removed from the table again.
#[track_caller]
fn assert_rolled_back(behavior: LiarBehavior, why: &str) {
    let tree = Tree::new();
    let before = tree.snapshot();
    let file = outside("qemu-aarch64", &liar("qemu-aarch64 version 10.0.13 (liar)", behavior));
    tree.register_by("aarch64", &file, &[]).exits(1).says("removed again").says(why).says("nothing was changed");
    before.is_restored_in(&tree);
}

#[sandboxed]
fn an_emulator_that_crashes_on_programs_is_rolled_back() {
    assert_rolled_back(LiarBehavior::Crash, "signal");
}

#[sandboxed]
fn an_emulator_that_runs_nothing_is_rolled_back() {
    assert_rolled_back(LiarBehavior::DoNothing, "does not work");
}

#[sandboxed]
fn a_truncated_qemu_is_refused() {
    let tree = Tree::new();
    let before = tree.snapshot();
    let whole = fs::read(qemu("aarch64")).unwrap();
    for size in [4096, whole.len() / 4, whole.len() / 2] {
        tree.register_by("aarch64", &outside("cut", &whole[..size]), &[]).exits(1).says("cut");
        before.is_restored_in(&tree);
    }
}

#[sandboxed]
fn a_link_is_followed() {
    let link = Path::new(SCRATCH).join("link");
    std::os::unix::fs::symlink(qemu("aarch64"), &link).unwrap();
    let tree = Tree::new();
    tree.register_by("aarch64", &link, &[]).exits(0);
    assert!(fs::symlink_metadata(tree.path(EMULATOR)).unwrap().is_file());
    assert!(tree.runs("aarch64"));
}

#[sandboxed]
fn a_relative_path_is_accepted() {
    let qemu = qemu("aarch64");
    let tree = Tree::new();
    let mut tool = tool(&["--root", "/tree", "register", "aarch64", "--qemu", "./qemu-aarch64"]);
    let output = tool.current_dir(qemu.parent().unwrap()).output().unwrap();
    Done::from(output).exits(0);
    assert!(tree.runs("aarch64"));
}

#[sandboxed]
fn a_path_that_is_not_utf_8_is_accepted() {
    use std::os::unix::ffi::OsStrExt as _;
    let name = PathBuf::from(std::ffi::OsStr::from_bytes(b"/scratch/qemu-\xff\n"));
    fs::copy(qemu("aarch64"), &name).unwrap();
    let tree = Tree::new();
    let mut tool = tool(&["--root", "/tree", "register", "aarch64", "--qemu"]);
    Done::from(tool.arg(&name).output().unwrap()).exits(0);
    let before = tree.snapshot();
    tree.run(&["register", "aarch64"]).exits(0).prints("already registered");
    before.is_unchanged_in(&tree);
}

#[sandboxed]
fn the_named_emulator_is_copied() {
    let file = outside("qemu", &fs::read(qemu("aarch64")).unwrap());
    let tree = Tree::new();
    tree.register_by("aarch64", &file, &[]).exits(0);
    fs::remove_file(&file).unwrap();
    assert!(tree.runs("aarch64"));
    tree.write_kernel("status", "-1");
    tree.run(&["register", "aarch64"]).exits(0);
    assert!(tree.runs("aarch64"));
}

#[sandboxed]
fn qemu_option_needs_exactly_one_system() {
    let tree = Tree::new();
    let before = tree.snapshot();
    tree.run(&["register", "aarch64", "riscv64", "--qemu", "/x"]).exits(2).says("--qemu");
    tree.run(&["register", "all", "--qemu", "/x"]).exits(2).says("--qemu");
    before.is_untouched_in(&tree);
}

#[sandboxed]
fn qemu_option_conflicts_with_source() {
    let tree = Tree::new();
    let before = tree.snapshot();
    tree.run(&["register", "aarch64", "--qemu", "/x", "--source", "host"]).exits(2).says("--source");
    before.is_untouched_in(&tree);
}
