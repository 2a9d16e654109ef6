//! The table on real programs: `BINFMT_NIX_TEST_CORPUS` names a directory that `tests/fetch-corpus` filled.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stderr,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test reaches the machine directly"
)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use binfmt_magic::{Arch, WINDOW};

/// What each package holds: the row of its programs; `-` where QEMU's user mode has no such guest.
///
/// `libc6-X-Y-cross` is the C library for X in a compiler for Y.
const EXPECTED: &[(&str, &str)] = &[
    ("busybox-static-amd64", "x86_64"),
    ("busybox-static-arm64", "aarch64"),
    ("busybox-static-armel", "arm"),
    ("busybox-static-armhf", "arm"),
    ("busybox-static-i386", "i386"),
    ("busybox-static-loong64", "loongarch64"),
    ("busybox-static-mips64el", "mips64el"),
    ("busybox-static-mipsel", "mipsel"),
    ("busybox-static-ppc64el", "ppc64le"),
    ("busybox-static-riscv64", "riscv64"),
    ("busybox-static-s390x", "s390x"),
    ("libc6-amd64-cross", "x86_64"),
    ("libc6-amd64-i386-cross", "x86_64"),
    ("libc6-amd64-x32-cross", "x86_64"),
    ("libc6-arc-cross", "-"),
    ("libc6-arm64-cross", "aarch64"),
    ("libc6-armel-cross", "arm"),
    ("libc6-armhf-cross", "arm"),
    ("libc6-dev-arm64-cross", "aarch64"),
    ("libc6-dev-mips-cross", "mips"),
    ("libc6-hppa-cross", "hppa"),
    ("libc6-i386-amd64-cross", "i386"),
    ("libc6-i386-cross", "i386"),
    ("libc6-i386-x32-cross", "i386"),
    ("libc6-m68k-cross", "m68k"),
    ("libc6-mips-cross", "mips"),
    ("libc6-mips32-mips64-cross", "mips"),
    ("libc6-mips32-mips64el-cross", "mipsel"),
    ("libc6-mips32-mips64r6-cross", "mips"),
    ("libc6-mips32-mips64r6el-cross", "mipsel"),
    ("libc6-mips32-mipsn32-cross", "mips"),
    ("libc6-mips32-mipsn32el-cross", "mipsel"),
    ("libc6-mips32-mipsn32r6-cross", "mips"),
    ("libc6-mips32-mipsn32r6el-cross", "mipsel"),
    ("libc6-mips64-cross", "mips64"),
    ("libc6-mips64-mips-cross", "mips64"),
    ("libc6-mips64-mipsel-cross", "mips64el"),
    ("libc6-mips64-mipsn32-cross", "mips64"),
    ("libc6-mips64-mipsn32el-cross", "mips64el"),
    ("libc6-mips64-mipsn32r6-cross", "mips64"),
    ("libc6-mips64-mipsn32r6el-cross", "mips64el"),
    ("libc6-mips64-mipsr6-cross", "mips64"),
    ("libc6-mips64-mipsr6el-cross", "mips64el"),
    ("libc6-mips64el-cross", "mips64el"),
    ("libc6-mips64r6-cross", "mips64"),
    ("libc6-mips64r6el-cross", "mips64el"),
    ("libc6-mipsel-cross", "mipsel"),
    ("libc6-mipsn32-cross", "mipsn32"),
    ("libc6-mipsn32-mips-cross", "mipsn32"),
    ("libc6-mipsn32-mips64-cross", "mipsn32"),
    ("libc6-mipsn32-mips64el-cross", "mipsn32el"),
    ("libc6-mipsn32-mips64r6-cross", "mipsn32"),
    ("libc6-mipsn32-mips64r6el-cross", "mipsn32el"),
    ("libc6-mipsn32-mipsel-cross", "mipsn32el"),
    ("libc6-mipsn32-mipsr6-cross", "mipsn32"),
    ("libc6-mipsn32-mipsr6el-cross", "mipsn32el"),
    ("libc6-mipsn32el-cross", "mipsn32el"),
    ("libc6-mipsn32r6-cross", "mipsn32"),
    ("libc6-mipsn32r6el-cross", "mipsn32el"),
    ("libc6-mipsr6-cross", "mips"),
    ("libc6-mipsr6el-cross", "mipsel"),
    ("libc6-powerpc-cross", "ppc"),
    ("libc6-powerpc-ppc64-cross", "ppc"),
    ("libc6-ppc64-cross", "ppc64"),
    ("libc6-ppc64-powerpc-cross", "ppc64"),
    ("libc6-ppc64el-cross", "ppc64le"),
    ("libc6-riscv64-cross", "riscv64"),
    ("libc6-s390-s390x-cross", "-"),
    ("libc6-s390x-cross", "s390x"),
    ("libc6-sh4-cross", "sh4"),
    ("libc6-sparc-sparc64-cross", "sparc32plus"),
    ("libc6-sparc64-cross", "sparc64"),
    ("libc6-x32-amd64-cross", "-"),
    ("libc6-x32-cross", "-"),
    ("libc6-x32-i386-cross", "-"),
    ("libc6.1-alpha-cross", "alpha"),
];

#[test]
fn every_program_is_matched_by_its_row_and_no_other() {
    let Some(corpus) = common::directory("BINFMT_NIX_TEST_CORPUS", "corpus") else {
        return;
    };
    let mut programs = BTreeMap::new();
    let mut objects = 0;
    for (package, file, head) in elf_files(&corpus) {
        let (_, expected) =
            EXPECTED.iter().find(|row| row.0 == package).unwrap_or_else(|| panic!("{package}: unknown"));
        let rows: Vec<_> = Arch::ALL.iter().filter(|arch| arch.pattern().matches(&head)).collect();
        let rows = rows.iter().map(|arch| arch.target).collect::<Vec<_>>().join(" ");
        if matches!(e_type(&head), 2 | 3) {
            assert_eq!(if rows.is_empty() { "-" } else { &rows }, *expected, "{}", file.display());
            *programs.entry(*expected).or_insert(0) += 1;
        } else {
            assert_eq!(rows, "", "{} is not a program", file.display());
            objects += 1;
        }
    }
    for (package, row) in EXPECTED {
        assert!(programs.contains_key(row) && corpus.join(package).is_dir(), "the corpus lacks {package} ({row})");
    }
    assert!(objects > 0, "the corpus lacks object files");
    eprintln!("{} programs, {objects} objects: {programs:?}", programs.values().sum::<i32>());
}

/// Package, path and first bytes of every ELF file; links are not followed.
fn elf_files(corpus: &Path) -> Vec<(String, PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for package in entries(corpus) {
        let name = package.file_name().unwrap().to_string_lossy().into_owned();
        let mut todo = vec![package];
        while let Some(path) = todo.pop() {
            let kind = fs::symlink_metadata(&path).unwrap().file_type();
            if kind.is_dir() {
                todo.extend(entries(&path));
            } else if kind.is_file() {
                let mut head = Vec::new();
                fs::File::open(&path).unwrap().take(WINDOW as u64).read_to_end(&mut head).unwrap();
                if head.len() > 20 && head.starts_with(b"\x7fELF") {
                    found.push((name.clone(), path, head));
                }
            }
        }
    }
    found
}

fn entries(directory: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path())
}

fn e_type(head: &[u8]) -> u16 {
    let bytes = [head[16], head[17]];
    if head[5] == 2 { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) }
}
