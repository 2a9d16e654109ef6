//! Every probe program under the real QEMU: `BINFMT_NIX_TEST_QEMU` names the directory of `qemu-<target>`.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stderr,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test reaches the machine directly"
)]

mod common;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use binfmt_magic::Arch;

/// As long as what a probe prints: 16 bytes.
const NAME: &str = "binfmt-nix-argv0";

#[test]
fn each_probe_prints_its_name_makes_a_directory_and_exits_with_0() {
    let Some(qemus) = common::directory("BINFMT_NIX_TEST_QEMU", "qemu") else {
        return;
    };
    let dir = tempdir();
    for (arch, probe) in Arch::ALL.iter().filter_map(|arch| Some((arch, arch.probe()?))) {
        let file = dir.join(arch.target);
        write_program(&file, probe);
        let made = dir.join(format!("made-by-{}", arch.target));
        for args in [&[][..], &[made.as_path()]] {
            assert!(!made.exists());
            let output = run(&qemus.join(format!("qemu-{}", arch.target)), &file, args);
            let seen = (output.stdout, output.stderr, output.status.code());
            assert_eq!(seen, (NAME.into(), Vec::new(), Some(0)), "{}", arch.target);
        }
        assert!(made.is_dir(), "{}", arch.target);
    }
    std::fs::remove_dir_all(dir).unwrap();
}

/// Why some rows differ from QEMU's rules, or agree with a strange one: how QEMU itself reacts to such a program.
#[test]
fn qemu_takes_what_the_rows_claim() {
    let Some(qemus) = common::directory("BINFMT_NIX_TEST_QEMU", "qemu") else { return };
    let dir = tempdir();
    for (target, at, bytes, taken) in [
        ("microblaze", 18, [0xba, 0xab], true),
        ("microblaze", 18, [0x00, 0xb9], false),
        ("microblazeel", 18, [0xab, 0xba], true),
        ("microblazeel", 18, [0xb9, 0x00], false),
        // The high byte of the machine, which QEMU's rule leaves out.
        ("ppc64le", 18, [21, 1], false),
        // Byte order and version with their lowest bit cleared, which the rules for x86 let through.
        ("i386", 5, [0, 1], false),
        ("x86_64", 5, [1, 0], false),
    ] {
        let mut program = Arch::by_target(target).unwrap().probe().unwrap().to_vec();
        program[at..at + 2].copy_from_slice(&bytes);
        let file = dir.join(format!("{target}-{bytes:x?}"));
        write_program(&file, &program);
        let output = run(&qemus.join(format!("qemu-{target}")), &file, &[]);
        assert_eq!(output.stdout == NAME.as_bytes(), taken, "{target} {bytes:x?}: {output:?}");
    }
    std::fs::remove_dir_all(dir).unwrap();
}

fn run(qemu: &Path, program: &Path, args: &[&Path]) -> Output {
    let mut command = Command::new(qemu);
    command.args(["-0", NAME]).arg(program).args(args).env_clear().stdin(Stdio::null());
    command.output().unwrap_or_else(|error| panic!("{}: {error}", qemu.display()))
}

fn write_program(file: &Path, bytes: &[u8]) {
    std::fs::write(file, bytes).unwrap();
    std::fs::set_permissions(file, PermissionsExt::from_mode(0o755)).unwrap();
}

/// A new directory.
fn tempdir() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!("binfmt-magic-probes-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let dir = std::env::temp_dir().join(name);
    std::fs::create_dir(&dir).unwrap();
    dir
}
