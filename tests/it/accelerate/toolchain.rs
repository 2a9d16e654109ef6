//! Proofs of Debian 13's compilers for other systems, and wrong pairs of them.

use std::fs;
use std::path::{Path, PathBuf};

use binfmt_magic::Arch;
use binfmt_nix::accelerate::find::in_debian_tree;
use binfmt_nix::accelerate::prove::{PairProof, RUN_LIMIT, Verdict, prove};
use binfmt_nix::host::Host;

use super::{Machines, assert_refused};
use crate::support::emulators::qemu;
use crate::support::{is_full, skip};

const CC1: &str = "/usr/libexec/gcc/aarch64-linux-gnu/14/cc1";
const CROSS_CC1: &str = "/usr/libexec/gcc-cross/aarch64-linux-gnu/14/cc1";

/// A tree that `tests/fetch-toolchain` made.
fn toolchain(name: &str) -> PathBuf {
    let dir = std::env::var_os("BINFMT_NIX_TEST_TOOLCHAIN").filter(|dir| !dir.is_empty());
    let path = dir.map(|dir| Path::new(&dir).join(name)).filter(|path| path.exists());
    path.unwrap_or_else(|| {
        skip("toolchain", format!("BINFMT_NIX_TEST_TOOLCHAIN has no {name}: 400 MB for tests/run --full"))
    })
}

fn machines(tree: &str, target: &'static str) -> Machines {
    Machines {
        tree: Host::new(&toolchain(tree)).unwrap(),
        native: Host::new(&toolchain("amd64")).unwrap(),
        emulator: qemu(target),
        target,
    }
}

/// Proves all pairs of a tree: every case in the tier `full`, some of them otherwise.
fn prove_tree(tree: &str, target: &'static str) {
    let machines = machines(tree, target);
    let found = in_debian_tree(Arch::by_target(target).unwrap(), &machines.tree, &machines.native).unwrap();
    let names: Vec<_> = found.pairs.iter().map(|pair| pair.tool.name).collect();
    for tool in
        ["cc1", "cc1plus", "f951", "lto1", "as", "xz", "gzip", "bzip2", "zstd", "sed", "grep", "tar", "cat", "diff"]
    {
        assert!(names.contains(&tool), "{tool}: {names:?} {:?}", found.left_out);
    }
    assert_eq!(found.left_out, []);
    let subjects: Vec<_> = found.pairs.into_iter().map(|pair| machines.subject(pair)).collect();
    let stride = if is_full() { 1 } else { 29 };
    let verdicts = prove(&machines.plan(stride), &subjects, &mut |_, _| Ok(())).unwrap();
    let mut refusals = Vec::new();
    for (verdict, subject) in verdicts.iter().zip(&subjects) {
        match verdict {
            Verdict::Proven(PairProof { runs, bytes, .. }) => {
                println!("{target} {}: {runs} runs, {bytes} bytes", subject.pair.tool.name);
            }
            Verdict::Refused(refusal) => refusals.push(refusal.to_string()),
        }
    }
    assert!(refusals.is_empty(), "{refusals:#?}");
}

#[test]
fn the_tools_of_an_aarch64_tree_are_proven() {
    prove_tree("arm64", "aarch64");
}

#[test]
fn the_tools_of_a_riscv64_tree_are_proven() {
    prove_tree("riscv64", "riscv64");
}

#[test]
fn a_compiler_for_another_system_is_refused() {
    let machines = machines("arm64", "aarch64");
    let other = CROSS_CC1.replace("aarch64", "riscv64");
    assert_refused(&machines.prove_files(CC1, &other, 1, RUN_LIMIT), "configured differently");
    assert_refused(
        &machines.prove_files("/usr/bin/aarch64-linux-gnu-as", "/usr/bin/riscv64-linux-gnu-as", 1, RUN_LIMIT),
        "configured differently",
    );
}

#[test]
fn a_compiler_of_another_release_is_refused() {
    let native = "/usr/lib/gcc-cross/aarch64-linux-gnu/12/cc1";
    if !Path::new(native).exists() {
        skip("toolchain", format!("there is no {native}: Debian 12's gcc-12-aarch64-linux-gnu has it"));
    }
    let machines = Machines { native: Host::live(), ..machines("arm64", "aarch64") };
    assert_refused(&machines.prove_files(CC1, native, 1, RUN_LIMIT), "configured differently");
}

/// One letter of a directive differs, and every question about the configuration has the same answer.
#[test]
fn a_compiler_that_was_patched_is_refused() {
    let mut machines = machines("arm64", "aarch64");
    let dir = tempfile::tempdir().unwrap();
    let mut bytes = fs::read(machines.native.real_path(Path::new(CROSS_CC1))).unwrap();
    let directive = b".cfi_endproc\n\0";
    let places: Vec<_> = (0..bytes.len() - directive.len()).filter(|at| bytes[*at..].starts_with(directive)).collect();
    assert!(!places.is_empty());
    for at in places {
        bytes[at + 11] = b'k';
    }
    // A tree with the patched compiler, and the libraries of the other one.
    let patched = dir.path().join(CROSS_CC1.trim_start_matches('/'));
    fs::create_dir_all(patched.parent().unwrap()).unwrap();
    fs::write(&patched, bytes).unwrap();
    let usr = toolchain("amd64").join("usr");
    let copied = std::process::Command::new("cp")
        .arg("-a")
        .args([usr.join("lib64"), usr.join("lib")])
        .arg(dir.path().join("usr"))
        .status();
    assert!(copied.unwrap().success());
    std::os::unix::fs::symlink("usr/lib64", dir.path().join("lib64")).unwrap();
    machines.native = Host::new(dir.path()).unwrap();
    let verdict = machines.prove_files(CC1, CROSS_CC1, 1, RUN_LIMIT);
    assert_refused(&verdict, ".s differs at byte");
    assert_refused(&verdict, "\"c\\n");
    assert_refused(&verdict, "\"k\\n");
}
