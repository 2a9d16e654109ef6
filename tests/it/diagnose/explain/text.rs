//! Output of `explain` for users: texts, exit statuses and commands that repair.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use nix::mount::{MsFlags, mount};

use crate::diagnose::explain::execve::judge::{TABLE, clear, enter, mount_table, native, write};
use crate::support::emulators::outside;
use crate::support::output::{Done, tool};
use crate::support::table::{line, probe};
use crate::support::{Tree, qemu};

#[track_caller]
pub(crate) fn explain(args: &[&str]) -> Done {
    tool(&[&["explain"], args].concat()).stdin(Stdio::null()).output().unwrap().into()
}

#[track_caller]
pub(crate) fn register_rule(name: &str, system: &str, interpreter: &Path, flags: &str) {
    enter(line(name, system, interpreter, flags).as_bytes()).unwrap();
}

#[sandboxed]
fn the_text_report_explains_each_step() {
    mount_table();
    let emulator = outside("emulator", native());
    register_rule("arm64", "aarch64", &emulator, "PF");
    register_rule("hexagon", "hexagon", Path::new("/missing"), "");
    write(&format!("{TABLE}/hexagon"), b"0").unwrap();
    enter(b":dos:E::exe::/missing:").unwrap();
    let program = probe("aarch64");
    let done = explain(&[program.to_str().unwrap()]).exits(0);
    let text = [
        "/scratch/probe-aarch64",
        "    ELF, 64-bit, little-endian, program",
        "    for AArch64; the system is aarch64",
        "    static: it needs no loader",
        "the table of this user namespace, newest entry first",
        "    dos            the name has no extension, so not .exe",
        "    hexagon        is disabled, and byte 4 (class) is 02, not 01",
        "    arm64    PF    handles it",
        "entry arm64 starts /scratch/emulator",
        "    it can be opened here",
        "    in a sandbox, chroot or container: it also starts",
        "    P: the program keeps its own argv[0]",
        "    F: the kernel holds the interpreter open since its registration",
        "/scratch/emulator",
    ];
    assert_eq!(done.out.lines().take(text.len()).collect::<Vec<_>>(), text, "{}", done.out);
    let done = done.prints("runs by emulation\n    entry arm64 runs it with /scratch/emulator\n");
    assert!(done.out.lines().all(|line| line.chars().count() <= 80), "{}", done.out);
    // The entry holds the file of its registration. The path now names another file.
    fs::remove_file(&emulator).unwrap();
    outside("emulator", native());
    explain(&[program.to_str().unwrap()])
        .exits(0)
        .prints("the kernel uses the file from registration; the path names another now");
    let missing = explain(&["/scratch/nothing"]).exits(3).prints("does not start: execve fails with ENOENT");
    missing.prints("/scratch/nothing\n").prints("it does not exist").omits("to make it run");
    explain(&["/scratch"]).exits(3).prints("execve fails with EACCES").prints("it is not a regular file");
    explain(&[]).exits(2);
    explain(&["--pid", "1", "/bin/sh"]).exits(2);
    explain(&["--root", "/scratch", "--pid", "1"]).exits(2).says("--root");
}

