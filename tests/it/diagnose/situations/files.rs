//! Situations of the file that is to run.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::live::machine;
use super::{Machine, Situation, check};
use crate::diagnose::doctor::running_host::TABLE;
use crate::diagnose::explain::text::dynamic;
use crate::support::emulators::outside;
use crate::support::sandbox::SCRATCH;
use crate::support::table::line;

/// The running machine, with this program.
fn with_file(name: &str, content: impl AsRef<[u8]>) -> Machine {
    Machine { program: outside(name, content.as_ref()), ..machine() }
}

fn probe_of(system: &str) -> Vec<u8> {
    binfmt_magic::Arch::by_target(system).unwrap().probe().unwrap().to_vec()
}

/// A program on a file system that is mounted noexec.
fn on_noexec_mount() -> Machine {
    let place = Path::new(SCRATCH).join("noexec");
    fs::create_dir_all(&place).unwrap();
    // The file system of the machine before.
    let _ = umount2(&place, MntFlags::MNT_DETACH);
    mount(None::<&str>, &place, Some("tmpfs"), MsFlags::MS_NOEXEC, None::<&str>).unwrap();
    with_file("noexec/program", probe_of("x86_64"))
}

/// A program of aarch64 whose loader is missing, on a machine with an entry for aarch64.
fn without_loader() -> Machine {
    let mut program = dynamic();
    program[18..20].copy_from_slice(&183_u16.to_le_bytes());
    let machine = with_file("needs-loader", program);
    let emulator = Path::new("/usr/local/bin/qemu-aarch64-static");
    fs::write(Path::new(TABLE).join("register"), line("other", "aarch64", emulator, "PF")).unwrap();
    machine
}

/// The row of a file on a machine on which nothing is registered.
const fn row(name: &'static str, explain: &'static str, make: fn() -> Machine) -> Situation {
    Situation {
        name,
        system: "aarch64",
        make,
        doctor: &[],
        status: "-",
        test: "everything",
        explain,
        follow: &["own-table"],
    }
}

pub(crate) const FILES: &[Situation] = &[
    row("the program is not executable", "refused EACCES", || {
        let machine = with_file("program", probe_of("x86_64"));
        fs::set_permissions(&machine.program, fs::Permissions::from_mode(0o644)).unwrap();
        machine
    }),
    row("the program is on a file system that is mounted noexec", "refused EACCES", on_noexec_mount),
    row("the program is a script with a byte order mark", "refused ENOEXEC", || {
        with_file("script", b"\xef\xbb\xbf#!/bin/sh\n")
    }),
    row("the program is a script with the line ends of Windows", "refused ENOENT", || {
        with_file("script", b"#!/bin/sh\r\n")
    }),
    row("the program is a script for env with the line ends of Windows", "carriage-return", || {
        with_file("script", b"#!/usr/bin/env sh\r\n")
    }),
    row("the program is a script with a blank line before its first", "refused ENOEXEC", || {
        with_file("script", b"\n#!/bin/sh\n")
    }),
    row("the program is a text", "refused ENOEXEC", || with_file("script", b"echo hello\n")),
    row("the program is an AppImage of another system", "refused ENOEXEC", || {
        let mut program = probe_of("aarch64");
        program[8..11].copy_from_slice(b"AI\x02");
        with_file("appimage", program)
    }),
    Situation {
        doctor: &["own-table"],
        status: "works",
        test: "",
        ..row("the loader of the program is missing", "loader-missing", without_loader)
    },
];

#[sandboxed]
fn files() {
    check(FILES);
}