#[sandboxed]
fn explanations_have_the_command_that_repairs() {
    let program = probe("riscv64");
    let program = program.to_str().unwrap();
    let no_table = explain(&[program]).exits(3).prints("the kernel's table is not mounted here");
    no_table.prints("    binfmt-nix register riscv64").prints(&format!("binfmt-nix run -s riscv64 -- {program}"));
    mount_table();
    let done = explain(&[program]).exits(3).prints("the table of this user namespace has no entries");
    done.prints("does not start: execve fails with ENOEXEC").prints("    binfmt-nix register riscv64");
    let emulator = outside("emulator", native());
    register_rule("riscv", "riscv64", &emulator, "F");
    write(&format!("{TABLE}/riscv"), b"0").unwrap();
    explain(&[program]).exits(3).prints("matches, but is disabled").prints("echo 1 > /proc/sys/fs/binfmt_misc/riscv");
    write(&format!("{TABLE}/riscv"), b"1").unwrap();
    write(&format!("{TABLE}/status"), b"0").unwrap();
    let off = explain(&[program]).exits(3).prints("is switched off").prints("matches, but is not used");
    off.prints("echo 1 > /proc/sys/fs/binfmt_misc/status");
    write(&format!("{TABLE}/status"), b"1").unwrap();
    explain(&[program]).exits(0).omits("to make it run");
    clear();
    register_rule("riscv", "riscv64", Path::new("/scratch/gone"), "");
    let gone = explain(&[program]).exits(3).prints("its interpreter /scratch/gone does not exist");
    gone.prints("binfmt-nix register riscv64 --force");
    clear();
    // QEMU needs the loader of the program.
    let elf = outside("dynamic", &dynamic());
    register_rule("riscv", "riscv64", &outside("qemu-riscv64", native()), "F");
    let missing = explain(&[elf.to_str().unwrap()]).exits(3).prints("its loader /lib/ld-none.so.1 is not here");
    missing.prints("does not find the program's loader").prints("QEMU_LD_PREFIX=DIR /scratch/dynamic");
    outside("windows", b"#!/bin/sh\r\necho\n");
    explain(&["/scratch/windows"]).exits(3).prints("sed -i 's/\\r$//' /scratch/windows");
    outside("plain text", b"echo hello\n");
    explain(&["/scratch/plain text"]).exits(3).prints("sh '/scratch/plain text'");
    let mut marked = fs::read(probe("riscv64")).unwrap();
    marked[8..11].copy_from_slice(b"AI\x02");
    outside("marked", &marked);
    let appimage = explain(&["/scratch/marked"]).exits(3).prints("bytes 8 to 10 mark it as an AppImage");
    appimage
        .prints(r"printf '\0\0\0' | dd of=/scratch/marked bs=1 seek=8 conv=notrunc")
        .prints("the system is riscv64");
    // The interpreter of the entry is itself a program of the entry.
    register_rule("own", "riscv64", Path::new(program), "");
    explain(&[program]).exits(3).prints("ELOOP").prints("echo -1 > /proc/sys/fs/binfmt_misc/own");
}

/// A program for riscv64 with a loader that does not exist.
pub(crate) fn dynamic() -> Vec<u8> {
    let path = b"/lib/ld-none.so.1\0";
    let mut bytes = fs::read(probe("riscv64")).unwrap()[..64].to_vec();
    bytes[32..40].copy_from_slice(&64_u64.to_le_bytes());
    bytes[54..56].copy_from_slice(&56_u16.to_le_bytes());
    bytes[56..58].copy_from_slice(&1_u16.to_le_bytes());
    let mut header = [0; 56];
    header[0] = 3;
    header[8] = 120;
    header[32] = u8::try_from(path.len()).unwrap();
    [&bytes, &header[..], path].concat()
}

/// The file, interpreters and the table are read below `--root`, as a process finds them whose root directory it is.
#[sandboxed]
fn root_option_selects_files_and_table() {
    let tree = Tree::new().mounted().program("emulators/arm", native());
    tree.enter(&line("arm", "arm", Path::new("/emulators/arm"), ""));
    let (program, bytes) = (probe("arm"), fs::read(probe("arm")).unwrap());
    let program = program.to_str().unwrap();
    let tree = tree.program("opt/arm", &bytes).program("opt/plain", b"#!/opt/sh x\n").program("opt/real-sh", native());
    for (link, target) in [("opt/link", "/opt/arm"), ("opt/out", "../../../opt/arm"), ("opt/sh", "/opt/real-sh")] {
        std::os::unix::fs::symlink(target, tree.path(link)).unwrap();
    }
    for file in ["/opt/arm", "/opt/link", "/opt/out"] {
        tree.run(&["explain", file]).exits(0).prints("entry arm runs it with /emulators/arm");
        explain(&[file]).exits(3).prints("it does not exist");
    }
    tree.run(&["explain", "/opt/plain"]).exits(0).prints("the kernel runs /opt/sh natively");
    // A path outside of the tree does not exist in it. A relative path is that of the working directory.
    tree.run(&["explain", program]).exits(3).prints("execve fails with ENOENT");
    let relative = format!("../..{program}");
    tree.run(&["explain", &relative]).exits(0).prints("entry arm runs it with /emulators/arm");
    tree.remove("emulators/arm");
    tree.run(&["explain", "/opt/arm"]).exits(3).prints("/emulators/arm does not exist");
}

/// As in a container: the table is active, and another file system is mounted over it.
#[sandboxed]
fn hidden_entries_are_reported() {
    let emulator = qemu("riscv64");
    let program = probe("riscv64");
    let program = program.to_str().unwrap();
    mount_table();
    register_rule("riscv", "riscv64", &emulator, "PF");
    mount(None::<&str>, TABLE, Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
    let done = explain(&[program]).exits(0).prints("the kernel's table is not mounted here, but it has entries");
    done.prints("an entry that is not visible here runs programs of riscv64").omits("to make it run");
    explain(&[probe("s390x").to_str().unwrap()]).exits(3).prints("binfmt-nix register s390x");
}
